"""Measures from attention: how the model looked at what it wrote. Few rows or diagonals, never a whole matrix."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import (
    counted,
    first_true,
    masked,
    number_of,
    product,
    select,
    undefined_unless,
    weighted_mean,
    widened,
)
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


@checked
@widened
def attention_score(
    diagonals: Float[Array, "heads tokens"],
    *,
    over_heads: Literal["sum", "mean"] = "sum",
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""Log-determinant of a layer's causal attention, per token. Higher is more confident, as its authors use it.

    $$\frac1T \sum_h \sum_t \log A^{(h)}_{tt}$$

    A triangular matrix has the product of its diagonal for determinant, so only each token's attention on itself is
    needed: $e^{s\, q_t \cdot k_t - \mathrm{lse}_t}$. Compare one layer of one model only. TruthTorchLM takes the mean
    over heads; LM-Polygraph sums over the tokens, the prompt included, so its number grows with the prompt.

    Args:
        diagonals: $A_{tt}$ of one layer, in (0, 1].
        over_heads: the authors' sum, or a mean.
        where: True for the tokens of the answer; None counts all.

    Returns:
        A scalar <= 0; NaN if no token counts.

    Raises:
        ValueError: if `over_heads` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(attention_score(jnp.array([[1.0, 0.6, 0.5], [1.0, 0.3, 0.25]]))), 4)
        -1.2647

    References:
        Sriramanan et al. LLM-Check: Investigating Detection of Hallucinations in Large Language Models. NeurIPS 2024.
    """
    check_choice("over_heads", over_heads, ("sum", "mean"))
    valid = counted(where, diagonals.shape[1:])
    logs = jnp.log(jnp.where(jnp.broadcast_to(valid[None], diagonals.shape), diagonals, 1.0) + 1e-30)
    per_token = jnp.sum(logs, axis=0) / (1.0 if over_heads == "sum" else diagonals.shape[0])
    return weighted_mean(per_token, valid)


@checked
@widened
def contextualised_sequence_likelihood(
    log_probs: Float[Array, " tokens"],
    attention: Float[Array, "heads tokens"],
    *,
    convention: Literal["per_head", "pooled"] = "per_head",
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""CSL: log-probability of an answer, tokens weighted by the attention of a judging question on them.

    $$\sum_t w_t \ell_t, \qquad w_t = \frac1H \sum_h \frac{a^{(h)}_t}{\sum_{t'} a^{(h)}_{t'}}$$

    Ask the model whether the answer is right and read, at the last position of the prompt, the attention on the tokens
    of the answer. Higher is more confident. The method takes the ten heads that separate best on labelled questions;
    pass those.

    Args:
        log_probs: of the answer's tokens.
        attention: of the judge's last position on the tokens, one row a head.
        convention: `"pooled"` averages the raw attention over heads before normalising, as LM-Polygraph does.
        where: True for the tokens that count; None counts all.

    Returns:
        A scalar <= 0; NaN if no token counts.

    Raises:
        ValueError: if `convention` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.70, 0.25, 0.90]))
        >>> heads = jnp.array([[0.02, 0.05, 0.03], [0.10, 0.10, 0.40]])
        >>> round(float(contextualised_sequence_likelihood(log_probs, heads)), 4)
        -0.5784

    References:
        Lin, Trivedi and Sun. Contextualized Sequence Likelihood: Enhanced Confidence Scores for Natural Language
        Generation. EMNLP 2024.
    """
    check_choice("convention", convention, ("per_head", "pooled"))
    valid, log_probs = masked(where, log_probs=log_probs)
    attention = jnp.where(jnp.broadcast_to(valid[None], attention.shape), attention, 0.0).astype(log_probs.dtype)
    if convention == "pooled":
        attention = jnp.mean(attention, axis=0, keepdims=True)
    totals = jnp.sum(attention, axis=1, keepdims=True)
    weights = jnp.where(totals > 0, attention / jnp.where(totals > 0, totals, 1.0), 1.0 / number_of(valid, log_probs))
    return undefined_unless(jnp.any(valid), jnp.sum(product(jnp.mean(weights, axis=0), log_probs)))


@checked
@widened
def rauq(
    log_probs: Float[Array, " tokens"],
    attention: Float[Array, "layers heads tokens"],
    *,
    mixing: float = 0.2,
    where: Bool[Array, " tokens"] | None = None,
) -> Float[Array, ""]:
    r"""RAUQ: confidence handed on from token to token by the head that looks back most. Higher is more uncertain.

    $$c_1 = p_1, \quad c_t = \alpha\, p_t + (1 - \alpha)\, a^{(l, h_l)}_t c_{t-1}, \qquad
      U = \max_l -\frac1T \sum_t \log c_t, \qquad h_l = \arg\max_h \sum_t a^{(l,h)}_t$$

    Pass the middle layers, from $\lfloor L/3 \rfloor$ to $\lceil 2L/3 \rceil$ inclusive. LM-Polygraph adds 1, mixes
    with 0.5 for instruction-tuned models, and reads the row of the step that *produced* a token, which is the attention
    of the token before on itself; here the caller chooses by what is passed.

    Args:
        log_probs: of the tokens; for the entropy variant, the log of $\log V - H_t$ + 1e-10.
        attention: of each token on the one before it, in each layer and head; that of the first is not read.
        mixing: $\alpha$ in (0, 1].
        where: True for the tokens that count, which are neighbours; None counts all.

    Returns:
        A scalar; $-\log p_1$ for a single token; NaN if no token counts.

    Raises:
        ValueError: if `mixing` is not in (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> log_probs = jnp.log(jnp.array([0.70, 0.25, 0.90]))
        >>> attention = jnp.array([[[0.0, 0.3, 0.5], [0.0, 0.2, 0.9]]])
        >>> round(float(rauq(log_probs, attention)), 4)
        1.1307

    References:
        Vazhentsev et al. Uncertainty-Aware Attention Heads: Efficient Unsupervised Uncertainty Quantification for
        LLMs. arXiv 2505.20045, 2025.
    """
    check_number("mixing", mixing, 0.0, 1.0, open_low=True)
    valid, log_probs = masked(where, log_probs=log_probs)
    first = valid & (jnp.arange(valid.shape[0]) == first_true(valid))
    follows = jnp.broadcast_to((valid & ~first)[None, None], attention.shape)
    attention = jnp.where(follows, attention, 0.0).astype(log_probs.dtype)
    head = jnp.argmax(jnp.sum(attention, axis=-1), axis=-1)
    chosen = jnp.take_along_axis(attention, head[:, None, None], axis=1)[:, 0]  # [layers, tokens]

    share = jnp.asarray(mixing, log_probs.dtype)

    def step(before: Array, token: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        log_prob, weight, starts, counts = token  # in logarithms: probabilities may be below the range of numbers
        some = (weight > 0) & (share < 1)
        passed = jnp.where(some, jnp.log1p(-jnp.where(some, share, 0.0)) + jnp.log(jnp.where(some, weight, 1.0)), 0.0)
        passed = jnp.where(some, passed + before, -jnp.inf)
        now = jnp.where(starts, log_prob, jnp.logaddexp(jnp.log(share) + log_prob, passed))
        now = jnp.where(counts, now, before)
        return now, jnp.where(counts, now, 0.0)

    _, logs = jax.lax.scan(
        step,
        vary_like(jnp.zeros(attention.shape[:1], log_probs.dtype), log_probs, chosen),
        (log_probs, chosen.T, first, valid),
    )
    return undefined_unless(jnp.any(valid), jnp.max(-jnp.sum(logs, axis=0)) / number_of(valid, log_probs))


@checked
@widened
def focus(
    probabilities: Float[Array, "tokens vocab"],
    chosen: Float[Array, "tokens vocab"],
    inverse_document_frequency: Float[Array, " vocab"],
    attention: Float[Array, "tokens tokens"],
    keywords: Bool[Array, " tokens"],
    *,
    decay: float = 0.9,
    least: float = 0.01,
) -> Float[Array, ""]:
    r"""Focus: surprise and entropy of rare words at the keywords, and of what they look back on. Higher: uncertain.

    $$\hat p \propto p\, \mathbb{I}(p \ge 0.01)\, \mathrm{idf}, \quad h_t = -\log(\hat p(y_t) + 10^{-5}) +
      2^{H_2(\hat p)}, \quad U_t = h_t + \gamma \sum_{j < t} A_{tj} U_j$$

    averaged over the keywords; only keywords look back, with rows of $A$ normalised. $\mathrm{idf}_v =
    \log(N / (df_v + 1))$ over a corpus.

    Args:
        probabilities: of the next token.
        chosen: one-hot rows of the tokens said.
        inverse_document_frequency: of every token of the vocabulary.
        attention: among the answer's tokens, the maximum over layers and heads; the lower triangle is read.
        keywords: True for nouns, names and numbers.
        decay: $\gamma$.
        least: below which probabilities are cut off.

    Returns:
        A scalar; NaN without a keyword. Holds two arrays `[tokens, vocab]`, and reads `[tokens, tokens]` attention:
        meant for short answers.

    Example:
        >>> import jax.numpy as jnp
        >>> probabilities = jnp.array([[0.5, 0.5], [0.5, 0.5]])
        >>> chosen, idf = jnp.eye(2), jnp.ones(2)
        >>> attention, keywords = jnp.array([[0.0, 0.0], [0.4, 0.0]]), jnp.array([False, True])
        >>> round(float(focus(probabilities, chosen, idf, attention, keywords)), 3)
        5.117

    References:
        Zhang T. et al. Enhancing Uncertainty-Based Hallucination Detection with Stronger Focus. EMNLP 2023.
    """
    kept = jnp.where(probabilities >= least, probabilities, 0.0) * inverse_document_frequency[None]
    totals = jnp.sum(kept, axis=1, keepdims=True)
    kept = kept / jnp.where(totals > 0, totals, 1.0)
    entropies = jnp.where(kept > 0, jax.scipy.special.entr(jnp.where(kept > 0, kept, 1.0)), 0.0)
    bits = jnp.sum(entropies, axis=1) / jnp.log(2.0)
    surprise = -jnp.log(jnp.sum(kept * chosen, axis=1) + 1e-5) + jnp.exp2(bits)
    rows = jnp.tril(attention, -1) * keywords[:, None].astype(attention.dtype)
    rows = decay * rows / (jnp.sum(rows, axis=1, keepdims=True) + 1e-6)
    matrix = jnp.eye(rows.shape[0], dtype=rows.dtype) - rows
    spread = jax.scipy.linalg.solve_triangular(matrix, surprise[:, None], lower=True, unit_diagonal=True)[:, 0]
    return weighted_mean(select(spread, keywords), keywords)


ENTRIES = (
    measure("attention_score", "AttentionScore", lambda seen: attention_score(seen.itself, where=seen.inner),
            needs=("attention",), citation=("attention-score",)),
    measure("rauq", "RAUQ", lambda seen: rauq(seen.log_probs, seen.back, where=seen.inner),
            needs=("tokens", "attention"), higher="uncertain", citation=("rauq",)),
    # All heads alike: no labelled questions are at hand that would tell which separate best.
    measure("contextualised_sequence_likelihood", "CSL (all heads)",
            lambda seen: contextualised_sequence_likelihood(seen.log_probs, seen.judge_attention, where=seen.answer),
            needs=("tokens", "judge_attention"), citation=("csl",)),
    measure("focus", "Focus", needs=("word frequencies of a corpus and a tagger of keywords",), higher="uncertain",
            citation=("focus",)),
)  # fmt: skip
"""Attention as measures of an answer, see `jaxuq.confidence.MEASURES`."""
