r"""Stochastic gradient Langevin dynamics: gradient steps with noise of matching size visit the posterior.

$\Delta\theta = -\frac{\eta}{2} \nabla \mathcal{L}(\theta) + \sqrt{\eta}\, \epsilon$ with
$\epsilon \sim \mathcal{N}(0, I)$ and $\mathcal{L}$ the negative log posterior.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxuq.posterior import trace
from jaxuq.posterior._draws import normal_like
from jaxuq.posterior._model import Params


class SGLDState(NamedTuple):
    """State of the chain.

    Attributes:
        step: updates made so far.
        rng_key: the key from which the noise of each step is folded.
    """

    step: Int[Array, ""]
    rng_key: Key[Array, ""]


def sgld(
    step_size: trace.StepSize, *, prior_scale: float | None = None, capacity: int = 30
) -> trace.StochasticGradientMCMC:
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
        capacity: how many parameter sets the trace holds.

    Returns:
        `StochasticGradientMCMC(init, update, start, collect, sample, bind)`; `update` adds like an optax update, and
        `as_optax(rng_key)` makes an `optax.GradientTransformation` for `optax.multi_transform`.

    Raises:
        ValueError: from `update`, when `prior_scale` is set and the parameters are not given.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> method = sgld(0.1)
        >>> params = jnp.zeros(2)  # target: a normal distribution with mean 3 and variance 1
        >>> state, kept = method.init(jax.random.key(0), params), method.start(params)
        >>> def step(carry, _):
        ...     params, state, kept = carry
        ...     updates, state = method.update(params - 3.0, state, params)
        ...     params = optax.apply_updates(params, updates)
        ...     return (params, state, method.collect(kept, params)), None
        >>> (params, state, kept), _ = jax.lax.scan(step, (params, state, kept), length=200)
        >>> method.sample(jax.random.key(1), kept, 10).shape
        (10, 2)

    References:
        Welling, Teh. Bayesian learning via stochastic gradient Langevin dynamics. ICML 2011, Eq. 4.
        Vollmer, Zygalakis, Teh. Exploration of the (non-)asymptotic bias and variance of stochastic gradient Langevin
        dynamics. JMLR 2016, section 3 (constant step).
    """

    def init(rng_key: Key[Array, ""], params: Params) -> SGLDState:
        del params
        return SGLDState(jnp.zeros((), jnp.int32), rng_key)

    def update(gradients: Params, state: SGLDState, params: Params | None = None) -> tuple[Params, SGLDState]:
        gradients = trace.add_prior(gradients, params, prior_scale)
        noise = normal_like(jax.random.fold_in(state.rng_key, state.step), gradients)
        eta = trace.step_size_at(step_size, state.step)

        def move(gradient, normal):
            size = eta.astype(gradient.dtype)
            return -size / 2 * gradient + jnp.sqrt(size) * normal

        return jax.tree.map(move, gradients, noise), SGLDState(state.step + 1, state.rng_key)

    return trace.build(init, update, capacity)
