"""The page of `jaxuq extract`: scores, and every text with gold, predictions, and what was said to get them."""

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.page import (
    Field,
    Grid,
    Markup,
    Row,
    Section,
    Text,
    print_grid,
    run_facts,
    run_sections,
    source_name,
    write_page,
)
from jaxuq.study import read_run, read_sealed

MOST_TEXTS = 300
_LONGEST_MESSAGE = 20_000
_STYLE = """
:root { --right:#d7efdc; --part:#fdeeba; --wrong:#f9d9d6; --missed:#e3e0f5; }
@media (prefers-color-scheme: dark) { :root { --right:#1f4a2b; --part:#57480f; --wrong:#5c2925; --missed:#3b3566; } }
section.text { border:1px solid var(--line); border-radius:6px; padding:.7rem 1rem; margin:.8rem 0; }
section.text h3 { font-size:.95rem; margin:0 0 .3rem; overflow-wrap:anywhere; }
.line { margin:.35rem 0; overflow-wrap:anywhere; white-space:pre-wrap; unicode-bidi:plaintext; }
.line b { display:inline-block; min-width:6.5em; color:var(--soft); font-weight:500; font-size:.82rem; }
mark { color:inherit; border-radius:3px; padding:0 .15em; } mark sub { font-size:.68em; margin-left:.25em; opacity:.8; }
mark.right { background:var(--right); } mark.part { background:var(--part); }
mark.wrong { background:var(--wrong); } mark.missed { background:var(--missed); }
mark.found, mark.failed, mark.nothing { background:var(--tint); border:1px solid var(--line); }
section.text pre { white-space:pre-wrap; overflow-wrap:anywhere; unicode-bidi:plaintext; margin:.3rem 0; }
.filters label { margin-right:1rem; white-space:nowrap; }
"""
_SCRIPT = """
const boxes = [...document.querySelectorAll('.filters input')];
const showTexts = () => {
  const wanted = new Set(boxes.filter(box => box.checked).map(box => box.value));
  for (const one of document.querySelectorAll('section.text'))
    one.hidden = !one.dataset.has.split(' ').some(mark => wanted.has(mark));
};
boxes.forEach(box => box.addEventListener('change', showTexts));
"""
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}")
_TITLES = {
    "partial_f1": "F1, partial ↑",
    "full_f1": "F1, full ↑",
    "partial_precision": "precision, partial ↑",
    "partial_recall": "recall, partial ↑",
    "full_precision": "precision, full ↑",
    "full_recall": "recall, full ↑",
}
_MEANING = {
    "right": "as in gold",
    "part": "touches gold of its type",
    "wrong": "not in gold",
    "missed": "gold that was not found",
    "found": "found",
    "failed": "a conversation failed",
    "nothing": "nothing found",
}


def write_extraction_report(folder: str | Path, most: int = MOST_TEXTS) -> Path:
    """Write `report.html` into the folder of `jaxuq extract`.

    Texts with errors come first (failed conversations, then the most errors); with gold, texts without any error are
    left out when there are more than `most`. Nothing in a text or a reply becomes markup or is run.

    Args:
        folder: with `run.json`, `predictions/texts.jsonl` and `predictions/conversations.jsonl`.
        most: texts shown.

    Returns:
        Path of the page.

    Raises:
        ReportError: there are no texts (yet).
        RunFolderError: it is no result folder.
    """
    path = Path(folder)
    run, texts = read_run(path), read_sealed(path / "predictions" / "texts.jsonl")
    if not texts:
        raise ReportError(f"{path} has no texts (yet): there is nothing to report")
    said: dict[str, list[dict[str, Any]]] = {}
    for one in read_sealed(path / "predictions" / "conversations.jsonl"):
        said.setdefault(str(one.get("id")), []).append(one)
    about = run.get("extraction")
    about = about if isinstance(about, dict) else {}
    labels = about.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    entries = []
    for record in texts:
        kinds, body = _text(record)
        failed = any(status not in ("found", "nothing") for status in record["statuses"].values())
        mistakes = len([kind for kind in kinds if kind in ("wrong", "missed", "part")])
        marks = sorted(set(kinds) | ({"failed"} if failed else set())) or ["nothing"]
        entries.append(((not failed, -mistakes, len(entries)), marks, record, body))
    entries.sort(key=lambda entry: entry[0])
    shown = entries[:most]
    present = sorted({mark for _, marks, *_ in shown for mark in marks})
    bodies = [
        f'<section class="text" data-has="{" ".join(marks)}"><h3>{_e(record["id"])}</h3>{body}'
        f"{_statuses(record, labels)}{_talks(said.get(str(record['id']), []), labels)}</section>"
        for _, marks, record, body in shown
    ]
    counted = f"{len(shown)} of {len(entries)} texts, those with most errors first."
    facts = [(str(name), str(value)) for name, value in about.items() if not isinstance(value, dict)]
    return write_page(
        path,
        title=f"Extraction: {source_name(about.get('data', path.name))}",
        command="jaxuq extract",
        sections=[
            Section("Scores", _scores(path, labels, about)),
            Section("Texts", [Text(counted, soft=True), Markup(_legend(present)), Markup("\n".join(bodies))]),
            *run_sections(run, ["gno"]),
        ],
        facts=[*facts, *run_facts(run)],
        status=str(run.get("status", "unknown")),
        style=_STYLE,
        script=_SCRIPT,
    )


def print_extraction(folder: str | Path) -> None:
    """Print the scores of a run on standard output.

    Args:
        folder: of the run.
    """
    for part in _scores(Path(folder), {}, {}):
        if isinstance(part, Grid):
            print_grid(part._replace(title="Scores"), small=True, width=160)


def _e(text: Any) -> str:
    """Escape, and show control characters, and marks that turn a line around, instead of sending them."""
    plain = "".join(
        letter if letter.isprintable() or letter in "\n\t " or ord(letter) > 0x2000 else "\N{REPLACEMENT CHARACTER}"
        for letter in str(text).translate(_TURNING)
    )
    return html.escape(plain.encode("utf-8", "replace").decode("utf-8"))


def _scores(path: Path, labels: Mapping[str, str], about: Mapping[str, Any]) -> list[Text | Grid]:
    import pandas

    try:
        whole = pandas.read_csv(path / "summary.csv").to_dict("records")[0]
        types = pandas.read_csv(path / "types.csv")
    except (OSError, ValueError, IndexError):
        return [Text("There is no gold to score against.")]

    def row(name: str, values: Mapping[str, Any], ends: Mapping[str, Any] | None) -> Row:
        fields = []
        for metric in _TITLES:
            lower, upper = (math.nan, math.nan) if ends is None else (ends[f"{metric}_{e}"] for e in ("lower", "upper"))
            small = "" if math.isnan(lower) else f"[{lower:.3f}, {upper:.3f}]"
            value = float(values[metric if ends is None else f"{metric}_mean"])
            fields.append(Field(f"{value:.4f}", small, repr(value)))
        return Row(name, fields)

    rows = [row("all types", whole, whole)]
    rows += [row(labels.get(one["type"], one["type"]), one, None) for one in types.to_dict("records")]
    said = "In brackets 95 % bootstrap intervals over texts."
    if "texts with gold" in about:
        said = f"Over {about['texts with gold']} texts with gold. {said}"
    return [Text(said, soft=True), Grid(["Type", *_TITLES.values()], [("", rows)])]


def _legend(present: Sequence[str]) -> str:
    boxes = "".join(
        f'<label><input type="checkbox" value="{mark}" checked> <mark class="{mark}">{_MEANING[mark]}</mark></label>'
        for mark in _MEANING
        if mark in present
    )
    return f'<p class="filters small">{boxes}</p>'


def _text(record: Mapping[str, Any]) -> tuple[list[str], str]:
    """The marks that a text has, and its lines."""
    if record.get("relations") or record.get("gold_relations") is not None:
        return _relations(record)
    gold, ours = record.get("gold"), record["found"]
    if gold is None:
        return ["found"] * len(ours), _line("text", record["text"], [(span, "found") for span in ours])

    def judged(span: Sequence[Any], others: Sequence[Sequence[Any]], bad: str) -> str:
        if any(list(other[:3]) == list(span[:3]) for other in others):
            return "right"
        touches = any(o[2] == span[2] and o[0] < span[1] and span[0] < o[1] for o in others)
        return "part" if touches else bad

    marked = [(span, judged(span, gold, "wrong")) for span in ours]
    theirs = [(span, judged(span, ours, "missed")) for span in gold]
    kinds = [kind for _, kind in (*marked, *theirs)]
    return kinds, _line("gold", record["text"], theirs) + _line("found", record["text"], marked)


def _line(name: str, text: str, marked: Sequence[tuple[Sequence[Any], str]]) -> str:
    parts, at, nested = [], 0, []
    for span, kind in sorted(marked, key=lambda pair: (pair[0][0], -pair[0][1])):
        start, end, label, *sure = span
        stated = f" {sure[0]:.2f}" if sure and sure[0] is not None else ""
        mark = f'<mark class="{kind}">{_e(text[start:end])}<sub>{_e(label)}{stated}</sub></mark>'
        if start < at:
            nested.append(mark)
            continue
        parts.append(_e(text[at:start]) + mark)
        at = end
    more = f' <span class="soft">and</span> {" ".join(nested)}' if nested else ""
    return f'<div class="line"><b>{name}</b>{"".join(parts)}{_e(text[at:])}{more}</div>'


def _relations(record: Mapping[str, Any]) -> tuple[list[str], str]:
    text, gold, found = record["text"], record.get("gold_relations"), record.get("relations") or {}

    def words(arguments: Sequence[Any]) -> str:
        return " → ".join(_e(text[slice(*places[0])]) for places in arguments)

    def same(a: Sequence[Any], b: Sequence[Any]) -> bool:
        return len(a) == len(b) and all(set(map(tuple, x)) & set(map(tuple, y)) for x, y in zip(a, b))

    lines, kinds = [f'<div class="line"><b>text</b>{_e(text)}</div>'], []
    for title, ours, theirs, bad in (("gold", gold or {}, found, "missed"), ("found", found, gold, "wrong")):
        items = []
        for kind, group in ours.items():
            for one in group:
                mark = "found"
                if theirs is not None:
                    mark = "right" if any(same(one, other) for other in theirs.get(kind, ())) else bad
                kinds.append(mark)
                items.append(f'<li><mark class="{mark}">{words(one)}<sub>{_e(kind)}</sub></mark></li>')
        if items:
            lines.append(f'<div class="line"><b>{title}</b></div><ul>{"".join(items)}</ul>')
    return kinds, "".join(lines)


def _name(kind: str, labels: Mapping[str, str]) -> str:
    return {"*": "all types", "?": "conflicts"}.get(kind) or labels.get(kind, kind)


def _statuses(record: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    bad = [
        f"{_e(_name(kind, labels))}: {_e(status)}"
        for kind, status in record["statuses"].items()
        if status not in ("found", "nothing")
    ]
    return f'<p class="small">No answer. {"; ".join(bad)}</p>' if bad else ""


def _talks(conversations: Sequence[Mapping[str, Any]], labels: Mapping[str, str]) -> str:
    parts = []
    for one in conversations:
        sample = one.get("sample") or 0
        name = _name(str(one.get("type")), labels) + (f", sample {sample + 1}" if sample else "")
        messages = "".join(
            f'<p class="small soft">{_e(message["role"])}</p><pre>{_e(message["content"][:_LONGEST_MESSAGE])}</pre>'
            for message in one.get("messages", [])
        )
        error = f"<p>{_e(one['error'])}</p>" if one.get("error") else ""
        parts.append(f"<details><summary>conversation: {_e(name)}</summary>{messages}{error}</details>")
    return "".join(parts)
