"""Intervals from models that each left something out: jackknife+ and CV+."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import widened
from jaxuq._shapes import checked
from jaxuq.calibration.conformal_regression import Interval
from jaxuq.calibration.conformal_threshold import conformal_threshold


@checked
@widened
def jackknife_plus(
    predictions: Float[Array, "n m"],
    residuals: Float[Array, " n"],
    *,
    level: float,
    minmax: bool = False,
    where: Bool[Array, " n"] | None = None,
) -> Interval:
    r"""Intervals that use every label for training and for calibration.

    $$\Big[\,q^-_{\alpha}\{\mu_{-i}(x) - R_i\},\ q^+_{\alpha}\{\mu_{-i}(x) + R_i\}\Big],\qquad
      R_i = |y_i - \mu_{-i}(x_i)|$$

    with $q^+$ the $\lceil(1-\alpha)(n+1)\rceil$-th smallest of n numbers and $q^-$ the $\lfloor\alpha(n+1)\rfloor$-th.
    Use it when labels are too few to set some aside for `conformal_regression`: for CV+ with K folds, $\mu_{-i}$ is the
    model that did not see the fold of example i, so only K models are trained. The guarantee is $1 - 2\alpha$, practice
    close to $1 - \alpha$ = `level`; with `minmax` (the extremes of all predictions, widened by the same quantile of the
    residuals) it is $1 - \alpha$, and the intervals are wider.

    Args:
        predictions: of each new example (second axis) by the model without example i (first axis).
        residuals: $R_i \ge 0$ of each example under the model that has not seen it.
        level: $1 - \alpha$, in (0, 1).
        minmax: whether to take the extremes of the predictions.
        where: True for the examples that count; None counts all.

    Returns:
        An `Interval` of arrays `[m]`; infinite if n is too small for the level, NaN where a number that counts is NaN.

    Raises:
        OptionError: `level` is out of range.
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> predictions = jnp.array([1.0, 1.1, 0.9, 1.2, 1.0, 1.05, 0.95, 1.15, 1.0])[:, None]
        >>> residuals = jnp.array([0.1, 0.3, 0.2, 0.5, 0.05, 0.4, 0.25, 0.15, 0.35])
        >>> [
        ...     [round(float(end[0]), 2) for end in jackknife_plus(predictions, residuals, level=0.8, minmax=minmax)]
        ...     for minmax in (False, True)
        ... ]
        [[0.65, 1.45], [0.5, 1.6]]

    References:
        R. Foygel Barber, E. J. Candès, A. Ramdas, R. J. Tibshirani, "Predictive Inference with the Jackknife+", Annals
        of Statistics 49(1), 2021, Eq. 1.2, 1.6 and section 1.3 (CV+).
    """
    spread = residuals[:, None]
    counts = None if where is None else jnp.broadcast_to(where[:, None], predictions.shape)
    if minmax:
        each = None if where is None else where[:, None]
        wide = conformal_threshold(spread, level=level, where=each)[0]
        kept = True if counts is None else counts
        least = jnp.min(predictions, axis=0, where=kept, initial=jnp.inf)
        most = jnp.max(predictions, axis=0, where=kept, initial=-jnp.inf)
        endless = wide == jnp.inf  # of no example at all the extremes are infinite too, and on the wrong side
        return Interval(jnp.where(endless, -wide, least - wide), jnp.where(endless, wide, most + wide))
    upper = conformal_threshold(predictions + spread, level=level, where=counts)[0]
    return Interval(-conformal_threshold(spread - predictions, level=level, where=counts)[0], upper)
