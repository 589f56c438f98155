"""From the probabilities of the answer's own tokens: how likely was what was said?"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import (
    check_between,
    first_true,
    masked,
    select,
    take_class,
    undefined_unless,
    weighted_mean,
    widened,
)
from jaxuq._options import check_choice
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


@checked
@widened
def token_log_probs(
    logits: Float[Array, "*batch vocab"],
    tokens: Int[Array, "*batch"],
    *,
    convention: Literal["exact", "published"] = "exact",
) -> Float[Array, "*batch"]:
    r"""Log-probability of each token under the distribution that predicted it.

    $$\ell_t = z_{t, y_t} - \log \sum_v e^{z_{t,v}}$$

    The model's own distribution, before temperature and top-p. Logits in row $t$ are those of the position before
    token $t$.

    Args:
        logits: of the next token; $-\infty$ for suppressed tokens.
        tokens: what was said; numbers outside the vocabulary count as its first or last.
        convention: `"published"` gives a token that is not among the five likeliest the probability of the likeliest,
            as the released code of UQAC does.

    Returns:
        $\ell$; NaN where logits are NaN, and for a token outside the vocabulary.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(x), 3) for x in token_log_probs(jnp.log(jnp.array([[0.7, 0.2, 0.1]])), jnp.array([1]))]
        [-1.609]

    References:
        Fomicheva et al. Unsupervised Quality Estimation for Neural Machine Translation. TACL 2020.
    """
    check_choice("convention", convention, ("exact", "published"))
    total = jax.nn.logsumexp(logits, axis=-1)
    chosen = take_class(logits, tokens)
    if convention == "published":
        likeliest = jax.lax.top_k(logits, min(5, logits.shape[-1]))[0]
        chosen = jnp.where(chosen < likeliest[..., -1], likeliest[..., 0], chosen)
    return chosen - total


@checked
@widened
def sequence_log_probability(
    log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Log-probability of a whole answer: $\log P(y) = \sum_t \ell_t$. Higher is more confident.

    With a mask of the answer's tokens it is $P(x_{ans} \mid x_{cot}, x_{instr})$ of the dissertation, with one of the
    response $P(x_{resp} \mid x_{instr})$. It falls with length, so it separates right from wrong partly because wrong
    answers are longer. Stay with the logarithm: the probability of a long response underflows.

    Args:
        log_probs: of the tokens; see `token_log_probs`. Decide once whether the end-of-text token counts, and mask.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar <= 0; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(sequence_log_probability(jnp.log(jnp.array([0.7, 0.25, 0.9])))), 4)
        -1.8483

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.4.2 (baselines 1 and 2).
    """
    valid, log_probs = masked(where, log_probs=log_probs)
    return undefined_unless(jnp.any(valid), jnp.sum(log_probs))


@checked
@widened
def greedy_negative_log_likelihood(
    log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""G-NLL: $-\sum_t \ell_t$ of the greedy answer. Higher is more uncertain.

    An estimate of $-\max_y \log P(y)$, which is what the zero-one score calls for. Not normalised by length, and not
    defined by any other answer than the greedy one: for a sampled answer the number is that answer's surprise.

    Args:
        log_probs: of the tokens of the greedy answer.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar >= 0; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(greedy_negative_log_likelihood(jnp.log(jnp.array([0.7, 0.5, 0.9])))), 4)
        1.1552

    References:
        Aichberger, Schweighofer and Hochreiter. Rethinking Uncertainty Estimation in Natural Language Generation.
        arXiv 2412.15176, 2024.
    """
    return 0.0 - sequence_log_probability(log_probs, where=where)


@checked
@widened
def mean_log_probability(
    log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Length-normalised log-probability $\frac1T \sum_t \ell_t$. Higher is more confident.

    Its exponential is the geometric mean of the tokens' probabilities; LM-Polygraph calls its negative perplexity.

    Args:
        log_probs: of the tokens.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar <= 0; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(mean_log_probability(jnp.log(jnp.array([0.7, 0.25, 0.9])))), 4)
        -0.6161

    References:
        Malinin and Gales. Uncertainty Estimation in Autoregressive Structured Prediction. ICLR 2021.
    """
    valid, log_probs = masked(where, log_probs=log_probs)
    return weighted_mean(log_probs, valid)


@checked
@widened
def perplexity(log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None) -> Float[Array, ""]:
    r"""Perplexity $\exp(-\frac1T \sum_t \ell_t)$. Higher is more uncertain.

    Args:
        log_probs: of the tokens.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar >= 1; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(perplexity(jnp.log(jnp.array([0.7, 0.25, 0.9])))), 4)
        1.8517

    References:
        Fomicheva et al. Unsupervised Quality Estimation for Neural Machine Translation. TACL 2020.
    """
    return jnp.exp(-mean_log_probability(log_probs, where=where))


@checked
@widened
def mean_probability(
    log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Arithmetic mean of the tokens' probabilities, $\bar P = \frac1T \sum_t e^{\ell_t}$. Higher is more confident.

    The dissertation's $\bar P(x_{ans})$ and $\bar P(x_{resp})$. Not the geometric mean, `exp(mean_log_probability)`.

    Args:
        log_probs: of the tokens.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(mean_probability(jnp.log(jnp.array([0.7, 0.25, 0.9])))), 4)
        0.6167

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.4.2 (baselines 3 and 4).
    """
    valid, log_probs = masked(where, log_probs=log_probs)
    return weighted_mean(jnp.exp(log_probs), valid)


@checked
@widened
def minimum_probability(
    log_probs: Float[Array, " tokens"], *, where: Bool[Array, " tokens"] | None = None
) -> Float[Array, ""]:
    r"""Probability of the least likely token, $\min_t e^{\ell_t}$. Higher is more confident.

    Args:
        log_probs: of the tokens.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar in [0, 1]; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(minimum_probability(jnp.log(jnp.array([0.7, 0.25, 0.9])))), 4)
        0.25

    References:
        Bouchard and Chauhan. Uncertainty Quantification for Language Models. 2025.
    """
    valid, log_probs = masked(where, log_probs=log_probs)
    return undefined_unless(jnp.any(valid), jnp.exp(jnp.min(select(log_probs, valid, jnp.inf), initial=jnp.inf)))


@checked
@widened
def sequence_entropy(
    log_probs: Float[Array, " samples"],
    lengths: Int[Array, " samples"] | None = None,
    *,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""Monte-Carlo estimate of the entropy over whole answers. Higher is more uncertain.

    $$-\frac1K \sum_k \ell(s_k), \qquad\text{or, with lengths,}\quad -\frac1K \sum_k \ell(s_k) / T_k$$

    The "predictive entropy" of the papers on semantic entropy, from samples at temperature 1. Not the sum of token
    entropies along one path, `predictive_entropy`. The normalised form is a score, not an entropy.

    Args:
        log_probs: of whole sampled answers; see `sequence_log_probability`.
        lengths: numbers of tokens, to normalise by.
        where: True for the samples that count; None counts all.

    Returns:
        A scalar in nats; NaN if no sample counts.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.3, 0.1, 0.2, 0.05]))
        >>> (
        ...     round(float(sequence_entropy(log_probs)), 4),
        ...     round(float(sequence_entropy(log_probs, jnp.array([2, 3, 2, 4]))), 4),
        ... )
        (2.0279, 0.7308)

    References:
        Malinin and Gales. Uncertainty Estimation in Autoregressive Structured Prediction. ICLR 2021.
    """
    valid, log_probs = masked(where, log_probs=log_probs)
    if lengths is not None:
        check_between("lengths", lengths, 0, 2**31 - 1, "numbers of tokens", where)
        log_probs = log_probs / select(lengths, valid, 1).astype(log_probs.dtype)
    return 0.0 - weighted_mean(log_probs, valid)


@checked
@widened
def pointwise_mutual_information(
    log_probs: Float[Array, " tokens"],
    unprompted_log_probs: Float[Array, " tokens"],
    entropies: Float[Array, " tokens"] | None = None,
    *,
    weight: float = 1.0,
    threshold: float = 3.5987,
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""Mean (conditional) pointwise mutual information of answer and prompt. Higher is more confident.

    $$\frac1T \sum_t \ell_t - \lambda\, \mathbb{I}(t > 1)\, \mathbb{I}(H_t \ge \tau) \log P(y_t \mid y_{<t})$$

    PMI has $\lambda = 1$ and no condition (`entropies=None`): how much the prompt raised each token. CPMI applies it
    where the model is unsure; its authors' values for BART are `weight=0.065602, threshold=3.5987` (nats), which
    LM-Polygraph has swapped. The uncertainty is the negative.

    Args:
        log_probs: of the tokens, given prompt and the tokens before.
        unprompted_log_probs: of the tokens, given the tokens before alone. The first is not used.
        entropies: $H_t$, see `token_entropy`; None: no condition.
        weight: $\lambda$.
        threshold: $\tau$.
        where: True for the tokens that count; None counts all. "First" is the first that counts.

    Returns:
        A scalar in nats; NaN if no token counts.

    Example:
        >>> import jax.numpy as jnp
        >>> with_prompt, without = jnp.log(jnp.array([0.7, 0.25, 0.9])), jnp.log(jnp.array([0.4, 0.3, 0.2]))
        >>> round(float(pointwise_mutual_information(with_prompt, without)), 4)
        0.3217

    References:
        van der Poel, Cotterell and Meister. Mutual Information Alleviates Hallucinations in Abstractive Summarization.
        EMNLP 2022.
    """
    valid, log_probs, unprompted = masked(where, log_probs=log_probs, unprompted_log_probs=unprompted_log_probs)
    corrected = valid & (jnp.arange(valid.shape[0]) > first_true(valid))
    if entropies is not None:
        corrected &= select(entropies, valid) >= threshold
    return weighted_mean(log_probs - weight * select(unprompted, corrected), valid)


def _joint(log_probs: Array, where: Array) -> Array:
    return jnp.exp(sequence_log_probability(log_probs, where=where))


ENTRIES = (
    measure("answer_probability", "P(answer | reasoning)", lambda seen: _joint(seen.log_probs, seen.answer),
            bounded=True, group="answer", citation=("uqac",)),
    measure("mean_answer_probability", "Mean P of the answer",
            lambda seen: mean_probability(seen.log_probs, where=seen.answer),
            bounded=True, group="answer", citation=("uqac",)),
    measure("minimum_answer_probability", "Least P of the answer",
            lambda seen: minimum_probability(seen.log_probs, where=seen.answer),
            bounded=True, group="answer", citation=("uqac",)),
    measure("response_probability", "P(response)", lambda seen: _joint(seen.log_probs, seen.response),
            bounded=True, citation=("uqac",)),
    measure("mean_response_probability", "Mean P of the response",
            lambda seen: mean_probability(seen.log_probs, where=seen.response), bounded=True, citation=("uqac",)),
    measure("minimum_probability", "Least P of the response",
            lambda seen: minimum_probability(seen.log_probs, where=seen.response), bounded=True,
            citation=("minimum-probability",)),
    measure("sequence_log_probability", "log P(response)",
            lambda seen: sequence_log_probability(seen.log_probs, where=seen.response), citation=("perplexity",)),
    measure("mean_log_probability", "Mean log P",
            lambda seen: mean_log_probability(seen.log_probs, where=seen.response), citation=("perplexity",)),
    measure("perplexity", "Perplexity", lambda seen: perplexity(seen.log_probs, where=seen.response),
            higher="uncertain", citation=("perplexity",)),
    measure("greedy_negative_log_likelihood", "G-NLL",
            lambda seen: greedy_negative_log_likelihood(seen.log_probs, where=seen.response),
            higher="uncertain", citation=("greedy-negative-log-likelihood",)),
    measure("sequence_entropy", "Monte-Carlo entropy", lambda seen: sequence_entropy(seen.sample_log_probs),
            needs=("samples",), higher="uncertain", citation=("sequence-entropy",)),
    measure("normalised_sequence_entropy", "Normalised Monte-Carlo entropy",
            lambda seen: sequence_entropy(seen.sample_log_probs, seen.sample_lengths),
            needs=("samples",), higher="uncertain", citation=("sequence-entropy",)),
    measure("pointwise_mutual_information", "Pointwise mutual information",
            lambda seen: pointwise_mutual_information(seen.log_probs, seen.unprompted_log_probs, where=seen.response),
            needs=("tokens", "unprompted"), citation=("pointwise-mutual-information",)),
)  # fmt: skip
"""Probabilities of tokens as measures of an answer, see `jaxuq.confidence.MEASURES`."""
