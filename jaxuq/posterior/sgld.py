r"""Stochastic gradient Langevin dynamics: gradient steps with noise of matching size visit the posterior.

$\Delta\theta = -\frac{\eta}{2} \nabla \mathcal{L}(\theta) + \sqrt{\eta}\, \epsilon$ with
$\epsilon \sim \mathcal{N}(0, I)$ and $\mathcal{L}$ the negative log posterior.
"""

import jax.numpy as jnp
from jaxtyping import Array

from jaxuq.posterior.chain import StepSize, chain, collecting
from jaxuq.posterior.method import Method


def sgld(
    step_size: StepSize,
    *,
    prior_scale: float | None = None,
    capacity: int = 30,
    burn_in: int = 0,
    thinning: int = 1,
) -> Method:
    r"""Stochastic gradient Langevin dynamics with a constant or scheduled step size.

    $\Delta\theta = -\frac{\eta_t}{2}\left(g + \theta / \sigma^2\right) + \sqrt{\eta_t}\, \epsilon$

    Which density the chain visits is decided by the gradients `g` that it is given:

    - of the *summed* negative log likelihood, `N * mean loss` of a batch: the posterior (with `prior_scale`);
    - of the *mean* loss, as in the published MUBen code: a tempered one, $\exp(-\frac1N \sum_i \ell_i)$, whose
      likelihood counts as a single observation; its prior does not shrink with it (there `prior_scale=0.1`).

    With a constant step the chain's covariance exceeds the target's by a factor of about $1 + \eta\lambda/4$ along a
    direction of curvature $\lambda$ of $\mathcal{L}$ (exactly $1 / (1 - \eta\lambda/4)$ for a Gaussian), and it
    diverges at $\eta\lambda > 4$; it moves a distance of about $\sqrt{\eta t}$ in $t$ steps. So choose $\eta$ well
    under $1/\lambda_{max}$, and collect samples at least $1 / (\eta\lambda_{min})$ steps apart; samples that hardly
    differ mean that the chain was too short for its step. Not to be confused with SGD plus weight decay: the noise
    must have this size and follow no optimiser's preconditioner (see `psgld` for one that is accounted for).

    Args:
        step_size: $\eta$, a positive number or an optax schedule of the step; the drift uses half of it.
        prior_scale: $\sigma$ of a Gaussian prior on the parameters, whose gradient is added to `g`; None when the
            gradients already hold the prior (or there is none).
        capacity: how many parameter sets the trace holds; 0 for a chain that only trains.
        burn_in: moves before the first of them is kept.
        thinning: moves from one that is kept to the next.

    Returns:
        A `Method` that observes gradients, with an optax form. `update` takes a function of the parameters or, as from
        `jax.grad` at `state.position`, the gradients themselves. Half-precision parameters are moved in float32: the
        state keeps what rounding takes (see `ChainState`).

    Raises:
        OptionError: a number out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = sgld(0.1, burn_in=50, thinning=10)
        >>> state = method.init(jax.random.key(0), jnp.zeros(2))
        >>> def step(state, key):
        ...     # target: a normal distribution with mean 3 and variance 1
        ...     return method.update(key, state, lambda params: params - 3.0), None
        >>> state, _ = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 200))
        >>> method.sample(jax.random.key(2), state, 10).shape
        (10, 2)

    References:
        Welling, Teh. Bayesian learning via stochastic gradient Langevin dynamics. ICML 2011, Eq. 4.
        Vollmer, Zygalakis, Teh. Exploration of the (non-)asymptotic bias and variance of stochastic gradient Langevin
        dynamics. JMLR 2016, section 3 (constant step).
    """

    def move(eta: Array, gradient: Array, drift: Array, noise: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        del gradient
        return -eta / 2 * drift + jnp.sqrt(eta) * noise, memory

    return chain(move, step_size, prior_scale, collecting(capacity, burn_in, thinning))
