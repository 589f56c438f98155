"""A title, a colour, a line and a marker for every method, the same in all figures and all reports."""

import zlib
from typing import NamedTuple


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
    "deterministic": MethodStyle("Deterministic", "#000000", "-", "o"),
    "ensemble": MethodStyle("Deep ensemble", "#0072B2", "-", "s"),
    "mc-dropout": MethodStyle("MC dropout", "#D55E00", "-", "^"),
    "swag": MethodStyle("SWAG", "#009E73", "-", "D"),
    "bbp": MethodStyle("Bayes by backprop", "#CC79A7", "-", "v"),
    "sgld": MethodStyle("SGLD", "#E69F00", "-", "P"),
    "laplace": MethodStyle("Laplace", "#56B4E9", "-", "X"),
    "temperature": MethodStyle("Temperature scaling", "#882255", _DASHED, "o"),
    "platt": MethodStyle("Platt scaling", "#117733", _DASHED, "s"),
    "isotonic": MethodStyle("Isotonic", "#332288", _DASHED, "^"),
    "isotonic-quantiles": MethodStyle("Isotonic quantiles", "#661100", _DASHED, "v"),
    "variance-scaling": MethodStyle("Variance scaling", "#AA4499", _DASHED, "D"),
    "focal": MethodStyle("Focal loss", "#999933", _DOTTED, "o"),
    "evidential": MethodStyle("Evidential", "#CC3311", _DOTTED, "s"),
    "psgld": MethodStyle("pSGLD", "#B8860B", "-", "<"),
    "sghmc": MethodStyle("SGHMC", "#44AA99", "-", ">"),
    "nuts": MethodStyle("NUTS", "#777777", "-", "p"),
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
    "majority-vote": MethodStyle("Majority vote", "#777777", "-", "s"),
    "snorkel": MethodStyle("Snorkel", "#E69F00", "-", "^"),
    "dawid-skene": MethodStyle("Dawid–Skene", "#CC79A7", "-", "<"),
    "hmm": MethodStyle("HMM", "#0072B2", "-", "D"),
    "chmm": MethodStyle("CHMM", "#009E73", "-", "o"),
    "sparse-chmm": MethodStyle("Sparse-CHMM", "#D55E00", "-", "P"),
    "connet": MethodStyle("ConNet", "#56B4E9", "-", "d"),
    "best-consensus": MethodStyle("Best consensus (gold access)", "#000000", _DOTTED, "s"),
    "chmm-fixed-emissions": MethodStyle("CHMM, true emissions (gold access)", "#117733", _DOTTED, "^"),
    "supervised": MethodStyle("Supervised tagger (gold access)", "#332288", _DOTTED, "D"),
}

_SPARE_COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377", "#555555")
_SPARE_MARKERS = ("h", "p", "*", "d", "8")


def method_style(method: str) -> MethodStyle:
    """How a method is drawn and called.

    A method that the table does not know keeps its own name and gets a look that depends on the name alone, so it is
    the same in every figure and report.

    Args:
        method: name as in `results.csv`, such as `"mc-dropout"`.

    Returns:
        `MethodStyle`.

    Example:
        >>> method_style("mc-dropout").title
        'MC dropout'
        >>> method_style("my-method") == method_style("my-method")
        True
    """
    if method in _STYLES:
        return _STYLES[method]
    number = zlib.crc32(method.encode())
    marker = _SPARE_MARKERS[number // len(_SPARE_COLOURS) % len(_SPARE_MARKERS)]
    return MethodStyle(method, _SPARE_COLOURS[number % len(_SPARE_COLOURS)], (0, (6.0, 1.5, 1.5, 1.5)), marker)
