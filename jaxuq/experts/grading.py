"""Whether an answer is the right one: exact match after reading the final answer, and votes over several."""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np

AnswerKind = Literal["text", "boxed", "number", "choice"]
ANSWER_KINDS: tuple[AnswerKind, ...] = ("text", "boxed", "number", "choice")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_CHOICE = re.compile(r"\(?\b([A-Z])\b\)?")


def final_answer(text: str, kind: AnswerKind = "text") -> str:
    r"""The part of a response that is compared, in one way of writing.

    Args:
        text: a response.
        kind: `text`: all of it, without case and spaces at will; `boxed`: what the last `\boxed{}` holds, without
            spaces; `number`: the last number, without thousands' commas and trailing zeros; `choice`: the last capital
            letter that stands alone.

    Returns:
        The answer; empty if there is none of this kind.

    Raises:
        ValueError: an unknown kind.

    Example:
        >>> final_answer("so \\boxed{\\frac{1}{2}}.", "boxed"), final_answer("It is 1,200.50 m", "number")
        ('\\frac{1}{2}', '1200.5')
        >>> final_answer("  Forty-Seven\n"), final_answer("The answer is (B).", "choice")
        ('forty-seven', 'B')
    """
    if kind == "text":
        return " ".join(text.split()).casefold()
    if kind == "boxed":
        return _boxed(text)
    if kind == "number":
        found = _NUMBER.findall(text)
        return _plain_number(found[-1]) if found else ""
    if kind == "choice":
        letters = _CHOICE.findall(text)
        return letters[-1] if letters else ""
    raise ValueError(f"kind is {kind!r}; expected one of {', '.join(ANSWER_KINDS)}")


def _boxed(text: str) -> str:
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return ""
    depth, at = 0, begin + len("\\boxed")
    for end in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if depth == 0:
            return "".join(text[at + 1 : end].split())
    return ""


def _plain_number(number: str) -> str:
    number = number.replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


def vote(answers: Sequence[str], seed: int | Sequence[int] = 0) -> str:
    """The answer that most samples give; among equals one is drawn.

    Args:
        answers: of `final_answer`; empty ones count only if there is no other.
        seed: of the draw.

    Returns:
        The winner.

    Raises:
        ValueError: there are no answers.

    Example:
        >>> vote(["7", "8", "7", ""])
        '7'

    References:
        X. Wang et al. Self-consistency improves chain of thought reasoning in language models. ICLR 2023.
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4.
    """
    if not answers:
        raise ValueError("there are no answers to vote over")
    counted = [answer for answer in answers if answer] or list(answers)
    names = sorted(set(counted))
    counts = np.array([counted.count(name) for name in names])
    best = np.flatnonzero(counts == counts.max())
    return names[int(np.random.default_rng(seed).choice(best))]
