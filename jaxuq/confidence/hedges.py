"""Hedges: how sure does an answer sound, and how often is one right that sounds so?"""

import bisect
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_number
from jaxuq.confidence._measure import measure
from jaxuq.confidence.asking import PHRASES

HEDGES: dict[str, float] = {
    **PHRASES, "certainly": 0.95, "definitely": 0.95, "almost certainly": 0.95, "very likely": 0.9,
    "without a doubt": 0.95, "i am sure": 0.9, "i'm sure": 0.9, "i am confident": 0.9, "i'm confident": 0.9,
    "i believe": 0.7, "i think": 0.65, "possibly": 0.4, "perhaps": 0.4, "maybe": 0.4, "might be": 0.4,
    "could be": 0.4, "may be": 0.4, "not certain": 0.3, "not sure": 0.3, "unsure": 0.3, "not confident": 0.3,
    "not likely": 0.2, "very unlikely": 0.05, "i guess": 0.35, "i doubt": 0.2, "i don't know": 0.05,
    "i do not know": 0.05, "no idea": 0.05,
}  # fmt: skip
"""Phrases and the confidence that they are taken for before any answer was graded.

Those of `parse_confidence` are medians of people's readings; the rest stand in their order beside them, and want to be
fitted with `fit_hedges`.
"""
_DENIED = re.compile(r"(?:\bnot|\bnever|n't|\bcannot|\bneither)(?:\s+(?!(?:but|and|or|so|though|yet)\b)\w+){0,3}\s+$")
_STOP = re.compile(r"[.!?]\s")


class Hedges(NamedTuple):
    """What answers sound like.

    Attributes:
        phrases: the phrase of each answer that its number is of; empty where it has none.
        values: their confidences; that of the empty phrase where there is one, else NaN.
        unhedged: share of the answers without a hedge. Print it: silence is not certainty.
    """

    phrases: list[str]
    values: list[float]
    unhedged: float


@typed()
def read_hedges(
    texts: Sequence[str], answers: Sequence[str] | None = None, *, lexicon: Mapping[str, float] = HEDGES
) -> Hedges:
    r"""The hedge of each answer, and the confidence that it stands for.

    The longest phrase counts, so that "probably not" is not "probably" and "not certain" not "certain"; a phrase that
    is denied without being a phrase of its own ("not definitely") is none. Of several, the one in the sentence of the
    final answer that is nearest to it counts; without an answer in the text, the least confident.

    An answer without a hedge has the number of the empty phrase `""`, which only `fit_hedges` gives, and else NaN.

    Args:
        texts: answers, as they were given.
        answers: the final answer within each; None: not known.
        lexicon: confidence of each phrase, in lower case.

    Returns:
        `Hedges`.

    Raises:
        ArrayError: not as many answers as texts.
        OptionError: a confidence outside [0, 1].

    Example:
        >>> read_hedges(["It is probably Paris.", "Probably not Rome.", "Paris."]).values
        [0.7, 0.25, nan]

    References:
        Tao et al. Can LLMs Express Uncertainty Like Human? arXiv 2509.24202, 2025.
        Tian et al. Just Ask for Calibration. EMNLP 2023.
    """
    if answers is not None and len(answers) != len(texts):
        raise ArrayError(f"there are {len(answers)} answers to {len(texts)} texts; give one to each")
    for phrase, value in lexicon.items():
        check_number(f"the confidence of {phrase!r}", value, 0.0, 1.0)
    known = sorted((phrase for phrase in lexicon if phrase), key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(phrase)}(?!\w)" for phrase in known) or r"(?!)")
    found = [
        _chosen(text, answers[place] if answers is not None else "", pattern, lexicon)
        for place, text in enumerate(texts)
    ]
    silent = sum(not phrase for phrase in found)
    values = [float(lexicon.get(phrase, float("nan"))) for phrase in found]
    return Hedges(found, values, silent / len(found) if found else float("nan"))


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("’", "'").split())


def _words_before(text: str, at: int) -> int:
    """Where the last four words before a place begin: all that `_DENIED` looks at, however long the text is."""
    for _ in range(5):
        at = max(text.rfind(" ", 0, at), 0)
    return at


def _chosen(text: str, answer: str, pattern: re.Pattern[str], lexicon: Mapping[str, float]) -> str:
    text, answer = _plain(text), _plain(answer)
    said = [(one.start(), one.end(), one[0]) for one in pattern.finditer(text)]
    said = [one for one in said if not _DENIED.search(text, _words_before(text, one[0]), one[0])]
    if not said:
        return ""
    begin = text.rfind(answer) if answer else -1
    if begin >= 0:
        end = begin + len(answer)
        stops = [one.start() for one in _STOP.finditer(text)]

        def parted(one: tuple[int, int, str]) -> bool:  # by the end of a sentence
            first = bisect.bisect_left(stops, min(end, one[1]))
            return first < len(stops) and stops[first] + 2 <= max(begin, one[0])

        near = [one for one in said if not parted(one)]
        if near:
            return min(near, key=lambda one: max(begin - one[1], one[0] - end))[2]
    return min(said, key=lambda one: lexicon[one[2]])[2]


@typed()
def fit_hedges(
    phrases: Sequence[str], correct: Sequence[bool | int | float], *, lexicon: Mapping[str, float] = HEDGES,
    strength: float = 10.0, monotone: bool = True,
) -> dict[str, float]:  # fmt: skip
    r"""What each phrase is worth from the mouth of one model: its accuracy, drawn towards the lexicon.

    $$m = \frac{s m_0 + r}{s + n}$$

    for a phrase of confidence $m_0$ that was said $n$ times, $r$ of them rightly. Saying nothing is a phrase too, whose
    $m_0$ is the share of all answers that are right.

    Args:
        phrases: of graded answers, see `read_hedges`; empty for those without.
        correct: whether each was right, 1 or 0.
        lexicon: $m_0$.
        strength: $s > 0$, how many answers the lexicon counts for.
        monotone: make the result as the lexicon orders its phrases (isotonic regression, weights $s + n$); that of
            saying nothing stays by itself.

    Returns:
        A lexicon, with a number for the empty phrase.

    Raises:
        ArrayError: not as many grades as phrases, or none at all; or a grade outside [0, 1].
        OptionError: an unknown phrase, or a strength that is not positive.

    Example:
        >>> said, right = ["probably"] * 20, [True] * 12 + [False] * 8
        >>> round(fit_hedges(said, right, monotone=False)["probably"], 4)
        0.6333

    References:
        Tao et al. Can LLMs Express Uncertainty Like Human? arXiv 2509.24202, 2025.
    """
    from scipy.optimize import isotonic_regression

    strength = check_number("strength", strength, 0.0, open_low=True)
    grades = np.asarray(correct, np.float64)
    if len(grades) != len(phrases) or not len(grades) or not ((grades >= 0) & (grades <= 1)).all():
        raise ArrayError(
            f"there are {len(grades)} grades of {len(phrases)} answers; give one in [0, 1] to each, one at least"
        )
    unknown = sorted({one for one in phrases if one and one not in lexicon})
    if unknown:
        raise OptionError(
            f"there is no phrase {unknown[0]!r} in the lexicon; add it with the confidence that it stands for"
        )
    priors = {**lexicon, "": float(grades.mean())}
    said: dict[str, list[float]] = {phrase: [] for phrase in priors}
    for phrase, grade in zip(phrases, grades.tolist()):
        said[phrase].append(grade)
    fitted = {one: (strength * priors[one] + sum(said[one])) / (strength + len(said[one])) for one in priors}
    if monotone:
        order = sorted((one for one in priors if one), key=lambda one: (priors[one], one))
        levels = sorted({priors[one] for one in order})
        of = {level: [one for one in order if priors[one] == level] for level in levels}
        weights = [sum(strength + len(said[one]) for one in of[level]) for level in levels]
        means = [sum(fitted[one] * (strength + len(said[one])) for one in of[level]) / weight
                 for level, weight in zip(levels, weights)]  # fmt: skip
        for level, value in zip(levels, isotonic_regression(means, weights=weights).x.tolist()):
            fitted |= {one: float(value) for one in of[level]}
    return fitted


ENTRIES = (
    measure("read_hedges", "Hedging",
            lambda seen: read_hedges([seen.text], [seen.answer_text or ""]).values[0],
            needs=("text",), bounded=True, group="asking", citation=("hedges",)),
)  # fmt: skip
"""Hedges as a measure of an answer, see `jaxuq.confidence.MEASURES`."""
