r"""Cyclical SGLD: a step that falls from large to small again and again, and samples from the end of every fall."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.posterior.chain import Collects, chain
from jaxuq.posterior.method import Method


def cyclical_sgld(
    step_size: float,
    *,
    num_steps: int,
    num_cycles: int = 4,
    exploration: float = 0.8,
    samples_per_cycle: int = 3,
    prior_scale: float | None = None,
) -> Method:
    r"""Stochastic gradient Langevin dynamics in cycles.

    $$\eta_k = \frac{\eta_0}{2}\left[\cos\!\left(\frac{\pi\,((k-1) \bmod L)}{L}\right) + 1\right],\qquad
      L = \lceil \text{steps} / \text{cycles} \rceil$$

    The first share of a cycle moves without noise, and with large steps leaves the mode where the last cycle ended; the
    rest is `sgld` with steps that become small, and its last samples are kept. Use it where a posterior has several
    modes that matter, as those of networks do; each cycle costs a training. Samples of one cycle are alike: judge
    convergence by the disagreement of cycles in their forecasts, not in their parameters.

    What gradients to give: see `sgld`, whose convention of $\eta$ this is (drift $\eta/2$, noise $\sqrt\eta$).

    Args:
        step_size: $\eta_0 > 0$, at the start of each cycle.
        num_steps: of all cycles together.
        num_cycles: at most `num_steps`.
        exploration: share of each cycle without noise, in [0, 1).
        samples_per_cycle: kept, evenly spaced, the last of them at the end of the cycle.
        prior_scale: $\sigma$ of a Gaussian prior, or None; see `sgld`.

    Returns:
        A `Method` that observes gradients, as `sgld` does; its trace holds the samples of all cycles.

    Raises:
        OptionError: a number out of its range, or more samples than a cycle has steps with noise.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = cyclical_sgld(0.1, num_steps=100, num_cycles=4)
        >>> state = method.init(jax.random.key(0), jnp.zeros(2))
        >>> def step(state, key):
        ...     return method.update(key, state, lambda params: params - 3.0), None
        >>> state, _ = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 100))
        >>> int(state.trace.count), method.sample(jax.random.key(2), state, 12).shape
        (12, (12, 2))

    References:
        Zhang, Li, Zhang, Chen, Wilson. Cyclical stochastic gradient MCMC for Bayesian deep learning. ICLR 2020, Eq. 1
        and Algorithm 1.
    """
    check_number("step_size", step_size, 0.0, open_low=True)
    check_number("exploration", exploration, 0.0, 1.0, open_high=True)
    for name, value in (("num_steps", num_steps), ("num_cycles", num_cycles), ("samples_per_cycle", samples_per_cycle)):
        check_count(name, value)
    length = math.ceil(num_steps / num_cycles)
    begin = math.ceil(round(exploration * length, 9))
    gap = (length - begin) // samples_per_cycle
    if gap < 1:
        raise OptionError(
            f"samples_per_cycle is {samples_per_cycle}, but {length - begin} of the {length} steps of a cycle have "
            "noise; take fewer samples, fewer cycles, or less exploration"
        )

    def schedule(step: Int[Array, ""]) -> Float[Array, ""]:
        phase = (step % length).astype(jnp.float32) * (math.pi / length)
        return step_size / 2 * (jnp.cos(phase) + 1)

    def due(number: Array) -> Array:
        left = (length - number % length) % length  # moves to the end of the cycle
        return (left % gap == 0) & (left // gap < samples_per_cycle)

    def move(eta: Array, gradient: Array, drift: Array, noise: Array, memory: tuple[()]) -> tuple[Array, tuple[()]]:
        del gradient
        return -eta / 2 * drift + jnp.sqrt(eta) * noise, memory

    collects = Collects(num_cycles * samples_per_cycle, due)
    return chain(move, schedule, prior_scale, collects, noisy=lambda step: step % length >= begin)
