"""One table over several runs: rows are methods and backbones, columns data sets and metrics."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from jaxuq.reporting.frames import Frame
from jaxuq.reporting.metric_names import decimals, format_number, metric_name, primary_metric
from jaxuq.reporting.tables import best_of, paired_of
from jaxuq.study.comparison import Paired, standing


class CombinedCell(NamedTuple):
    """One score.

    Attributes:
        mean: mean over seeds; NaN if the row has no score there.
        text: mean and sample standard deviation over seeds.
        best: whether it is the best of its backbone in that column by more than chance, see `standing`.
        winner: whether it is so in the whole column.
    """

    mean: float
    text: str
    best: bool
    winner: bool


class CombinedRow(NamedTuple):
    """One row: its name, the method that gives its colour, its backbone, its cells."""

    name: str
    method: str
    backbone: str
    cells: list[CombinedCell]


class CombinedTable(NamedTuple):
    """Scores of several runs.

    Attributes:
        columns: pairs of data set and heading of the metric.
        rows: grouped by backbone.
    """

    columns: list[tuple[str, str]]
    rows: list[CombinedRow]


def combined_table(
    scores: Frame,
    metrics: list[str],
    known: Mapping[tuple[str, str, str], Mapping[str, Paired]] | None = None,
) -> CombinedTable:
    """Put the main scores of several runs into one table: each data set's own metric, and the log likelihood.

    Args:
        scores: rows of several `results.csv`, with a further column `row` that names the row they belong to.
        metrics: metric columns that exist.
        known: resampled scores by data set, split and row; without them nothing is marked.

    Returns:
        `CombinedTable`.

    Example:
        >>> import pandas
        >>> names = {"row": ["a", "b"], "method": ["a", "b"], "backbone": "dnn", "split": "scaffold", "seed": 0}
        >>> table = combined_table(pandas.DataFrame({**names, "dataset": "esol", "rmse": [0.9, 0.8]}), ["rmse"])
        >>> table.columns, [row.cells[0].winner for row in table.rows]
        ([('esol', 'RMSE ↓')], [False, False])
    """
    who = scores[["row", "method", "backbone"]].drop_duplicates("row")
    # Sorting is stable: within a backbone the rows keep their order of appearance.
    who = who.sort_values("backbone", kind="stable")
    backbones = list(who["backbone"])
    several = {dataset for dataset, group in scores.groupby("dataset") if group["split"].nunique() > 1}
    columns: list[tuple[str, str]] = []
    cells: list[list[CombinedCell]] = []
    for dataset, split in scores[["dataset", "split"]].drop_duplicates().itertuples(index=False):
        part = scores[(scores["dataset"] == dataset) & (scores["split"] == split)]
        for key in dict.fromkeys([primary_metric(dataset, metrics), "nll"]):
            if key is None or key not in metrics or not part[key].notna().any():
                continue
            name = metric_name(key)
            grouped = part.groupby("row")[key]
            means = [float(value) for value in grouped.mean().reindex(who["row"])]
            spreads = [float(value) for value in grouped.std(ddof=1).reindex(who["row"])]
            columns.append((f"{dataset} ({split})" if dataset in several else dataset, f"{name.title} {name.arrow}"))
            digits = decimals(means, name)
            paired = [
                paired_of(part[part["row"] == row], key, (known or {}).get((dataset, split, row))) for row in who["row"]
            ]
            winners, _ = standing(paired, best_of(means, name.direction, digits))
            best = [False] * len(means)
            for backbone in dict.fromkeys(backbones):
                places = [i for i, other in enumerate(backbones) if other == backbone]
                own = best_of([means[i] for i in places], name.direction, digits)
                for i, is_best in zip(places, standing([paired[i] for i in places], own)[0], strict=True):
                    best[i] = is_best
            texts = [_text(mean, spread, digits) for mean, spread in zip(means, spreads, strict=True)]
            cells.append([CombinedCell(*cell) for cell in zip(means, texts, best, winners, strict=True)])
    rows = [
        CombinedRow(row.row, row.method, row.backbone, [column[i] for column in cells])
        for i, row in enumerate(who.itertuples(index=False))
    ]
    return CombinedTable(columns, rows)


def _text(mean: float, spread: float, digits: int) -> str:
    return format_number(mean, digits) + ("" if math.isnan(spread) else f" ± {format_number(spread, digits)}")
