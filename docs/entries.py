"""A page for each entry of an open table: what its functions say of it, its record, and where results have it."""

import html
import importlib
import inspect
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parent.parent

TABLES = (
    ("jaxuq.molecules.muben.METHODS", "Methods of `jaxuq muben`", "muben"),
    ("jaxuq.molecules.muben.BACKBONES", "Backbones of `jaxuq muben`", "backbones"),
    ("jaxuq.calibration.CALIBRATORS", "Calibrators of a fitted model", "calibrators"),
    ("jaxuq.confidence.MEASURES", "Measures of confidence", "measures"),
    ("jaxuq.tagging.benchmark.METHODS", "Models of `jaxuq tag`", "label-models"),
    ("jaxuq.tuning.LOSSES", "Losses of `jaxuq tune`", "losses"),
    ("jaxuq.tuning.POSTERIORS", "Posteriors of `jaxuq tune`", "posteriors"),
    ("jaxuq.tuning.ACQUISITIONS", "Acquisitions of `jaxuq tune`", "acquisitions"),
    ("jaxuq.experts.ROUTINGS", "Rules of routing", "routings"),
    ("jaxuq.questions.SETS", "Question sets", "question-sets"),
)
"""Open tables whose entries have pages, their title, and the folder of the pages."""

_ROOMS = {
    "muben": ("posterior", "calibration", "losses"),
    "backbones": ("networks",),
    "calibrators": ("calibration",),
    "measures": ("confidence", "calibration"),
    "label-models": ("tagging",),
    "losses": ("losses", "tuning"),
    "posteriors": ("posterior", "tuning"),
    "acquisitions": ("tuning",),
    "routings": ("experts",),
    "question-sets": ("questions",),
}
"""Where a function is looked for that has the name of an entry."""

_TOLD_BY = {
    "muben/laplace-network": ("posterior.laplace",),
    "muben/sngp": ("posterior.cosine_features", "networks.spectral_bound"),
    "muben/vbll": ("posterior.vbll_regression_loss", "posterior.vbll_classification_loss"),
    "muben/evidential": ("losses.evidential_regression_loss", "losses.evidential_classification_loss"),
    "backbones/morgan": ("networks.DNN",),
    "backbones/chemberta": ("networks.SmilesEncoder",),
    "backbones/rxnfp": ("networks.SmilesEncoder",),
    "measures/uqac_similarity": ("confidence.uqac",),
    "measures/uqac_attention": ("confidence.uqac",),
    "measures/answer_probability": ("confidence.sequence_log_probability",),
    "measures/mean_answer_probability": ("confidence.mean_probability",),
    "measures/minimum_answer_probability": ("confidence.minimum_probability",),
    "measures/answer_entropy": ("confidence.token_entropy",),
    "measures/agreement": ("confidence.self_consistency",),
    "measures/lowest_group_confidence": ("confidence.group_confidence",),
    "measures/normalised_predictive_entropy": ("confidence.predictive_entropy",),
    "measures/response_probability": ("confidence.sequence_log_probability",),
    "measures/mean_response_probability": ("confidence.mean_probability",),
    "measures/normalised_sequence_entropy": ("confidence.sequence_entropy",),
    "measures/stated_confidence": ("confidence.parse_confidence",),
    "measures/logistic_single": ("confidence.fit_logistic",),
    "measures/logistic_all": ("confidence.fit_logistic",),
    "measures/p_ik": ("tuning.fit_linear_probe",),
    "label-models/supervised": ("tagging.crf_tagger",),
    "label-models/fine-tuned": ("tagging.finetune_tagger",),
    "losses/plain": ("tuning.token_loss",),
    "losses/label-smoothing": ("losses.smoothed_cross_entropy",),
    "losses/scheduled-smoothing": ("losses.smoothed_cross_entropy",),
    "losses/entropy": ("losses.entropy_regularised_cross_entropy",),
    "losses/uncertainty-aware": ("losses.uncertainty_aware_clm_loss",),
    "posteriors/none": ("tuning.forecast_answers",),
    "posteriors/laplace": ("tuning.fit_adapter_laplace",),
    "posteriors/laplace-last": ("tuning.fit_adapter_laplace",),
    "posteriors/dropout": ("tuning.sample_answers",),
    "posteriors/tfb": ("tuning.isotropic_samples", "tuning.largest_scale"),
    "acquisitions/entropy": ("tuning.forecast_answers",),
    "acquisitions/gap": ("tuning.base_tuned_gap",),
    "routings/elrea": ("experts.route",),
}
"""Functions that tell about an entry of another name."""

_SAID = {
    "acquisitions/random": "Questions by chance: what every other rule is compared with.",
    "acquisitions/entropy": "The entropy of the averaged forecast, in nats: all that is uncertain, noise included.",
    "losses/plain": "The cross-entropy of the answer's tokens, as it is: what the other losses are compared with.",
    "posteriors/none": "The tuned adapters alone: one sample, whose forecast has no epistemic part.",
    "posteriors/dropout": "Dropout of the adapters left on, one mask a sample.",
    "question-sets/facts": "308 short questions of fact with known answers, packaged: capitals, symbols, sums, counts.",
    "question-sets/families": "Four made-up families of instructions whose conventions contradict each other.",
    "question-sets/known": "Made-up questions whose right answers have known probabilities, their unambiguous twins, "
    "and some that nothing is known of.",
    "question-sets/gsm8k": "Grade-school problems in words, whose answer is a number.",
    "question-sets/math": "Competition mathematics, whose answer is an expression.",
    "question-sets/svamp": "One-step problems in words, varied so that a shortcut fails.",
    "question-sets/mathqa": "Problems in words with five options each.",
    "question-sets/bbh": "Tasks of BIG-Bench that models found hard, each with its own form of answer.",
    "question-sets/mmlu": "Questions of 57 subjects with four options each.",
    "measures/focus": "Uncertainty of the words that carry meaning, with what attention hands on from doubtful ones.",
}
"""What is said first of an entry whose function tells of more than it, or that has none."""

_RESULTS = {
    "muben": ("muben/methods.md", "posterior/README.md"),
    "backbones": ("muben/README.md",),
    "calibrators": ("muben/methods.md", "calibration/shift.md"),
    "measures": ("confidence/README.md",),
    "label-models": ("tagging/README.md",),
    "losses": ("tuning/README.md",),
    "posteriors": ("tuning/README.md",),
    "acquisitions": ("tuning/README.md",),
    "routings": ("experts/README.md",),
}


class Table(NamedTuple):
    """A table of a page of results: where it stands, its columns, its rows of as many cells."""

    page: str
    heading: str
    columns: list[str]
    rows: list[list[str]]


def found(path: str) -> Any:
    """What a dotted path names."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def title(entry: Any, name: str) -> str:
    """Of an entry: its own, or its name."""
    return getattr(entry, "title", "") or name


def entry_page(table: tuple[str, str, str], name: str) -> str:
    """The page of an entry.

    Args:
        table: its path, its title, and the folder of its pages.
        name: of the entry.

    Raises:
        LookupError: nothing that could be shown tells what the entry is.
    """
    path, called, folder = table
    entry, key = found(path)[name], f"{folder}/{name}"
    functions = _functions(folder, name, entry)
    told = [text for text in map(_text, functions) if text]
    lines = [f"# {title(entry, name)}\n", f"`{name}` among [{called}](../index.md), in `{path}`.\n"]
    if key in _SAID:
        lines.append(_SAID[key] + "\n")
    if not told and key not in _SAID:
        raise LookupError(f"{path}[{name!r}] has no page: write the docstring of its function, or see docs/entries.py")
    lines += told
    for function in functions:
        lines.append(f"Arguments, shapes and an example: [`{public(function)}`][{place(function, '')}].\n")
    for heading, value in (
        ("Needs", ", ".join(f"`{need}`" for need in getattr(entry, "needs", ()))),
        ("Options", ", ".join(f"`{one}={value!r}`" for one, value in dict(getattr(entry, "options", {})).items())),
        ("Higher means", str(dict(getattr(entry, "about", {})).get("higher", ""))),
        ("Version of its formula", str(getattr(entry, "formula", ""))),
    ):
        if value:
            lines.append(f"**{heading}**: {value}\n")
    lines += _standing(folder, {name.lower(), title(entry, name).lower()})
    sources = [source for source in map(_sources, functions) if source]
    cited = "\n\n".join(filter(None, map(_bibtex, getattr(entry, "citation", ()))))
    if sources or cited:
        lines.append("## Sources\n")
        lines += sources
    if cited:
        lines.append(f"```bibtex\n{cited}\n```\n")
    return "\n".join(lines)


def _functions(folder: str, name: str, entry: Any) -> list[Any]:
    """Public functions and classes that tell about an entry, those of its record first."""
    if f"{folder}/{name}" in _TOLD_BY:
        return [found(f"jaxuq.{one}") for one in _TOLD_BY[f"{folder}/{name}"]]
    named = [one for one in dict(getattr(entry, "functions", {})).values() if public(one)]
    bare, ends = name.replace("-", "_").lower(), ("", "_scaling", "_loss", "_calibration")
    for room in (importlib.import_module(f"jaxuq.{room}") for room in _ROOMS[folder]):
        names = {one.lower(): one for one in room.__all__}
        same = (names.get(base + end) for base in (bare, bare.replace("_", "")) for end in ends)
        named += [getattr(room, one) for one in same if one and public(getattr(room, one))]
    return list(dict.fromkeys(named))


def public(thing: Any) -> str:
    """Where a function or class stands in the reference, or nothing."""
    import jaxuq

    room, name = getattr(thing, "__module__", "").split("."), getattr(thing, "__name__", "")
    if len(room) < 2 or room[0] != "jaxuq" or room[1] not in jaxuq._ROOMS:
        return ""
    module = importlib.import_module(f"jaxuq.{room[1]}")
    return f"jaxuq.{room[1]}.{name}" if getattr(module, name, None) is thing else ""


def place(thing: Any, otherwise: str) -> str:
    """Where a function or class is written: a file may have the name of its function."""
    named = inspect.isfunction(thing) or inspect.isclass(thing)
    return f"{thing.__module__}.{thing.__qualname__}" if named and thing.__module__.startswith("jaxuq.") else otherwise


def _text(thing: Any) -> str:
    """A docstring before its sections: what it is, the equation, when to use it and when not."""
    said = inspect.getdoc(thing) or ""
    return re.split(r"(?m)^(?:Args|Attributes|Returns|Raises|Examples?|References):$", said)[0].strip() + "\n"


def _sources(thing: Any) -> str:
    said = re.search(r"(?ms)^References:\n(.*?)(?=^\S|\Z)", inspect.getdoc(thing) or "")
    return inspect.cleandoc(said[1]) + "\n" if said else ""


def _bibtex(key: str) -> str:
    """Of a name, or BibTeX as it is; nothing for what has no publication, such as a network of dense layers."""
    from jaxuq import citation

    if key.lstrip().startswith("@"):
        return key
    try:
        return citation(key)
    except ValueError:
        return ""


def _standing(folder: str, names: set[str]) -> list[str]:
    """Rows of the pages of results that are of an entry, each with a picture of where it stands among the others."""
    parts = []
    for table in (table for page in _RESULTS.get(folder, ()) for table in _tables(page)):
        rows = [row for row in table.rows if _is_of(row[0], names)]
        if rows and len(table.rows) > 2 and sum(map(_has_number, rows[0][1:])):
            link = f"../../results/{table.page.replace('/README', '-readme').replace('/', '-')}"
            parts.append(f"### {table.heading}\n\n[All of them]({link}).\n")
            parts.append(_markdown(table.columns, rows))
            parts += [f"{_strips(table, rows[0])}\n"]
    return ["## Where it stands\n", *parts] if parts else []


def _is_of(cell: str, names: set[str]) -> bool:
    plain = re.sub(r"[*`]|\\(?=\|)", "", cell).strip().lower()
    return plain in names or re.sub(r" \(.*\)$", "", plain) in names


def _has_number(cell: str) -> bool:
    return _number(cell) is not None


def _number(cell: str) -> float | None:
    said = re.match(r"[*\s]*(-?\d[\d,]*\.?\d*)", cell)
    return float(said[1].replace(",", "")) if said else None


def _tables(page: str) -> Iterator[Table]:
    heading = ""
    block: list[list[str]] = []
    for line in [*(ROOT / "experiments" / page).read_text().splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ").strip()
        if line.startswith("|"):
            block.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])])
        elif block:
            yield Table(page, heading, block[0], [row for row in block[2:] if len(row) == len(block[0])])
            block = []


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _strips(table: Table, row: list[str]) -> str:
    """A line a column: a dot for each row of the table, and the one that is meant."""
    lines, height = [], 26
    numbers = [index for index, column in enumerate(table.columns) if index and column != "interval"]
    costs = [index for index in numbers if table.columns[index] in ("train", "s", "seconds")]
    for index, column in ((index, table.columns[index]) for index in dict.fromkeys([*numbers[:2], *costs, *numbers])):
        own, all_of = _number(row[index]), [v for one in table.rows if (v := _number(one[index])) is not None]
        if own is None or len(all_of) < 3 or min(all_of) == max(all_of) or len(lines) == 3:
            continue
        low, high, middle = min(all_of), max(all_of), height * len(lines) + 16
        x = [150 + 400 * (value - low) / (high - low) for value in (*all_of, own)]
        dots = "".join(f'<circle cx="{one:.1f}" cy="{middle}" r="3.5" fill="currentColor" opacity=".3"/>' for one in x)
        lines.append(
            f'<text x="0" y="{middle + 4}">{html.escape(re.sub(r"[*`]", "", column)[:22])}</text>'
            f'{dots}<circle cx="{x[-1]:.1f}" cy="{middle}" r="6" fill="#e6550d"/>'
            f'<text x="140" y="{middle + 4}" text-anchor="end" opacity=".6">{low:g}</text>'
            f'<text x="562" y="{middle + 4}" opacity=".6">{high:g}</text>'
        )
    if not lines:
        return ""
    size = height * len(lines) + 8
    return (
        f'<svg class="standing" viewBox="0 0 640 {size}" role="img" font-size="12" fill="currentColor" '
        f'aria-label="this entry among the rows of the table above">{"".join(lines)}</svg>'
    )
