"""What a posterior is laid around, and what it gives: the two ends of every function in the table of posteriors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Int, PyTree

from jaxuq.language import FinetuneConfig, Instruction
from jaxuq.tuning.prompts import AnswerPrompts
from jaxuq.tuning.token_losses import TokenLoss

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

Drawn = tuple[PyTree, dict[str, float]]
"""Samples of the adapters with a leading axis, or `jaxuq.posterior.Draws`; and numbers that were chosen on the way."""


class Tuned(NamedTuple):
    """What a posterior is laid around.

    Attributes:
        model: with the adapters of the first member.
        members: tuned adapters; several only for an entry that needs `members`.
        examples: that they were tuned on.
        prompts: the same as questions with answers to choose from, for the likelihood.
        labels: their right answers.
        token_loss: with which they were tuned.
        config: how they were tuned.
        num_samples: samples that are asked for.
    """

    model: "LanguageModel"
    members: Sequence[PyTree]
    examples: Sequence[Instruction]
    prompts: AnswerPrompts
    labels: Int[np.ndarray, " questions"]
    token_loss: TokenLoss
    config: FinetuneConfig
    num_samples: int
