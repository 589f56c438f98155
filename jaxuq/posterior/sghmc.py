r"""Stochastic gradient Hamiltonian Monte Carlo: momentum, friction, and the noise that balances them.

$v \leftarrow (1-\alpha) v - \eta \nabla\mathcal{L}(\theta) + \sqrt{2(\alpha-\hat\beta)\eta}\, \epsilon$,
$\theta \leftarrow \theta + v$.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxuq.posterior import trace
from jaxuq.posterior._draws import normal_like
from jaxuq.posterior._model import Params


class SGHMCState(NamedTuple):
    """State of the chain.

    Attributes:
        step: updates made so far.
        rng_key: the key from which the noise of each step is folded.
        momentum: $v$, the last update.
    """

    step: Int[Array, ""]
    rng_key: Key[Array, ""]
    momentum: Params


def sghmc(
    step_size: trace.StepSize,
    *,
    friction: float = 0.1,
    noise_estimate: float = 0.0,
    prior_scale: float | None = None,
    capacity: int = 30,
) -> trace.StochasticGradientMCMC:
    r"""Stochastic gradient Hamiltonian Monte Carlo in the form of SGD with momentum.

    $v \leftarrow (1-\alpha) v - \eta (g + \theta/\sigma^2) + \sqrt{2(\alpha-\hat\beta)\eta}\, \epsilon$,
    $\theta \leftarrow \theta + v$.

    Use it in place of `sgld` where the posterior is long in some directions: momentum travels, where Langevin dynamics
    diffuses. $\eta$ is the learning rate and $1-\alpha$ the momentum of SGD, so what trains well is a place to start.
    Note that the drift is not halved as in `sgld`. The stationary covariance exceeds a Gaussian target's by the factor
    $1 / (1 - \eta\lambda / (2(2-\alpha)))$ along curvature $\lambda$. What gradients to give: see `sgld`.

    Args:
        step_size: $\eta$, a positive number or an optax schedule of the step.
        friction: $\alpha$ in (0, 1]; 1 forgets the momentum at once, which is `sgld` with a step of $2\eta$.
        noise_estimate: $\hat\beta$ in [0, friction), the part of the noise that minibatch gradients bring themselves:
            $\eta/2$ times the variance of a gradient.
        prior_scale: $\sigma$ of a Gaussian prior, or None; see `sgld`.
        capacity: how many parameter sets the trace holds.

    Returns:
        `StochasticGradientMCMC(init, update, start, collect, sample, bind)`.

    Raises:
        ValueError: when `friction` or `noise_estimate` is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = sghmc(0.01, friction=0.1)
        >>> params = jnp.zeros(3)
        >>> state = method.init(jax.random.key(0), params)
        >>> updates, state = jax.jit(method.update)(jnp.ones(3), state, params)
        >>> bool(jnp.all(updates == state.momentum))
        True

    References:
        Chen, Fox, Guestrin. Stochastic gradient Hamiltonian Monte Carlo. ICML 2014, Eq. 15.
    """
    if not 0 < friction <= 1:
        raise ValueError(f"friction is {friction}; expected a number in (0, 1], such as 0.1")
    if not 0 <= noise_estimate < friction:
        raise ValueError(f"noise_estimate is {noise_estimate}; expected a number in [0, friction) = [0, {friction})")

    def init(rng_key: Key[Array, ""], params: Params) -> SGHMCState:
        return SGHMCState(jnp.zeros((), jnp.int32), rng_key, jax.tree.map(jnp.zeros_like, params))

    def update(gradients: Params, state: SGHMCState, params: Params | None = None) -> tuple[Params, SGHMCState]:
        gradients = trace.add_prior(gradients, params, prior_scale)
        noise = normal_like(jax.random.fold_in(state.rng_key, state.step), gradients)
        eta = trace.step_size_at(step_size, state.step)

        def move(gradient, velocity, normal):
            size = eta.astype(gradient.dtype)
            kick = jnp.sqrt(2 * (friction - noise_estimate) * size) * normal
            return (1 - friction) * velocity - size * gradient + kick

        momentum = jax.tree.map(move, gradients, state.momentum, noise)
        return momentum, SGHMCState(state.step + 1, state.rng_key, momentum)

    return trace.build(init, update, capacity)
