"""Which questions to label next: the best of a pool by an acquisition, a batch at a time."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq.posterior import summarise
from jaxuq.tuning.kinds import ACQUISITIONS
from jaxuq.tuning.labelling.acquisition import base_tuned_gap, batch_bald, margin

_JOINT = 2**16  # joint answers of a block of batch-bald: eight questions of four options


def choose_questions(
    rng_key: Key[Array, ""],
    acquisition: str,
    log_probs: Float[Array | np.ndarray, "samples pool options"],
    count: int,
    *,
    where: Bool[np.ndarray, " pool"],
    base_entropy: Float[np.ndarray, " pool"] | None = None,
    round_number: int = 0,
) -> Int[np.ndarray, " chosen"]:
    r"""The questions of a pool whose labels would teach most.

    - `random`: by chance.
    - `entropy`: largest entropy of the averaged distribution.
    - `margin`: smallest lead of the likeliest answer.
    - `bald`: largest mutual information of answer and adapters; question by question, so that a batch may hold the same
      question several times over.
    - `batch-bald`: together. A batch is chosen in blocks small enough for their joint answers to be counted (eight of
      four options); a block knows nothing of the blocks before it, except that those are taken. The samples must be
      the same for all questions, which masks of dropout are not.
    - `gap`: entropy now and before tuning, of which the first counts for more from round to round,
      $\lambda_t = \min(1, 0.1\,(t + 1))$; see `base_tuned_gap`.

    Args:
        rng_key: for `random`.
        acquisition: one of these names.
        log_probs: of the answers under each sample, from `sample_answers`.
        count: how many; all that are left if there are fewer.
        where: questions that can be chosen.
        base_entropy: entropies before tuning, for `gap`.
        round_number: $t$, from 0, for `gap`.

    Returns:
        Numbers of questions, the best first; of equals the first in the pool.

    Raises:
        ValueError: an unknown name, or `gap` without `base_entropy`.

    Example:
        >>> import jax, numpy as np
        >>> log_probs = np.log(
        ...     np.array([[[0.9, 0.1], [0.6, 0.4], [0.85, 0.15]], [[0.2, 0.8], [0.5, 0.5], [0.25, 0.75]]])
        ... )
        >>> everything = np.ones(3, bool)
        >>> key = jax.random.key(0)
        >>> choose_questions(key, "bald", log_probs.astype(np.float32), 1, where=everything).tolist()
        [0]
        >>> choose_questions(key, "batch-bald", log_probs.astype(np.float32), 2, where=everything).tolist()
        [0, 2]

    References:
        D. Cohn, L. Atlas, R. Ladner, "Improving Generalization with Active Learning", Machine Learning 15, 1994 (the
        setting); each score where its function is.
    """
    if acquisition not in ACQUISITIONS:
        raise ValueError(f"the acquisition {acquisition!r} is unknown; choose among {', '.join(ACQUISITIONS)}")
    count = min(count, int(where.sum()))
    if acquisition == "random":
        return np.asarray(jax.random.permutation(rng_key, jnp.asarray(np.flatnonzero(where), jnp.int32)))[:count]
    log_probs = jnp.asarray(log_probs)
    if acquisition == "batch-bald":
        return _in_blocks(log_probs, count, where)
    if acquisition == "gap":
        if base_entropy is None:
            raise ValueError("gap needs the entropies before tuning (base_entropy)")
        scores = _gap(log_probs, jnp.asarray(base_entropy), jnp.float32(min(1.0, 0.1 * (round_number + 1))), where)
    else:
        scores = _scores(log_probs, acquisition)
    return np.argsort(np.where(where, -np.asarray(scores), np.inf), kind="stable")[:count].astype(np.int32)


@functools.partial(jax.jit, static_argnames="acquisition")
def _scores(log_probs: Array, acquisition: str) -> Array:
    forecast: Any = summarise(log_probs, "categorical")
    if acquisition == "margin":
        return -margin(jnp.exp(forecast.logits))
    return forecast.total if acquisition == "entropy" else forecast.epistemic


@jax.jit
def _gap(log_probs: Array, base_entropy: Array, weight: Array, where: Array) -> Array:
    return base_tuned_gap(summarise(log_probs, "categorical").total, base_entropy, weight, where=where)


_batch_bald = jax.jit(batch_bald, static_argnames="batch_size")


def _in_blocks(log_probs: Array, count: int, where: np.ndarray) -> np.ndarray:
    largest = max(1, int(math.log(_JOINT) / math.log(log_probs.shape[-1])))
    free, chosen = where.copy(), []
    while len(chosen) < count:
        block, _ = _batch_bald(log_probs, batch_size=min(largest, count - len(chosen)), where=jnp.asarray(free))
        chosen += np.asarray(block).tolist()
        free[chosen] = False
    return np.array(chosen, np.int32)
