"""The error browser: a self-contained page of texts, gold, predictions, and the conversations that led to them."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.extraction.conversations import ALL, CONFLICT, Conversation
from jaxuq.extraction.evaluation import METRICS, Evaluation
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span, overlap

MOST_TEXTS = 300
_LONGEST_MESSAGE = 20_000
_STYLE = """
:root { --paper:#fff; --ink:#1c2430; --soft:#5b6675; --line:#dfe3e8; --tint:#f4f6f8; --accent:#0b5cad;
  --right:#d7efdc; --part:#fdeeba; --wrong:#f9d9d6; --missed:#e3e0f5; }
@media (prefers-color-scheme: dark) { :root { --paper:#14181d; --ink:#e4e8ee; --soft:#9aa5b3; --line:#313944;
  --tint:#1d232b; --accent:#7db8f5; --right:#1f4a2b; --part:#57480f; --wrong:#5c2925; --missed:#3b3566; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15.5px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif; }
main { max-width:1120px; margin:0 auto; padding:2rem 1.25rem 4rem; }
h1 { font-size:1.75rem; margin:0 0 .4rem; overflow-wrap:anywhere; }
h2 { font-size:1.25rem; margin:2.4rem 0 .6rem; padding-bottom:.3rem; border-bottom:1px solid var(--line); }
p { max-width:80ch; margin:.4rem 0; }
.soft { color:var(--soft); } .small { font-size:.87rem; }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; font-size:.87rem; font-variant-numeric:tabular-nums; margin:.4rem 0 .8rem; }
th,td { padding:.32rem .7rem; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap; }
th:first-child,td:first-child { text-align:left; }
td small { display:block; color:var(--soft); font-size:.78rem; }
section.text { border:1px solid var(--line); border-radius:6px; padding:.7rem 1rem; margin:.8rem 0; }
section.text h3 { font-size:.95rem; margin:0 0 .3rem; }
.line { margin:.35rem 0; overflow-wrap:anywhere; white-space:pre-wrap; unicode-bidi:plaintext; }
.line b { display:inline-block; min-width:6.5em; color:var(--soft); font-weight:500; font-size:.82rem; }
mark { color:inherit; border-radius:3px; padding:0 .15em; } mark sub { font-size:.68em; margin-left:.25em; opacity:.8; }
mark.right { background:var(--right); } mark.part { background:var(--part); }
mark.wrong { background:var(--wrong); } mark.missed { background:var(--missed); }
mark.found, mark.failed, mark.nothing { background:var(--tint); border:1px solid var(--line); }
details > summary { cursor:pointer; color:var(--accent); margin:.3rem 0; }
pre { background:var(--tint); border:1px solid var(--line); border-radius:6px; padding:.6rem .8rem; font-size:.82rem;
  white-space:pre-wrap; overflow-wrap:anywhere; unicode-bidi:plaintext; margin:.3rem 0; }
.filters label { margin-right:1rem; white-space:nowrap; }
ul { margin:.3rem 0; padding-left:1.2rem; }
"""
_SCRIPT = """
const boxes = [...document.querySelectorAll('.filters input')];
function show() {
  const wanted = new Set(boxes.filter(b => b.checked).map(b => b.value));
  for (const s of document.querySelectorAll('section.text'))
    s.hidden = !s.dataset.has.split(' ').some(w => wanted.has(w));
}
boxes.forEach(b => b.addEventListener('change', show));
"""
_TURNING = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}")
_TITLES = {
    "partial_f1": "F1, partial",
    "full_f1": "F1, full",
    "partial_precision": "precision, partial",
    "partial_recall": "recall, partial",
    "full_precision": "precision, full",
    "full_recall": "recall, full",
}


def error_page(
    title: str,
    facts: Mapping[str, Any],
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    conversations: Sequence[Conversation],
    evaluation: Evaluation | None,
    *,
    labels: Mapping[str, str] | None = None,
    most: int = MOST_TEXTS,
) -> str:
    """The page, all of whose texts are escaped: nothing in a passage or a reply becomes markup or is run.

    Texts with errors come first (failed conversations, then the most errors); with gold, texts without any error are
    left out when there are more than `most`.

    Args:
        title: of the page.
        facts: about the run.
        passages: the texts.
        extractions: of each.
        conversations: all of the run.
        evaluation: its scores; None without gold.
        labels: how types are called on the page.
        most: texts shown.

    Returns:
        HTML.
    """
    said: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        said.setdefault(conversation.item, []).append(conversation)
    entries = []
    for passage, found in zip(passages, extractions, strict=True):
        kinds, body = _text(passage, found)
        mistakes = len([kind for kind in kinds if kind in ("wrong", "missed", "part")])
        order = (not found.failed, -mistakes, len(entries))
        marks = sorted(set(kinds) | ({"failed"} if found.failed else set())) or ["nothing"]
        entries.append((order, marks, passage, found, body))
    entries.sort(key=lambda entry: entry[0])
    shown = entries[:most]
    parts = [f"<h1>{_e(title)}</h1>", _facts(facts), _scores(evaluation, labels or {})]
    parts.append(f"<h2>Texts</h2><p class=soft>{len(shown)} of {len(entries)} texts, those with most errors first.</p>")
    present = sorted({mark for _, marks, *_ in shown for mark in marks})
    parts.append(_legend(present, with_gold=evaluation is not None))
    parts += [
        f'<section class=text data-has="{" ".join(marks)}"><h3>{_e(passage.id)}</h3>{body}'
        f"{_statuses(found, labels or {})}{_talks(said.get(passage.id, []), labels or {})}</section>"
        for _, marks, passage, found, body in shown
    ]
    return (
        '<!DOCTYPE html>\n<html lang=en><head><meta charset="utf-8">'
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
        f"<title>{_e(title)}</title><style>{_STYLE}</style></head><body><main>"
        + "\n".join(parts)
        + f"</main><script>{_SCRIPT}</script></body></html>\n"
    )


def _e(text: Any) -> str:
    """Escape, and show control characters, and marks that turn a line around, instead of sending them."""
    plain = "".join(
        letter if letter.isprintable() or letter in "\n\t " or ord(letter) > 0x2000 else "\N{REPLACEMENT CHARACTER}"
        for letter in str(text).translate(_TURNING)
    )
    return html.escape(plain.encode("utf-8", "replace").decode("utf-8"))


def _facts(facts: Mapping[str, Any]) -> str:
    return "<p class=soft>" + " · ".join(f"{_e(name)}: {_e(value)}" for name, value in facts.items()) + "</p>"


def _scores(evaluation: Evaluation | None, labels: Mapping[str, str]) -> str:
    if evaluation is None:
        return "<p>There is no gold to score against.</p>"
    head = "".join(f"<th>{_TITLES[name]}</th>" for name in METRICS)

    def row(name: str, values: Mapping[str, float], intervals: Mapping[str, tuple[float, float]]) -> str:
        cells = []
        for metric in METRICS:
            ends = intervals.get(metric)
            small = f"<small>{ends[0]:.3f} to {ends[1]:.3f}</small>" if ends else ""
            cells.append(f"<td>{values[metric]:.4f}{small}</td>")
        return f"<tr><td>{_e(name)}</td>{''.join(cells)}</tr>"

    rows = [row("all types", evaluation.scores, evaluation.intervals)]
    rows += [row(labels.get(name, name), values, {}) for name, values in evaluation.by_type.items()]
    return (
        f"<h2>Scores</h2><p class=soft>Over {len(evaluation.items)} texts with gold, {evaluation.failed} of which have "
        "a conversation without an answer; intervals are 95 % bootstrap intervals over texts.</p>"
        f"<div class=scroll><table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _legend(present: Sequence[str], *, with_gold: bool) -> str:
    meaning = {
        "right": "as in gold",
        "part": "touches gold of its type",
        "wrong": "not in gold",
        "missed": "gold that was not found",
        "found": "found",
        "failed": "a conversation failed",
        "nothing": "nothing found",
    }
    boxes = "".join(
        f'<label><input type=checkbox value="{mark}" checked> <mark class={mark}>{meaning[mark]}</mark></label>'
        for mark in meaning
        if mark in present
    )
    return f"<p class='filters small'>{boxes}</p>"


def _text(passage: Passage, found: Extraction) -> tuple[list[str], str]:
    """The marks that a text has, and its lines."""
    if found.relations or passage.gold_relations is not None:
        return _relations(passage, found)
    gold = passage.gold
    if gold is None:
        kinds = ["found"] * len(found.spans)
        return kinds, _line("text", passage, [(span, kind) for span, kind in zip(found.spans, kinds)])
    exact = {span[:3] for span in gold}
    ours = {span[:3] for span in found.spans}
    marked = [
        (
            span,
            "right"
            if span[:3] in exact
            else "part"
            if any(other.type == span.type and overlap(other[:2], span[:2]) for other in gold)
            else "wrong",
        )
        for span in found.spans
    ]
    theirs = [
        (
            span,
            "right"
            if span[:3] in ours
            else "part"
            if any(other.type == span.type and overlap(other[:2], span[:2]) for other in found.spans)
            else "missed",
        )
        for span in gold
    ]
    kinds = [kind for _, kind in (*marked, *theirs)]
    return kinds, _line("gold", passage, theirs) + _line("found", passage, marked)


def _line(name: str, passage: Passage, marked: Sequence[tuple[Span, str]]) -> str:
    parts, at, text = [], 0, passage.text.text
    nested = []
    for span, kind in sorted(marked, key=lambda pair: (pair[0].start, -pair[0].end)):
        start, end = passage.text.characters(span.start, span.end)
        sure = "" if span.confidence != span.confidence else f" {span.confidence:.2f}"
        mark = f"<mark class={kind}>{_e(text[start:end])}<sub>{_e(span.type)}{sure}</sub></mark>"
        if start < at:
            nested.append(mark)
            continue
        parts.append(_e(text[at:start]) + mark)
        at = end
    more = f" <span class=soft>and</span> {' '.join(nested)}" if nested else ""
    return f"<div class=line><b>{name}</b>{''.join(parts)}{_e(text[at:])}{more}</div>"


def _relations(passage: Passage, found: Extraction) -> tuple[list[str], str]:
    def words(arguments: Arguments) -> str:
        texts = [passage.text.text[slice(*passage.text.characters(*places[0]))] for places in arguments]
        return " → ".join(_e(text) for text in texts)

    def same(a: Arguments, b: Arguments) -> bool:
        return len(a) == len(b) and all(set(x) & set(y) for x, y in zip(a, b))

    lines, kinds = [f"<div class=line><b>text</b>{_e(passage.text.text)}</div>"], []
    gold = passage.gold_relations
    for title, ours, theirs, bad in (
        ("gold", gold or {}, found.relations, "missed"),
        ("found", found.relations, gold, "wrong"),
    ):
        items = []
        for kind, group in ours.items():
            for one in group:
                if theirs is None:
                    mark = "found"
                else:
                    mark = "right" if any(same(one, other) for other in theirs.get(kind, ())) else bad
                kinds.append(mark)
                items.append(f"<li><mark class={mark}>{words(one)}<sub>{_e(kind)}</sub></mark></li>")
        if items:
            lines.append(f"<div class=line><b>{title}</b></div><ul>{''.join(items)}</ul>")
    return kinds, "".join(lines)


def _name(kind: str, labels: Mapping[str, str]) -> str:
    return {ALL: "all types", CONFLICT: "conflicts"}.get(kind) or labels.get(kind, kind)


def _statuses(found: Extraction, labels: Mapping[str, str]) -> str:
    bad = [
        f"{_e(_name(kind, labels))}: {_e(status)}"
        for kind, status in found.statuses.items()
        if status not in ("found", "nothing")
    ]
    return f"<p class=small>No answer. {'; '.join(bad)}</p>" if bad else ""


def _talks(conversations: Sequence[Conversation], labels: Mapping[str, str]) -> str:
    parts = []
    for one in conversations:
        name = _name(one.kind, labels) + (f", sample {one.sample + 1}" if one.sample else "")
        messages = "".join(
            f"<p class='small soft'>{_e(message['role'])}</p><pre>{_e(message['content'][:_LONGEST_MESSAGE])}</pre>"
            for message in one.messages
        )
        error = f"<p>{_e(one.error)}</p>" if one.error else ""
        parts.append(f"<details><summary>conversation: {_e(name)}</summary>{messages}{error}</details>")
    return "".join(parts)
