"""Which of several answers counts, by votes."""

from collections.abc import Callable, Mapping, Sequence
from operator import eq

import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.questions.answers import AnswerKind

ANSWER_KINDS: Mapping[str, AnswerKind] = {
    "text": "whole", "boxed": "expression", "number": "number", "choice": "choice",
}  # fmt: skip
"""What `--answer` may say, and how an answer is read then."""


@typed()
def vote(answers: Sequence[str], seed: int | Sequence[int] = 0, *, same: Callable[[str, str], bool] = eq) -> str:
    """The answer that most samples give; among equals one is drawn.

    Args:
        answers: of `jaxuq.questions.read_answer`; empty ones count only if there is no other.
        seed: of the draw.
        same: whether two answers count as one.

    Returns:
        The winner, as it was first written.

    Raises:
        ValueError: there are no answers.

    Example:
        >>> vote(["7", "8", "7", ""])
        '7'
        >>> from jaxuq.questions import equivalent_answers
        >>> vote(["8", "7", "7.0"], same=equivalent_answers)
        '7'

    References:
        X. Wang et al. Self-consistency improves chain of thought reasoning in language models. ICLR 2023.
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4.
    """
    if not answers:
        raise OptionError("there are no answers to vote over")
    counts: dict[str, int] = {}
    for answer in [answer for answer in answers if answer] or answers:
        known = next((other for other in counts if same(other, answer)), answer)
        counts[known] = counts.get(known, 0) + 1
    best = sorted(name for name, count in counts.items() if count == max(counts.values()))
    return best[int(np.random.default_rng(seed).choice(len(best)))]
