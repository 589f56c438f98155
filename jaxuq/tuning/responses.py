"""What a model thinks of the responses that it is to learn: their mean log-probability and entropy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxuq._arguments import typed
from jaxuq.language import Instruction, make_batch, plan_batches, score_tokens

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class ResponseScores(NamedTuple):
    """Means over the response tokens of each example, nats.

    Attributes:
        log_probs: of the tokens; minus the logarithm of the response's perplexity.
        entropies: of the distributions that they were predicted from.
    """

    log_probs: Float[np.ndarray, " examples"]
    entropies: Float[np.ndarray, " examples"]


@typed()
def response_scores(model: "LanguageModel", examples: Sequence[Instruction], *, batch_size: int = 8) -> ResponseScores:
    """Score responses as they are.

    Args:
        model: before tuning.
        examples: to learn from.
        batch_size: texts in a pass.

    Returns:
        `ResponseScores`.
    """
    lengths = np.array([len(one.tokens) for one in examples], np.int32)
    found = ResponseScores(*(np.zeros(len(examples), np.float32) for _ in range(2)))
    if not len(lengths):
        return found
    longest = int(lengths.max())
    for plan in plan_batches(lengths, batch_size=batch_size, max_length=longest, seed=0, packed=False):
        batch = make_batch(examples, plan, batch_size=batch_size)
        scores = score_tokens(
            model.decoder, model.variables, jnp.asarray(batch.tokens), jnp.asarray(batch.positions),
            where=jnp.asarray(batch.where),
        )  # fmt: skip
        counts = np.maximum(batch.where.sum(1), 1)
        for values, sums in zip(found, (scores.log_probs, scores.entropies)):
            means = np.asarray(sums).sum(1) / counts
            for row, (number,) in enumerate(plan.rows):
                values[number] = means[row]
    return found
