"""Which questions to label next: the best of a pool by an acquisition, a batch at a time."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._arrays import check_shapes
from jaxuq._entries import Entries, Entry, entry_of
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.posterior import summarise
from jaxuq.tuning.labelling.acquisition import base_tuned_gap, batch_bald, margin

_JOINT = 2**16  # joint answers of a block of batch-bald: eight questions of four options


class Pool(NamedTuple):
    """Questions without labels, as an acquisition sees them.

    Attributes:
        rng_key: of this round.
        log_probs: of the answers under each sample.
        where: questions that can be chosen.
        base_entropy: of the answers before tuning; None: not known.
        round_number: from 0.
    """

    rng_key: Key[Array, ""]
    log_probs: Float[Array, "samples pool options"]
    where: Bool[np.ndarray, " pool"]
    base_entropy: Float[Array, " pool"] | None
    round_number: int


@typed()
def choose_questions(
    rng_key: Key[Array, ""],
    acquisition: str | Entry | Callable[[Pool], Any],
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
        acquisition: one of these names, an entry of the form of those in `ACQUISITIONS`, or a function of yours from a
            `Pool` to a score of each question, of which the highest are labelled.
        log_probs: of the answers under each sample, from `sample_answers`.
        count: how many; all that are left if there are fewer.
        where: questions that can be chosen.
        base_entropy: entropies before tuning, for `gap`.
        round_number: $t$, from 0, for `gap`.

    Returns:
        Numbers of questions, the best first; of equals the first in the pool. A question without a score (NaN), or
        whose log probabilities are NaN, is never chosen, so that there may be fewer.

    Raises:
        OptionError: an unknown name, `gap` without `base_entropy`, or another number of scores than of questions.

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
    entry = entry_of(ACQUISITIONS, acquisition)
    if "base entropy" in entry.needs and base_entropy is None:
        raise OptionError(f"{entry.name} needs the entropies before tuning (base_entropy)")
    base = None if base_entropy is None else jnp.asarray(base_entropy)
    log_probs, where = jnp.asarray(log_probs), np.asarray(where, bool)
    check_shapes(where=where, **{"log_probs[0, :, 0]": log_probs[0, :, 0] if log_probs.ndim == 3 else log_probs})
    where = where & ~np.asarray(jnp.isnan(log_probs).any((0, 2)))
    pool = Pool(rng_key, log_probs, where, base, round_number)
    count = min(check_count("count", count, 0), int(where.sum()))
    if "choose" in entry.functions:
        chosen = np.asarray(entry.functions["choose"](pool, count), np.int32)[:count]
        return chosen[chosen >= 0]
    scores = np.asarray(entry.functions["score"](pool), np.float64)
    if scores.shape != where.shape:
        raise OptionError(f"{entry.name} gives scores of shape {scores.shape} for {len(where)} questions")
    scored = where & ~np.isnan(scores)
    order = np.lexsort((-np.where(scored, scores, -np.inf), ~scored))
    return order[: min(count, int(scored.sum()))].astype(np.int32)


def _by_chance(pool: Pool, count: int) -> np.ndarray:
    return np.asarray(jax.random.permutation(pool.rng_key, jnp.asarray(np.flatnonzero(pool.where), jnp.int32)))[:count]


@jax.jit
def _forecast(log_probs: Array) -> Any:
    return summarise(log_probs, "categorical")


def _gap(pool: Pool) -> Array:
    base: Any = pool.base_entropy
    weight = jnp.float32(min(1.0, 0.1 * (pool.round_number + 1)))
    return base_tuned_gap(_forecast(pool.log_probs).total, base, weight, where=jnp.asarray(pool.where))


_batch_bald = jax.jit(batch_bald, static_argnames="batch_size")


def _in_blocks(pool: Pool, count: int) -> np.ndarray:
    largest = max(1, int(math.log(_JOINT) / math.log(pool.log_probs.shape[-1])))
    free, chosen = pool.where.copy(), []
    while len(chosen) < count:
        size = min(largest, count - len(chosen))
        block, _ = _batch_bald(pool.log_probs, batch_size=size, where=jnp.asarray(free))
        chosen += np.asarray(block).tolist()
        free[chosen] = False
    return np.array(chosen, np.int32)


ACQUISITIONS: Entries[Entry] = Entries(
    "acquisition",
    "jaxuq.acquisitions",
    {
        "random": Entry("random", "Chosen by chance", {"choose": _by_chance}),
        "entropy": Entry("entropy", "Entropy", {"score": lambda pool: _forecast(pool.log_probs).total}),
        "margin": Entry("margin", "Margin", {"score": lambda pool: -margin(jnp.exp(_forecast(pool.log_probs).logits))}),
        "bald": Entry("bald", "BALD", {"score": lambda pool: _forecast(pool.log_probs).epistemic}, needs=("samples",)),
        "batch-bald": Entry("batch-bald", "BatchBALD", {"choose": _in_blocks}, needs=("samples", "shared samples")),
        "gap": Entry("gap", "Entropy, now and before (gap)", {"score": _gap}, needs=("base entropy",)),
    },
    role="score",
)
"""Acquisitions by name. The functions of an entry hold `score(Pool)`, or `choose(Pool, count)`, which gives numbers of
questions. It may need `samples` (two of a posterior or more), `shared samples` (the same for all questions), or `base
entropy` (before tuning). Put yours in, or declare an entry point of the group."""
