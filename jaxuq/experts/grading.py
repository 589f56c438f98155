"""Whether an answer is the right one, and votes over several."""

from collections.abc import Callable, Mapping, Sequence
from operator import eq
from typing import Literal

import numpy as np

from jaxuq.questions import equivalent_answers, find_answer

AnswerKind = Literal["response", "number", "expression", "choice", "text"]
ANSWER_KINDS: Mapping[str, AnswerKind] = {
    "text": "response", "boxed": "expression", "number": "number", "choice": "choice",
}  # fmt: skip
"""What `--answer` may say, and how an answer is read then."""


def final_answer(response: str, kind: AnswerKind = "response") -> str:
    r"""The part of a response that is compared.

    Args:
        response: what was written.
        kind: `response`: all of it; else as in `jaxuq.questions.find_answer`.

    Returns:
        The answer; empty if there is none of this kind.

    Example:
        >>> final_answer("so \\boxed{\\frac{1}{2}}.", "expression"), final_answer("The answer is (B).", "choice")
        ('\\frac{1}{2}', 'B')
        >>> final_answer("  Forty-Seven\n")
        'Forty-Seven'
    """
    if kind == "response":
        return " ".join(response.split())
    found = find_answer(response, kind)
    return "" if found is None else found.text


def same_answer(first: str, second: str, kind: AnswerKind = "response") -> bool:
    """Whether two answers are the same; one that is empty is the same as none.

    Args:
        first: of `final_answer`.
        second: another.
        kind: `response`: but for case; else as in `jaxuq.questions.equivalent_answers`.

    Returns:
        True if they are.

    Example:
        >>> same_answer("forty-seven", "Forty-Seven"), same_answer("1,200", "1200.0", "number")
        (True, True)
    """
    if kind == "response":
        return first != "" and first.casefold() == second.casefold()
    return equivalent_answers(first, second, kind)


def vote(answers: Sequence[str], seed: int | Sequence[int] = 0, *, same: Callable[[str, str], bool] = eq) -> str:
    """The answer that most samples give; among equals one is drawn.

    Args:
        answers: of `final_answer`; empty ones count only if there is no other.
        seed: of the draw.
        same: whether two answers count as one.

    Returns:
        The winner, as it was first written.

    Raises:
        ValueError: there are no answers.

    Example:
        >>> vote(["7", "8", "7", ""])
        '7'
        >>> vote(["8", "7", "7.0"], same=lambda a, b: same_answer(a, b, "number"))
        '7'

    References:
        X. Wang et al. Self-consistency improves chain of thought reasoning in language models. ICLR 2023.
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4.
    """
    if not answers:
        raise ValueError("there are no answers to vote over")
    counts: dict[str, int] = {}
    for answer in [answer for answer in answers if answer] or answers:
        known = next((other for other in counts if same(other, answer)), answer)
        counts[known] = counts.get(known, 0) + 1
    best = sorted(name for name, count in counts.items() if count == max(counts.values()))
    return best[int(np.random.default_rng(seed).choice(len(best)))]
