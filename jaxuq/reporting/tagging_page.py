"""The report of `jaxuq tag`: scores, reliability of the labelling functions, emission matrices."""

import pathlib
import sys
from typing import Any, NamedTuple

import numpy as np

from jaxuq.reporting.drawings import Drawing, Picture, render_drawings
from jaxuq.reporting.emission_figure import emission_figure
from jaxuq.reporting.entity_score_figure import entity_score_figure
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.function_figure import function_figure
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.result_folder import ResultFolder, read_folder
from jaxuq.reporting.template import as_words, bibtex_of, duration, render_template
from jaxuq.study import cell_arrays, write_bytes

_MOST_FUNCTIONS = 4  # emission matrices drawn, of those that mark most
_MOST_SOURCES = 4
_SCORES = ("precision", "recall", "f1")


class TaggingSection(NamedTuple):
    """What the page shows of one data set.

    Attributes:
        name: of the data set.
        facts: sentences and names, as pairs.
        rows: method, seeds and the three scores as text, and whether its F1 is best among methods without gold access.
        functions: rows of the table of labelling functions.
        columns: the methods in that table.
        pictures: figures.
    """

    name: str
    facts: list[tuple[str, str]]
    rows: list[tuple[str, int, list[str], bool]]
    functions: list[tuple[str, list[str]]]
    columns: list[str]
    pictures: list[Picture]


def write_tagging_report(result: ResultFolder) -> pathlib.Path:
    """Write the page of `jaxuq tag`.

    Args:
        result: what `read_folder` gave.

    Returns:
        Path of the page.

    Raises:
        ReportError: `reliability.csv` is unreadable.
    """
    sections, notices = tagging_sections(result)
    versions, run = result.run.get("versions"), result.run
    facts = [("Models", str(len(result.methods)))]
    facts += [("Device", str(run["device"]))] if run.get("device") else []
    facts += [("Time", duration(float(run["seconds"])))] if isinstance(run.get("seconds"), int | float) else []
    page = render_template(
        "tagging.html",
        title=" · ".join(section.name for section in sections) or result.path.name,
        status=str(run.get("status", "unknown")),
        facts=facts,
        notices=[notice for notice in result.notices if "summary" not in notice] + notices,
        sections=sections,
        configuration={str(key): as_words(value) for key, value in result.configuration.items()},
        versions={str(key): str(value) for key, value in (versions if isinstance(versions, dict) else {}).items()},
        bibtex=bibtex_of(["tag", *result.methods]),
    )
    target = result.path / "report.html"
    write_bytes(target, page.encode())
    return target


def print_tagging(folder: str | pathlib.Path) -> None:
    """Print the score tables of a run on standard output.

    Args:
        folder: of the run.
    """
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120)
    results = read_folder(folder).results
    for dataset in dict.fromkeys(results["dataset"]):
        table = Table(title=f"{dataset}: entities, in % over seeds", title_justify="left")
        for column in ("method", "seeds", "precision", "recall", "F1"):
            table.add_column(column, justify="left" if column == "method" else "right")
        for method, seeds, cells, _ in _score_rows(results[results["dataset"] == dataset]):
            table.add_row(method, str(seeds), *cells)
        console.print(table)


def tagging_sections(folder: ResultFolder) -> tuple[list[TaggingSection], list[str]]:
    """Everything of the page but its head and its end.

    Args:
        folder: of a run of `jaxuq tag`.

    Returns:
        One section per data set, and a sentence for everything that is missing.

    Raises:
        ReportError: `reliability.csv` is unreadable.
    """
    reliability = _read_reliability(folder)
    notices: list[str] = []
    records = {record["name"]: record for record in folder.run.get("datasets", []) if isinstance(record, dict)}
    names = list(dict.fromkeys([*records, *folder.results["dataset"], *reliability.get("dataset", [])]))
    sections = []
    for name in names:
        rows = folder.results[folder.results["dataset"] == name]
        functions = reliability[reliability["dataset"] == name] if len(reliability) else reliability
        drawings = _drawings(folder, name, rows, functions, records.get(name, {}))
        pictures, undrawn = render_drawings(drawings, folder.path / "figures")
        notices += undrawn
        methods = list(dict.fromkeys(rows["method"]))
        table, columns = _function_table(functions, methods)
        sections.append(
            TaggingSection(name, _facts(records.get(name, {})), _score_rows(rows), table, columns, pictures)
        )
    return sections, notices


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


def _gold(method: str) -> bool:
    return method in ("best-consensus", "chmm-fixed-emissions", "supervised")


def _score_rows(rows: Frame) -> list[tuple[str, int, list[str], bool]]:
    found = []
    for method in dict.fromkeys(rows["method"]):
        own = rows[rows["method"] == method]
        cells = []
        for name in _SCORES:
            spread = f" ± {100 * own[name].std(ddof=1):.2f}" if len(own) > 1 else ""
            cells.append(f"{100 * own[name].mean():.2f}{spread}")
        found.append((str(method), len(own), cells, float(own["f1"].mean())))
    best = max((f1 for method, _, _, f1 in found if not _gold(method)), default=np.nan)
    return [(m, seeds, cells, not _gold(m) and round(f1, 4) == round(best, 4)) for m, seeds, cells, f1 in found]


def _function_table(table: Frame, methods: list[str]) -> tuple[list[tuple[str, list[str]]], list[str]]:
    """For each function its entities, its true scores, and its F1 in the eyes of each method."""
    if not len(table):
        return [], []
    means = table.groupby(["function", "method"], sort=False)[["agreement"]].mean()
    rows = []
    for name, own in table.groupby("function", sort=False):
        first = own.iloc[0]
        cells = [str(int(first["entities"]))]
        cells += [_percent(first[f"true_{score}"]) for score in _SCORES]
        cells += [_percent(means["agreement"].get((name, method), np.nan)) for method in methods]
        rows.append((str(name), cells))
    return rows, methods


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
                "Entities count only with the right boundaries and type. Models with gold access are references.",
                lambda: entity_score_figure(rows, methods),
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
    if not record:
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
