r"""Preconditioned SGLD: Langevin dynamics whose step adapts to each parameter as in RMSprop.

$V_t = \alpha V_{t-1} + (1-\alpha)\, g \odot g$, $G = 1 / (\lambda + \sqrt{V_t})$,
$\Delta\theta = -\frac{\eta}{2}\, G \odot (g + \theta/\sigma^2) + \sqrt{\eta\, G} \odot \epsilon$.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxuq.posterior import trace
from jaxuq.posterior._draws import normal_like
from jaxuq.posterior._model import Params


class PSGLDState(NamedTuple):
    """State of the chain.

    Attributes:
        step: updates made so far.
        rng_key: the key from which the noise of each step is folded.
        second_moment: running mean of the squared gradients, one number per parameter.
    """

    step: Int[Array, ""]
    rng_key: Key[Array, ""]
    second_moment: Params


def psgld(
    step_size: trace.StepSize,
    *,
    decay: float = 0.99,
    damping: float = 1e-5,
    prior_scale: float | None = None,
    capacity: int = 30,
) -> trace.StochasticGradientMCMC:
    r"""Preconditioned stochastic gradient Langevin dynamics.

    $\Delta\theta = -\frac{\eta}{2}\, G \odot (g + \theta/\sigma^2) + \sqrt{\eta\, G} \odot \epsilon$ with
    $G = 1 / (\lambda + \sqrt{V})$ and $V$ the running mean of $g \odot g$.

    Use it in place of `sgld` where parameters differ much in scale. Drift and noise are scaled by the same $G$, so the
    target stays the posterior as far as $G$ stands still; it moves with $\theta$, and the exact dynamics has a further
    drift $\frac12 \sum_j \partial G_{ij} / \partial\theta_j$. That term needs second derivatives and is left out here,
    as its authors do in practice: the bias it leaves vanishes as `decay` approaches 1. $V$ averages the gradients as
    they are given and without the prior; multiplying the loss by $N$ divides $G$ by $N$, so step sizes for mean and
    summed losses differ. $V$ starts at zero, so the first steps are long: let the chain run
    for a few times $1 / (1 - \alpha)$ steps before it collects.

    Args:
        step_size: $\eta$, a positive number or an optax schedule of the step.
        decay: $\alpha$ in [0, 1); close to 1 for a small bias.
        damping: $\lambda > 0$, which bounds $G$ by its inverse.
        prior_scale: $\sigma$ of a Gaussian prior, or None; see `sgld`.
        capacity: how many parameter sets the trace holds.

    Returns:
        `StochasticGradientMCMC(init, update, start, collect, sample, bind)`.

    Raises:
        ValueError: when `decay` or `damping` is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = psgld(1e-3)
        >>> params = {"kernel": jnp.ones((2, 1))}
        >>> state = method.init(jax.random.key(0), params)
        >>> updates, state = method.update({"kernel": jnp.array([[1.0], [100.0]])}, state, params)
        >>> state.second_moment["kernel"][:, 0].round(2)
        Array([1.e-02, 1.e+02], dtype=float32)

    References:
        Li, Chen, Carlson, Carin. Preconditioned stochastic gradient Langevin dynamics for deep neural networks.
        AAAI 2016, algorithm 1, Eq. 4 and 5, corollary 2 (the omitted term).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay is {decay}; expected a number in [0, 1), such as 0.99")
    if damping <= 0:
        raise ValueError(f"damping is {damping}; expected a positive number, such as 1e-5")

    def init(rng_key: Key[Array, ""], params: Params) -> PSGLDState:
        return PSGLDState(jnp.zeros((), jnp.int32), rng_key, jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Params, state: PSGLDState, params: Params | None = None) -> tuple[Params, PSGLDState]:
        second_moment = jax.tree.map(
            lambda moment, gradient: decay * moment + (1 - decay) * gradient**2, state.second_moment, gradients
        )
        gradients = trace.add_prior(gradients, params, prior_scale)
        noise = normal_like(jax.random.fold_in(state.rng_key, state.step), gradients)
        eta = trace.step_size_at(step_size, state.step)

        def move(gradient, moment, normal):
            size = eta.astype(gradient.dtype) / (damping + jnp.sqrt(moment))
            return -size / 2 * gradient + jnp.sqrt(size) * normal

        updates = jax.tree.map(move, gradients, second_moment, noise)
        return updates, PSGLDState(state.step + 1, state.rng_key, second_moment)

    return trace.build(init, update, capacity)
