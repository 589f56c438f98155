"""The report of `jaxuq tag`: scores, reliability of the labelling functions, emission matrices."""

import pathlib
from typing import Any

import numpy as np

from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.emission_figure import emission_figure
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.forest_figure import forest_figure
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.function_figure import function_figure
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.page import (
    MARKS,
    Facts,
    Field,
    Grid,
    Pictures,
    Row,
    Section,
    Text,
    run_facts,
    run_sections,
    scores_grid,
    write_page,
)
from jaxuq.reporting.result_folder import ResultFolder, paired_methods, read_folder
from jaxuq.reporting.tables import ScoreTable, print_tables, score_table
from jaxuq.study import cell_arrays

_MOST_FUNCTIONS = 4  # emission matrices drawn, of those that mark most
_MOST_SOURCES = 4
_SCORES = ("precision", "recall", "f1")


def write_tagging_report(result: ResultFolder) -> pathlib.Path:
    """Write the page of `jaxuq tag`.

    Args:
        result: what `read_folder` gave.

    Returns:
        Path of the page.

    Raises:
        ReportError: `reliability.csv` is unreadable.
    """
    sections, notices = _sections(result)
    return write_page(
        result.path,
        title=" · ".join(section.title for section in sections) or result.path.name,
        command="jaxuq tag",
        sections=[*sections, *run_sections(result.run, ["tag", *result.methods])],
        facts=[("Models", str(len(result.methods))), *run_facts(result.run)],
        status=str(result.run.get("status", "unknown")),
        missing=[notice for notice in result.notices if "summary" not in notice] + notices,
    )


def print_tagging(folder: str | pathlib.Path) -> None:
    """Print the score tables of a run on standard output.

    Args:
        folder: of the run.
    """
    result = read_folder(folder)
    for dataset in dict.fromkeys(result.results["dataset"]):
        rows = result.results[result.results["dataset"] == dataset]
        print_tables([_score_table(result, rows)._replace(title=f"{dataset}: entities over seeds")])


def _sections(folder: ResultFolder) -> tuple[list[Section], list[str]]:
    """A section for each data set, and a sentence for everything that is missing."""
    reliability = _read_reliability(folder)
    notices: list[str] = []
    records = {record["name"]: record for record in folder.run.get("datasets", []) if isinstance(record, dict)}
    names = list(dict.fromkeys([*records, *folder.results["dataset"], *reliability.get("dataset", [])]))
    sections = []
    for name in names:
        rows = folder.results[folder.results["dataset"] == name]
        functions = reliability[reliability["dataset"] == name] if len(reliability) else reliability
        pictures, undrawn = render_drawings(
            _drawings(folder, name, rows, functions, records.get(name, {})), folder.path / "figures"
        )
        notices += undrawn
        parts: list[Any] = [Facts(_facts(records.get(name, {})))]
        if records.get(name, {}).get("remark"):
            parts.append(Text(str(records[name]["remark"])))
        if len(rows):
            parts += [Text(_SCORED, soft=True), scores_grid(_score_table(folder, rows), "Model")]
        else:
            parts.append(
                Text("There are no gold labels to score against; the entities found are in predictions.jsonl.")
            )  # fmt: skip
        parts.append(Pictures(pictures))
        if len(functions):
            parts += [Text(_FUNCTIONS, soft=True), _function_grid(functions, list(dict.fromkeys(rows["method"])))]
        sections.append(Section(name, parts))
    return sections, notices


_SCORED = (
    "Mean ± standard deviation over seeds; in brackets the 95 % bootstrap interval over sentences. Models with gold "
    f"access are references, no methods, and come last. {MARKS}"
)
_FUNCTIONS = (
    "Entities: how many the function marks. True scores against gold labels, where there are any. Then the function's "
    "F1 against the entities that each model found."
)


def _read_reliability(folder: ResultFolder) -> Frame:
    import pandas

    file = folder.path / "reliability.csv"
    if not file.is_file():
        return pandas.DataFrame()
    try:
        return pandas.read_csv(file, dtype={"dataset": str, "method": str, "function": str})
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: not a readable CSV table ({error})") from error


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    if not record:
        return []
    sentences = record["sentences"]
    types = [name[2:] for name in record["label_names"] if name.startswith("B-")]
    return [
        ("Sentences fitted on", f"{sentences['fit']:,}"),
        ("for validation", f"{sentences['valid']:,}"),
        ("labelled", f"{sentences['test']:,}"),
        ("Entity types", ", ".join(types)),
        ("Labelling functions", str(len(record["function_names"]))),
    ]


def _gold(folder: ResultFolder, method: str) -> bool:
    """Whether a model sees gold labels; a run from before entries were written down had these."""
    entries = folder.run.get("entries")
    entry = entries.get(method) if isinstance(entries, dict) else None
    known = ("best-consensus", "chmm-fixed-emissions", "supervised")
    return bool(entry.get("gold")) if isinstance(entry, dict) else method in known


def _score_table(folder: ResultFolder, rows: Frame) -> ScoreTable:
    """Scores of a data set; the best is looked for among models without gold access."""
    methods = list(dict.fromkeys(rows["method"]))
    own = [method for method in methods if not _gold(folder, method)]
    summary = folder.summary
    summary = summary[summary["dataset"] == rows["dataset"].iloc[0]] if len(summary) else summary
    options: dict[str, Any] = {"metrics": list(_SCORES), "title": "Entities found"}
    paired = paired_methods(folder, rows)
    table = score_table(rows, summary, methods=own, paired=paired, **options)
    references = score_table(rows, summary, methods=[method for method in methods if method not in own], **options)
    return table._replace(rows=[*table.rows, *references.rows])


def _function_grid(table: Frame, methods: list[str]) -> Grid:
    """For each function its entities, its true scores, and its F1 in the eyes of each method."""
    means = table.groupby(["function", "method"], sort=False)[["agreement"]].mean()
    rows = []
    for name, own in table.groupby("function", sort=False):
        first = own.iloc[0]
        values = [first[f"true_{score}"] for score in _SCORES]
        values += [means["agreement"].get((name, method), np.nan) for method in methods]
        fields = [Field(str(int(first["entities"])))]
        fields += [Field(_percent(value), exact=repr(float(value)) if np.isfinite(value) else "") for value in values]
        rows.append(Row(str(name), fields))
    columns = ["Function", "Entities", "True precision", "True recall", "True F1"]
    columns += [method_style(method).title for method in methods]
    return Grid(columns, [("", rows)], "The labelling functions, in %")


def _percent(value: Any) -> str:
    return "–" if value is None or not np.isfinite(float(value)) else f"{100 * float(value):.1f}"


def _drawings(folder: ResultFolder, name: str, rows: Frame, functions: Frame, record: dict[str, Any]) -> list[Drawing]:
    drawings = []
    methods = list(dict.fromkeys(rows["method"]))
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    if methods:
        drawings.append(
            Drawing(
                f"scores-{stem}",
                "Scores of the models",
                "Entities count only with the right boundaries and type. Models with gold access are references. "
                "A point is a mean over seeds (thin ticks), a thick bar its 95 % bootstrap interval over sentences.",
                lambda: forest_figure(_score_table(folder, rows)),
            )
        )
    shown = [method for method in methods if method != "best-consensus"]
    if shown and len(functions) and bool(functions["true_f1"].notna().any()):
        drawings.append(
            Drawing(
                f"reliability-{stem}",
                "Which labelling functions does the model trust?",
                "A point is a labelling function: how well it agrees with the entities that the model found, against "
                "how good it really is. On the line, the model judges it rightly; r is the correlation over functions.",
                lambda: function_figure(functions, shown, "agreement"),
            )
        )
        own = [m for m in shown if bool(functions.loc[functions["method"] == m, "reliability"].notna().any())]
        if own:
            drawings.append(
                Drawing(
                    f"own-reliability-{stem}",
                    "Reliability in the model's own terms",
                    "Sparse-CHMM: the mean of its reliabilities over sentences and entity labels. Other models: the "
                    "mean probability that the function says an entity's label of a token that has it. Only the order "
                    "and the correlation r with the true F1 mean something, not the distance from the line.",
                    lambda: function_figure(functions, own, "reliability"),
                )
            )
    matrices = _emissions(folder, name, shown, record)
    if matrices:
        drawings.append(
            Drawing(
                f"emissions-{stem}",
                "What the labelling functions say",
                "Each square: the probability that the function says a label (column) of a token whose label is the "
                "row's, as each model believes it (expected under its marginals, first seed) and as it is by gold "
                "labels. The functions that mark most are shown.",
                lambda: emission_figure(matrices, record["label_names"]),
            )
        )
    return drawings


def _emissions(
    folder: ResultFolder, dataset: str, methods: list[str], record: dict[str, Any]
) -> dict[str, dict[str, np.ndarray]]:
    if not record or not record["function_names"]:
        return {}
    preferred = ("sparse-chmm", "chmm", "hmm", "dawid-skene", "majority-vote")
    chosen = [method for method in preferred if method in methods] or methods
    sources, true, marked = {}, None, np.zeros(0)
    for method in chosen[: _MOST_SOURCES - 1]:
        arrays = cell_arrays(folder.path / "predictions" / dataset / method.replace(" ", "-") / "seed-0.npz")
        if arrays is None:
            continue
        sources[method_style(method).title] = arrays["emission"]
        marked = arrays["functions"][:, 0]
        true = arrays["true_emission"] if arrays["true_emission"].size else None
    if not sources:
        return {}
    if true is not None:
        sources["gold labels"] = true
    order = np.argsort(-marked, kind="stable")[:_MOST_FUNCTIONS]
    names = record["function_names"]
    return {names[k]: {source: matrix[k] for source, matrix in sources.items()} for k in order}
