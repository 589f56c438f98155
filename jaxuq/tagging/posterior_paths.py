"""The posterior over whole label paths: draws from it, and its entropy."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxuq._meshes import vary_like
from jaxuq._shapes import checked
from jaxuq.tagging._chain import Chain, Filtered, Initial, Transition, forward, make_chain, transition_at
from jaxuq.tagging._log_matmul import finite_or_zero
from jaxuq.tagging._smoothing import smooth_in_log_space


def _backward_inputs(chain: Chain, filtered: Filtered) -> tuple:
    return filtered.log_alpha[:-1], chain.own, chain.valid[1:]


@checked
def posterior_sample(
    rng_key: Key[Array, ""],
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
    *,
    num_samples: int = 1,
) -> Int[Array, "sample batch time"]:
    r"""Independent draws of whole label paths from the posterior.

    $z_T \sim \alpha_T$, then $z_{t} \sim p(z_t \mid z_{t+1}, x_{1:t}) \propto \alpha_t(z_t) \Psi^{(t+1)}_{z_t z_{t+1}}$

    (forward filtering, backward sampling). Each draw is a possible path, as independent draws from the marginals are
    not.

    Args:
        rng_key: a key.
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.
        num_samples: how many paths of each sequence.

    Returns:
        States; -1 in padding and in a sequence that has no possible path.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> initial, alternate = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]))
        >>> paths = posterior_sample(jax.random.key(0), initial, alternate, jnp.zeros((1, 4, 2)), num_samples=100)
        >>> print(paths.shape, jnp.abs(jnp.diff(paths, axis=-1)).min())
        (100, 1, 4) 1

    References:
        Scott. Bayesian methods for hidden Markov models: recursive computing in the 21st century. Journal of the
        American Statistical Association, 2002, section 2.1.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    filtered = forward(chain)
    last_key, *_ = keys = jax.random.split(rng_key, chain.valid.shape[0])
    shape = (num_samples, chain.valid.shape[1])
    last = jax.random.categorical(last_key, filtered.log_alpha[-1][None], shape=shape).astype(jnp.int32)

    def step(following, inputs):
        (log_alpha, own, valid), key = inputs
        transition = transition_at(chain, own, valid)
        if transition.ndim == 2:
            into = transition.T[following]
        else:
            into = jax.vmap(lambda matrix, states: matrix.T[states], (0, 1), 1)(transition, following)
        drawn = jax.random.categorical(key, log_alpha[None] + into, axis=-1).astype(jnp.int32)
        return (current := jnp.where(valid[None], drawn, following)), current

    _, paths = jax.lax.scan(
        step, vary_like(last, chain, keys), (_backward_inputs(chain, filtered), keys[1:]), reverse=True
    )
    paths = jnp.moveaxis(jnp.concatenate([paths, last[None]]), 0, 2)
    possible = chain.valid.T & (filtered.log_likelihood > -jnp.inf)[:, None]
    return jnp.where(possible[None], paths, -1)


@checked
def path_entropy(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> Float[Array, " batch"]:
    r"""Entropy of the posterior over label paths, in nats.

    $H(z_{1:T} \mid x_{1:T}) = H(\gamma_T) + \sum_{t < T} \sum_j \gamma_{t+1}(j)\, H(z_t \mid z_{t+1} = j, x_{1:t})$

    How unsure the labelling of a sequence is as a whole; a score for choosing what to annotate next. At most the sum of
    the entropies of the marginals, which ignores that neighbours move together. It is a sum of non-negative terms, and
    so stays accurate where log-likelihood minus expected score would cancel.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        `[batch]`, in [0, length * log(states)]; 0 for an empty sequence and for one that has no possible path.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, alternate = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]))
        >>> print(path_entropy(uniform, alternate, jnp.zeros((1, 9, 2))) / jnp.log(2.0))  # one bit: where it starts
        [1.]

    References:
        Hernando, Crespi, Cybenko. Efficient computation of the hidden Markov model entropy for a given observation
        sequence. IEEE Transactions on Information Theory, 2005.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    filtered = forward(chain)
    marginals, _ = smooth_in_log_space(chain, filtered)
    # The last marginals of each sequence are those of its repeated last message.
    last = filtered.log_alpha[-1]
    last = last - jax.nn.logsumexp(jnp.where(last > -jnp.inf, last, jnp.finfo(last.dtype).min), axis=-1)[:, None]
    entropy = _entropy(last)

    def step(total, inputs):
        (log_alpha, own, valid), predicted, after = inputs
        transition = transition_at(chain, own, valid)
        transition = transition[None] if transition.ndim == 2 else transition
        log_kernel = log_alpha[:, :, None] + transition - finite_or_zero(predicted)[:, None, :]
        term = jnp.sum(after * _entropy(jnp.swapaxes(log_kernel, 1, 2)), axis=-1)
        return total + jnp.where(valid, term, 0.0), None

    inputs = (_backward_inputs(chain, filtered), filtered.log_predicted, marginals[1:])
    entropy, _ = jax.lax.scan(step, vary_like(entropy, inputs), inputs)
    return jnp.where(chain.valid[0] & (filtered.log_likelihood > -jnp.inf), entropy, 0.0)


def _entropy(log_probabilities: Float[Array, "... state"]) -> Float[Array, "..."]:
    finite = finite_or_zero(log_probabilities)
    return -jnp.sum(jnp.where(log_probabilities > -jnp.inf, jnp.exp(finite) * finite, 0.0), axis=-1)
