"""Tables of an evaluation: accuracies with intervals, clusters, weights, costs."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq.experts.pipeline.costs import read_costs
from jaxuq.experts.pipeline.training import TrainedRun
from jaxuq.study import Examples, Resamples, Scored, digest, resample_cells, summarise, write_table
from jaxuq.study.comparison import Paired, paired_interval, paired_scores

AVERAGE = "micro average"
_RESAMPLES = 1000


def write_tables(
    folder: Path,
    runs: Sequence[TrainedRun],
    methods: Sequence[str],
    lines: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]],
) -> None:
    """Write `results.csv`, `summary.csv`, `clusters.csv`, `weights.csv`, `costs.csv`.

    Args:
        folder: of the evaluation.
        runs: trainings.
        methods: names.
        lines: predictions of every method and seed.
    """
    seeds = [run.configuration.seed for run in runs]
    sources = sorted({line["source"] for own in lines.values() for line in own} - {""})
    subsets = [*sources, AVERAGE] if sources else [AVERAGE]
    resamples = _resampled(folder, lines, subsets)
    single, ends = (resamples.intervals(by) for by in (("dataset", "method", "seed"), ("dataset", "method")))
    results = []
    for subset in subsets:
        for method in methods:
            for seed in seeds:
                own = _chosen(lines[method, seed], subset)
                key = {"dataset": subset, "method": method, "seed": seed}
                lower, upper = single.get(tuple(key.values()), {}).get("accuracy", (math.nan, math.nan))
                accuracy = float(np.mean([line["correct"] for line in own])) if own else math.nan
                results.append(
                    {**key, "accuracy": accuracy, "n": len(own), "accuracy_lower": lower, "accuracy_upper": upper,
                     **_extras(own)}
                )  # fmt: skip
    write_table(folder / "results.csv", results)
    summary = summarise(results, names=["accuracy"], intervals=ends)
    for row in summary:
        own = (row["dataset"], row["method"])
        row["n"] = sum(one["n"] for one in results if (one["dataset"], one["method"]) == own)
        row |= _gain(resamples, *own)
    write_table(folder / "summary.csv", summary)
    write_table(folder / "clusters.csv", [row for run in runs for row in cluster_rows(run)])
    weights = [row for run in runs for row in weight_rows(run, lines["elrea", run.configuration.seed])]
    write_table(folder / "weights.csv", weights)
    costs = [
        {"seed": run.configuration.seed, "step": step, "seconds": cost["seconds"],
         "peak_mebibytes": round(cost["peak_bytes"] / 2**20)}
        for run in runs for step, cost in read_costs(run.path).items()
    ]  # fmt: skip
    write_table(folder / "costs.csv", costs)


def _resampled(
    folder: Path, lines: Mapping[tuple[str, int], Sequence[Mapping[str, Any]]], subsets: Sequence[str]
) -> Resamples:
    """Accuracies on resampled questions, padded, so that few programs are compiled: `resamples.npz`."""

    def examples(own: Sequence[Mapping[str, Any]]) -> Examples:
        size = max(64, 1 << (len(own) - 1).bit_length())
        correct = np.pad(np.array([line["correct"] for line in own], np.float32), (0, size - len(own)))
        asked = digest([[line["instruction"], line["expected"]] for line in own])
        return Examples((correct,), np.arange(size) < len(own), asked)

    scored = [
        Scored(
            {"dataset": subset, "method": method, "seed": seed},
            digest([[line["instruction"], line["expected"], line["correct"]] for line in chosen]),
            lambda chosen=chosen: examples(chosen),
        )
        for subset in subsets
        for (method, seed), own in lines.items()
        for chosen in [_chosen(own, subset)]
        if chosen
    ]
    return resample_cells(folder, scored, _accuracy, ["accuracy"], num_resamples=_RESAMPLES)


def _gain(resamples: Resamples, subset: str, method: str) -> dict[str, float]:
    """How much more ELREA has than a method, question by question and training by training."""

    def of(name: str) -> Paired | None:
        wanted = {"dataset": subset, "method": name}
        return paired_scores(resamples, lambda cell: wanted.items() <= cell.items()).get("accuracy")

    best, other = of("elrea"), of(method)
    gain = math.nan if best is None or other is None else best.mean - other.mean
    ends = None if best is None or other is None else paired_interval(best, other)
    lower, upper = ends or (math.nan, math.nan)
    return {"elrea_gain": gain, "elrea_gain_lower": lower, "elrea_gain_upper": upper}


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


def weight_rows(run: TrainedRun, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
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


def _chosen(lines: Sequence[Mapping[str, Any]], subset: str) -> list[Mapping[str, Any]]:
    return [line for line in lines if subset == AVERAGE or line["source"] == subset]


def _extras(own: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = ("mutual_information", "variance", "seconds")
    return {name: float(np.mean([line[name] or 0.0 for line in own])) if own else math.nan for name in names}


def _accuracy(values: Array, *, where: Array) -> Array:
    count = jnp.sum(where, dtype=jnp.int32).astype(values.dtype)
    return jnp.where(where, values, 0.0).sum(keepdims=True) / jnp.where(count > 0, count, jnp.nan)
