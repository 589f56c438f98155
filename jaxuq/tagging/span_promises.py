"""Promises that a user asks of a run: recall or precision of spans, what calibrates them, told in lines."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxuq._errors import OptionError
from jaxuq._options import check_number
from jaxuq.tagging.records import Span
from jaxuq.tagging.span_guarantees import Candidates, SpanThresholds, promise_precision, promise_recall

_SHOWN = 3  # decimals of a score


class SpanPromise(NamedTuple):
    r"""What is promised of the spans that are kept; see `promise_recall` and `promise_precision`.

    Attributes:
        kind: of which share.
        level: the share, in (0, 1).
        delta: of precision: the chance that the promise does not hold.

    Example:
        >>> SpanPromise("recall", 0.9).least_texts(), SpanPromise("precision", 0.9).least_texts()
        (9, 22)
    """

    kind: Literal["recall", "precision"]
    level: float
    delta: float = 0.1

    def least_texts(self) -> int:
        r"""How many calibration texts of a type a promise takes, even of a tagger that never errs.

        $\lceil \ell / (1 - \ell) \rceil$ of recall, $\lceil \log \delta / \log \ell \rceil$ of precision.
        """
        if self.kind == "recall":
            return math.ceil(self.level / (1.0 - self.level) - 1e-9)
        return math.ceil(math.log(self.delta) / math.log(self.level) - 1e-9)

    def thresholds(
        self, candidates: Sequence[Candidates], gold: Sequence[Iterable[Span]], types: Sequence[str]
    ) -> SpanThresholds:
        """From which score on a span of each type is kept."""
        if self.kind == "recall":
            return promise_recall(candidates, gold, level=self.level, types=types)
        return promise_precision(candidates, gold, level=self.level, delta=self.delta, types=types)

    def lines(self, thresholds: SpanThresholds) -> list[str]:
        """What a user is told: of each type the promise, or why there is none."""
        return [self._line(name, thresholds) for name in thresholds.lowest]

    def _line(self, name: str, thresholds: SpanThresholds) -> str:
        count, least = thresholds.texts[name], self.least_texts()
        what = "with spans of it" if self.kind == "recall" else "in which some are found"
        head, kept = f"{name}: {self.kind} {self.level:g}", "all" if self.kind == "recall" else "nothing"
        if thresholds.reached[name]:
            sure = "" if self.kind == "recall" else f", with a chance of {1 - self.delta:g}"
            return (
                f"{head} is kept from a score of {thresholds.lowest[name]:.{_SHOWN}f} on{sure} ({count} texts {what})"
            )
        if count < least:
            why = f"{count} texts {what} calibrate it, and it takes at least {least}"
        elif self.kind == "recall":
            why = f"in {count} texts {what} too many are not among what is found at all"
        else:
            why = f"in {count} texts {what} no score is high enough"
        return f"{head} is not promised: {why}; {kept} of what is found is kept"

    def record(self, thresholds: SpanThresholds) -> dict[str, Any]:
        """As plain data."""
        types = {
            name: {
                "promised": thresholds.reached[name],
                "texts": thresholds.texts[name],
                "lowest_score": lowest if math.isfinite(lowest) else None,
            }
            for name, lowest in thresholds.lowest.items()
        }
        delta = {} if self.kind == "recall" else {"delta": self.delta}
        return {"promise": self.kind, "level": self.level, **delta, "types": types}


def wanted_promise(recall: float | None, precision: float | None, delta: float) -> SpanPromise | None:
    """The promise that options ask for.

    Args:
        recall: of `--recall`, in (0, 1).
        precision: of `--precision`, in (0, 1).
        delta: of `--delta`, in (0, 1).

    Returns:
        None without both.

    Raises:
        OptionError: both are asked for, or a number is out of range.

    Example:
        >>> wanted_promise(0.9, None, 0.1)
        SpanPromise(kind='recall', level=0.9, delta=0.1)
    """
    if recall is not None and precision is not None:
        raise OptionError("--recall and --precision are two promises, each with its own threshold; ask for one of them")
    for name, value in (("--recall", recall), ("--precision", precision), ("--delta", delta)):
        if value is not None:
            check_number(name, value, 0.0, 1.0, open_low=True, open_high=True)
    if recall is not None:
        return SpanPromise("recall", recall, delta)
    return None if precision is None else SpanPromise("precision", precision, delta)


def calibrating_half(known: Sequence[bool], seed: int = 0) -> Bool[np.ndarray, " texts"]:
    """Half of the texts whose right spans are known, drawn by chance.

    Args:
        known: of each text whether its right spans are known.
        seed: of the draw.

    Returns:
        True for the texts that calibrate.

    Example:
        >>> int(calibrating_half([True, False, True, True]).sum())
        1
    """
    places = np.flatnonzero(np.asarray(known, bool))
    drawn = np.random.default_rng(seed).permutation(places)[: len(places) // 2]
    return np.isin(np.arange(len(known)), drawn)
