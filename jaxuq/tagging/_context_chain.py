r"""Posterior and objectives of chains whose transitions are different at every token, as CHMM predicts them.

$p(z_{0:T}, x_{1:T}) = \mathbb{I}(z_0 = O) \prod_{t=1}^T \Psi^{(t)}_{z_{t-1} z_t} \varphi^{(t)}_{z_t}$
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._meshes import vary_like
from jaxuq.tagging._chain import long_sum
from jaxuq.tagging.inference import log_likelihood
from jaxuq.tagging.posterior_paths import path_entropy

_LEAST = 1e-12  # no transition counts as less probable in the E-step: no message can then underflow


class ContextChain(NamedTuple):
    """A batch of chains that begin at the state `O` one step before the first token.

    Attributes:
        log_transition: `[batch, time, state, state]`, entry t leading into token t; the first leads there from `O`.
        log_evidence: `[batch, time, state]`.
        valid: `[batch, time]`, False in padding.
    """

    log_transition: Float[Array, "batch time state state"]
    log_evidence: Float[Array, "batch time state"]
    valid: Bool[Array, "batch time"]


class Posterior(NamedTuple):
    """The E-step.

    Attributes:
        pairs: `[time, state, state, batch]` expected transitions into each token, zero in padding.
        log_likelihood: `[batch]`.
    """

    pairs: Float[Array, "time state state batch"]
    log_likelihood: Float[Array, " batch"]


def engine_arguments(chain: ContextChain) -> tuple[Array, Array, Array, Array]:
    """The chain as the functions of `inference` take it."""
    lengths = jnp.sum(chain.valid, axis=1, dtype=jnp.int32)
    return chain.log_transition[:, 0, 0], chain.log_transition, chain.log_evidence, lengths


def path_log_probability(chain: ContextChain, path: Int[Array, "batch time"]) -> Float[Array, " batch"]:
    r"""Of a path in a chain that need not be normalised, or of all paths that agree with it where it is -1."""
    agrees = (path < 0)[..., None] | (jax.nn.one_hot(path, chain.log_evidence.shape[-1]) > 0)
    agreeing = chain._replace(log_evidence=jnp.where(agrees, chain.log_evidence, -jnp.inf))
    return log_likelihood(*engine_arguments(agreeing)) - log_likelihood(*engine_arguments(chain))


def posterior(chain: ContextChain) -> Posterior:
    r"""Expected transitions and the log-likelihood, both passes in one loop of scaled probabilities.

    The batch comes last, so that each step is elementwise over many chains. With transitions of at least `_LEAST` the
    messages of neighbouring tokens never differ by more than that, and nothing that matters underflows.
    """
    transition = jnp.maximum(jnp.exp(jnp.transpose(chain.log_transition, (1, 2, 3, 0))), _LEAST)
    valid = chain.valid.T
    log_evidence = jnp.where(valid[:, None], jnp.transpose(chain.log_evidence, (1, 2, 0)), 0.0)
    peak = jnp.max(log_evidence, axis=1)
    evidence = jnp.exp(log_evidence - peak[:, None])
    states, batch = evidence.shape[1:]

    def step(carry, inputs):
        alpha, beta = carry
        (into, seen), (later_into, later_seen, later_valid) = inputs
        following = jnp.sum(alpha[:, None] * into, axis=0) * seen
        scale = jnp.sum(following, axis=0)
        earlier = jnp.sum(later_into * (later_seen * beta)[None], axis=1)
        earlier = earlier / jnp.sum(earlier, axis=0)[None]
        return (following / scale[None], jnp.where(later_valid[None], earlier, beta)), (alpha, beta, scale)

    outside = jnp.zeros((states, batch), evidence.dtype).at[0].set(1.0)
    uniform = jnp.full((states, batch), 1.0 / states, evidence.dtype)
    backward = (transition[::-1], evidence[::-1], valid[::-1])
    _, (alpha, beta, scales) = jax.lax.scan(
        step, vary_like((outside, uniform), transition, evidence), ((transition, evidence), backward), unroll=4
    )
    # alpha is that of the token before, beta that of the token itself
    pairs = alpha[:, :, None] * transition * (evidence * beta[::-1])[:, None]
    total = jnp.sum(pairs, axis=(1, 2))
    pairs = pairs * jnp.where(valid, 1.0 / total, 0.0)[:, None, None]
    return Posterior(pairs, long_sum(jnp.where(valid, jnp.log(scales) + peak, 0.0)))


def expected_log_joint(chain: ContextChain, expected: Posterior) -> Float[Array, " batch"]:
    r"""$Q = \sum_t \sum_{ij} \xi^{(t)}_{ij} \log \Psi^{(t)}_{ij} + \sum_t \sum_i \gamma^{(t)}_i \log \varphi^{(t)}_i$

    Where a transition is impossible (minus infinity), its expected number is taken as zero.
    """
    pairs = jnp.transpose(expected.pairs, (3, 0, 1, 2))
    possible = chain.log_transition > -jnp.inf
    steps = jnp.sum(pairs * jnp.where(possible, chain.log_transition, 0.0), axis=(1, 2, 3))
    evidence = jnp.where(chain.valid[..., None], chain.log_evidence, 0.0)
    return steps + jnp.sum(jnp.sum(pairs, axis=2) * evidence, axis=(1, 2))


def published_objective(chain: ContextChain) -> Float[Array, " batch"]:
    r"""$Q(\theta, \theta)$ with the gradient also through the posterior, which is $\log p(x) - H(z \mid x)$.

    What the published code maximises when its backward recursion is put right: it rewards a sure posterior.
    """
    arguments = engine_arguments(chain)
    return log_likelihood(*arguments) - path_entropy(*arguments)
