"""A title, a colour, a line and a marker for every method, the same in all figures of a report."""

import contextlib
import contextvars
import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple


class MethodStyle(NamedTuple):
    """How one method is drawn.

    Attributes:
        title: what it is called in tables and legends.
        colour: `#rrggbb`. Colours come from palettes made for colour-blind readers.
        line: a matplotlib dash pattern; families of methods share one: solid for sampled posteriors, dashed for
            calibration after training, dotted for other losses.
        marker: a matplotlib marker. No two known methods share both colour and marker, and none of one system a colour.
    """

    title: str
    colour: str
    line: str | tuple[int, tuple[float, ...]]
    marker: str


_DASHED, _DOTTED = (0, (5.0, 1.6)), (0, (1.4, 1.2))

_STYLES = {
    "laplace": MethodStyle("Laplace", "#56B4E9", "-", "X"),
    "base": MethodStyle("Before tuning", "#777777", _DOTTED, "o"),
    "plain": MethodStyle("Plain tuning", "#000000", "-", "D"),
    "ual": MethodStyle("UAL", "#D55E00", _DOTTED, "h"),
    "label-smoothing": MethodStyle("Label smoothing", "#E69F00", _DOTTED, "s"),
    "dropout": MethodStyle("Adapter dropout (BayesLoRA)", "#CC79A7", "-", "^"),
    "laplace-last": MethodStyle("Laplace, last block", "#44AA99", "-", "x"),
    "tfb": MethodStyle("TFB", "#882255", "-", "h"),
    "blob": MethodStyle("BLoB", "#AA4499", "-", "v"),
    "random": MethodStyle("Chosen by chance", "#777777", _DASHED, "H"),
    "entropy": MethodStyle("Entropy", "#0072B2", "-", "^"),
    "margin": MethodStyle("Margin", "#56B4E9", "-", "P"),
    "bald": MethodStyle("BALD", "#D55E00", "-", "D"),
    "batch-bald": MethodStyle("BatchBALD", "#009E73", "-", "*"),
    "gap": MethodStyle("Entropy, now and before (gap)", "#E69F00", "-", "v"),
    "answer": MethodStyle("Probability of the answer", "#777777", "-", "d"),
    "sure": MethodStyle("R-Tuning: sure or unsure", "#0072B2", "-", "8"),
    "sure-answer": MethodStyle("R-Tuning: probability of the answer", "#56B4E9", _DOTTED, "8"),
    "refuse": MethodStyle("R-Tuning: refusals", "#009E73", "-", "p"),
    "refuse-answer": MethodStyle("Refusals: probability of the answer", "#44AA99", _DOTTED, "p"),
    "true": MethodStyle("True or false (calibration tuning)", "#D55E00", "-", "*"),
    "known": MethodStyle("P(IK), before answering", "#CC79A7", "-", "p"),
    "stated": MethodStyle("Stated digit (ConfTuner)", "#882255", "-", "v"),
    "head": MethodStyle("Linear head", "#000000", _DASHED, "^"),
    "scheduled-smoothing": MethodStyle("Falling label smoothing", "#B8860B", _DOTTED, "h"),
}

_SPARE_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#555555")
_COLOUR = re.compile("#[0-9A-Fa-f]{6}")
_MARKERS = frozenset("osD^v<>PXdph8*Hx")
_SPARE_MARKERS = ("h", "p", "*", "d", "8")


_DECLARED: contextvars.ContextVar[Mapping[str, MethodStyle] | None] = contextvars.ContextVar("styles", default=None)
_LINES = {"solid": "-", "dashed": _DASHED, "dotted": _DOTTED}


@contextlib.contextmanager
def styles_of(*runs: Mapping[str, Any]) -> Iterator[None]:
    """While the block runs, methods look and are called as the entries of these runs say, whoever brought them.

    Args:
        runs: contents of `run.json`, whose `entries` are of `jaxuq.study.entry_record`.
    """
    found: dict[str, MethodStyle] = {}
    for run in runs:
        entries = run.get("entries")
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("title"), str):
                style = entry.get("style")
                style = style if isinstance(style, dict) else {}
                colour, line, marker = (str(style.get(key, "")) for key in ("colour", "line", "marker"))
                spare = method_style(name)
                found[name] = MethodStyle(
                    entry["title"], colour if _COLOUR.fullmatch(colour) else spare.colour,
                    _LINES.get(line, spare.line if not colour else "-"), marker if marker in _MARKERS else spare.marker,
                )  # fmt: skip
    token = _DECLARED.set(found)
    try:
        yield
    finally:
        _DECLARED.reset(token)


def method_style(method: str) -> MethodStyle:
    """How a method is drawn and called.

    A method that the table does not know keeps its own name and gets a look that depends on the name alone, so it is
    the same in every figure and report.

    Args:
        method: name as in `results.csv`, such as `"mc-dropout"`.

    Returns:
        `MethodStyle`.

    Example:
        >>> method_style("tfb").title, method_style("my-method").title
        ('TFB', 'my-method')
        >>> method_style("my-method") == method_style("my-method")
        True
    """
    declared = (_DECLARED.get() or {}).get(method)
    if declared is not None:
        return declared
    if method in _STYLES:
        return _STYLES[method]
    number = zlib.crc32(method.encode())
    marker = _SPARE_MARKERS[number // len(_SPARE_COLOURS) % len(_SPARE_MARKERS)]
    return MethodStyle(method, _SPARE_COLOURS[number % len(_SPARE_COLOURS)], (0, (6.0, 1.5, 1.5, 1.5)), marker)
