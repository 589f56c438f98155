r"""Preconditioned SGLD: Langevin dynamics whose step adapts to each parameter as in RMSprop.

$V_t = \alpha V_{t-1} + (1-\alpha)\, g \odot g$, $G = 1 / (\lambda + \sqrt{V_t})$,
$\Delta\theta = -\frac{\eta}{2}\, G \odot (g + \theta/\sigma^2) + \sqrt{\eta\, G} \odot \epsilon$.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._options import check_number
from jaxuq.posterior.chain import StepSize, chain
from jaxuq.posterior.method import Method


def psgld(
    step_size: StepSize,
    *,
    decay: float = 0.99,
    damping: float = 1e-5,
    prior_scale: float | None = None,
    capacity: int = 30,
    burn_in: int = 0,
    thinning: int = 1,
) -> Method:
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

    How far off it is, is a matter of the setting: $\eta G$ is the step, and $G$ is large where likelihood gradients are
    small, so variances exceed the posterior's by $1 / (1 - \eta G \lambda / 4)$ direction by direction. Against an
    exact linear-Gaussian posterior of three parameters (800 chains, full gradients, decay 0.99) they are 13, 13 and
    82 % too large at $\eta = 0.2$ and 5, 3 and 16 % at 0.05; a decay of 0.9, whose $G$ moves with the position, makes
    the last 93 and 26 %, and one of 0.999 no more than 81 and 16 %. So lower the step before the decay.

    Args:
        step_size: $\eta$, a positive number or an optax schedule of the step.
        decay: $\alpha$ in [0, 1); close to 1 for a small bias.
        damping: $\lambda > 0$, which bounds $G$ by its inverse.
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
        >>> method = psgld(1e-3)
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.ones((2, 1))})
        >>> state = method.update(jax.random.key(1), state, {"kernel": jnp.array([[1.0], [100.0]])})
        >>> state.memory["kernel"][:, 0].round(2)
        Array([1.e-02, 1.e+02], dtype=float32)

    References:
        Li, Chen, Carlson, Carin. Preconditioned stochastic gradient Langevin dynamics for deep neural networks.
        AAAI 2016, algorithm 1, Eq. 4 and 5, corollary 2 (the omitted term).
    """
    check_number("decay", decay, 0.0, 1.0, open_high=True)
    check_number("damping", damping, 0.0, open_low=True)

    def move(eta: Array, gradient: Array, drift: Array, noise: Array, memory: Array) -> tuple[Array, Array]:
        memory = decay * memory + (1 - decay) * gradient**2
        size = eta / (damping + jnp.sqrt(memory))
        return -size / 2 * drift + jnp.sqrt(size) * noise, memory

    return chain(move, step_size, prior_scale, (capacity, burn_in, thinning), remembers=True)
