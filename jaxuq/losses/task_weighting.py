"""Weights of several losses, learned as the noise of their tasks."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, select
from jaxuq._shapes import checked


@checked
def homoscedastic_weighting(
    losses: Float[Array, " tasks"],
    log_variances: Float[Array, " tasks"],
    *,
    regression: Bool[Array, " tasks"] | None = None,
    where: Bool[Array, " tasks"] | None = None,
) -> Float[Array, ""]:
    r"""The joint loss of several tasks whose noise is learned with the model.

    $$\ell = \sum_k c_k e^{-s_k} L_k + \tfrac12 s_k, \qquad s_k = \log \sigma_k^2, \quad
      c_k = \tfrac12 \text{ for a squared error, } 1 \text{ for a cross entropy}$$

    Learn $s$ with the parameters, from 0 and without weight decay. At its minimum a task adds
    $\tfrac12 \log L_k$ and a constant, which has no lower bound as $L_k \to 0$: use mean losses, and clip $s$ to, say,
    [-5, 5] for losses that can vanish.

    Args:
        losses: $L$, mean loss of each task, > 0.
        log_variances: $s$.
        regression: True for tasks with a squared error; None: none.
        where: tasks that have a loss in this batch; None: all. The rest may hold NaN.

    Returns:
        The sum over tasks, a scalar in at least single precision: the tasks have been averaged over before.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> joint = homoscedastic_weighting(
        ...     jnp.array([0.8, 1.5]), jnp.array([0.0, 0.7]), regression=jnp.array([True, False])
        ... )
        >>> round(float(joint), 6)
        1.494878

    References:
        A. Kendall, Y. Gal, R. Cipolla, "Multi-task Learning Using Uncertainty to Weigh Losses for Scene Geometry and
        Semantics", CVPR 2018, Eq. 7 and 10.
    """
    s, value = (select(as_float(array, losses, log_variances), where) for array in (log_variances, losses))
    halved = jnp.zeros(s.shape, bool) if regression is None else jnp.asarray(regression, bool)
    return jnp.sum(select(jnp.where(halved, 0.5, 1.0).astype(s.dtype) * jnp.exp(-s) * value + s / 2, where))
