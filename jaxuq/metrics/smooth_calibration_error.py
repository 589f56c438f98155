"""SmoothECE: a calibration error with a kernel in place of bins, and no parameter to choose."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Real, Shaped

from jaxuq._arrays import no_nan, undefined_unless, weighted, within_unit
from jaxuq._meshes import vary_like
from jaxuq._options import check_count
from jaxuq._shapes import checked


@checked
def smooth_calibration_error(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    grid_size: int = 1024,
    where: Bool[Array, " n"] | None = None,
    weights: Real[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""SmoothECE: the residuals smoothed by a reflected Gaussian kernel whose width equals the error itself.

    $$\mathrm{smECE}_\sigma = \int_0^1 \left| \frac1N \sum_n K_\sigma(t, c_n) (a_n - c_n) \right| dt, \qquad
      \mathrm{smECE} = \sigma^* \text{ such that } \mathrm{smECE}_{\sigma^*} = \sigma^*$$

    $K_\sigma$ is the Gaussian density reflected at 0 and 1. Use it instead of `expected_calibration_error` when numbers
    must not jump with bin edges: it is a continuous function of the confidences, within constant factors of the
    distance to the nearest calibrated predictor, and has a useful gradient, taken through the fixed point.

    The reflected kernel is the heat kernel of [0, 1], which the cosine transform diagonalises: residuals are spread
    linearly on a grid of `grid_size` cells, and each step of the bisection costs two transforms of that length. The
    value is accurate to about 1 / `grid_size`, relative to the width of the kernel, squared. Memory is
    O(n + `grid_size`).

    Args:
        confidence: stated probabilities, in [0, 1].
        correct: what happened: 0 or 1 (or booleans).
        grid_size: number of cells of the grid on [0, 1].
        where: True for the entries that count; None counts all.
        weights: how often each entry counts, >= 0; None: once.

    Returns:
        A scalar in [0, 1]; NaN if no entry counts, or one that counts is NaN.

    Raises:
        ArrayError: the shapes differ, or there are further axes.
        OptionError: if `grid_size` is not an integer of at least 2.

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.full(4, 0.75), jnp.array([1, 1, 0, 0])
        >>> print(smooth_calibration_error(confidence, correct).round(3))
        0.25

    References:
        Błasiok and Nakkiran, Smooth ECE: Principled Reliability Diagrams via Kernel Smoothing, ICLR, 2024.
    """
    check_count("grid_size", grid_size, 2)
    factors, confidence, correct = (a for a in weighted(where, weights, confidence=confidence, correct=correct))
    total = jnp.sum(factors)
    residuals = factors * (correct - confidence) / jnp.where(total == 0, 1.0, total)
    root = _fixed_point(residuals, confidence, grid_size)
    return undefined_unless((total != 0) & no_nan(confidence) & within_unit(correct), root)


# Compiled as a whole: outside `jit` the loop would otherwise be traced and compiled anew at every call.
@functools.partial(jax.jit, static_argnames="grid_size")
def _fixed_point(residuals: Float[Array, " n"], confidence: Float[Array, " n"], grid_size: int) -> Float[Array, ""]:
    """Find the kernel width that equals the smoothed error at that width."""
    spectrum = jax.scipy.fft.dct(_spread(residuals, confidence, grid_size))
    frequencies = jnp.asarray(np.pi * np.arange(grid_size), confidence.dtype)

    def error(width):
        smoothed = jax.scipy.fft.idct(spectrum * jnp.exp(-0.5 * (frequencies * width) ** 2))
        return jnp.sum(jnp.abs(smoothed))

    def halve(_, bounds):
        lower, upper = bounds
        middle = 0.5 * (lower + upper)
        above = jax.lax.stop_gradient(error(middle)) > middle
        return jnp.where(above, middle, lower), jnp.where(above, upper, middle)

    # The error never grows with the width, so error(width) - width has one root; it lies in [0, 1].
    bounds = tuple(vary_like(jnp.asarray(end, confidence.dtype), spectrum) for end in (0.0, 1.0))
    width = jax.lax.stop_gradient(0.5 * sum(jax.lax.fori_loop(0, 24, halve, bounds)))
    # One Newton step: it sharpens the root, and its derivative is that of the implicit function.
    value, slope = jax.jvp(error, (width,), (jnp.ones_like(width),))
    return width + (value - width) / (1.0 - jax.lax.stop_gradient(slope))


def _spread(mass: Float[Array, " n"], position: Float[Array, " n"], cells: int) -> Float[Array, " cells"]:
    """Divide each mass between the centres of the two nearest cells of [0, 1], keeping its first moment."""
    place = jnp.clip(position * cells - 0.5, 0.0, cells - 1.0)
    left = jnp.clip(jnp.floor(jax.lax.stop_gradient(place)).astype(jnp.int32), 0, cells - 2)
    share = place - left.astype(place.dtype)
    left_mass = jax.ops.segment_sum(mass * (1.0 - share), left, num_segments=cells)
    return left_mass + jax.ops.segment_sum(mass * share, left + 1, num_segments=cells)
