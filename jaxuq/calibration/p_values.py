"""Conformal p-values: how strange a new score is among those of calibration, or among those that came before it."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import counted, undefined_unless, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
@widened
def conformal_p_values(
    scores: Float[Array, "n *tasks"],
    new_scores: Float[Array, "m *tasks"],
    *,
    where: Bool[Array, "n *tasks"] | None = None,
    ties: float | Float[Array, "m *tasks"] = 1.0,
) -> Float[Array, "m *tasks"]:
    r"""The share of calibration scores that are at least as strange as a new one, which counts itself.

    $$p = \frac{\#\{i : s_i > s\} + \tau\,(\#\{i : s_i = s\} + 1)}{n + 1}$$

    If the new example is exchangeable with those of calibration, $P(p \le \alpha) \le \alpha$; with a uniform $\tau$
    of each new example p is uniform. A set of all labels with $p > \alpha$ is that of `conformal_classification` at
    level $1 - \alpha$, and p tells at which level a label leaves it.

    Use it for several labels that may hold at once: give each label as a task, its scores under "it holds", `where` it
    does hold, and predict those with $p > \alpha$: of the examples that a label holds for, at least $1 - \alpha$ are
    given it. The same with the rows of one class alone makes p-values by class.

    Args:
        scores: nonconformity of the calibration examples under their true labels; larger is stranger.
        new_scores: of the new examples, under the label in question.
        where: True for the entries that count; None counts all.
        ties: $\tau$ in [0, 1]; 1 is safe, numbers drawn uniformly make p-values exact.

    Returns:
        In (0, 1] with `ties` 1; `ties` where no calibration score counts; NaN where a score that counts, a new score or
        $\tau$ is NaN, or $\tau$ outside [0, 1].

    Raises:
        ArrayError: the shapes differ.
        OptionError: `ties` is a number out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = jnp.array([0.05, 0.1, 0.6, 0.7, 0.8])
        >>> print(*(f"{p:.4f}" for p in conformal_p_values(scores, jnp.array([0.65, 0.9, 0.05]))))
        0.5000 0.1667 1.0000

    References:
        V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer, 2005, section 2.2 (and
        4.5, by class).
    """
    kept = jnp.broadcast_to(counted(where, scores), scores.shape)
    known = ~jnp.any(kept & jnp.isnan(scores), axis=0)
    size = jnp.sum(kept, axis=0).astype(scores.dtype)
    share = _share(ties, new_scores)

    def one(pair: tuple[Array, Array]) -> Array:
        score, part = pair
        stranger = jnp.sum(kept & (scores > score[None]), axis=0).astype(scores.dtype)
        alike = jnp.sum(kept & (scores == score[None]), axis=0).astype(scores.dtype)
        return undefined_unless(known & ~jnp.isnan(score), (stranger + part * (alike + 1)) / (size + 1))

    return jax.lax.map(one, (jax.lax.stop_gradient(new_scores), share))


@checked
@widened
def p_values_along(
    scores: Float[Array, " n"],
    *,
    where: Bool[Array, " n"] | None = None,
    ties: float | Float[Array, " n"] = 0.5,
) -> Float[Array, " n"]:
    r"""Each score's p-value among those up to it: what `exchangeability_wealth` bets on.

    $$p_t = \frac{\#\{i \le t : s_i > s_t\} + \tau_t\,\#\{i \le t : s_i = s_t\}}{t}$$

    With uniform $\tau_t$ they are uniform and independent as long as the examples are exchangeable, the first ones
    included: put the scores of calibration before those of use, and drop their p-values. n comparisons a score.

    Args:
        scores: nonconformity under the true labels, in order of time.
        where: True for the entries that count; None counts all.
        ties: $\tau_t$ in [0, 1], drawn uniformly (`jax.random.uniform`) for a test; a constant loses its guarantee.

    Returns:
        In [0, 1]; NaN where an entry does not count, from a NaN score that counts on, and where $\tau_t$ is none.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `ties` is a number out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.calibration import exchangeability_wealth
        >>> print(*(f"{p:.3f}" for p in p_values_along(jnp.array([1.0, 2.0, 0.0, 2.0]))))
        0.500 0.250 0.833 0.250
        >>> keys = jax.random.split(jax.random.key(0))
        >>> scores = jnp.abs(jax.random.normal(keys[0], (300,))).at[200:].multiply(3.0)  # errors of a model; then drift
        >>> wealth = exchangeability_wealth(p_values_along(scores, ties=jax.random.uniform(keys[1], (300,))))
        >>> print(bool((wealth[:200] < jnp.log(100.0)).all()), bool(wealth[-1] > jnp.log(100.0)))
        True True

    References:
        V. Vovk, I. Nouretdinov, A. Gammerman, "Testing Exchangeability On-Line", ICML 2003, section 3.
    """
    kept = counted(where, scores)
    places = jnp.arange(scores.shape[0], dtype=jnp.int32)
    share = _share(ties, scores)

    def one(entry: tuple[Array, Array, Array, Array]) -> Array:
        score, part, place, counts = entry
        seen = kept & (places <= place)
        stranger = jnp.sum(seen & (scores > score)).astype(scores.dtype)
        alike = jnp.sum(seen & (scores == score)).astype(scores.dtype)
        size = jnp.maximum(jnp.sum(seen), 1).astype(scores.dtype)
        known = counts & ~jnp.any(seen & jnp.isnan(scores))
        return undefined_unless(known, (stranger + part * alike) / size)

    return jax.lax.map(one, (jax.lax.stop_gradient(scores), share, places, kept))


def _share(ties: float | Array, scores: Array) -> Array:
    given = check_number("ties", ties, 0.0, 1.0) if isinstance(ties, float | int) else ties
    share = jnp.broadcast_to(jnp.asarray(given, scores.dtype), scores.shape)
    return undefined_unless((share >= 0) & (share <= 1), share)
