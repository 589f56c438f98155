"""The Gaussian likelihood of labels of which only a bound is known."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, check_shapes, select, undefined_unless
from jaxuq._shapes import checked
from jaxuq.losses.gaussian import gaussian_negative_log_likelihood


@checked
def censored_negative_log_likelihood(
    mean: Float[Array, "*batch"],
    variance: Float[Array, "*batch"],
    targets: Float[Array, "*batch"],
    bounds: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log probability of what was observed of each label: the label, or that it lies beyond a bound.

    $$\ell_n = \begin{cases}
      -\log \mathcal N(y_n \mid \mu_n, \sigma_n^2) & b_n = 0 \\
      -\log \Phi\big(b_n (\mu_n - y_n) / \sigma_n\big) & b_n = \pm 1
    \end{cases}$$

    Use it for assays that end somewhere ("> 10 uM", "< detection limit"): to leave such labels out, or to take the
    bound for the label, draws every forecast to the range that the assay can see. It assumes that the same Gaussian
    holds beyond the bound (the Tobit model).

    Args:
        mean: predicted means.
        variance: predicted variances > 0, in squared units of the targets.
        targets: labels, or bounds of them.
        bounds: $b$: 0 where the target is the label, 1 where the label is at least the target, -1 where at most.
        where: True where something is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry in nats, in at least single precision; NaN for another number in `bounds`; 0, with
        gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> arrays = jnp.zeros(3), jnp.ones(3), jnp.array([1.0, 1.0, 1.0]), jnp.array([0, 1, -1])
        >>> [round(float(loss), 4) for loss in censored_negative_log_likelihood(*arrays)]
        [1.4189, 1.841, 0.1728]

    References:
        J. Tobin, "Estimation of Relationships for Limited Dependent Variables", Econometrica 26, 1958.
    """
    check_shapes(mean=mean, variance=variance, targets=targets, bounds=bounds, where=where)
    arrays = (mean, variance, targets)
    bounds = select(bounds.astype(jnp.int32), where)
    whole = bounds == 0
    mean, variance, targets = (select(as_float(a, *arrays), where, fill) for a, fill in zip(arrays, (0, 1, 0)))
    exact = gaussian_negative_log_likelihood(mean, variance, targets, where=whole)
    side = jnp.sign(bounds).astype(mean.dtype)
    scaled = side * (mean - targets) / jnp.sqrt(jnp.where(whole, jnp.ones_like(variance), variance))
    beyond = -jax.scipy.special.log_ndtr(jnp.where(whole, jnp.zeros_like(scaled), scaled))
    losses = undefined_unless(jnp.abs(bounds) <= 1, jnp.where(whole, exact, beyond))
    return select(losses, where)
