"""Drawing an answer with its attention chain, step by step, as the dissertation's Figure 3.1 does."""

import html
from typing import TYPE_CHECKING

import numpy as np

from jaxuq._arguments import typed
from jaxuq.confidence.text.assess import Assessment, Link

if TYPE_CHECKING:
    import matplotlib.figure

_ANSWER, _CHAIN = "#D55E00", "#0072B2"
_STYLE = """
body { font: 16px/1.7 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; }
body { color: #1c2430; background: #fff; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.02rem; margin: 1.6rem 0 .3rem; }
.soft { color: #5b6675; font-size: .9rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.text { border: 1px solid #dfe3e8; border-radius: 6px; padding: .6rem .8rem; }
.text span { border-radius: 3px; padding: .08em 0; }
.answer { background: #fbe3d3; outline: 1.5px solid #D55E00; }
.before { background: #dcebfa; } .source { background: #dcebfa; outline: 1.5px solid #0072B2; }
.new { background: #0072B2; color: #fff; } .dropped { text-decoration: underline dotted #5b6675; }
table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #dfe3e8; text-align: left; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
"""


@typed()
def explain(assessment: Assessment) -> str:
    """A page that shows how an answer's chain was found: the response for every step, its new tokens highlighted.

    Args:
        assessment: from `uqac`.

    Returns:
        Self-contained HTML; all text of question and response is escaped.
    """
    found, chain = assessment.found, assessment.chain
    said = "no answer was found" if found is None else f"answer: {found.text}"
    sure = "–" if np.isnan(assessment.confidence) else f"{assessment.confidence:.3f}"
    parts = [
        f"<h1>{html.escape(assessment.question)}</h1>",
        f"<p>{html.escape(said)} &middot; confidence P̃ = <b>{sure}</b></p>",
        '<p class="soft">Orange: the answer. In every step attention is followed back from the framed tokens; dark '
        "blue tokens are those it finds. Point at a token for its numbers.</p>",
    ]
    steps = max((link.step for link in chain), default=0)
    if not steps:
        parts.append(f'<div class="text">{_drawn(assessment, 0)}</div><p>The chain is empty.</p>')
    for step in range(1, steps + 1):
        parts.append(f'<h2>Step {step}</h2><div class="text">{_drawn(assessment, step)}</div>')
        rows = "".join(
            f"<tr><td>{_shown(link.text)}</td><td class=n>{link.weight:.2f}</td>"
            f"<td>{_shown(_source(assessment, link))}</td><td class=n>{link.similarity:.2f}</td>"
            f"<td class=n>{link.probability:.3f}</td><td>{'kept' if link.kept else 'left out'}</td></tr>"
            for link in sorted(chain, key=lambda link: -link.weight)
            if link.step == step
        )
        parts.append(
            "<table><tr><th>found</th><th class=n>attention</th><th>mostly from</th><th class=n>similarity</th>"
            f"<th class=n>probability</th><th>filter</th></tr>{rows}</table>"
        )
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Attention chain</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _shown(text: str) -> str:
    return html.escape(text.strip() or repr(text))


def _source(assessment: Assessment, link: Link) -> str:
    return assessment.pieces[link.source] if 0 <= link.source < len(assessment.pieces) else "–"


def _drawn(assessment: Assessment, step: int) -> str:
    """The response in a step: spans of tokens."""
    by_token = {link.token: link for link in assessment.chain}
    sources = {link.token for link in assessment.chain if link.step == step - 1}
    spans = []
    for index, piece in enumerate(assessment.pieces):
        link = by_token.get(index)
        names, title = [], f"P = {np.exp(assessment.log_probs[index]):.3f}"
        if assessment.answer[index]:
            names.append("answer")
        if link is not None and link.step <= step:
            names.append("new" if link.step == step else "source" if index in sources else "before")
            names += [] if link.kept else ["dropped"]
            title += f"; step {link.step}, attention {link.weight:.2f}, similarity {link.similarity:.2f}"
        if piece:
            attributes = f' class="{" ".join(names)}"' if names else ""
            spans.append(f'<span{attributes} title="{title}">{html.escape(piece)}</span>')
    return "".join(spans)


@typed()
def explain_figure(assessment: Assessment) -> "matplotlib.figure.Figure":
    """The response on a line for every step, with arrows from the tokens that attend to those that they attend to.

    Args:
        assessment: from `uqac`.

    Returns:
        A matplotlib figure; long responses are cut to the eighty tokens that end with the answer.
    """
    from matplotlib.figure import Figure

    last = int(np.flatnonzero(assessment.answer)[-1]) if assessment.answer.any() else len(assessment.pieces) - 1
    first = max(0, last - 79)
    shown = range(first, last + 1)
    texts = [assessment.pieces[index].replace("\n", "⏎").strip().replace("$", r"\$") or "·" for index in shown]
    edges = np.concatenate([[0.0], np.cumsum([0.62 * len(text.replace("\\", "")) + 0.9 for text in texts])])
    centres = (edges[:-1] + edges[1:]) / 2
    steps = max((link.step for link in assessment.chain), default=0)
    figure = Figure(figsize=(max(6.0, min(16.0, 0.125 * edges[-1])), 1.1 + 0.85 * (steps + 1)), facecolor="white")
    axes = figure.subplots()
    by_token = {link.token: link for link in assessment.chain}
    for row in range(steps + 1):
        for at, (index, text) in enumerate(zip(shown, texts)):
            link = by_token.get(index)
            colour, weight = "#8a8a8a", "normal"
            if assessment.answer[index]:
                colour, weight = _ANSWER, "bold"
            elif link is not None and link.step <= row:
                colour, weight = _CHAIN, "bold" if link.step == row else "normal"
            axes.text(centres[at], -row, text, ha="center", va="center", color=colour, fontweight=weight, fontsize=9)
    for link in assessment.chain:
        if link.token < first or not first <= link.source <= last:
            continue
        arrow = {"arrowstyle": "-|>", "color": _CHAIN if link.kept else "#8a8a8a", "linewidth": 1.0,
                 "linestyle": "-" if link.kept else (0, (3, 2)), "shrinkA": 9, "shrinkB": 9}  # fmt: skip
        begin, end = (centres[link.source - first], 1.0 - link.step), (centres[link.token - first], -link.step)
        axes.annotate("", end, begin, arrowprops=arrow)
        axes.text((2 * end[0] + begin[0]) / 3, (2 * end[1] + begin[1]) / 3, f"{link.weight:.2f}", fontsize=7,
                  color="#5b6675", ha="center", va="center", backgroundcolor="white")  # fmt: skip
    for row in range(1, steps + 1):
        axes.text(-1.0, -row, f"step {row}", ha="right", va="center", fontsize=8, color="#5b6675")
    axes.set_xlim(-7, edges[-1] + 0.5)
    axes.set_ylim(-steps - 0.6, 0.6)
    axes.axis("off")
    answer = "no answer" if assessment.found is None else assessment.found.text
    axes.set_title(f"answer {answer}, P̃ = {assessment.confidence:.3f}".replace("$", r"\$"), fontsize=10, loc="left")
    return figure
