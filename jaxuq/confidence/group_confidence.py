"""Group confidence (DeepConf): the weakest stretch of a reasoning trace, stopping at it, and votes weighted by it."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import counted, first_true, masked, select, undefined_unless, weighted_mean, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure
from jaxuq.confidence.cascade import log_probability_quantile

_WINDOW, _LIKELIEST = 2048, 20


@checked
@widened
def token_confidence(log_probs: Float[Array, "*batch likeliest"]) -> Float[Array, "*batch"]:
    r"""How peaked a distribution is: $C = -\frac1k \sum_{j \le k} \log p_{(j)}$ of its k likeliest tokens.

    Higher is more confident. The model's own distribution: temperature and top-p change it, and so do k and the
    vocabulary. A suppressed token (probability 0) among the likeliest is left out.

    Args:
        log_probs: of the likeliest tokens; the authors take 20.

    Returns:
        $C \ge 0$, nats; NaN if every token is suppressed.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(token_confidence(jnp.log(jnp.array([0.7, 0.2, 0.1])))), 4)
        1.4229

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    there = log_probs > -jnp.inf
    number = jnp.sum(there, axis=-1).astype(log_probs.dtype)
    total = jnp.sum(jnp.where(there, log_probs, 0.0), axis=-1)
    missing = jnp.any(jnp.isnan(log_probs), axis=-1)
    return jnp.where((number > 0) & ~missing, 0.0 - total / jnp.where(number > 0, number, 1.0), jnp.nan)


class Groups(NamedTuple):
    """The window that slides along an answer, to go on with when further tokens are there.

    Attributes:
        recent: confidences of the last tokens that counted, in no order.
        seen: how many tokens have counted.
    """

    recent: Float[Array, " window"]
    seen: Int[Array, ""]


def begin_groups(window: int = _WINDOW) -> Groups:
    """The window before the first token, for an answer that is still being generated.

    Args:
        window: tokens in a group.

    Returns:
        `Groups`, for `extend_groups`.

    Raises:
        ValueError: a window below 1.

    Example:
        >>> begin_groups(16).recent.shape
        (16,)
    """
    return Groups(jnp.zeros(check_count("window", window), jnp.float32), jnp.zeros((), jnp.int32))


@typed()
@checked
@widened
def extend_groups(
    groups: Groups, confidences: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> tuple[Groups, Float[Array, " tokens"]]:
    r"""Group confidences of the next tokens, $G_t = \frac1w \sum_{s = t-w+1}^t C_s$, in chunks of any size.

    Args:
        groups: so far, see `begin_groups`.
        confidences: of the next tokens, see `token_confidence`.
        where: True for the tokens that count; None counts all.

    Returns:
        `Groups` with these tokens; and the mean of the window that ends at each, NaN where masked and where the window
        is not full.

    Example:
        >>> import jax.numpy as jnp
        >>> state, first = extend_groups(begin_groups(2), jnp.array([1.0, 3.0]))
        >>> state, second = extend_groups(state, jnp.array([5.0]))
        >>> first.tolist(), second.tolist()
        ([nan, 2.0], [4.0])

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    valid, confidences = masked(where, confidences=confidences)
    window = groups.recent.shape[0]

    def step(state: Groups, token: tuple[Array, Array]) -> tuple[Groups, Array]:
        own, counts = token
        place = jnp.arange(window, dtype=jnp.int32) == state.seen % window
        recent = jnp.where(place & counts, own, state.recent)
        seen = state.seen + counts.astype(jnp.int32)
        return Groups(recent, seen), undefined_unless(counts & (seen >= window), jnp.sum(recent) / window)

    start = Groups(groups.recent.astype(confidences.dtype), groups.seen)
    return jax.lax.scan(step, vary_like(start, confidences, valid), (confidences, valid))


@checked
@widened
def group_confidence(
    confidences: Float[Array, " tokens"], *, window: int = _WINDOW, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, " tokens"]:
    r"""Mean confidence of the window that ends at each token, $G_t = \frac1w \sum_{s = t-w+1}^t C_s$.

    Args:
        confidences: of the tokens, see `token_confidence`.
        window: w; the authors take 2,048 for long reasoning, short answers want 16 to 32.
        where: True for the tokens that count; None counts all.

    Returns:
        NaN where masked and where the window is not full: an answer shorter than it has no group.

    Raises:
        ValueError: a window below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> group_confidence(jnp.array([1.0, 3.0, 5.0]), window=2).tolist()
        [nan, 2.0, 4.0]

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    return extend_groups(begin_groups(window), confidences, where=where)[1]


@checked
@widened
def trace_confidence(
    confidences: Float[Array, " tokens"],
    *,
    kind: Literal["mean", "tail", "lowest", "bottom"] = "lowest",
    window: int = _WINDOW,
    share: float = 0.1,
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""One number for a reasoning trace. Higher is more confident.

    | kind | with the groups $G_t$ of `group_confidence` |
    |---|---|
    | "mean" | mean of all tokens |
    | "tail" | the last group |
    | "lowest" | $\min_t G_t$, what stopping watches |
    | "bottom" | mean of the lowest `share` of the groups, one at least |

    A trace shorter than the window is one group of all its tokens.

    Args:
        confidences: of the tokens, see `token_confidence`.
        kind: see above.
        window: tokens in a group.
        share: of the groups, in (0, 1].
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar; NaN if no token counts.

    Raises:
        ValueError: an unknown kind, a window below 1, or a share outside (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> confidences = jnp.array([1.4, 3.1, 1.1, 1.3, 2.0])
        >>> round(float(trace_confidence(confidences, window=2)), 4)
        1.2

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    check_choice("kind", kind, ("mean", "tail", "lowest", "bottom"))
    share = check_number("share", share, 0.0, 1.0, open_low=True)
    valid, confidences = masked(where, confidences=confidences)
    mean = weighted_mean(confidences, valid)
    if kind == "mean":
        return mean
    groups = group_confidence(confidences, window=window, where=valid)
    full = ~jnp.isnan(groups)
    ordered = jnp.where(full, groups, jnp.inf)
    places = jnp.arange(full.shape[0])
    if kind == "tail":
        last = places == jnp.max(jnp.where(full, places, -1), initial=-1)
        found = jnp.sum(jnp.where(last, select(groups, full), 0.0))
    elif kind == "lowest":
        found = jnp.min(ordered, initial=jnp.inf)
    else:
        number = jnp.maximum(jnp.floor(share * jnp.sum(full).astype(mean.dtype) + 1e-4), 1.0)
        lowest = places.astype(mean.dtype) < number
        found = jnp.sum(jnp.where(lowest & (jnp.sort(ordered) < jnp.inf), jnp.sort(ordered), 0.0)) / number
    missing = jnp.any(jnp.isnan(select(confidences, valid)))
    return undefined_unless(~missing, jnp.where(jnp.any(full), found, mean))


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


def _likeliest(logits: Array, tokens: Array) -> Array:
    likeliest = jax.lax.top_k(logits, min(_LIKELIEST, logits.shape[-1]))[0]
    return token_confidence(likeliest - jax.nn.logsumexp(logits, axis=-1, keepdims=True))


ENTRIES = (
    measure("trace_confidence", "Mean trace confidence",
            lambda seen: trace_confidence(seen.values, kind="mean", where=seen.response),
            token=_likeliest, likeliest=token_confidence, citation=("group-confidence",)),
    measure("lowest_group_confidence", "Lowest group confidence",
            lambda seen: trace_confidence(seen.values, window=16, where=seen.response),
            token=_likeliest, likeliest=token_confidence, citation=("group-confidence",)),
)  # fmt: skip
"""Group confidences as measures of an answer, see `jaxuq.confidence.MEASURES`."""
