r"""Exact inference in a batch of hidden Markov chains: likelihood, marginals, expected counts.

$p(z_{1:T}, x_{1:T}) = \pi(z_1)\, e_1(z_1) \prod_{t=2}^T \Psi^{(t)}(z_{t-1}, z_t)\, e_t(z_t)$

The functions share their first four arguments. `log_initial`: $\log\pi$, `[state]` or `[batch, state]`.
`log_transition`: $\log\Psi$, one `[state, state]` matrix (from, to), or `[batch, time, state, state]`, entry `t`
leading into token `t`, so that entry 0 is never read. `log_evidence`: $\log e$, `[batch, time, state]`. `lengths`:
`[batch]`, None where no sequence is padded. Nothing needs to be normalised, so the same functions serve a linear-chain
conditional random field. Minus infinity is a hard zero anywhere; anything may stand in padding, NaN included.

A chain of the dissertation starts one step earlier, at an unobserved $z^{(0)}$: pass
$\log \sum_i \pi_i \Psi^{(1)}_{ij}$ as `log_initial`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._shapes import checked
from jaxuq.tagging._chain import (
    Initial,
    Transition,
    batch_first,
    finish,
    forward,
    forward_step,
    make_chain,
    mask_lengths,
    normalise,
    scan_steps,
    start,
    transition_at,
)
from jaxuq.tagging._log_matmul import finite_or_zero
from jaxuq.tagging._smoothing import counts, smooth_in_log_space, smoothed


class ExpectedCounts(NamedTuple):
    """What an EM step needs from a batch.

    Attributes:
        log_likelihood: `[batch]`, minus infinity where the model calls a sequence impossible, which then counts
            nothing.
        initial: `[state]` expected number of sequences that start in each state.
        transitions: `[state, state]` expected number of transitions, from and to, over the batch.
        marginals: `[batch, time, state]` smoothed marginals, zero in padding.
    """

    log_likelihood: Float[Array, " batch"]
    initial: Float[Array, " state"]
    transitions: Float[Array, "state state"]
    marginals: Float[Array, "batch time state"]


@checked
def log_likelihood(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
    *,
    checkpoint: bool = False,
) -> Float[Array, " batch"]:
    r"""Log-likelihood of each sequence, all label paths summed.

    $\log p(x_{1:T}) = \log \sum_{z_{1:T}} \pi(z_1) e_1(z_1) \prod_{t \ge 2} \Psi^{(t)}(z_{t-1}, z_t) e_t(z_t)$

    Its gradient is exact: with respect to `log_evidence` the smoothed marginals, with respect to `log_transition` the
    expected transitions. Not to be confused with the score of the best path, which `viterbi` returns.

    The gradient holds some four arrays of the size of `log_evidence`, or, with `checkpoint`, of $2\sqrt T$ of its time
    steps, for a second forward pass.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence, in [0, time]; None for all of them.
        checkpoint: keep the memory of the gradient at $O(\sqrt T)$.

    Returns:
        `[batch]`; minus infinity, with gradient 0, where no path is possible; 0 for an empty sequence.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> initial, transition = jnp.log(jnp.array([0.5, 0.5])), jnp.log(jnp.array([[0.9, 0.1], [0.2, 0.8]]))
        >>> evidence = jnp.log(jnp.array([[[0.7, 0.1], [0.7, 0.1]]]))
        >>> print(f"{jnp.exp(log_likelihood(initial, transition, evidence))[0]:.3f}")  # 0.5 (0.7 0.65 + 0.1 0.15)
        0.235

    References:
        Rabiner. A tutorial on hidden Markov models and selected applications in speech recognition. Proceedings of the
        IEEE, 1989, section III.A.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section C.1.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    first, first_shift = start(chain)

    def step(log_alpha, inputs):
        message, _, shift = forward_step(chain, log_alpha, inputs)
        return message, shift

    last, shifts = scan_steps(chain, step, first, checkpoint=checkpoint)
    return finish(chain, jnp.concatenate([first_shift[None], shifts]), last)


@checked
def filtered_marginals(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> Float[Array, "batch time state"]:
    r"""Probability of each state given the tokens so far.

    $\alpha_t(j) = p(z_t = j \mid x_{1:t}) \propto e_t(j) \sum_i \Psi^{(t)}_{ij} \alpha_{t-1}(i)$

    For decisions on the fly. With the whole sequence at hand `smoothed_marginals` is the better answer.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        Probabilities; zero in padding and from where on no path is possible.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> evidence = jnp.log(jnp.array([[[1.0, 1.0], [0.9, 0.1]]]))
        >>> filtered_marginals(uniform, sticky, evidence)[..., 0].round(4)
        Array([[0.5, 0.9]], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section C.1.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    return batch_first(mask_lengths(normalise(forward(chain).log_alpha), chain))


@checked
def smoothed_marginals(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> Float[Array, "batch time state"]:
    r"""Probability of each state given the whole sequence.

    $\gamma_t(i) = p(z_t = i \mid x_{1:T}) = \alpha_t(i) \sum_j \frac{\Psi^{(t+1)}_{ij} e_{t+1}(j)}{c_{t+1}}\cdots$,
    the gradient of the log-likelihood with respect to `log_evidence`.

    The label that is right most often per token is its maximum; the most probable whole path is `viterbi`. The
    recursion back from token $t+1$ uses the transition into and the evidence of $t+1$; published code of CHMM and
    Sparse-CHMM takes those of $t$, which is another quantity.

    With a shared transition both passes run in one loop of scaled probabilities; where a check afterwards finds that
    something may have underflowed, they are done again in log space. The gradient is that of the log-space form.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        Probabilities; zero in padding and in a sequence that has no possible path.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> evidence = jnp.log(jnp.array([[[1.0, 1.0], [0.9, 0.1]]]))
        >>> smoothed_marginals(uniform, sticky, evidence)[..., 0].round(4)
        Array([[0.82, 0.9 ]], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section C.1.
        Särkkä. Bayesian Filtering and Smoothing. Cambridge University Press, 2013, Eq. 8.2.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    return batch_first(smoothed(chain))


@checked
def pairwise_marginals(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> Float[Array, "batch time-1 state state"]:
    r"""Probability of each pair of neighbouring states given the whole sequence.

    $\xi_t(i, j) = p(z_t = i, z_{t+1} = j \mid x_{1:T})
    = \frac{\alpha_t(i) \Psi^{(t+1)}_{ij}}{\sum_k \alpha_t(k) \Psi^{(t+1)}_{kj}}\, \gamma_{t+1}(j)$

    Holds `[batch, time, state, state]`. If only their sum over tokens is wanted, as in EM, `expected_counts` gives it
    without that array.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        Entry `[:, t, i, j]` is the pair of tokens `t` and `t + 1`; zero where the second is padding.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> print(pairwise_marginals(uniform, sticky, jnp.zeros((1, 2, 2))))
        [[[[0.45 0.05]
           [0.05 0.45]]]]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section C.1.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    filtered = forward(chain)
    marginals, _ = smooth_in_log_space(chain, filtered)

    def pair(inputs):
        log_alpha, predicted, own, valid, after = inputs
        transition = transition_at(chain, own, valid)
        transition = transition[None] if transition.ndim == 2 else transition
        kernel = jnp.exp(log_alpha[:, :, None] + transition - finite_or_zero(predicted)[:, None, :])
        return kernel * after[:, None, :]

    inputs = (filtered.log_alpha[:-1], filtered.log_predicted, chain.own, chain.valid[1:], marginals[1:])
    return batch_first(jax.lax.map(pair, inputs))


@checked
def expected_counts(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> ExpectedCounts:
    r"""The E-step: likelihood, expected starts, expected transitions, marginals.

    $\sum_b \gamma_{b,1}(i)$ and $\sum_b \sum_{t \ge 2} p(z_{t-1} = i, z_t = j \mid x_b)$

    Equal to summing `pairwise_marginals`, but `[batch, time, state, state]` is never formed: with a shared transition
    it holds six arrays of the size of `log_evidence`. With transitions per token the sum is that over tokens.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        `ExpectedCounts(log_likelihood, initial, transitions, marginals)`.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, sticky = jnp.log(jnp.full(2, 0.5)), jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
        >>> counts = expected_counts(uniform, sticky, jnp.zeros((4, 11, 2)))
        >>> print(counts.initial, counts.transitions.round(4))
        [2. 2.] [[18.  2.]
         [ 2. 18.]]

    References:
        Baum, Petrie, Soules, Weiss. A maximization technique occurring in the statistical analysis of probabilistic
        functions of Markov chains. Annals of Mathematical Statistics, 1970.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.14.
    """
    chain = make_chain(log_initial, log_transition, log_evidence, lengths)
    likelihoods, marginals, transitions = counts(chain)
    return ExpectedCounts(likelihoods, jnp.sum(marginals[0], axis=0), transitions, batch_first(marginals))
