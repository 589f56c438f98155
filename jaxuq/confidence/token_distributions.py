"""From whole distributions over the vocabulary: how decided was the model at each token?

Each function reduces one row of logits, `[..., vocab]`, to one number, so it can run inside a decoding loop; the score
of an answer is the mean (or sum) over its tokens. Suppressed tokens (logit -inf) have probability 0 and are left out.
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import masked, take_class, undefined_unless, weighted_mean, widened
from jaxuq._errors import OptionError
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


def _log_probabilities(logits, temperature=1.0):
    """Log-probabilities with 0 in place of -inf, which tokens are possible, and how many."""
    logits = logits / temperature
    possible = ~jnp.isneginf(logits)
    log_probs = jnp.where(possible, logits, -jnp.inf) - jax.nn.logsumexp(logits, axis=-1, keepdims=True)
    return jnp.where(possible, log_probs, 0.0), possible, jnp.sum(possible, axis=-1).astype(logits.dtype)


@checked
@widened
def token_entropy(
    logits: Float[Array, "*batch vocab"], *, log_base: float = math.e, top_k: int | None = None
) -> Float[Array, "*batch"]:
    r"""Entropy of the next token, $H = -\sum_v p(v) \log p(v)$. Higher is more uncertain.

    Args:
        logits: of the next token.
        log_base: of the logarithm; `vocab` brings the range to [0, 1].
        top_k: sum over the k likeliest tokens only, without renormalising (the released code of UQAC: 5). It is less
            than the entropy.

    Returns:
        In [0, log vocab], nats by default.

    Raises:
        ValueError: if `log_base` is not above 1 or `top_k` not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(token_entropy(jnp.log(jnp.array([0.7, 0.2, 0.05, 0.05])))), 4)
        0.8711

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.13.
    """
    check_number("log_base", log_base, 1.0, open_low=True)
    log_probs, possible, _ = _log_probabilities(logits)
    terms = jnp.where(possible, -log_probs * jnp.exp(log_probs), 0.0)
    if top_k is not None:
        check_count("top_k", top_k)
        _, likeliest = jax.lax.top_k(jnp.where(possible, log_probs, -jnp.inf), min(top_k, logits.shape[-1]))
        terms = jnp.take_along_axis(terms, likeliest, axis=-1)
    return jnp.sum(terms, axis=-1) / math.log(log_base)


@checked
@widened
def predictive_entropy(
    entropies: Float[Array, " tokens"], *, normalise: bool = False, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Predictive entropy of a response, $\mathcal{H} = \sum_t H_t$ or $\bar{\mathcal{H}} = \mathcal{H} / T$.

    A sum of token entropies along the one path that was generated; higher is more uncertain. The dissertation reports
    $1 - \mathcal{H}$ and $1 - \bar{\mathcal{H}}$ as confidence; $\bar{\mathcal{H}} \le 1$ only with `log_base=vocab`,
    and $\mathcal{H}$ has no calibration error. With `top_k=5` in `token_entropy` it is what the released code computes.

    Args:
        entropies: see `token_entropy`.
        normalise: divide by the number of tokens (Eq 3.14).
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar >= 0; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> entropies = jnp.array([0.871133, 1.207974, 0.428048])
        >>> (
        ...     round(float(predictive_entropy(entropies)), 4),
        ...     round(float(predictive_entropy(entropies, normalise=True)), 4),
        ... )
        (2.5072, 0.8357)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, Eq 3.13 and 3.14.
    """
    valid, entropies = masked(where, entropies=entropies)
    if normalise:
        return weighted_mean(entropies, valid)
    return undefined_unless(jnp.any(valid), jnp.sum(entropies))


@checked
@widened
def renyi_divergence(
    logits: Float[Array, "*batch vocab"], *, order: float = 0.5, temperature: float = 2.0
) -> Float[Array, "*batch"]:
    r"""Rényi divergence of the next token's distribution from the uniform one. Higher is more confident.

    $$D_\alpha = \frac{1}{\alpha - 1} \left[\log \sum_v q(v)^\alpha + (\alpha - 1) \log V\right], \qquad
      q \propto p^{1/\tau}$$

    $\log V$ minus the Rényi entropy; order 1 is the Kullback-Leibler divergence. LM-Polygraph, with the same defaults,
    subtracts the last term and so returns $D - 2 \log V$ for every order: the same ranking, another zero.

    Args:
        logits: of the next token.
        order: $\alpha > 0$.
        temperature: $\tau$.

    Returns:
        In [0, log V], with V the number of possible tokens.

    Raises:
        ValueError: if `order` or `temperature` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(renyi_divergence(jnp.log(jnp.array([0.7, 0.2, 0.05, 0.05])))), 4)
        0.0793

    References:
        Darrin, Piantanida and Colombo. RainProof: An Umbrella to Shield Text Generators from Out-of-Distribution Data.
        EMNLP 2023.
    """
    check_number("order", order, 0.0, open_low=True)
    check_number("temperature", temperature, 0.0, open_low=True)
    log_probs, possible, count = _log_probabilities(logits, temperature)
    if order == 1:
        return jnp.log(count) + jnp.sum(jnp.where(possible, log_probs * jnp.exp(log_probs), 0.0), axis=-1)
    power = jax.nn.logsumexp(jnp.where(possible, order * log_probs, -jnp.inf), axis=-1)
    return power / (order - 1) + jnp.log(count)


@checked
@widened
def fisher_rao_distance(logits: Float[Array, "*batch vocab"], *, temperature: float = 2.0) -> Float[Array, "*batch"]:
    r"""Fisher-Rao distance of the next token's distribution from the uniform one. Higher is more confident.

    $$\frac{2}{\pi} \arccos \sum_v \sqrt{q(v) / V}, \qquad q \propto p^{1/\tau}$$

    Args:
        logits: of the next token.
        temperature: $\tau$.

    Returns:
        In $[0, \frac2\pi \arccos(V^{-1/2})]$, below 1.

    Raises:
        ValueError: if `temperature` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(fisher_rao_distance(jnp.log(jnp.array([0.7, 0.2, 0.05, 0.05])))), 4)
        0.178

    References:
        Darrin, Piantanida and Colombo. RainProof. EMNLP 2023.
    """
    check_number("temperature", temperature, 0.0, open_low=True)
    log_probs, possible, count = _log_probabilities(logits, temperature)
    overlap = jnp.sum(jnp.where(possible, jnp.exp(0.5 * log_probs), 0.0), axis=-1) / jnp.sqrt(count)
    # arccos(1 - d) = 2 arcsin(sqrt(d / 2)), exact near the uniform distribution, where the gradient does not exist.
    gap = 1.0 - overlap
    apart = gap > 1e-7
    angle = 2.0 * jnp.arcsin(jnp.sqrt(jnp.where(apart, jnp.minimum(gap, 1.0), 0.5) / 2.0))
    return (2.0 / math.pi) * jnp.where(apart, angle, 0.0)


@checked
@widened
def self_certainty(logits: Float[Array, "*batch vocab"]) -> Float[Array, "*batch"]:
    r"""Self-certainty: $\mathrm{KL}(U \Vert p) = -\frac1V \sum_v \log p(v) - \log V$. Higher is more confident.

    Dominated by the unlikely tokens, so compute logits in float32; comparable only with the same vocabulary.

    Args:
        logits: of the next token.

    Returns:
        A number >= 0, unbounded.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(self_certainty(jnp.log(jnp.array([0.7, 0.2, 0.05, 0.05])))), 4)
        0.6031

    References:
        Kang, Zhao and Song. Scalable Best-of-N Selection for Large Language Models via Self-Certainty. arXiv
        2502.18581, 2025.
    """
    log_probs, _, count = _log_probabilities(logits)
    return -jnp.sum(log_probs, axis=-1) / count - jnp.log(count)


@checked
@widened
def boosted_probability(
    logits: Float[Array, "*batch vocab"],
    tokens: Int[Array, "*batch"],
    *,
    relative_drop: float = 0.3,
    least_drop: float = 0.005,
    search: int = 1024,
) -> Float[Array, "*batch"]:
    r"""The token's probability, or that of all the dominant tokens if it is one of them. Higher is more confident.

    With probabilities in falling order, the dominant ranks are those up to the *last* $k$ with
    $p_{(k)} - p_{(k+1)} > \max(0.3\, p_{(k)}, 0.005)$. Several good continuations share the mass, and a token should
    not look doubtful for having a synonym.

    Args:
        logits: of the next token.
        tokens: what was said.
        relative_drop: see above.
        least_drop: see above.
        search: how many of the likeliest tokens are looked at.

    Returns:
        In [0, 1].

    Raises:
        ValueError: if `search` is not a positive integer.

    Example:
        >>> import jax.numpy as jnp
        >>> logits = jnp.log(jnp.array([0.45, 0.40, 0.10, 0.05]))
        >>> [round(float(x), 2) for x in boosted_probability(jnp.tile(logits, (2, 1)), jnp.array([1, 3]))]
        [0.95, 0.05]

    References:
        Dinh and Niehues. Are Generative Models Underconfident? Better Quality Estimation with Boosted Model
        Probability. EMNLP 2025.
    """
    check_count("search", search)
    log_probs, possible, _ = _log_probabilities(logits)
    probabilities = jnp.where(possible, jnp.exp(log_probs), 0.0)
    chosen = take_class(probabilities, tokens)
    # Kept whole: slices of it would make XLA sort the vocabulary on CPUs.
    ordered, ranked = jax.lax.optimization_barrier(jax.lax.top_k(probabilities, min(search + 1, logits.shape[-1])))
    drops = ordered[..., :-1] - ordered[..., 1:]
    jumps = (drops > relative_drop * ordered[..., :-1]) & (drops > least_drop)
    later = jnp.cumsum(jumps[..., ::-1], axis=-1)[..., ::-1] > 0  # this rank's jump or a later one: dominant
    mass = jnp.sum(jnp.where(later, ordered[..., :-1], 0.0), axis=-1)
    same = ranked[..., :-1] == jnp.broadcast_to(tokens[..., None], drops.shape)
    return jnp.where(jnp.any(later & same, axis=-1), mass, chosen)


@checked
@widened
def alternatives_confidence(
    log_probs: Float[Array, "*batch alternatives"], *, kind: Literal["entropy", "margin"] = "entropy"
) -> Float[Array, "*batch"]:
    r"""Confidence from the likeliest alternatives alone, where an interface gives no more. Higher is more confident.

    $$1 - \frac{H(\tilde p)}{\log k} \quad\text{with}\ \tilde p \propto p_{(1..k)}, \qquad\text{or}\qquad
      p_{(1)} - p_{(2)}$$

    Args:
        log_probs: of the k >= 2 likeliest tokens, in any order.
        kind: the renormalised entropy, or the margin between the first two.

    Returns:
        In [0, 1].

    Raises:
        ValueError: if there are fewer than two alternatives or `kind` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.7, 0.2]))
        >>> confidences = [alternatives_confidence(log_probs, kind=kind) for kind in ("entropy", "margin")]
        >>> [round(float(one), 4) for one in confidences]
        [0.2358, 0.5]

    References:
        Bouchard and Chauhan. Uncertainty Quantification for Language Models. 2025.
    """
    check_choice("kind", kind, ("entropy", "margin"))
    if log_probs.shape[-1] < 2:
        raise OptionError(f"{log_probs.shape[-1]} alternative(s); expected at least two")
    if kind == "margin":
        two, _ = jax.lax.top_k(jnp.exp(log_probs), 2)
        return two[..., 0] - two[..., 1]
    return 1.0 - token_entropy(log_probs, log_base=float(log_probs.shape[-1]))


def _mean(values: Array, where: Array) -> Array:
    return weighted_mean(jnp.where(where, values, 0.0), where)


ENTRIES = (
    measure("answer_entropy", "Mean entropy of the answer",
            lambda seen: predictive_entropy(seen.entropies, normalise=True, where=seen.answer),
            higher="uncertain", group="answer", citation=("uqac",)),
    measure("predictive_entropy", "Predictive entropy H",
            lambda seen: predictive_entropy(seen.entropies, where=seen.response),
            higher="uncertain", citation=("uqac",)),
    measure("normalised_predictive_entropy", "1 - mean entropy",
            lambda seen: predictive_entropy(seen.entropies, normalise=True, where=seen.response),
            higher="uncertain", bounded="one minus", citation=("uqac",)),
    measure("renyi_divergence", "Rényi divergence", lambda seen: _mean(seen.values, seen.response),
            token=lambda logits, tokens: renyi_divergence(logits), citation=("renyi-divergence",)),
    measure("fisher_rao_distance", "Fisher-Rao distance", lambda seen: _mean(seen.values, seen.response),
            token=lambda logits, tokens: fisher_rao_distance(logits), bounded=True, citation=("renyi-divergence",)),
    measure("self_certainty", "Self-certainty", lambda seen: _mean(seen.values, seen.response),
            token=lambda logits, tokens: self_certainty(logits), citation=("self-certainty",)),
    measure("boosted_probability", "Boosted probability", lambda seen: _mean(seen.values, seen.response),
            token=lambda logits, tokens: boosted_probability(logits, tokens, search=min(64, logits.shape[-1])),
            bounded=True, citation=("boosted-probability",)),
    measure("alternatives_confidence", "Confidence against alternatives", needs=("the likeliest tokens at each place",),
            bounded=True, citation=("alternatives-confidence",)),
)  # fmt: skip
"""Distributions of tokens as measures of an answer, see `jaxuq.confidence.MEASURES`."""
