"""`results.csv` and `summary.csv` of a run that teaches how sure to be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq._keys import named_key
from jaxuq.metrics import bootstrap
from jaxuq.study import cell_arrays
from jaxuq.tuning.evaluation import SCORES, confidence_scores
from jaxuq.tuning.summary import over_seeds, write_csv


def write_confidences(path: Path, methods: Sequence[str], parts: Sequence[str], seeds: int) -> None:
    """Score the confidences of the seeds that are done.

    Args:
        path: of the run.
        methods: rows of the tables.
        parts: that were asked.
        seeds: how many are done.
    """
    rows: list[dict[str, Any]] = []
    summary: list[dict[str, Any]] = []
    for part in parts:
        for method in methods:
            stored = [cell_arrays(path / "predictions" / f"{method}-{seed}.npz") for seed in range(seeds)]
            cells = [cell for cell in stored if cell is not None]
            if not cells:  # of a run that goes on
                continue
            confidence, correct = (
                jnp.asarray(np.stack([cell[f"{part}/{name}"] for cell in cells])) for name in ("confidence", "correct")
            )
            scores = np.asarray(_scores(confidence, correct))
            rows += [
                {"dataset": part, "method": method, "seed": seed} | dict(zip(SCORES, scores[seed].tolist()))
                for seed in range(len(cells))
            ]
            ends = _intervals(named_key(jax.random.key(0), part), confidence.T, correct.T)
            row = {"dataset": part, "method": method, "num_seeds": len(cells), "n": confidence.shape[1]}
            summary.append(row | over_seeds(SCORES, scores, ends))
    write_csv(path / "results.csv", rows)
    write_csv(path / "summary.csv", summary)


_scores = jax.jit(jax.vmap(confidence_scores))


@jax.jit
def _intervals(
    rng_key: Array, confidence: Float[Array, "questions seeds"], correct: Float[Array, "questions seeds"]
) -> tuple[Array, Array]:
    """Over questions, each with all its seeds."""

    def metric(confidence: Array, correct: Array, where: Array) -> Array:
        return jax.vmap(lambda one, right: confidence_scores(one, right, where=where), 1)(confidence, correct).mean(0)

    found = bootstrap(rng_key, metric, confidence, correct, num_resamples=500)
    return found.lower, found.upper
