"""Tables of a run that labels in rounds: learning curves with intervals, and what choosing gained over chance."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq._keys import named_key
from jaxuq.metrics import bootstrap
from jaxuq.study import cell_arrays
from jaxuq.tuning.answers import answer_loss
from jaxuq.tuning.configuration import TuneConfiguration
from jaxuq.tuning.evaluation import SCORES, answer_scores, score_intervals
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.summary import over_seeds, write_csv

_score, _intervals = jax.jit(jax.vmap(answer_scores, (0, None))), jax.jit(score_intervals)
_AVERAGES = ("curve_accuracy", "curve_nll")  # of the rounds after the first, which has the same labels for all
_GAINS = ("accuracy_gain", "nll_gain")


class _Curve(NamedTuple):
    """Forecasts of a part by one acquisition."""

    labels: list[int]
    log_probs: Float[np.ndarray, "seeds rounds questions options"]
    aleatoric: Float[np.ndarray, "seeds rounds"]
    epistemic: Float[np.ndarray, "seeds rounds"]


def round_file(path: Path, acquisition: str, seed: int, number: int) -> Path:
    """Where a round is kept; the first is the same for all acquisitions.

    Args:
        path: of the run.
        acquisition: by name; `base` is the model before tuning.
        seed: of the run.
        number: of the round.

    Returns:
        The file.
    """
    if acquisition == "base":
        return path / "rounds" / "base.npz"
    return path / "rounds" / f"{acquisition if number else 'start'}-{seed}-{number}.npz"


def write_curves(path: Path, configuration: TuneConfiguration, prepared: Prepared, seeds: int) -> None:
    """Score the rounds of the seeds that are done.

    `active.csv` has a row for each part, acquisition, seed and round; `curve.csv` means and deviations over seeds, with
    95 % intervals over questions. `results.csv` and `summary.csv` have the last round, the average over the rounds
    after the first (`curve_accuracy`, `curve_nll`), and by how much that is better than by chance (`accuracy_gain`,
    `nll_gain`, both better if higher; compared question by question), if `random` is among the acquisitions.

    Args:
        path: of the run.
        configuration: normalised.
        prepared: the questions.
        seeds: how many are done.
    """
    active, curve, results, summary = [], [], [], []
    for part, asked in prepared.parts.items():
        truth = jnp.asarray(asked.labels)
        curves = {name: _read(path, name, part, seeds, configuration) for name in ("base", *configuration.acquire)}
        chance = _by_question(curves["random"], truth) if "random" in curves else None
        for name, one in curves.items():
            scores = np.stack([np.asarray(_score(jnp.asarray(rounds), truth)) for rounds in one.log_probs])
            active += [
                {"dataset": part, "acquisition": name, "seed": seed, "round": number, "labels": labels}
                | _row(scores[seed, number], one, seed, number)
                for seed in range(seeds)
                for number, labels in enumerate(one.labels)
            ]
            ends = [
                _intervals(named_key(jax.random.key(0), part), jnp.asarray(one.log_probs[:, number]), truth)
                for number in range(len(one.labels))
            ]
            for number, labels in enumerate(one.labels):
                row = {"dataset": part, "acquisition": name, "round": number, "labels": labels, "num_seeds": seeds}
                curve.append(row | over_seeds(SCORES, scores[:, number], ends[number]))
            own = _by_question(one, truth)  # [seeds, 2, questions]
            mean = {key: own[:, at].mean(1) for at, key in enumerate(_AVERAGES)}
            if chance is not None and name not in ("base", "random"):
                better = np.stack([own[:, 0] - chance[:, 0], chance[:, 1] - own[:, 1]], axis=1)
                mean |= {key: better[:, at].mean(1) for at, key in enumerate(_GAINS)}
            else:
                better = None
            for seed in range(seeds):
                row = {"dataset": part, "method": name, "seed": seed} | _row(scores[seed, -1], one, seed, -1)
                results.append(row | {key: float(values[seed]) for key, values in mean.items()})
            row = {"dataset": part, "method": name, "num_seeds": seeds, "n": len(truth)}
            row |= over_seeds(SCORES, scores[:, -1], ends[-1])
            for keys, values in ((_AVERAGES, own), (_GAINS, better)):
                if values is not None:
                    row |= over_seeds(keys, values.mean(2), _mean_interval(part, values))
            summary.append(row)
    write_csv(path / "active.csv", active)
    write_csv(path / "curve.csv", curve)
    write_csv(path / "results.csv", results)
    write_csv(path / "summary.csv", summary)
    write_csv(path / "labels.csv", _labels(path, configuration, prepared, seeds))


def _read(path: Path, name: str, part: str, seeds: int, configuration: TuneConfiguration) -> _Curve:
    rounds = 1 if name == "base" else configuration.rounds + 1
    cells = [
        [cell_arrays(round_file(path, name, seed, number)) or {} for number in range(rounds)] for seed in range(seeds)
    ]

    def stacked(key: str) -> np.ndarray:
        return np.array([[cell[f"{part}/{key}"] for cell in row] for row in cells])

    labels = [0] if name == "base" else [len(cell["labelled"]) for cell in cells[0]]
    return _Curve(labels, stacked("log_probs"), stacked("aleatoric").mean(2), stacked("epistemic").mean(2))


def _row(scores: np.ndarray, one: _Curve, seed: int, number: int) -> dict[str, float]:
    parts = {"aleatoric": float(one.aleatoric[seed, number]), "epistemic": float(one.epistemic[seed, number])}
    return dict(zip(SCORES, scores.tolist())) | parts


def _by_question(one: _Curve, truth: Array) -> Float[np.ndarray, "seeds 2 questions"]:
    """Whether each question was right, and its loss, on average over the rounds after the first."""
    rounds = one.log_probs[:, 1:] if one.log_probs.shape[1] > 1 else one.log_probs
    right = rounds.argmax(-1) == np.asarray(truth)
    loss = jax.vmap(jax.vmap(answer_loss, (0, None)), (0, None))(jnp.asarray(rounds), truth)
    return np.stack([right.mean(1), np.asarray(loss).mean(1)], axis=1).astype(np.float32)


@jax.jit
def _interval(rng_key: Array, values: Float[Array, "questions scores"]) -> tuple[Array, Array]:
    def metric(values: Array, where: Array) -> Array:
        share = where.astype(values.dtype)[:, None]
        return (values * share).sum(0) / jnp.maximum(share.sum(), 1)

    found = bootstrap(rng_key, metric, values, num_resamples=500)
    return found.lower, found.upper


def _mean_interval(part: str, values: Float[np.ndarray, "seeds scores questions"]) -> tuple[Array, Array]:
    return _interval(named_key(jax.random.key(0), part), jnp.asarray(values.mean(0).T))


def _labels(path: Path, configuration: TuneConfiguration, prepared: Prepared, seeds: int) -> list[dict[str, Any]]:
    """Which question was labelled in which round."""
    rows = []
    for seed in range(seeds):
        for acquisition in configuration.acquire:
            cell = cell_arrays(round_file(path, acquisition, seed, configuration.rounds)) or {}
            for at, number in enumerate(cell["labelled"].tolist()):
                late = max(0, at - configuration.start) // configuration.label + (at >= configuration.start)
                rows.append(
                    {"acquisition": acquisition, "seed": seed, "round": late, "question": prepared.tuned.ids[number]}
                )
    return rows
