"""Conformal thresholds where new examples come from elsewhere: a score counts as often as its kind comes there."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import as_float, select, undefined_unless, weighted, widened
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.calibration._weights import relative_weights


@checked
@widened
def shifted_thresholds(
    scores: Float[Array, "n *tasks"],
    ratios: Float[Array, " n"],
    new_ratios: Float[Array, " m"],
    *,
    level: float,
    where: Bool[Array, "n *tasks"] | None = None,
) -> Float[Array, "m *tasks"]:
    r"""The conformal threshold of each new example under covariate shift.

    $$\hat q(x) = \inf\Big\{q : \sum_{i: s_i \le q} w_i \ge \text{level} \cdot \big(\textstyle\sum_i w_i + w(x)\big)
      \Big\},\qquad w \propto \frac{p_\text{new}}{p_\text{calibration}}$$

    Use it where inputs come from another distribution than those of calibration while labels follow inputs as before:
    molecules of other scaffolds, texts of another year. A new score is then at most $\hat q(x)$ with probability
    `level`, if the ratios are right up to a factor. Estimate them with `density_ratios`, and look at
    `effective_sample_size` and at the share of infinite thresholds before you believe the result: where the two
    distributions hardly overlap, most thresholds are infinite, and that is the honest answer. Clipping the ratios buys
    finite thresholds with the guarantee. Infinite ratios (a classifier that is certain) count alike, and finite ones
    beside them nothing. With equal ratios it is `conformal_threshold`.

    Args:
        scores: nonconformity of the calibration examples under their true labels; larger is stranger.
        ratios: w >= 0 of the calibration examples, in any unit.
        new_ratios: w >= 0 of the new examples, in the same unit.
        level: wanted coverage, in (0, 1).
        where: True where the label is known; None keeps all.

    Returns:
        A threshold for each new example; infinite where the calibration examples like it are too few, NaN where a score
        that counts is NaN or a ratio that counts is NaN or below zero. Holds two sorted copies of the scores.

    Raises:
        OptionError: `level` is out of range.
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> scores, ratios = jnp.array([0.1, 0.2, 0.3, 0.4, 0.5]), jnp.array([1.0, 1.0, 2.0, 1.0, 1.0])
        >>> [round(float(x), 1) for x in shifted_thresholds(scores, ratios, jnp.array([1.0, 2.0, 3.0]), level=0.7)]
        [0.4, 0.5, inf]

    References:
        R. J. Tibshirani, R. Foygel Barber, E. Candès, A. Ramdas, "Conformal Prediction Under Covariate Shift", NeurIPS
        2019, Corollary 1.
    """
    level = check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    tasks = scores.shape[1:]
    mass = jnp.broadcast_to(ratios.reshape(-1, *[1] * len(tasks)), scores.shape)
    mass, scores = select(mass, where), select(scores, where)
    valid = ~jnp.any(jnp.isnan(scores) | ~(mass >= 0), axis=0)

    def one(scores: Array, mass: Array) -> Array:
        mass, new = relative_weights(mass, new_ratios)
        scores = jnp.where(mass > 0, scores, jnp.inf)
        order = jnp.argsort(scores)
        reached = jnp.cumsum(mass[order])
        total = jnp.sum(mass)
        needed = level * (1 - 1e-6) * (total + new)  # a tie in exact arithmetic is no miss
        heights = jnp.concatenate([scores[order], jnp.full(1, jnp.inf, scores.dtype)])
        threshold = heights[jnp.searchsorted(reached, needed)]
        return undefined_unless(new_ratios >= 0, threshold)

    flat = (array.reshape(array.shape[0], int(np.prod(tasks))) for array in (scores, mass))
    found = jax.vmap(one, in_axes=1, out_axes=1)(*flat).reshape(new_ratios.shape[0], *tasks)
    return undefined_unless(jnp.broadcast_to(valid, found.shape), found)


@checked
@widened
def density_ratios(
    probabilities: Float[Array, "*batch"], *, num_calibration: int | Int[Array, ""], num_new: int | Int[Array, ""]
) -> Float[Array, "*batch"]:
    r"""How much more often an input comes among the new examples, from a classifier of where it comes from.

    $$w = \frac{n_\text{calibration}}{n_\text{new}} \cdot \frac{\pi}{1 - \pi}$$

    The classifier must not have seen the examples that it weighs (fit it on other folds): on its own training examples
    it tells the two apart better than it can, and the ratios are too extreme.

    Args:
        probabilities: $\pi$ in [0, 1], that the input is one of the new.
        num_calibration: examples of calibration that the classifier was fitted on.
        num_new: new examples that it was fitted on.

    Returns:
        Ratios >= 0; infinite at a probability of 1, NaN outside [0, 1].

    Raises:
        OptionError: a number of examples below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> density_ratios(jnp.array([0.2, 0.5, 0.8]), num_calibration=100, num_new=50).round(4).tolist()
        [0.5, 2.0, 8.0]

    References:
        S. Bickel, M. Brückner, T. Scheffer, "Discriminative Learning under Covariate Shift", JMLR 10, 2009, Eq. 5.
    """
    for name, count in (("num_calibration", num_calibration), ("num_new", num_new)):
        if not isinstance(count, jax.Array):
            check_count(name, count)
    odds = as_float(jnp.asarray(num_calibration), probabilities) / as_float(jnp.asarray(num_new), probabilities)
    certain = probabilities == 1
    ratios = odds * probabilities / jnp.where(certain, 1, 1 - probabilities)
    ratios = jnp.where(certain, jnp.inf, ratios)
    return undefined_unless((probabilities >= 0) & (probabilities <= 1), ratios)


@checked
def effective_sample_size(ratios: Float[Array, " n"], *, where: Bool[Array, " n"] | None = None) -> Float[Array, ""]:
    r"""How many equally weighted examples would tell as much: $(\sum_i w_i)^2 / \sum_i w_i^2$.

    Args:
        ratios: weights >= 0.
        where: True for the entries that count; None counts all.

    Returns:
        Between 1 and n; the number of infinite weights if there are some; NaN if no weight is above 0, or one is NaN or
        below 0.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> print(effective_sample_size(jnp.array([1.0, 1.0, 2.0, 1.0, 1.0])))
        4.5

    References:
        L. Kish, "Survey Sampling", Wiley, 1965, section 11.7.
    """
    _, ratios = weighted(where, None, ratios=ratios)
    positive = jnp.max(ratios, initial=0) > 0
    shares, _ = relative_weights(ratios, ratios)
    squares = jnp.sum(jnp.square(shares))
    size = jnp.square(jnp.sum(shares)) / jnp.where(positive, squares, 1)
    return undefined_unless(positive & jnp.all(ratios >= 0), size)
