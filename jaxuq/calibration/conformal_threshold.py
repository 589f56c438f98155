"""The one quantile behind every split-conformal method, on plain arrays of scores."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

from jaxuq._arrays import as_float, counted, select, undefined_unless
from jaxuq._errors import OptionError
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.calibration._weights import relative_weights


@checked
def conformal_threshold(
    scores: Float[Array, "n *tasks"],
    *,
    level: float,
    where: Bool[Array, "n *tasks"] | None = None,
    weights: Real[Array, "n *tasks"] | None = None,
    groups: Int[Array, " n"] | None = None,
    num_groups: int = 1,
) -> Float[Array, "groups *tasks"]:
    r"""The score that a new exchangeable example stays below with probability `level`, with finite-sample correction.

    $$\hat q = s_{(k)},\qquad k = \lceil (n + 1) \cdot \text{level} \rceil$$

    the k-th smallest of the n calibration scores; infinity if k > n, when so few scores cannot support so high a level
    (fewer than level / (1 - level)). A new score is then <= q with probability k / (n + 1) for continuous scores, in
    [level, level + 1 / (n + 1)), whatever the model, on average over calibration sets. It is not `jnp.quantile(scores,
    level)`, which covers less. k is computed in integers on the host, so `level=0.9` with n = 9 is k = 9, not 10.

    Use it with scores of your own; `conformal_regression` and `conformal_classification` use it with theirs.
    Group-conditional (Mondrian) thresholds take the scores of one group each, and then coverage holds in every group.

    Args:
        scores: nonconformity of the calibration examples under their true labels; larger is stranger.
        level: wanted coverage, in (0, 1).
        where: True where the label is known; None keeps all.
        weights: >= 0 of each example, in units of the new example's weight: the threshold is then the smallest score
            with $\sum_{s_i \le q} w_i \ge \text{level} \cdot (\sum_i w_i + 1)$. Infinite ones count alike, and the rest
            beside them nothing. None weighs all as much as the new one.
        groups: group number of each example in [0, num_groups); None puts all in one.
        num_groups: how many groups; 1 without `groups`.

    Returns:
        Thresholds, groups on the leading axis (of length 1 without groups); NaN where a score that counts is NaN, or
        its weight is NaN or below zero. One sorted copy of the scores is held.

    Raises:
        OptionError: if `level` is out of range, or if `groups` and `num_groups` do not go together.
        ArrayError: if the shapes of scores, mask, weights and groups differ.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = jnp.arange(9.0)[:, None]
        >>> [conformal_threshold(scores, level=level).tolist() for level in (0.5, 0.9, 0.91)]
        [[[4.0]], [[8.0]], [[inf]]]

    References:
        R. J. Tibshirani, R. Foygel Barber, E. Candès, A. Ramdas, "Conformal Prediction Under Covariate Shift", NeurIPS
        2019, Corollary 1 (weights).
        V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer, 2005 (Mondrian: section
        4.5).
        J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-Free Predictive Inference for
        Regression", JASA 113, 2018, Theorem 2.2.
    """
    level = check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    if num_groups < 1 or (groups is None) != (num_groups == 1):
        given = "none" if groups is None else "given"
        raise OptionError(f"num_groups is {num_groups} and groups are {given}; give both (num_groups >= 2) or neither")
    scores, n = as_float(scores), scores.shape[0]
    mass = None if weights is None else select(as_float(weights), where)
    valid = counted(where, scores) if mass is None else mass != 0

    def one_group(group):
        member = valid
        if groups is not None:
            member = valid & (groups == group).reshape((n,) + (1,) * (scores.ndim - 1))
        chosen = jnp.where(member, scores, jnp.inf)
        if mass is None:
            threshold = _ranked(chosen, jnp.sum(member, axis=0), level)
        else:
            threshold = _weighted(chosen, jnp.where(member, mass, 0), level)
        unknown = jnp.isnan(scores) if mass is None else jnp.isnan(scores) | ~(mass >= 0)
        return undefined_unless(~jnp.any(member & unknown, axis=0), threshold)

    return one_group(0)[None] if groups is None else jax.lax.map(one_group, jnp.arange(num_groups))


def _ranked(scores, count, level):
    """The score of rank ceil((count + 1) level), of scores that are infinite where they do not count."""
    n = scores.shape[0]
    rows = (n,) + (1,) * (scores.ndim - 1)
    ranks = np.ceil(np.round((np.arange(n + 1) + 1) * level, 9)).astype(np.int32)
    of_count = jnp.arange(n + 1).reshape(n + 1, *rows[1:]) == count[None]  # no look-up: explicit meshes have none
    rank = jnp.sum(jnp.where(of_count, jnp.asarray(ranks).reshape(n + 1, *rows[1:]), 0), axis=0)
    ordered = jnp.sort(scores, axis=0)
    taken = jnp.arange(1, n + 1).reshape(rows) == jnp.clip(rank, 1, max(n, 1))[None]
    return jnp.where(rank <= count, jnp.sum(jnp.where(taken, ordered, 0), axis=0, dtype=scores.dtype), jnp.inf)


def _weighted(scores, mass, level):
    """The smallest score at or below which lies the share `level` of the mass, the new example's 1 included."""
    mass, new = relative_weights(mass, jnp.ones(mass.shape[1:], mass.dtype))
    order = jnp.argsort(scores, axis=0)
    ordered, masses = (jnp.take_along_axis(array, order, axis=0) for array in (scores, mass))
    needed = (jnp.sum(mass, axis=0) + new) * (level * (1 - 1e-6))  # a tie in exact arithmetic is no miss
    enough = jnp.cumsum(masses, axis=0) >= needed[None]
    return jnp.min(jnp.where(enough, ordered, jnp.inf), axis=0, initial=jnp.inf)


def threshold_of_each(
    thresholds: Float[Array, "groups *tasks"], groups: Int[Array, " n"] | None
) -> Float[Array, "n *tasks"] | Float[Array, "1 *tasks"]:
    """Each example's threshold; infinite for a group that calibration did not know."""
    if (groups is None) != (thresholds.shape[0] == 1):
        given = "none" if groups is None else "given"
        raise OptionError(
            f"fitted with {thresholds.shape[0]} group(s), but groups are {given}; give them to both calls"
        )
    if groups is None:
        return thresholds
    numbers = jnp.arange(thresholds.shape[0])
    mine = groups[:, None] == numbers[None].astype(groups.dtype)
    mine = mine.reshape(mine.shape + (1,) * (thresholds.ndim - 1))
    chosen = jnp.max(jnp.where(mine, thresholds[None], -jnp.inf), axis=1)
    return jnp.where(jnp.any(mine, axis=1), chosen, jnp.inf)
