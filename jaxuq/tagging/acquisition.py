"""Which sentences to label next: how unsure a chain, or how divided a committee of chains, is of a whole labelling."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxuq._arrays import widened
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.tagging._chain import Initial, Transition, make_chain
from jaxuq.tagging.decoding import viterbi
from jaxuq.tagging.inference import log_likelihood
from jaxuq.tagging.posterior_paths import posterior_sample


@checked
def normalised_log_probability(
    log_initial: Initial,
    log_transition: Transition,
    log_evidence: Float[Array, "batch time state"],
    lengths: Int[Array, " batch"] | None = None,
) -> Float[Array, " batch"]:
    r"""Maximum normalised log-probability (MNLP) of the best labelling; label the smallest.

    $$\frac{1}{T} \max_{z_{1:T}} \log p(z_{1:T} \mid x_{1:T})$$

    How unsure the labelling of a sentence is, a token: without the division the longest sentences would always win. A
    conditional random field's scores may stand in place of the log-probabilities.

    Args:
        log_initial: log-probabilities of the first state.
        log_transition: log-transitions, shared or per token.
        log_evidence: log-evidence of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.

    Returns:
        At most 0; 0 for an empty sequence, and NaN for one that has no possible path.

    Raises:
        ValueError: if the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> uniform, evidence = jnp.zeros(2), jnp.log(jnp.array([[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]]))
        >>> print(f"{normalised_log_probability(uniform, jnp.zeros((2, 2)), evidence)[0]:.4f}")  # log .9 + log .8 + ...
        -0.2798

    References:
        Shen, Yun, Lipton, Kronrod, Anandkumar. Deep active learning for named entity recognition. ICLR 2018, Eq. 5.
    """
    chain = (log_initial, log_transition, log_evidence, lengths)
    best, total = viterbi(*chain).scores[:, 0], log_likelihood(*chain)
    time = log_evidence.shape[1]
    whole = jnp.full(total.shape, time, total.dtype)
    count = whole if lengths is None else jnp.minimum(jnp.asarray(lengths, total.dtype), whole)  # as the chain has it
    found = jnp.minimum(best - total, 0.0) / jnp.maximum(count, 1.0)
    return jnp.where(count > 0, found, 0.0)


@checked
@widened
def sequence_bald(
    rng_key: Key[Array, ""],
    log_initial: Float[Array, "member state"],
    log_transition: Float[Array, "member state state"],
    log_evidence: Float[Array, "member batch time state"],
    lengths: Int[Array, " batch"] | None = None,
    *,
    num_samples: int = 16,
) -> Float[Array, " batch"]:
    r"""How much the labelling of a whole sentence would say about which member of a committee is right, in nats.

    $$H\Big(\tfrac1K \sum_k P_k\Big) - \tfrac1K \sum_k H(P_k)
      = \tfrac1K \sum_k \mathbb{E}_{z \sim P_k} \Big[ \log P_k(z) - \log \tfrac1K \sum_j P_j(z) \Big]$$

    over label paths $z$, by paths drawn from each member. It wants sentences on which members are sure and disagree,
    not those that all find hard. The sum of the tokens' mutual informations counts twice what neighbours share.

    Args:
        rng_key: for the paths.
        log_initial: of each member: log-probabilities, or scores, of the first state.
        log_transition: from and to.
        log_evidence: of each state at each token.
        lengths: number of tokens of each sequence; None for all of them.
        num_samples: paths drawn from each member; holds `members² x num_samples x batch` numbers.

    Returns:
        At most `log(members)`; 0 for a committee of equals, up to sampling otherwise at least 0; NaN where some
        member has no possible path.

    Raises:
        ValueError: if the shapes do not fit or `num_samples` is below 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> evidence = jnp.array([[[[1.0, 0.0], [0.5, 0.0]]], [[[0.0, 1.0], [0.5, 0.0]]]])  # two members, two tokens
        >>> stay = jnp.broadcast_to(jnp.diag(jnp.array([0.5, 0.5])), (2, 2, 2))
        >>> print(f"{sequence_bald(jax.random.key(0), jnp.zeros((2, 2)), stay, evidence, num_samples=20_000)[0]:.2f}")
        0.11

    References:
        Houlsby, Huszár, Ghahramani, Lengyel. Bayesian active learning for classification and preference learning. 2011.
        Shelmanov et al. Active learning for sequence tagging with deep pre-trained models and Bayesian uncertainty
        estimates. EACL 2021.
    """
    if num_samples < 1:
        raise OptionError(f"num_samples is {num_samples}; expected at least 1")
    members = log_initial.shape[0]
    keys = jax.random.split(rng_key, members)

    def drawn(key, initial, transition, evidence):
        return posterior_sample(key, initial, transition, evidence, lengths, num_samples=num_samples)

    def scored(initial, transition, evidence):
        of_member = jax.vmap(lambda paths: _path_scores(initial, transition, evidence, lengths, paths))
        return of_member(every) - log_likelihood(initial, transition, evidence, lengths)[None]

    chains = (log_initial, log_transition, log_evidence)
    paths = jax.vmap(drawn)(keys, *chains)  # [drawn from, sample, batch, time]
    every = paths.reshape(-1, *paths.shape[2:])
    scores = jax.vmap(scored)(*chains).reshape(members, members, num_samples, -1)  # [scored by, drawn from, ...]
    own = scores[jnp.arange(members), jnp.arange(members)]
    together = jax.nn.logsumexp(scores, axis=0) - jnp.log(jnp.asarray(members, scores.dtype))
    return jnp.mean(own - together, axis=(0, 1))


def _path_scores(
    initial: Array, transition: Array, evidence: Array, lengths: Array | None, paths: Int[Array, "batch time"]
) -> Float[Array, " batch"]:
    """Unnormalised log-probabilities of label paths; -1 in padding, and all over in one that does not exist."""
    chain = make_chain(initial, transition, evidence, lengths)
    states = jnp.maximum(paths, 0).T
    emitted = jnp.take_along_axis(chain.evidence, states[..., None], axis=2)[..., 0]
    moved = transition[states[:-1], states[1:]]
    first = jnp.take_along_axis(chain.initial, states[0][:, None], axis=1)[:, 0]
    total = jnp.where(chain.valid, emitted, 0.0).sum(0) + jnp.where(chain.valid[1:], moved, 0.0).sum(0)
    total = jnp.where(chain.valid[0], first + total, 0.0)
    return jnp.where(chain.valid[0] & (paths[:, 0] < 0), jnp.nan, total)
