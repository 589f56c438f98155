"""Conformal prediction along time: a level that follows what was missed, and a bet that says when something changed."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, check_shapes, undefined_unless, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_number
from jaxuq._shapes import checked


class AdaptiveConformal(NamedTuple):
    """Two pure functions; the state is the miscoverage $\\alpha_t$ that is allowed now, one number a series.

    Attributes:
        init: `() -> Float[Array, ""]`, the level asked for; broadcast it for many series.
        update: `(state, covered) -> state`, after the label was seen.
    """

    init: Callable[[], Float[Array, ""]]
    update: Callable[[Float[Array, "*series"], Bool[Array, "*series"]], Float[Array, "*series"]]


def adaptive_conformal(level: float, *, step_size: float = 0.05) -> AdaptiveConformal:
    r"""A miscoverage that rises after a hit and falls after a miss, so that coverage holds over time whatever happens.

    $$\alpha_{t+1} = \alpha_t + \gamma\,(\alpha - \mathrm{err}_t)$$

    Use it where examples come one after another and their distribution drifts: no assumption is made, and
    $\left|\frac1T\sum_t \mathrm{err}_t - \alpha\right| \le (\max(\alpha, 1-\alpha) + \gamma) / (\gamma T)$ always. Take
    each interval or set at `adaptive_threshold(scores, state)` of all scores so far, or of a window.
    It says nothing about a single moment: after a jump it misses for about $1/\gamma$ steps.

    Args:
        level: $1 - \alpha$, the coverage over time, in (0, 1).
        step_size: $\gamma > 0$; larger follows faster and swings more.

    Returns:
        An `AdaptiveConformal`, for `jax.lax.scan`.

    Raises:
        OptionError: a number is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> method = adaptive_conformal(0.9)
        >>> state = method.init()
        >>> for covered in (False, True, True, False):
        ...     state = method.update(state, jnp.asarray(covered))
        ...     print(f"{state:.3f}", end=" ")
        0.055 0.060 0.065 0.020

    References:
        I. Gibbs, E. Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021, Eq. 2 and
        Proposition 4.1.
    """
    alpha = 1 - check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    rate = check_number("step_size", step_size, 0.0, open_low=True)

    def init() -> Float[Array, ""]:
        return jnp.asarray(alpha, jnp.result_type(float))

    def update(state: Float[Array, "*series"], covered: Bool[Array, "*series"]) -> Float[Array, "*series"]:
        check_shapes(miscoverage=state, covered=covered)
        state = as_float(state)
        return state + rate * (alpha - (~jnp.asarray(covered, bool)).astype(state.dtype))

    return AdaptiveConformal(init, update)


@checked
@widened
def adaptive_threshold(
    scores: Float[Array, " n"], miscoverage: Float[Array, ""], *, where: Bool[Array, " n"] | None = None
) -> Float[Array, ""]:
    r"""The conformal threshold at a level that is an array: the $\lceil (n+1)(1-\alpha_t) \rceil$-th smallest score.

    Args:
        scores: nonconformity of the past examples.
        miscoverage: $\alpha_t$, any number.
        where: True for the examples that count; None counts all.

    Returns:
        A score; infinite for $\alpha_t \le 0$ or too few examples, minus infinity (nothing is covered) for
        $\alpha_t \ge 1$, NaN where a score that counts is NaN.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = jnp.arange(1.0, 10.0)
        >>> [float(adaptive_threshold(scores, jnp.asarray(alpha))) for alpha in (-0.01, 0.1, 0.5, 1.0)]
        [inf, 9.0, 5.0, -inf]

    References:
        I. Gibbs, E. Candès, "Adaptive Conformal Inference Under Distribution Shift", NeurIPS 2021, section 2.
    """
    counts = jnp.ones_like(scores, bool) if where is None else where
    chosen = jnp.where(counts, scores, jnp.inf)
    count = jnp.sum(counts, dtype=jnp.int32)
    wanted = (count + 1).astype(scores.dtype) * (1 - miscoverage)
    rank = jnp.ceil(wanted * (1 - 1e-6)).astype(jnp.int32)  # a tie in exact arithmetic is no miss
    ordered = jnp.concatenate([jnp.full(1, -jnp.inf, scores.dtype), jnp.sort(chosen), jnp.full(1, jnp.inf)])
    found = jnp.where((rank > count) | (miscoverage <= 0), jnp.inf, ordered[jnp.clip(rank, 0, scores.shape[0] + 1)])
    valid = ~jnp.any(counts & jnp.isnan(scores)) & ~jnp.isnan(miscoverage)
    return undefined_unless(valid, found)


@checked
@widened
def exchangeability_wealth(
    p_values: Float[Array, " n"], *, jump: float = 0.01, where: Bool[Array, " n"] | None = None
) -> Float[Array, " n"]:
    r"""The logarithm of what a gambler has made by betting that examples are not exchangeable, after each of them.

    $$f_\epsilon(p) = 1 + \epsilon\,(p - \tfrac12),\qquad
      C^\epsilon_t = f_\epsilon(p_t)\Big[(1-J)\,C^\epsilon_{t-1} + \tfrac J3 \textstyle\sum_{\epsilon'}
      C^{\epsilon'}_{t-1}\Big],\qquad \epsilon \in \{-1, 0, 1\}$$

    The p-values are conformal (`p_values_along`: of each new score among those before it, ties broken at random), hence
    uniform and independent as long as the examples are exchangeable; then wealth is a martingale that starts at 1, and
    $P(\max_t \text{wealth} \ge c) \le 1/c$ (Ville). So wealth above 100 is evidence at one in a hundred that a
    conformal promise no longer holds, whenever you look. Feed it one p-value a time, or a whole series.

    Args:
        p_values: in [0, 1], in order of time.
        jump: $J$ in [0, 1], the part of the wealth that is spread again over the three bets at each step.
        where: True for the entries that count; the others change nothing.

    Returns:
        Natural logarithms of the wealth; NaN from a p-value outside [0, 1] on.

    Raises:
        OptionError: `jump` is out of range.
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> wealth = exchangeability_wealth(jnp.full(50, 0.02))  # every example is stranger than those before
        >>> bool(wealth[-1] > jnp.log(100.0))
        True

    References:
        V. Vovk, I. Petej, I. Nouretdinov, E. Ahlberg, L. Carlsson, A. Gammerman, "Retrain or Not Retrain: Conformal
        Test Martingales for Change-Point Detection", COPA 2021, Algorithm 1 (the Simple Jumper).
    """
    check_number("jump", jump, 0.0, 1.0)
    bets = jnp.asarray([-1.0, 0.0, 1.0], p_values.dtype)
    counts = jnp.ones_like(p_values, bool) if where is None else where
    p_values = jnp.where(counts, p_values, 0.5)
    p_values = undefined_unless((p_values >= 0) & (p_values <= 1), p_values)

    def step(shares_and_total: tuple[Array, Array], entry: tuple[Array, Array]):
        (shares, total), (p_value, used) = shares_and_total, entry
        spread = (1 - jump) * shares + jump / 3
        spread = spread * (1 + bets * (p_value - 0.5))
        gained = jnp.sum(spread)
        shares = jnp.where(used, spread / gained, shares)
        total = jnp.where(used, total + jnp.log(gained), total)
        return (shares, total), total

    start = vary_like((jnp.full(3, 1 / 3, p_values.dtype), jnp.zeros((), p_values.dtype)), p_values, counts)
    return jax.lax.scan(step, start, (p_values, counts))[1]
