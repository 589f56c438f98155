"""Score tables: mean and spread over seeds, intervals, the best in bold where those are known; for any reader."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from jaxuq.reporting.frames import Frame, OptionalFrame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import Direction, MetricName, decimals, format_number, metric_name
from jaxuq.study.comparison import Paired, standing

if TYPE_CHECKING:
    import rich.table

_NAN = float("nan")


class Cell(NamedTuple):
    """One score of one method.

    Attributes:
        mean: mean over seeds; NaN if there is none.
        std: sample standard deviation over seeds (n - 1); NaN for one seed, and for seconds measured once for all.
        lower: lower end of the bootstrap interval over test molecules; NaN if there is none.
        upper: its upper end.
        best: whether the mean is the best of its column, or equal to the best in the digits shown.
        overlaps: whether the paired difference from a best method may be zero; False for the best themselves.
        text: mean and spread, in the column's digits.
        interval: the interval, in the column's digits; empty if there is none.
        decided: whether it is the best by more than chance, against every other: only then may it be printed so.
        seeds: the score of each.
    """

    mean: float
    std: float
    lower: float
    upper: float
    best: bool
    overlaps: bool
    text: str
    interval: str
    decided: bool
    seeds: tuple[float, ...] = ()


class Column(NamedTuple):
    """One column of a score table.

    Attributes:
        key: column name in the result file.
        name: how the metric is shown.
        heading: title, unit and direction.
    """

    key: str
    name: MetricName
    heading: str


class ScoreTable(NamedTuple):
    """Methods in rows, metrics in columns.

    Attributes:
        title: what the scores belong to: data set, split and backbone.
        columns: the metrics.
        rows: name of the method and its cells, one per column.
    """

    title: str
    columns: list[Column]
    rows: list[tuple[str, list[Cell]]]


def score_table(
    results: Frame,
    summary: OptionalFrame = None,
    *,
    metrics: list[str],
    methods: list[str] | None = None,
    title: str = "",
    unit: str = "",
    nominal_coverage: float | None = None,
    paired: Mapping[str, Mapping[str, Paired]] | None = None,
) -> ScoreTable:
    r"""Mean and sample standard deviation over seeds, with the best method of every metric.

    $$\bar x = \frac1S \sum_s x_s, \qquad s = \sqrt{\tfrac{1}{S-1} \sum_s (x_s - \bar x)^2}$$

    A mean is best if none is better in the digits shown, so methods that differ by rounding are all marked. Best does
    not mean significantly better: look at `Cell.overlaps`.

    Args:
        results: rows of one data set, split and backbone: columns `method`, `seed` and the metrics.
        summary: rows of `summary.csv` for the same, for the intervals; None or no rows for none. An interval counts
            only if its row was made from as many seeds as there are results.
        metrics: the columns to show.
        methods: the rows to show, in order; None takes all, in order of appearance.
        title: what the scores belong to.
        unit: unit of the labels.
        nominal_coverage: what coverages should be; None leaves them without a best.
        paired: resampled scores by method and metric, of `paired_scores`; without them no difference is known, so that
            no best is decided.

    Returns:
        `ScoreTable`.

    Example:
        >>> import pandas
        >>> rows = {"method": ["a", "a", "b", "b"], "seed": [0, 1, 0, 1], "rmse": [0.9, 0.7, 0.5, 0.6]}
        >>> table = score_table(pandas.DataFrame(rows), metrics=["rmse"])
        >>> [(method, cells[0].text, cells[0].best) for method, cells in table.rows]
        [('a', '0.8000 ± 0.1414', False), ('b', '0.5500 ± 0.0707', True)]
    """
    order = list(dict.fromkeys(results["method"])) if methods is None else methods
    columns, cells = [], []
    for key in metrics:
        name = metric_name(key)
        raw = [_statistics(results, summary, method, key) for method in order]
        columns.append(Column(key, name, _heading(name, unit, nominal_coverage)))
        rows = [paired_of(results[results["method"] == method], key, (paired or {}).get(method)) for method in order]
        cells.append(_mark(raw, rows, name, nominal_coverage))
    return ScoreTable(title, columns, [(method, [c[i] for c in cells]) for i, method in enumerate(order)])


def markdown_table(table: ScoreTable, *, intervals: bool = False) -> str:
    """Write a score table as Markdown.

    Args:
        table: what `score_table` gave.
        intervals: whether to add the intervals to the cells.

    Returns:
        Lines of a Markdown table, the best in `**bold**` where it is so by more than chance.

    Example:
        >>> import pandas
        >>> results = pandas.DataFrame({"method": ["a"], "seed": [0], "ece": [0.05]})
        >>> summary = pandas.DataFrame({"method": ["a"], "ece_lower": [0.04], "ece_upper": [0.07]})
        >>> print(markdown_table(score_table(results, summary, metrics=["ece"])))
        | Method | ECE ↓ |
        |:---|---:|
        | a | 0.0500 |
    """
    lines = [
        "| " + " | ".join(["Method", *(column.heading for column in table.columns)]) + " |",
        "|:---|" + "---:|" * len(table.columns),
    ]
    for method, cells in table.rows:
        words = []
        for cell in cells:
            text = f"**{cell.text}**" if cell.decided else cell.text
            words.append(f"{text} {cell.interval}" if intervals and cell.interval else text)
        title = method_style(method).title.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
        lines.append("| " + " | ".join([title, *words]) + " |")
    return "\n".join(lines)


def terminal_table(table: ScoreTable, *, intervals: bool = False) -> "rich.table.Table":
    """Make a rich table for the terminal, the best in bold.

    Args:
        table: what `score_table` gave.
        intervals: whether to add the intervals on a second line.

    Returns:
        A `rich.table.Table`; `rich.print` shows it.

    Example:
        >>> import pandas, rich.console
        >>> table = score_table(pandas.DataFrame({"method": ["a"], "seed": [0], "ece": [0.05]}), metrics=["ece"])
        >>> terminal_table(table).row_count
        1
    """
    import rich.box
    import rich.table
    import rich.text

    lines = rich.table.Table(title=rich.text.Text(table.title) if table.title else None, box=rich.box.SIMPLE_HEAD)
    lines.add_column("Method", no_wrap=True)
    for column in table.columns:
        lines.add_column(rich.text.Text(column.heading), justify="right")
    for method, cells in table.rows:
        row = [rich.text.Text(method_style(method).title)]
        for cell in cells:
            text = rich.text.Text(cell.text, style="bold" if cell.decided else "")
            if intervals and cell.interval:
                text.append("\n" + cell.interval, style="dim")
            row.append(text)
        lines.add_row(*row)
    return lines


def best_of(values: list[float], direction: Direction, digits: int, nominal: float | None = None) -> list[bool]:
    """Which values are the best, or equal to the best when rounded.

    Args:
        values: one per method; NaN takes no part.
        direction: which way is better.
        digits: digits after the point to compare in.
        nominal: what the values should be, for direction `"nominal"`.

    Returns:
        One truth value per value; all False if nothing can be called best.

    Example:
        >>> best_of([0.71, 0.7499999, 0.75, float("nan")], "higher", 3)
        [False, True, True, False]
        >>> best_of([0.85, 0.93], "nominal", 3, 0.9)
        [False, True]
    """
    if direction == "none" or (direction == "nominal" and nominal is None):
        return [False] * len(values)
    if direction == "nominal":
        values = [abs(value - (nominal or 0.0)) for value in values]
    sign = -1.0 if direction == "higher" else 1.0
    rounded = [round(sign * value, digits) if math.isfinite(value) else math.inf for value in values]
    best = min(rounded, default=math.inf)
    return [value == best and value != math.inf for value in rounded]


def _statistics(results: Frame, summary: OptionalFrame, method: str, key: str) -> tuple[float, float, float, float]:
    rows = results.loc[results["method"] == method, key].dropna()
    once = key.endswith("seconds") and rows.nunique() == 1  # measured once for all seeds: that has no deviation
    mean, std = float(rows.mean()), _NAN if once else float(rows.std(ddof=1))
    ends = (f"{key}_lower", f"{key}_upper")
    if summary is None or not len(summary) or any(end not in summary.columns for end in ends):
        return mean, std, _NAN, _NAN
    row = summary[summary["method"] == method]
    seeds = int((results["method"] == method).sum())
    if len(row) != 1 or ("num_seeds" in row.columns and row["num_seeds"].iloc[0] != seeds):
        return mean, std, _NAN, _NAN
    return mean, std, float(row[ends[0]].iloc[0]), float(row[ends[1]].iloc[0])


def paired_of(rows: Frame, key: str, resampled: Mapping[str, Paired] | None) -> Paired:
    """One metric of one method: its rows of `results.csv` with what is known of its resamples."""
    known = rows[["seed", key]].dropna()
    found = (resampled or {}).get(key, Paired(0.0, {}, None, ""))
    return found._replace(mean=float(known[key].mean()), seeds=dict(zip(known["seed"], known[key], strict=True)))


def _mark(
    raw: list[tuple[float, float, float, float]], paired: list[Paired], name: MetricName, nominal: float | None
) -> list[Cell]:
    digits = decimals([row[0] for row in raw], name)
    best = best_of([row[0] for row in raw], name.direction, digits, nominal)
    decided, near = standing(paired, best, nominal if name.direction == "nominal" else None)
    cells = []
    for row, one, is_best, overlaps, sure in zip(raw, paired, best, near, decided, strict=True):
        mean, std, lower, upper = row
        spread = "" if math.isnan(std) else f" ± {format_number(std, digits)}"
        known = not (math.isnan(lower) or math.isnan(upper))
        interval = f"[{format_number(lower, digits)}, {format_number(upper, digits)}]" if known else ""
        text = format_number(mean, digits) + spread
        seeds = tuple(one.seeds.values())
        cells.append(Cell(mean, std, lower, upper, is_best, overlaps, text, interval, sure, seeds))
    return cells


def _heading(name: MetricName, unit: str, nominal: float | None) -> str:
    arrow = f"→ {nominal:g}" if name.direction == "nominal" and nominal is not None else name.arrow
    return " ".join(part for part in (name.title, f"({unit})" if unit and name.has_unit else "", arrow) if part)
