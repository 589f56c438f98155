"""The one quantile behind every split-conformal method, on plain arrays of scores."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxuq.calibration._forecasts import known


def conformal_threshold(
    scores: Float[Array, "n *tasks"],
    *,
    level: float,
    where: Bool[Array, "n *tasks"] | None = None,
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
        groups: group number of each example in [0, num_groups); None puts all in one.
        num_groups: how many groups; 1 without `groups`.

    Returns:
        Thresholds, groups on the leading axis (of length 1 without groups). One sorted copy of the scores is held.

    Raises:
        ValueError: if `level` is out of range, or if `groups` and `num_groups` do not go together.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = jnp.arange(9.0)[:, None]
        >>> [conformal_threshold(scores, level=level).tolist() for level in (0.5, 0.9, 0.91)]
        [[[4.0]], [[8.0]], [[inf]]]

    References:
        V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", Springer, 2005 (Mondrian: section
        4.5).
        J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, "Distribution-Free Predictive Inference for
        Regression", JASA 113, 2018, Theorem 2.2.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected the wanted coverage, a number in (0, 1) such as 0.9")
    if num_groups < 1 or (groups is None) != (num_groups == 1):
        given = "none" if groups is None else "given"
        raise ValueError(f"num_groups is {num_groups} and groups are {given}; give both (num_groups >= 2) or neither")
    n = scores.shape[0]
    ranks = jnp.asarray(np.ceil(np.round((np.arange(n + 1) + 1) * level, 9)).astype(np.int32))
    valid = known(where, scores.shape)

    def one_group(group):
        member = valid
        if groups is not None:
            member = valid & (groups == group).reshape((n,) + (1,) * (scores.ndim - 1))
        ordered = jnp.sort(jnp.where(member, scores, jnp.inf), axis=0)
        count = jnp.sum(member, axis=0)
        rank = ranks[count]
        chosen = jnp.take_along_axis(ordered, jnp.clip(rank - 1, 0, n - 1)[None], axis=0)[0]
        return jnp.where(rank <= count, chosen, jnp.inf)

    return jax.lax.map(one_group, jnp.arange(num_groups))


def threshold_of_each(
    thresholds: Float[Array, "groups *tasks"], groups: Int[Array, " n"] | None
) -> Float[Array, "n *tasks"] | Float[Array, "1 *tasks"]:
    """Each example's threshold; infinite for a group that calibration did not know."""
    if (groups is None) != (thresholds.shape[0] == 1):
        given = "none" if groups is None else "given"
        raise ValueError(f"fitted with {thresholds.shape[0]} group(s), but groups are {given}; give them to both calls")
    if groups is None:
        return thresholds
    outside = (groups < 0) | (groups >= thresholds.shape[0])
    chosen = thresholds[jnp.where(outside, 0, groups)]
    return jnp.where(outside.reshape((-1,) + (1,) * (thresholds.ndim - 1)), jnp.inf, chosen)
