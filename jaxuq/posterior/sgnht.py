r"""Stochastic gradient Nosé-Hoover thermostat: friction that adapts until the momentum has the right temperature.

$p \leftarrow p - \xi p h - \nabla\mathcal{L} h + \sqrt{2Ah}\,\epsilon$, $\theta \leftarrow \theta + p h$,
$\xi \leftarrow \xi + (p^\top p / n - 1) h$.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._options import check_number
from jaxuq.posterior.chain import StepSize, chain, collecting
from jaxuq.posterior.method import Method


def sgnht(
    step_size: StepSize,
    *,
    diffusion: float = 1.0,
    prior_scale: float | None = None,
    capacity: int = 30,
    burn_in: int = 0,
    thinning: int = 1,
) -> Method:
    r"""The stochastic gradient Nosé-Hoover thermostat, a thermostat for each array of parameters.

    Use it in place of `sghmc` when the noise of minibatch gradients is large and unknown: the friction $\xi$ of each
    array of parameters grows until the mean square of its momentum is 1, whatever feeds it. Gradient noise of variance
    $V$ that is the same in all directions and constant is so corrected without an estimate, $\xi \to A + Vh/2$; other
    noise is not. With small arrays the thermostat fluctuates: its average is over the numbers of one array.

    What gradients to give: see `sgld`. $h$ is a time step: about the square root of what `sghmc` calls $\eta$.

    Args:
        step_size: $h$, a positive number or an optax schedule of the step.
        diffusion: $A > 0$, the noise that is added, and the friction of the start; 1 for quadratic-like targets, 0.01
            in the authors' networks.
        prior_scale: $\sigma$ of a Gaussian prior, or None; see `sgld`.
        capacity: how many parameter sets the trace holds; 0 for a chain that only trains.
        burn_in: moves before the first of them is kept.
        thinning: moves from one that is kept to the next.

    Returns:
        A `Method` that observes gradients, as `sgld` does. `state.memory` has momentum and friction of each array.

    Raises:
        OptionError: a number out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = sgnht(0.1)
        >>> state = method.init(jax.random.key(0), jnp.zeros(3))
        >>> state = jax.jit(method.update)(jax.random.key(1), state, jnp.ones(3))
        >>> momentum, friction = state.memory
        >>> bool(jnp.allclose(state.position, 0.1 * momentum)), friction.shape
        (True, ())

    References:
        Ding, Fang, Babbush, Chen, Skeel, Neven. Bayesian sampling using stochastic gradient thermostats. NeurIPS 2014,
        Algorithm 2.
    """
    check_number("diffusion", diffusion, 0.0, open_low=True)

    def start(leaf: Array) -> tuple[Array, Array]:
        return jnp.zeros_like(leaf), jnp.full((), diffusion, leaf.dtype)

    def move(eta: Array, gradient: Array, drift: Array, noise: Array, memory: tuple[Array, Array]):
        del gradient
        momentum, friction = memory
        momentum = momentum - friction * momentum * eta - drift * eta + jnp.sqrt(2 * diffusion * eta) * noise
        heat = jnp.sum(jnp.square(momentum)) / max(momentum.size, 1)
        return momentum * eta, (momentum, friction + (heat - 1) * eta)

    return chain(move, step_size, prior_scale, collecting(capacity, burn_in, thinning), memory=start)
