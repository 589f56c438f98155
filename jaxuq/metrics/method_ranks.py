"""Ranks of methods over data sets: the summary of a benchmark."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, counted, no_nan, select, undefined_unless, weighted_mean
from jaxuq._shapes import checked
from jaxuq.metrics._ties import middle_ranks


@checked
def rank_methods(
    scores: Float[Array, "methods datasets"],
    *,
    higher_is_better: bool | Bool[Array, " datasets"],
    where: Bool[Array, "methods datasets"] | None = None,
) -> Float[Array, "methods datasets"]:
    r"""Rank the methods on each data set, 1 for the best.

    $$r_{md} = 1 + |\{m' : m' \text{ better than } m\}| + \tfrac12 |\{m' \ne m : m' \text{ equal to } m\}|$$

    Tied methods share their mean rank. Use it before `mean_rank` or `mean_reciprocal_rank`, to compare over data sets
    whose scores have different scales. Ranks depend on which methods take part: a missing one (masked) is not ranked,
    and the others are ranked among themselves.

    Args:
        scores: one metric of every method on every data set.
        higher_is_better: True for such as accuracy, False for errors; or one per data set.
        where: True for the scores that exist; None means all.

    Returns:
        Ranks of shape [methods, datasets], from 1 to the number of methods; NaN where masked, and over the whole data
        set if a score that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> error = jnp.array([[0.3, 0.2], [0.1, 0.2], [0.2, 0.9]])
        >>> print(rank_methods(error, higher_is_better=False))
        [[3. 1.5]
         [1. 1.5]
         [2. 3. ]]

    References:
        Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006 (section 3.2.2).
    """
    valid = counted(where, scores)
    scores = select(as_float(scores), valid)
    higher = jnp.broadcast_to(jnp.asarray(higher_is_better), scores.shape[1:])

    def of_data_set(column, kept, descending):
        ranks = middle_ranks(jnp.where(descending, -column, column), kept.astype(column.dtype)) + 0.5
        return undefined_unless(kept & no_nan(column), ranks)

    return jax.vmap(of_data_set, in_axes=(1, 1, 0), out_axes=1)(scores, valid, higher)


@checked
def mean_rank(
    ranks: Float[Array, "methods datasets"], *, where: Bool[Array, "methods datasets"] | None = None
) -> Float[Array, " methods"]:
    r"""Mean rank of each method over the data sets it was ranked on.

    $$\bar r_m = \frac{1}{|D_m|} \sum_{d \in D_m} r_{md}$$

    Smaller is better. Every place counts alike; `mean_reciprocal_rank` counts the top places most.

    Args:
        ranks: what `rank_methods` gives; NaN marks a missing rank.
        where: True for the ranks that count; None counts all that are not NaN.

    Returns:
        Mean ranks of shape [methods]; NaN for a method without any rank.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(mean_rank(jnp.array([[3.0, 1.5], [1.0, 1.5], [2.0, jnp.nan]])))
        [2.25 1.25 2. ]

    References:
        Demšar, Statistical Comparisons of Classifiers over Multiple Data Sets, JMLR 7, 2006 (section 3.2.2).
    """
    valid = counted(where, ranks) & ~jnp.isnan(ranks)
    return jax.vmap(weighted_mean)(select(as_float(ranks), valid, 1), valid)


@checked
def mean_reciprocal_rank(
    ranks: Float[Array, "methods datasets"], *, where: Bool[Array, "methods datasets"] | None = None
) -> Float[Array, " methods"]:
    r"""Mean reciprocal rank (MRR) of each method over the data sets it was ranked on.

    $$\mathrm{MRR}_m = \frac{1}{|D_m|} \sum_{d \in D_m} \frac{1}{r_{md}}$$

    Larger is better, 1 for a method that is always first. It rewards being first now and then over being always second;
    `mean_rank` does the reverse.

    Args:
        ranks: what `rank_methods` gives; NaN marks a missing rank.
        where: True for the ranks that count; None counts all that are not NaN.

    Returns:
        Values in (0, 1] of shape [methods]; NaN for a method without any rank.

    Raises:
        ArrayError: the shapes differ, or there are further axes.

    Example:
        >>> import jax.numpy as jnp
        >>> print(mean_reciprocal_rank(jnp.array([[1.0, 2.0], [2.0, 1.0], [4.0, jnp.nan]])))
        [0.75 0.75 0.25]

    References:
        Voorhees, The TREC-8 Question Answering Track Report, TREC, 1999.
    """
    valid = counted(where, ranks) & ~jnp.isnan(ranks)
    return jax.vmap(weighted_mean)(1.0 / select(as_float(ranks), valid, 1), valid)
