"""MUBen's published report files: ranks and figures of the whole study from its own scores."""

import pathlib
from collections.abc import Sequence

from jaxuq._damaged import DAMAGED
from jaxuq.reporting.changes import relative_changes
from jaxuq.reporting.compare import compare_scores, comparison_sections, write_rank_tables
from jaxuq.reporting.drawings import render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import styles_of
from jaxuq.reporting.metric_names import metric_name
from jaxuq.reporting.page import Field, Grid, Row, Section, Text, write_page
from jaxuq.study import entry_record, write_bytes

_METHODS = {
    "none": "deterministic",
    "temperaturescaling": "temperature",
    "focalloss": "focal",
    "mcdropout": "mc-dropout",
    "swag": "swag",
    "bbp": "bbp",
    "sgld": "sgld",
    "deepensembles": "ensemble",
}
_METRICS = {
    "roc-auc-mean": "auroc",
    "rmse-mean": "rmse",
    "mae-mean": "mae",
    "nll-mean": "nll",
    "ce-mean": "rce",
    "ece-mean": "ece",
    "brier-mean": "brier",
}


def is_published(folder: str | pathlib.Path) -> bool:
    """Whether a folder holds report files in place of a run.

    Args:
        folder: any.

    Returns:
        True for a folder without `run.json` but with files `<backbone>-<data set>.csv`.

    Example:
        >>> is_published("no/such/folder")
        False
    """
    path = pathlib.Path(folder)
    return path.is_dir() and not (path / "run.json").exists() and any(path.glob("*-*.csv"))


def published_scores(folder: str | pathlib.Path, backbones: Sequence[str] = (), *, complete: bool = True) -> Frame:
    """Means over seeds as published, one row per backbone, data set and method.

    Args:
        folder: with files `<backbone>-<data set>.csv`.
        backbones: only these, compared without regard to case; none: all.
        complete: leave out a data set that some backbone has no file of: a rank among fewer would not be comparable.

    Returns:
        Columns `dataset, split, backbone, method, seed` and metrics under jaxuq's names; NaN where a file has no such
        column.

    Raises:
        ReportError: no file is one of a report, or a backbone has none.

    Example:
        >>> published_scores("no/such/folder")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: holds no report files <backbone>-<data set>.csv
    """
    import pandas

    path = pathlib.Path(folder)
    tables = []
    for file in sorted(path.glob("*-*.csv")):
        backbone, dataset = file.stem.rsplit("-", 1)
        try:
            table = pandas.read_csv(file)
        except DAMAGED as error:
            raise ReportError(f"{file}: not a readable CSV table ({str(error).strip()})") from error
        if "method" not in table or not set(_METRICS) & set(table.columns):
            continue
        names = table["method"].astype(str).str.rsplit("-", n=1).str[-1].str.lower().map(_METHODS)
        table = table.loc[names.notna()].rename(columns=_METRICS)
        keys = {"dataset": dataset, "split": path.name, "backbone": backbone, "method": names.dropna(), "seed": 0}
        scores = [name for name in _METRICS.values() if name in table]
        try:
            table[scores] = table[scores].apply(pandas.to_numeric)
        except (ValueError, TypeError) as error:
            raise ReportError(f"{file}: its scores must be numbers ({error})") from error
        tables.append(table.assign(**keys)[[*keys, *scores]])
    if not tables:
        raise ReportError(f"{folder}: holds no report files <backbone>-<data set>.csv")
    scores = pandas.concat(tables, ignore_index=True)
    there = {name.lower(): name for name in scores["backbone"].unique()}
    missing = [name for name in backbones if name.lower() not in there]
    if missing:
        raise ReportError(f"{folder}: has no backbone {missing[0]!r}; there are {', '.join(there.values())}")
    wanted = [there[name.lower()] for name in backbones] or list(there.values())
    scores = scores[scores["backbone"].isin(wanted)]
    if not complete:
        return scores.reset_index(drop=True)
    return scores.loc[scores.groupby("dataset")["backbone"].transform("nunique") == len(wanted)].reset_index(drop=True)


def _by_task(scores: Frame) -> list[tuple[str, Frame]]:
    """Rows of classification and of regression, where there are any."""
    kinds = scores["auroc"].notna() if "auroc" in scores else scores["seed"] < 0
    return [
        (name, rows) for name, rows in (("classification", scores[kinds]), ("regression", scores[~kinds])) if len(rows)
    ]


def published_changes(base: str | pathlib.Path, others: Sequence[str | pathlib.Path]) -> Frame:
    """Mean relative change of every score from one folder of published reports to others, as `relative_changes`.

    With the published folders `primary` and `frozen`, `random`: the thesis's table 2.6.

    Args:
        base: with files `<backbone>-<data set>.csv`.
        others: alike; what is not in `base` does not count.

    Returns:
        Columns `task_type, condition, metric, change, rows`; a condition is a folder's name.

    Raises:
        ReportError: a folder holds no report.

    Example:
        >>> published_changes("no/such/folder", [])
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: holds no report files <backbone>-<data set>.csv
    """
    import pandas

    first = dict(_by_task(published_scores(base, complete=False)))
    tables = []
    for folder in others:
        for task_type, rows in _by_task(published_scores(folder, complete=False)):
            changes = relative_changes(first.get(task_type, rows[:0]), rows, list(_METRICS.values()))
            tables.append(changes.assign(task_type=task_type, condition=pathlib.Path(folder).name))
    columns = ["task_type", "condition", "metric", "change", "rows"]
    return pandas.concat(tables, ignore_index=True)[columns] if tables else pandas.DataFrame(columns=columns)


def compare_published(
    folder: str | pathlib.Path,
    output: str | pathlib.Path,
    backbones: Sequence[str] = (),
    others: Sequence[str | pathlib.Path] = (),
) -> pathlib.Path:
    """Write the page, figures and rank tables of a folder of published reports.

    Average ranks are those of the thesis's tables 2.4 and 2.5, mean reciprocal ranks by backbone and by method those of
    its figures 2.2 and 2.3, when `backbones` names the four that were ranked together. With `others`, the page begins
    with how scores change from `folder` to each, and `changes.csv` holds the same.

    Args:
        folder: with files `<backbone>-<data set>.csv`.
        output: the folder to write.
        backbones: in ranks, only these; none: all.
        others: folders of the same reports under other conditions, see `published_changes`.

    Returns:
        Path of the page.

    Raises:
        ReportError: there is nothing to compare.

    Example:
        >>> compare_published("no/such/folder", "comparison")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: holds no report files <backbone>-<data set>.csv

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    from jaxuq.molecules.muben.methods import METHODS

    scores = published_scores(folder, backbones)
    with styles_of({"entries": {name: entry_record(METHODS[name]) for name in _METHODS.values()}}):
        return _write(scores, folder, pathlib.Path(output), others)


def _write(
    scores: Frame, folder: str | pathlib.Path, target: pathlib.Path, others: Sequence[str | pathlib.Path]
) -> pathlib.Path:
    comparisons, drawings, warnings = [], [], []
    for task_type, rows in _by_task(scores):
        comparison, pictures, gaps = compare_scores(rows.assign(variant=""), None, task_type)
        comparisons.append(comparison)
        drawings += pictures
        warnings += gaps
        write_rank_tables(target, rows.assign(variant=""), task_type)
    changes = published_changes(folder, others)
    if len(changes):
        write_bytes(target / "changes.csv", changes.round(4).to_csv(index=False).encode())
    pictures, undrawn = render_drawings(drawings, target / "figures")
    counts = f"{scores['dataset'].nunique()} data sets, {scores['backbone'].nunique()} backbones"
    base, further = pathlib.Path(folder).name, []
    for task_type, rows in changes.groupby("task_type"):
        said = f"Mean over data sets, backbones and methods that both have of (new − {base}) / {base}, in percent."
        grid = Grid(
            ["Condition", "Metric", "Change", "Rows"],
            [("", [
                Row(row.condition, [
                    Field(f"{metric_name(row.metric).title} {metric_name(row.metric).arrow}", words=True),
                    Field(f"{row.change:+.2f} %", exact=repr(float(row.change))), Field(str(row.rows)),
                ])
                for row in rows.itertuples()
            ])],
        )  # fmt: skip
        heading = f"{str(task_type).capitalize()}: change against {base}"
        further.append(Section(heading, [Text(said, soft=True), grid]))
    return write_page(
        target,
        title="Published scores",
        command="jaxuq report",
        sections=comparison_sections([(base, "published", counts)], warnings, comparisons, pictures, further),
        missing=undrawn,
    )
