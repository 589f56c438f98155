"""Several runs side by side: one table, and ranks over data sets."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq.reporting.benchmark_page import paired_methods
from jaxuq.reporting.combined_table import CombinedTable, combined_table
from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.metric_names import RUN_COLUMNS, metric_name
from jaxuq.reporting.rank_figure import mean_rank_figure, reciprocal_rank_figure
from jaxuq.reporting.ranks import RankTable, rank_table
from jaxuq.reporting.result_folder import ResultFolder, read_folder
from jaxuq.reporting.template import render_template
from jaxuq.study import write_bytes

_DIGITS = 6
_EXPECTED_TO_DIFFER = ("dataset", "backbone", "split", "seeds", "methods", "output", "folder", "data", "resume")


class Comparison(NamedTuple):
    """What a page says about all runs of one task type.

    Attributes:
        heading: the task type.
        table: scores of all runs.
        ranks: ranks of the rows of the table over data sets.
    """

    heading: str
    table: CombinedTable
    ranks: RankTable


def compare_runs(folders: Sequence[str | pathlib.Path], output: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/` that compare several runs.

    Rows are methods x backbones (x configurations, where the same was run twice), columns the data sets; the ranks are
    taken per data set among all rows, and averaged. Regression and classification are compared apart. The page warns
    where runs are not alike: other splits, other seeds, other settings, methods that are missing somewhere.

    Args:
        folders: result folders, one per run.
        output: the folder to write; made if missing. It must not be one of the runs.

    Returns:
        Path of the page.

    Raises:
        ReportError: if there is no folder, one is no result folder or has no results, or `output` is one of them.

    Example:
        >>> compare_runs([], "comparison")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: nothing to compare: no result folder was given

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    if not folders:
        raise ReportError("nothing to compare: no result folder was given")
    target = pathlib.Path(output)
    runs = [read_folder(folder) for folder in dict.fromkeys(pathlib.Path(folder) for folder in folders)]
    for run in runs:
        if not len(run.results):
            raise ReportError(f"{run.path}: results.csv has no rows, so there is nothing to compare")
        if run.path.resolve() == target.resolve():
            raise ReportError(f"{target}: is one of the runs; choose another folder for the comparison")
    runs, mixed = _told_apart(runs)
    variants, warnings = _variants(runs)
    warnings = mixed + warnings
    comparisons, drawings = [], []
    for task_type in ("classification", "regression"):
        members = [(run, variant) for run, variant in zip(runs, variants, strict=True) if run.task_type == task_type]
        if members:
            coverages = {run.nominal_coverage for run, _ in members}
            nominal = coverages.pop() if len(coverages) == 1 else None
            scores = _joined(members)
            comparison, pictures, gaps = compare_scores(scores, nominal, task_type, _paired(members))
            write_rank_tables(target, scores, task_type)
            comparisons.append(comparison)
            drawings += pictures
            warnings += gaps
    pictures, undrawn = render_drawings(drawings, target / "figures")
    page = render_template(
        "compare.html",
        title="Comparison of runs",
        runs=[(run.path.name, str(run.run.get("status", "unknown")), _counts(run)) for run in runs],
        warnings=warnings,
        notices=undrawn,
        comparisons=comparisons,
        pictures=pictures,
    )
    write_bytes(target / "report.html", page.encode())
    return target / "report.html"


def compare_scores(
    scores: Frame, nominal: float | None, task_type: str, paired: Mapping[tuple[str, ...], Any] | None = None
) -> tuple[Comparison, list[Drawing], list[str]]:
    """The tables of one task type, its figures, and what is not comparable.

    Args:
        scores: columns `dataset, split, backbone, method, seed, variant` and metrics.
        nominal: coverage that intervals were made for; None if they differ.
        task_type: `"classification"` or `"regression"`.
        paired: resampled scores, by data set, split, method, backbone and variant.

    Returns:
        `(comparison, drawings, warnings)`.
    """
    scores, metrics = _named_rows(scores)
    keys = ["dataset", "split", "method", "backbone", "variant"]
    known = {
        (name[0], name[1], row): (paired or {}).get(tuple(name), {})
        for *name, row in scores[[*keys, "row"]].drop_duplicates().itertuples(index=False)
    }

    def ranks_of(group: str | None) -> RankTable:
        return rank_table(
            scores,
            competitor="row",
            contest=["dataset", "split"],
            metrics=metrics,
            nominal_coverage=nominal,
            group=group,
        )

    ranks = ranks_of(None)
    sets = len(scores[["dataset", "split"]].drop_duplicates())
    over = f"over {sets} {task_type} data sets" if sets > 1 else f"on one {task_type} data set"
    warnings = []
    if ranks.gaps:
        titles = ", ".join(metric_name(key).title for key in ranks.gaps)
        warnings.append(
            f"Not every row has a score on every {task_type} data set ({titles}): a missing one is not ranked there "
            "and the others move up, so mean ranks rest on different data sets."
        )
    return (
        Comparison(task_type.capitalize(), combined_table(scores, metrics, known), ranks),
        _drawings(ranks_of, scores, over, task_type),
        warnings,
    )


def _named_rows(scores: Frame) -> tuple[Frame, list[str]]:
    """Scores with a column `row`, and the metrics that have any."""
    many = scores["backbone"].nunique() > 1
    scores = scores.assign(
        row=[_row_name(row.method, row.backbone if many else "", row.variant) for row in scores.itertuples(index=False)]
    )
    columns = [column for column in scores.columns if column not in (*RUN_COLUMNS, "variant", "row")]
    return scores, [key for key in columns if scores[key].notna().any()]


def write_rank_tables(target: pathlib.Path, scores: Frame, task_type: str) -> None:
    """Write mean ranks and mean reciprocal ranks, of rows, backbones and methods, as CSV files.

    Args:
        target: the folder.
        scores: as `compare_scores` takes them.
        task_type: begins the files' names.
    """
    import pandas

    scores, metrics = _named_rows(scores)
    for group in (None, "backbone", "method"):
        ranks = rank_table(scores, competitor="row", contest=["dataset", "split"], metrics=metrics, group=group)
        table = pandas.DataFrame({group or "row": ranks.competitors})
        for i, metric in enumerate(ranks.metrics):
            table[f"{metric}_rank"] = ranks.mean_rank[:, i].round(4)
            table[f"{metric}_mrr"] = ranks.mean_reciprocal_rank[:, i].round(4)
        name = f"{task_type}-ranks{f'-by-{group}' if group else ''}.csv"
        write_bytes(target / name, table.to_csv(index=False).encode())


def _joined(members: list[tuple[ResultFolder, str]]) -> Frame:
    import pandas

    return pandas.concat([run.results.assign(variant=variant) for run, variant in members], ignore_index=True)


def _paired(members: list[tuple[ResultFolder, str]]) -> dict[tuple[str, ...], Any]:
    keys = ["dataset", "split", "backbone"]
    found = {}
    for run, variant in members:
        for (dataset, split, backbone), rows in run.results.groupby(keys, sort=False):
            for method, paired in paired_methods(run, rows).items():
                found[dataset, split, method, backbone, variant] = paired
    return found


def _drawings(ranks_of, scores: Frame, over: str, task_type: str) -> list[Drawing]:
    drawings = []
    if scores["row"].nunique() > 1:
        drawings.append(
            Drawing(
                f"{task_type}-mean-ranks",
                f"Mean ranks, {task_type}",
                f"Mean rank of every row {over}, among all rows; dark and near 1 is good. Mean ranks weigh all places "
                "alike.",
                lambda: mean_rank_figure(ranks_of(None)),
            )
        )
    for group, title in (("method", "methods"), ("backbone", "backbones")):
        if scores[group].nunique() > 1:
            drawings.append(
                Drawing(
                    f"{task_type}-{group}-mrr",
                    f"Mean reciprocal ranks of the {title}, {task_type}",
                    f"Each row is ranked among all rows; 1 / rank is averaged {over} and over the rows of each "
                    f"{group}. A longer bar is better; only bars of one panel can be compared.",
                    lambda group=group: reciprocal_rank_figure(ranks_of(group)),
                )
            )
    return drawings


def _row_name(method: str, backbone: str, variant: str) -> str:
    further = [word for word in (backbone, variant) if word]
    return " · ".join([method_style(method).title, *further]) if further else method


def _told_apart(runs: list[ResultFolder]) -> tuple[list[ResultFolder], list[str]]:
    """Data sets of one name and split that are not the same data get the digest's first digits into their names."""
    digests: dict[tuple[str, str], dict[str, list[str]]] = {}
    for run in runs:
        for dataset, split in run.results[["dataset", "split"]].drop_duplicates().itertuples(index=False):
            digests.setdefault((dataset, split), {}).setdefault(run.digest_of(dataset), []).append(run.path.name)
    mixed = {which: by for which, by in digests.items() if len(by) > 1}
    warnings = []
    for (dataset, _), by in mixed.items():
        said = "; ".join(f"{', '.join(names)}: {digest[:_DIGITS] or 'not known'}" for digest, names in by.items())
        warnings.append(
            f"“{dataset}” is not the same data in all runs (digests of {said}): these are told apart, and not ranked "
            "against each other."
        )

    def renamed(run: ResultFolder) -> ResultFolder:
        names = [
            f"{row.dataset} [{run.digest_of(row.dataset)[:_DIGITS] or 'unknown'}]"
            if (row.dataset, row.split) in mixed
            else row.dataset
            for row in run.results[["dataset", "split"]].itertuples(index=False)
        ]
        return run._replace(results=run.results.assign(dataset=names))

    return ([renamed(run) for run in runs] if mixed else runs), warnings


def _variants(runs: list[ResultFolder]) -> tuple[list[str], list[str]]:
    """Tell apart runs of the same thing, and say what keeps runs from being comparable."""
    warnings = []
    splits = {split for run in runs for split in run.results["split"] if split}
    if len(splits) > 1:
        warnings.append(
            f"The runs use different splits ({', '.join(sorted(splits))}): their scores are not comparable."
        )
    seeds = {run.path.name: tuple(sorted({int(seed) for seed in run.results["seed"]})) for run in runs}
    if len(set(seeds.values())) > 1:
        said = "; ".join(f"{name}: {len(values)}" for name, values in seeds.items())
        warnings.append(
            f"The runs use different seeds, so their means are not equally sure (numbers of seeds: {said})."
        )
    for run in runs:
        if run.run.get("status", "complete") != "complete":
            warnings.append(f"{run.path.name} is not complete (status {run.run['status']}).")
    keys = dict.fromkeys(key for run in runs for key in run.configuration if key not in _EXPECTED_TO_DIFFER)
    differing = [key for key in keys if len({repr(run.configuration.get(key)) for run in runs}) > 1]
    for key in differing:
        said = "; ".join(f"{run.path.name}: {run.configuration.get(key, 'not given')}" for run in runs)
        warnings.append(f"The runs differ in “{key}” ({said}).")
    versions = {str((run.run.get("versions") or {}).get("jaxuq", "unknown")) for run in runs}
    if len(versions) > 1:
        warnings.append(f"The runs were made by different versions of jaxuq ({', '.join(sorted(versions))}).")
    cells = [set(run.results[["dataset", "split", "backbone", "method"]].itertuples(index=False)) for run in runs]
    twice = any(first & second for i, first in enumerate(cells) for second in cells[:i])
    if not twice:
        return [""] * len(runs), warnings
    labels = [", ".join(f"{key} {run.configuration.get(key, '–')}" for key in differing) for run in runs]
    told = [(label, cell) for label, group in zip(labels, cells, strict=True) for cell in group]
    if len(set(told)) == len(told):
        return labels, warnings
    warnings.append(
        "Some runs have the same data set, backbone, method and settings; their rows carry the folder's name."
    )
    return [run.path.name for run in runs], warnings


def _counts(run: ResultFolder) -> str:
    sets = ", ".join(dict.fromkeys(f"{row.dataset} ({row.split})" for row in run.results.itertuples()))
    return f"{sets}; {len(run.methods)} methods, {run.results['seed'].nunique()} seeds"
