r"""Stochastic gradient Hamiltonian Monte Carlo: momentum, friction, and the noise that balances them.

$v \leftarrow (1-\alpha) v - \eta \nabla\mathcal{L}(\theta) + \sqrt{2(\alpha-\hat\beta)\eta}\, \epsilon$,
$\theta \leftarrow \theta + v$.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._options import check_number
from jaxuq.posterior.chain import StepSize, chain, collecting
from jaxuq.posterior.method import Method


def sghmc(
    step_size: StepSize,
    *,
    friction: float = 0.1,
    noise_estimate: float = 0.0,
    prior_scale: float | None = None,
    capacity: int = 30,
    burn_in: int = 0,
    thinning: int = 1,
) -> Method:
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
        capacity: how many parameter sets the trace holds; 0 for a chain that only trains.
        burn_in: moves before the first of them is kept.
        thinning: moves from one that is kept to the next.

    Returns:
        A `Method` that observes gradients, as `sgld` does.

    Raises:
        OptionError: a number out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = sghmc(0.01, friction=0.1)
        >>> state = method.init(jax.random.key(0), jnp.zeros(3))
        >>> state = jax.jit(method.update)(jax.random.key(1), state, jnp.ones(3))
        >>> bool(jnp.all(state.position == state.memory))  # the momentum
        True

    References:
        Chen, Fox, Guestrin. Stochastic gradient Hamiltonian Monte Carlo. ICML 2014, Eq. 15.
    """
    check_number("friction", friction, 0.0, 1.0, open_low=True)
    check_number("noise_estimate", noise_estimate, 0.0, friction, open_high=True)

    def move(eta: Array, gradient: Array, drift: Array, noise: Array, memory: Array) -> tuple[Array, Array]:
        del gradient
        kick = jnp.sqrt(2 * (friction - noise_estimate) * eta) * noise
        velocity = (1 - friction) * memory - eta * drift + kick
        return velocity, velocity

    return chain(move, step_size, prior_scale, collecting(capacity, burn_in, thinning), memory=jnp.zeros_like)
