"""Group confidence (DeepConf): how sure a reasoning trace is in its weakest stretch."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arguments import typed
from jaxuq._arrays import masked, select, undefined_unless, weighted_mean, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure

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


def logits_confidence(logits: Array, tokens: Array) -> Array:
    """`token_confidence` of the 20 likeliest tokens, for what is called with logits and the chosen tokens."""
    del tokens
    likeliest = jax.lax.top_k(logits, min(_LIKELIEST, logits.shape[-1]))[0]
    return token_confidence(likeliest - jax.nn.logsumexp(logits, axis=-1, keepdims=True))


ENTRIES = (
    measure("trace_confidence", "Mean trace confidence",
            lambda seen: trace_confidence(seen.values, kind="mean", where=seen.response),
            token=logits_confidence, likeliest=token_confidence, citation=("group-confidence",)),
    measure("lowest_group_confidence", "Lowest group confidence",
            lambda seen: trace_confidence(seen.values, window=16, where=seen.response),
            token=logits_confidence, likeliest=token_confidence, citation=("group-confidence",)),
)  # fmt: skip
"""Group confidences as measures of an answer, see `jaxuq.confidence.MEASURES`."""
