"""Measures that weigh tokens and answers by how much they matter (SAR, CCP)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, masked, number_of, product, select, undefined_unless, weighted_mean, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


@checked
@widened
def token_sar(
    log_probs: Float[Array, " tokens"],
    similarities: Float[Array, " tokens"],
    *,
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""TokenSAR: surprise of the tokens weighted by their relevance. Higher is more uncertain.

    $$U = -\sum_t w_t \ell_t, \qquad w_t \propto R_t = 1 - |g(x \oplus y,\; x \oplus y_{\setminus t})|$$

    A token is relevant if leaving it out changes the meaning. Uniform weights if none is relevant.

    Args:
        log_probs: of the tokens.
        similarities: $g$, similarity of the text with and without each token, in [0, 1]; 1 for special tokens.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar >= 0; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.70, 0.25, 0.90]))
        >>> round(float(token_sar(log_probs, jnp.array([0.9, 0.4, 0.8]))), 4)
        0.9872

    References:
        Duan et al. Shifting Attention to Relevance: Towards the Predictive Uncertainty Quantification of Free-Form
        Large Language Models. ACL 2024.
    """
    valid, log_probs, similarities = masked(where, log_probs=log_probs, similarities=similarities)
    relevance = select(1.0 - jnp.abs(similarities), valid)
    total = jnp.sum(relevance)
    weights = jnp.where(total > 0, relevance / jnp.where(total > 0, total, 1.0), 1.0 / number_of(valid, relevance))
    return undefined_unless(jnp.any(valid), 0.0 - jnp.sum(product(select(weights, valid), log_probs)))


@checked
@widened
def sentence_sar(
    log_probs: Float[Array, " samples"],
    similarities: Float[Array, "samples samples"],
    *,
    temperature: float = 0.001,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""SentenceSAR: surprise of sampled answers, those that others resemble counting as likelier. Higher: uncertain.

    $$U = \frac1K \sum_i -\log \left(p_i + \frac1t \sum_{j \ne i} g_{ij} p_j\right)$$

    With $\log p_i = -$`token_sar` of each sample it is SAR. Negative values are normal, as $t$ inflates the sum.
    Computed by logarithms: the probabilities of long answers underflow.

    Args:
        log_probs: of whole samples, or the negative TokenSAR of each.
        similarities: $g_{ij} \ge 0$; the diagonal is not read.
        temperature: $t$.
        where: True for the samples that count; None counts all.

    Returns:
        A scalar; NaN if no sample counts.

    Raises:
        ValueError: if `temperature` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> similarities = jnp.array([[1.0, 0.8], [0.8, 1.0]])
        >>> round(float(sentence_sar(jnp.log(jnp.array([0.3, 0.1])), similarities)), 4)
        -4.9334

    References:
        Duan et al. Shifting Attention to Relevance. ACL 2024.
    """
    check_number("temperature", temperature, 0.0, open_low=True)
    valid, log_probs = masked(where, log_probs=log_probs)
    size = log_probs.shape[0]
    pairs = valid[:, None] & valid[None] & ~jnp.eye(size, dtype=bool)
    usable = pairs & (select(similarities, valid) > 0)
    weights = jnp.where(usable, similarities / temperature, 1.0).astype(log_probs.dtype)
    weights = jnp.where(jnp.eye(size, dtype=bool), 1.0, weights)
    counted = (usable | jnp.eye(size, dtype=bool)) & valid[:, None]
    terms = jnp.where(counted, jnp.broadcast_to(log_probs[None], weights.shape) + jnp.log(weights), -1e30)
    masses = jax.nn.logsumexp(terms, axis=1)
    return 0.0 - weighted_mean(jnp.where(masses > -5e29, masses, -jnp.inf), valid)


@checked
@widened
def claim_conditioned_probability(
    probabilities: Float[Array, "tokens alternatives"],
    relations: Int[Array, "tokens alternatives"],
    *,
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""Claim-conditioned probability (CCP): how likely what was said is among the words that change its meaning.

    $$U = 1 - \prod_t \frac{\sum_{v\ \mathrm{entails}} p_t(v)}{\sum_{v\ \mathrm{entails}} p_t(v) +
      \sum_{v\ \mathrm{contradicts}} p_t(v)}$$

    Neutral alternatives (another type of claim) count on neither side. Higher is more uncertain.

    Args:
        probabilities: of the alternatives at each token, the chosen one among them.
        relations: of each alternative to the chosen token: 1 entails (the chosen one itself does), 0 neutral,
            -1 contradicts.
        where: True for the tokens that count (function words do not); None counts all.

    Returns:
        In [0, 1]; NaN if no token counts. A token without any relation leaves the product as it is.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities = jnp.array([[0.70, 0.05, 0.0], [0.25, 0.50, 0.15], [0.90, 0.0, 0.0]])
        >>> relations = jnp.array([[1, -1, 0], [1, -1, 1], [1, 0, 0]])
        >>> round(float(claim_conditioned_probability(probabilities, relations)), 4)
        0.5852

    References:
        Fadeeva et al. Fact-Checking the Output of Large Language Models via Token-Level Uncertainty Quantification.
        Findings of ACL 2024.
    """
    valid = counted(where, probabilities.shape[:1])
    probabilities, relations = select(probabilities, valid), select(relations, valid)
    supporting = jnp.sum(jnp.where(relations > 0, probabilities, 0.0), axis=1)
    total = jnp.sum(jnp.where(relations != 0, probabilities, 0.0), axis=1)
    shares = jnp.where(total > 0, supporting / jnp.where(total > 0, total, 1.0), 1.0)
    return undefined_unless(jnp.any(valid), 1.0 - jnp.prod(jnp.where(valid, shares, 1.0)))


ENTRIES = (
    # Relevance is by the model's own mean hidden state, so that no second model is needed.
    measure("token_sar", "TokenSAR (own states)",
            lambda seen: token_sar(seen.log_probs, seen.without, where=seen.inner),
            needs=("tokens", "states"), higher="uncertain", citation=("token-sar",)),
    measure("sentence_sar", "SentenceSAR", lambda seen: sentence_sar(seen.sample_log_probs, seen.cosines),
            needs=("samples", "states"), higher="uncertain", citation=("token-sar",)),
    measure("claim_conditioned_probability", "Claim-conditioned probability", needs=("an entailment model",),
            higher="uncertain", citation=("claim-conditioned-probability",)),
)  # fmt: skip
"""Relevance as measures of an answer, see `jaxuq.confidence.MEASURES`."""
