"""Grouping loss: what a calibrated confidence still hides, for examples of one confidence and different chances."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, within_classes, within_unit
from jaxuq._options import check_count
from jaxuq._shapes import checked


@checked
def grouping_loss(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    regions: Integer[Array, " n"],
    *,
    num_regions: int,
    bins: int = 15,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""How far regions of inputs differ in accuracy where their confidence is the same, estimated without bias.

    $$\sum_b \frac{n_b}{N} \left[\sum_r \frac{n_{br}}{n_b} (\bar a_{br} - \bar a_b)^2
      - \sum_r \frac{n_{br}}{n_b} \frac{\bar a_{br} (1 - \bar a_{br})}{n_{br} - 1}
      + \frac{\bar a_b (1 - \bar a_b)}{n_b - 1}\right]$$

    The Brier score is calibration loss, grouping loss and what nobody can predict; calibration errors see the first
    alone, and no function of the confidence can mend the second. A bound from below: finer regions explain more. Take
    regions from other data than these (leaves of a tree on features, clusters, scaffolds). Bins that are wide add what
    confidence itself explains within them. Entries that are alone in their bin and region are left out. Weights of 1
    and more repeat an entry ($n_{br}$ is then their sum); of smaller ones only the proportions matter: for them
    $1 / n_{br}$ in the corrections is $\sum w^2 / (\sum w)^2$.

    Args:
        confidence: stated probabilities, in [0, 1].
        correct: what happened: 0 or 1 (or booleans).
        regions: of each entry, numbered from 0.
        num_regions: how many.
        bins: of equal width.
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar, below 0 by chance where there is no grouping loss; NaN if no entry counts, one that counts is NaN, or
        its region is none.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: a number is out of range.

    Example:
        >>> import jax.numpy as jnp
        >>> correct, regions = jnp.array([1, 1, 1, 1, 0, 0, 0, 0]), jnp.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> print(grouping_loss(jnp.full(8, 0.5), correct, regions, num_regions=2).round(4))  # 1/4 + 1/4 / 7
        0.2857

    References:
        A. Perez-Lebel, M. Le Morvan, G. Varoquaux, "Beyond Calibration: Estimating the Grouping Loss of Modern Neural
        Networks", ICLR 2023, section 4.
    """
    check_count("num_regions", num_regions)
    check_count("bins", bins)
    factors, confidence, correct = weighted(where, weights, confidence=confidence, correct=correct)
    kept = factors != 0
    largest = jnp.max(factors, initial=0)
    share = factors / jnp.where(largest > 0, jnp.minimum(largest, 1), 1)
    known = ~jnp.any(kept & ~within_classes(regions, num_regions))
    place = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1) * num_regions
    place = place + jnp.where(within_classes(regions, num_regions), regions, 0).astype(jnp.int32)

    def total(values: Array) -> Array:
        summed = jax.ops.segment_sum(values, place, num_segments=bins * num_regions)
        return summed.reshape(bins, num_regions)

    own = share * jnp.minimum(share, 1)  # an entry with itself, which is no pair
    parts = [total(values) for values in (share, share * correct, own, own * jnp.square(correct))]
    several = parts[2] < jnp.square(parts[0])
    parts = [jnp.where(several, part, 0) for part in parts]

    def squared(counts: Array, right: Array, own: Array, own_right: Array) -> Array:
        """The squared chance, without bias: the mean product over pairs of different entries."""
        size = jnp.where(counts > 0, counts, 1)
        return (jnp.square(right / size) - own_right / size / size) / (1 - own / size / size)

    whole = [jnp.sum(part, axis=1) for part in parts]
    of_bins = whole[0]
    loss = jnp.sum(parts[0] * squared(*parts)) - jnp.sum(of_bins * squared(*whole))
    size = jnp.sum(of_bins)
    defined = (size > 0) & known & no_nan(confidence, share) & within_unit(correct)
    return undefined_unless(defined, loss / jnp.where(size > 0, size, 1))
