"""The most probable label paths of a batch of chains: Viterbi's algorithm and its k-best form."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._meshes import vary_like
from jaxuq._shapes import checked
from jaxuq.tagging._chain import Chain, Initial, Transition, long_sum, make_chain, rescale, transition_at
from jaxuq.tagging._log_matmul import finite_or_zero


class BestPaths(NamedTuple):
    """Label paths with their scores.

    Attributes:
        paths: `[batch, rank, time]` states, best path first; -1 in padding, and everywhere in a path that does not
            exist or is impossible.
        scores: `[batch, rank]` $\\log p(z_{1:T}, x_{1:T})$; minus infinity for a path that does not exist.
    """

    paths: Int[Array, "batch rank time"]
    scores: Float[Array, "batch rank"]


@checked
def k_best_viterbi(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
    *,
    num_paths: int,
) -> BestPaths:
    r"""The `num_paths` most probable label paths, all different.

    $\delta_t^{(r)}(j)$ = the $r$-th largest of $\delta_{t-1}^{(q)}(i) + \log \Psi^{(t)}_{ij}$ over $i$ and $q$,
    plus $\log e_t(j)$

    The spread of the scores says how sure the best path is: `scores - log_likelihood` are the posterior
    log-probabilities of the paths. To draw paths by their probability use `posterior_sample`.

    Holds `[time, batch, state, num_paths]` integers, and candidates `[batch, state, state * num_paths]` of one token.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.
        num_paths: how many paths, at least 1.

    Returns:
        `BestPaths(paths, scores)`. The gradient of a score is the indicator of its path.

    Raises:
        ValueError: if the shapes do not fit or `num_paths` is below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> evidence = jnp.log(jnp.array([[[1.0, 1.0], [0.9, 0.1], [0.4, 0.6]]]))
        >>> best = k_best_viterbi(uniform, sticky, evidence, num_paths=2)
        >>> print(best.paths[0].tolist(), f"{jnp.exp(best.scores[0, 0]):.4f} {jnp.exp(best.scores[0, 1]):.4f}")
        [[0, 0, 0], [0, 0, 1]] 0.1458 0.0243

    References:
        Viterbi. Error bounds for convolutional codes and an asymptotically optimum decoding algorithm. IEEE
        Transactions on Information Theory, 1967.
        Seshadri, Sundberg. List Viterbi decoding algorithms with applications. IEEE Transactions on Communications,
        1994. Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia
        Institute of Technology, 2025, Eq. 4.12.
    """
    if num_paths < 1:
        raise ValueError(f"num_paths is {num_paths}; expected at least 1")
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    return _k_best(chain, num_paths)


@checked
def viterbi(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> BestPaths:
    r"""The most probable label path (maximum a posteriori).

    $\hat z_{1:T} = \arg\max_{z_{1:T}} p(z_{1:T} \mid x_{1:T})$

    The path is right as a whole, so hard zeros of the transition are respected; the most probable label of each single
    token is the maximum of `smoothed_marginals`.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        `BestPaths` of rank 1: `paths[:, 0]` and `scores[:, 0]`.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> evidence = jnp.log(jnp.array([[[1.0, 1.0], [0.9, 0.1], [0.4, 0.6]]]))
        >>> print(viterbi(uniform, sticky, evidence, jnp.array([2])).paths[:, 0])
        [[ 0  0 -1]]

    References:
        Viterbi. Error bounds for convolutional codes and an asymptotically optimum decoding algorithm. IEEE
        Transactions on Information Theory, 1967.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.12.
    """
    return _k_best(make_chain(log_initial, log_transition, log_evidence, lengths), 1)


def _shift(scores: Array) -> tuple[Array, Array]:
    """`[batch, state, rank]` scores with their maximum at 0: a sum over ten thousand tokens would be too coarse."""
    shifted, shift = rescale(scores.reshape(scores.shape[0], math.prod(scores.shape[1:])))
    return shifted.reshape(scores.shape), shift


def _k_best(chain: Chain, rank: int) -> BestPaths:
    batch, states = chain.initial.shape
    first = (chain.initial + chain.evidence[0])[..., None]
    first = jnp.pad(first, ((0, 0), (0, 0), (0, rank - 1)), constant_values=-jnp.inf)
    first, first_shift = _shift(first)
    same = jnp.broadcast_to(jnp.arange(states * rank, dtype=jnp.int32).reshape(1, states, rank), first.shape)

    def step(scores, inputs):
        own, evidence, valid = inputs
        transition = transition_at(chain, own, valid)
        transition = transition[None] if transition.ndim == 2 else transition
        # [batch, to, from, rank], the last two as one axis of candidates
        candidates = scores[:, None] + jnp.swapaxes(transition, 1, 2)[..., None]
        candidates = candidates.reshape(batch, states, states * rank)
        if rank == 1:
            best, sources = jnp.max(candidates, axis=-1)[..., None], jnp.argmax(candidates, axis=-1)[..., None]
        else:
            best, sources = jax.lax.top_k(candidates, rank)
        best, shift = _shift(best + evidence[..., None])
        keep = valid[:, None, None]
        outputs = jnp.where(keep, sources.astype(jnp.int32), same), jnp.where(valid, shift, 0.0)
        return jnp.where(keep, best, scores), outputs

    last, (sources, shifts) = jax.lax.scan(
        step, vary_like(first, chain), (chain.own, chain.evidence[1:], chain.valid[1:])
    )
    scores, ends = jax.lax.top_k(last.reshape(batch, states * rank), min(rank, states * rank))
    missing = rank - scores.shape[1]
    scores = jnp.pad(scores, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    ends = jnp.pad(ends.astype(jnp.int32), ((0, 0), (0, missing)))

    def back(pointers, sources):
        return jnp.take_along_axis(sources.reshape(batch, states * rank), pointers, axis=1), pointers

    first_pointers, pointers = jax.lax.scan(back, ends, sources, reverse=True)
    paths = jnp.moveaxis(jnp.concatenate([first_pointers[None], pointers]), 0, 2) // rank
    # an empty sequence has one path, whatever begins one
    exists = jnp.where(chain.valid[0][:, None], scores > -jnp.inf, (jnp.arange(rank) == 0)[None])
    paths = jnp.where(exists[..., None] & chain.valid.T[:, None, :], paths, -1)
    total = finite_or_zero(scores) + long_sum(jnp.concatenate([first_shift[None], shifts]))[:, None]
    total = jnp.where(exists, jnp.where(chain.valid[0][:, None], total, 0.0), -jnp.inf)
    return BestPaths(paths, total)
