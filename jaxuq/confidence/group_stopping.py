"""Reasoning that stops where it is unsure, and votes weighted by confidence (DeepConf)."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, first_true, select, undefined_unless, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence.cascade import log_probability_quantile
from jaxuq.confidence.group_confidence import Groups, begin_groups, extend_groups, logits_confidence
from jaxuq.language import Halting


@checked
@widened
def stopping_threshold(
    lowest: Float[Array, " traces"], *, kept: float = 0.9, where: Bool[Array, " traces"] | None = None
) -> Float[Array, ""]:
    r"""The group confidence below which a trace is stopped: the $100 (1 - \eta)$-th percentile of a warm-up's lowest.

    Args:
        lowest: lowest group confidences of whole traces of the same question; the authors take 16.
        kept: $\eta$, the share of them that the threshold would let through: 0.9, or 0.1 to keep only the surest, which
            saves more and errs more.
        where: True for the traces that count; None counts all.

    Returns:
        A scalar; NaN if no trace counts.

    Raises:
        ValueError: `kept` outside [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(stopping_threshold(jnp.array([1.2, 1.5, 1.8, 2.4, 2.6]))), 4)
        1.32

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    return log_probability_quantile(lowest, quantile=1.0 - check_number("kept", kept, 0.0, 1.0), where=where)


@checked
def stopped_at(groups: Float[Array, " tokens"], threshold: Float[Array, ""] | float) -> Int[Array, ""]:
    """The token after which a trace is stopped: the first whose full window falls below the threshold.

    Args:
        groups: of `group_confidence`, NaN where there is none.
        threshold: of `stopping_threshold`.

    Returns:
        A place; the number of tokens if it is never stopped.

    Example:
        >>> import jax.numpy as jnp
        >>> int(stopped_at(jnp.array([jnp.nan, 2.0, 1.2, 1.8]), 1.5))
        2

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    return first_true(groups < threshold)


class Vote(NamedTuple):
    """What weighted traces answer.

    Attributes:
        cluster: number of the answer with the most weight; -1 if no trace has an answer.
        share: of the weight, which is its confidence; 0 if none has an answer. Stop sampling when it is high enough.
    """

    cluster: Int[Array, ""]
    share: Float[Array, ""]


@checked
@widened
def weighted_vote(
    clusters: Int[Array, " traces"],
    weights: Float[Array, " traces"],
    *,
    kept: float = 1.0,
    where: Bool[Array, " traces"] | None = None,
) -> Vote:
    r"""The answer with the most confidence behind it, $\arg\max_a V(a)$ with $V(a) = \sum_{k: a_k = a} C_k$.

    Equal confidences make it the majority. Confident majorities that are wrong gain by it: compare with
    `self_consistency` on graded questions.

    Args:
        clusters: 0, 1, ... of the traces' answers; -1 for a trace without one, which was stopped perhaps.
        weights: $C_k$ of `trace_confidence`, not negative.
        kept: $\eta$ in (0, 1], the share of the traces with an answer that vote, the surest, one at least.
        where: True for the traces that count; None counts all.

    Returns:
        `Vote`; of equal ones the lowest number. NaN if no trace counts.

    Raises:
        ValueError: `kept` outside (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> vote = weighted_vote(jnp.array([0, 0, 1, 1]), jnp.array([1.5, 1.2, 2.6, 2.4]))
        >>> int(vote.cluster), round(float(vote.share), 4)
        (1, 0.6494)

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    kept = check_number("kept", kept, 0.0, 1.0, open_low=True)
    valid = counted(where, clusters.shape)
    votes = valid & (clusters >= 0)
    weights = select(weights, votes)
    number = jnp.maximum(jnp.floor(kept * jnp.sum(votes).astype(weights.dtype) + 1e-4), 1.0)
    places = jnp.arange(clusters.shape[0])
    before = (weights[None] > weights[:, None]) | (
        (weights[None] == weights[:, None]) & (places[None] < places[:, None])
    )
    votes &= jnp.sum(before & votes[None], axis=1).astype(weights.dtype) < number
    same = (clusters[:, None] == clusters[None]) & votes[None] & votes[:, None]
    totals = jnp.where(votes, jnp.sum(jnp.where(same, weights[None], 0.0), axis=1), -jnp.inf)
    best = jnp.max(totals, initial=-jnp.inf)
    absent = jnp.iinfo(clusters.dtype).max
    winner = jnp.min(jnp.where(votes & (totals == best), clusters, absent), initial=absent)
    some = jnp.any(votes)
    whole = jnp.sum(select(weights, votes))
    share = jnp.where(some & (whole > 0), jnp.where(some, best, 0.0) / jnp.where(whole > 0, whole, 1.0), 0.0)
    missing = jnp.any(jnp.isnan(weights))
    return Vote(jnp.where(some, winner, -1), undefined_unless(jnp.any(valid) & ~missing, share))


@typed()
def group_halting(threshold: Float[Array, ""] | float, *, window: int = 2048) -> Halting:
    """The rule that ends an answer inside the compiled loop, after the first full window below a threshold.

    What `stopped_at` finds afterwards, found while the answer is made: give it to `jaxuq.language.generate`. Another
    threshold compiles nothing anew. An answer holds `window` numbers more.

    Args:
        threshold: of `stopping_threshold`; the confidence is that of the 20 likeliest tokens of the model's own
            distribution.
        window: tokens in a group.

    Returns:
        `Halting`.

    Raises:
        ValueError: a window below 1.

    Example:
        >>> rule = group_halting(1.32, window=16)
        >>> rule.state[0].recent.shape
        (16,)

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    return Halting(_after_token, (begin_groups(window), jnp.asarray(threshold, jnp.float32)))


def _after_token(
    state: tuple[Groups, Array], logits: Array, token: Array
) -> tuple[tuple[Groups, Array], Bool[Array, ""]]:
    groups, threshold = state
    groups, found = extend_groups(groups, logits_confidence(logits, token)[None].astype(jnp.float32))
    return (groups, threshold), found[0] < threshold  # a window that is not full is NaN, which is below nothing
