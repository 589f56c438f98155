"""The page of `jaxuq tag --active`: learning curves, and what each way of choosing saves against chance."""

import pathlib
from functools import partial

from jaxuq.reporting.active_page import read_rounds
from jaxuq.reporting.drawings import Drawing, render_drawings
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame, OptionalFrame
from jaxuq.reporting.learning_curve_figure import learning_curve_figure
from jaxuq.reporting.method_style import method_style
from jaxuq.reporting.page import (
    Field,
    Grid,
    Pictures,
    Row,
    Section,
    Text,
    print_grid,
    run_facts,
    run_sections,
    source_name,
    write_page,
)
from jaxuq.reporting.result_folder import read_record
from jaxuq.reporting.template import as_list

_CURVES = (
    "A tagger learns from the sentences that have right labels; each round buys more, chosen where it is least sure or "
    "at random, and trains it anew. What is counted are tokens. A label model's line starts with none: its tagger has "
    "learnt from the labelling functions alone, and needs them to label. No epoch is chosen by labels that were not "
    "bought."
)
_SAVED = (
    "Target: the F1 of random sentences in the last round. Needed: the tokens it takes to reach that, and stay there. "
    "In brackets 95 % intervals over test sentences and seeds, paired. Stops: where successive taggers have agreed to "
    "0.99 over three rounds, and the F1 there; blank where they never do."
)


def write_tagging_active_report(folder: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/` into the folder of an active-learning run of taggers, finished or not.

    Args:
        folder: with `run.json`, `active.csv` and `saved.csv`.

    Returns:
        Path of the page.

    Raises:
        ReportError: it is no result folder, or a table is unreadable.
    """
    path = pathlib.Path(folder)
    run, rounds, saved = read_record(path), read_rounds(path), _read_saved(path)
    configuration = run.get("configuration") or {}
    pictures, notices = [], ["No round is over yet."]
    if rounds is not None and len(rounds):
        pictures, notices = render_drawings(_drawings(rounds), path / "figures")
    facts = [
        ("First tokens", str(configuration.get("start"))),
        ("Rounds", f"{configuration.get('active')} of {configuration.get('acquire')} tokens"),
        ("Seeds", str(configuration.get("seeds"))),
        *run_facts(run),
    ]
    drawn = [Pictures(pictures)] if pictures else [Text("There is nothing to draw yet.")]
    tables = [saved_grid(saved)] if saved is not None and len(saved) else [Text("No curve is complete yet.")]
    models = as_list(None if saved is None else list(dict.fromkeys(saved["method"])))
    return write_page(
        path,
        title=" · ".join(source_name(name) for name in as_list(configuration.get("data"))) or path.name,
        command="jaxuq tag --active",
        sections=[
            Section("Learning curves", [Text(_CURVES), *drawn]),
            Section("What choosing saves", [Text(_SAVED, soft=True), *tables], "Saved"),
            *run_sections(run, ["tag", *map(str, models)]),
        ],
        facts=facts,
        status=str(run.get("status", "unknown")),
        missing=notices,
    )


def print_tagging_active(folder: str | pathlib.Path) -> None:
    """Print what choosing saves on standard output.

    Args:
        folder: of the run.
    """
    saved = _read_saved(pathlib.Path(folder))
    if saved is not None and len(saved):
        print_grid(saved_grid(saved))


def saved_grid(saved: Frame) -> Grid:
    """The table of what choosing saves.

    Args:
        saved: rows of `saved.csv`.

    Returns:
        A grid, in groups by data set.
    """
    columns = ["Model, acquisition", "Mean F1", "Last F1", "Gain", "Target", "Needed", "Saved", "Stops"]
    groups: dict[str, list[Row]] = {}
    for record in saved.to_dict("records"):
        stops = f"{_number(record.get('stop'), '.0f')} at {_number(record.get('stop_f1'), '.4f')}"
        texts = [
            _number(record["f1"], ".4f"), _number(record.get("last_f1"), ".4f"), _between(record, "f1_gain", "+.4f"),
            _number(record.get("target"), ".4f"), _number(record.get("labels_needed"), ".0f"),
            _between(record, "saved", ".0%"), "" if stops == " at " else stops,
        ]  # fmt: skip
        head = f"{method_style(str(record['method'])).title}, {record['acquisition']}"
        groups.setdefault(str(record["dataset"]), []).append(Row(head, [Field(text) for text in texts]))
    return Grid(columns, list(groups.items()), "")


def _number(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) and value == value else ""


def _between(record: dict, name: str, form: str) -> str:
    ends = [_number(record.get(f"{name}_{end}"), form) for end in ("lower", "upper")]
    return _number(record.get(name), form) + (f" ({ends[0]} to {ends[1]})" if all(ends) else "")


def _read_saved(folder: pathlib.Path) -> OptionalFrame:
    import pandas

    file = folder / "saved.csv"
    if not file.is_file():
        return None
    try:
        saved = pandas.read_csv(file)
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: not a readable CSV table ({error})") from error
    missing = [name for name in ("dataset", "method", "acquisition", "f1") if name not in saved.columns]
    if missing:
        raise ReportError(f"{file}: no column {', '.join(missing)}; found {', '.join(map(str, saved.columns))}")
    return saved


def _drawings(rounds: Frame) -> list[Drawing]:
    reading = (
        "A band is one standard deviation over seeds. Where a line runs above that of random sentences, choosing pays."
    )
    return [
        Drawing(
            f"learning-{name}",
            f"{name}: F1 and tokens with right labels",
            reading,
            partial(learning_curve_figure, rounds[rounds["dataset"] == name], "f1", "tokens with right labels"),
        )
        for name in dict.fromkeys(rounds["dataset"])
    ]
