"""Tables of an evaluation: accuracies with intervals, clusters, weights, costs."""

import csv
import functools
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq.experts.pipeline.configuration import EvaluateConfiguration
from jaxuq.experts.pipeline.costs import read_costs
from jaxuq.experts.pipeline.training import TrainedRun
from jaxuq.metrics import bootstrap
from jaxuq.study import read_sealed, write_text

AVERAGE = "micro average"
_RESAMPLES = 1000


def read_predictions(folder: Path, seed: int, method: str) -> list[dict[str, Any]]:
    """Lines of a method's predictions.

    Args:
        folder: of the evaluation.
        seed: of the training.
        method: its name.

    Returns:
        One dictionary a question.
    """
    return read_sealed(folder / "predictions" / f"{seed}-{method}.jsonl")


def write_tables(
    folder: Path, runs: Sequence[TrainedRun], methods: Sequence[str], options: EvaluateConfiguration
) -> None:
    """Write `results.csv`, `summary.csv`, `clusters.csv`, `weights.csv`, `costs.csv`.

    Args:
        folder: of the evaluation, with all predictions.
        runs: trainings.
        methods: names.
        options: of the evaluation.
    """
    seeds = [run.configuration.seed for run in runs]
    lines = {(method, seed): read_predictions(folder, seed, method) for method in methods for seed in seeds}
    sources = sorted({line["source"] for own in lines.values() for line in own} - {""})
    subsets = [*sources, AVERAGE] if sources else [AVERAGE]
    results, summary = [], []
    for subset in subsets:
        reference = np.concatenate([_correct(lines["elrea", seed], subset) for seed in seeds])
        for method in methods:
            each = [_correct(lines[method, seed], subset) for seed in seeds]
            for seed, correct in zip(seeds, each):
                lower, upper = _interval(correct)
                results.append(
                    {"dataset": subset, "method": method, "seed": seed, "accuracy": _mean(correct), "n": len(correct),
                     "accuracy_lower": lower, "accuracy_upper": upper, **_extras(lines[method, seed], subset)}
                )  # fmt: skip
            pooled = np.concatenate(each)
            lower, upper = _interval(pooled)
            below, above = _interval(reference - pooled)
            means = [_mean(correct) for correct in each]
            summary.append(
                {"dataset": subset, "method": method, "num_seeds": len(seeds), "n": len(pooled),
                 "accuracy": float(np.mean(means)),
                 "accuracy_std": float(np.std(means, ddof=1)) if len(means) > 1 else math.nan,
                 "accuracy_lower": lower, "accuracy_upper": upper,
                 "elrea_gain": _mean(reference - pooled), "elrea_gain_lower": below, "elrea_gain_upper": above}
            )  # fmt: skip
    write_rows(folder / "results.csv", results)
    write_rows(folder / "summary.csv", summary)
    write_rows(folder / "clusters.csv", [row for run in runs for row in cluster_rows(run)])
    weights = [row for run in runs for row in weight_rows(run, lines["elrea", run.configuration.seed])]
    write_rows(folder / "weights.csv", weights)
    costs = [
        {"seed": run.configuration.seed, "step": step, "seconds": cost["seconds"],
         "peak_mebibytes": round(cost["peak_bytes"] / 2**20)}
        for run in runs for step, cost in read_costs(run.path).items()
    ]  # fmt: skip
    write_rows(folder / "costs.csv", costs)


def cluster_rows(run: TrainedRun) -> list[dict[str, Any]]:
    """How many instructions of each source are in each cluster, and the adjusted Rand index of the two.

    Args:
        run: a training.

    Returns:
        A row a cluster and source.
    """
    from sklearn.metrics import adjusted_rand_score

    labels = run.found.labels
    sources = [record.source for record in run.data.records][: len(labels)]
    clustered = labels >= 0
    named = [source for source, there in zip(sources, clustered) if there]
    index = float(adjusted_rand_score(named, labels[clustered])) if any(named) else math.nan
    return [
        {"seed": run.configuration.seed, "cluster": cluster, "source": source,
         "count": sum(one == source and label == cluster for one, label in zip(sources, labels)),
         "adjusted_rand_index": index}
        for cluster in range(len(run.found.centroids)) for source in sorted(set(sources))
    ]  # fmt: skip


def weight_rows(run: TrainedRun, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mean weight of the base adapter and of each expert over the questions of each source.

    Args:
        run: a training.
        lines: ELREA's predictions.

    Returns:
        A row a source and member.
    """
    members = ["base", *map(str, range(len(run.found.centroids)))]
    rows = []
    for source in sorted({line["source"] for line in lines}):
        mean = np.mean([line["weights"] for line in lines if line["source"] == source], axis=0)
        rows += [
            {"seed": run.configuration.seed, "source": source, "member": member, "weight": float(weight)}
            for member, weight in zip(members, mean)
        ]
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a CSV table, atomically; numbers that are not finite are empty.

    Args:
        path: the file.
        rows: with the same columns.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else ["empty"], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return value


def _chosen(lines: Sequence[dict[str, Any]], subset: str) -> list[dict[str, Any]]:
    return [line for line in lines if subset == AVERAGE or line["source"] == subset]


def _correct(lines: Sequence[dict[str, Any]], subset: str) -> np.ndarray:
    return np.array([line["correct"] for line in _chosen(lines, subset)], np.float32)


def _extras(lines: Sequence[dict[str, Any]], subset: str) -> dict[str, Any]:
    own = _chosen(lines, subset)
    if not own:
        return {"mutual_information": math.nan, "variance": math.nan, "seconds": math.nan}
    return {
        name: float(np.mean([line[name] or 0.0 for line in own]))
        for name in ("mutual_information", "variance", "seconds")
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _masked_mean(values: Array, *, where: Array) -> Array:
    count = jnp.sum(where, dtype=jnp.int32).astype(values.dtype)
    return jnp.where(where, values, 0.0).sum() / jnp.where(count > 0, count, jnp.nan)


@functools.cache
def _rows_of(count: int) -> int:
    return max(64, 1 << (count - 1).bit_length())


def _interval(values: np.ndarray) -> tuple[float, float]:
    """The bootstrap interval of a mean; padded, so that few programs are compiled."""
    if not len(values):
        return math.nan, math.nan
    size = _rows_of(len(values))
    padded = np.pad(values.astype(np.float32), (0, size - len(values)))
    found = bootstrap(
        jax.random.key(0), _masked_mean, jnp.asarray(padded), where=jnp.arange(size) < len(values),
        num_resamples=_RESAMPLES,
    )  # fmt: skip
    return float(found.lower), float(found.upper)
