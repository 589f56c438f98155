"""All measures of several answers, from their texts, final answers, probabilities and mean hidden states."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq.confidence.relevance import sentence_sar
from jaxuq.confidence.sample_agreement import cocoa, eigen_score, semantic_density, semantic_volume
from jaxuq.confidence.semantic_clusters import greedy_clusters, number_of_sets, self_consistency
from jaxuq.confidence.semantic_entropy import discrete_semantic_entropy, semantic_entropy
from jaxuq.confidence.similarity_graph import (
    degree_uncertainty,
    eccentricity,
    eigenvalue_uncertainty,
    kernel_language_entropy,
    mean_pair_similarity,
)
from jaxuq.confidence.text.generating import Sampled
from jaxuq.confidence.text_similarity import jaccard_similarities, rouge_similarities
from jaxuq.confidence.token_probabilities import sequence_entropy
from jaxuq.questions.answers import AnswerKind, FoundAnswer
from jaxuq.questions.grading import equivalent_answers


def same_answers(
    answers: Sequence[FoundAnswer | None], kind: AnswerKind, extra: FoundAnswer | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Which of several answers are equivalent, `[samples, samples]`, and which are equivalent to one more."""
    equal = np.eye(len(answers), dtype=bool)
    for i, first in enumerate(answers):
        for j in range(i):
            second = answers[j]
            same = first is not None and second is not None and equivalent_answers(first.text, second.text, kind)
            equal[i, j] = equal[j, i] = same
    like = [one is not None and extra is not None and equivalent_answers(one.text, extra.text, kind) for one in answers]
    return equal, np.array(like, bool)


@jax.jit
def _measures(
    log_probs: Array, lengths: Array, equal: Array, known: Array, like: Array, rouge: Array, jaccard: Array,
    embeddings: Array, answer: Array, answer_log_prob: Array, first: Array,
) -> dict[str, Array]:  # fmt: skip
    clusters = jnp.where(known, greedy_clusters(equal, where=known), -1)
    means = log_probs / jnp.maximum(lengths, 1).astype(log_probs.dtype)
    directions = embeddings / jnp.maximum(jnp.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12)
    unit = answer / jnp.maximum(jnp.linalg.norm(answer), 1e-12)
    near, cosines = jnp.clip(directions @ unit, 0.0, 1.0), jnp.clip(directions @ directions.T, 0.0, 1.0)
    undefined = jnp.where(jnp.any(known), 0.0, jnp.nan)  # no sample has an answer: not "one meaning", but unknown
    return {
        "self_consistency": self_consistency(clusters),
        "agreement": jnp.mean(like.astype(jnp.float32)),
        "number_of_sets": number_of_sets(clusters) + undefined,
        "discrete_semantic_entropy": discrete_semantic_entropy(clusters),
        "semantic_entropy": semantic_entropy(means, clusters),
        "sequence_entropy": sequence_entropy(log_probs),
        "normalised_sequence_entropy": sequence_entropy(log_probs, lengths),
        "mean_pair_similarity": mean_pair_similarity(rouge),
        "degree_uncertainty": degree_uncertainty(jaccard),
        "eigenvalue_uncertainty": eigenvalue_uncertainty(jaccard),
        "eccentricity": eccentricity(jaccard),
        "kernel_language_entropy": kernel_language_entropy(cosines),
        "semantic_volume": semantic_volume(embeddings),
        "eigen_score": eigen_score(embeddings),
        "sentence_sar": sentence_sar(log_probs, cosines),
        "semantic_density": semantic_density(means, 1.0 - near, where=first),
        "cocoa": cocoa(0.0 - answer_log_prob, near),
    }


def several_answer_measures(
    samples: Sampled,
    texts: Sequence[str],
    answers: Sequence[FoundAnswer | None],
    *,
    kind: AnswerKind,
    answer: FoundAnswer | None,
    embedding: np.ndarray,
    mean_log_prob: float,
) -> dict[str, float]:
    """Measures of the agreement of samples with each other and with the answer that is judged.

    Meanings are the same where final answers are equivalent; similarities are of words (ROUGE-L, Jaccard) or of mean
    hidden states (cosine), so that no second model is needed. `agreement` is the share of samples whose final answer is
    that of the judged response; `self_consistency` that of the majority.

    Args:
        samples: from `sample_answers`.
        texts: of the samples.
        answers: their final answers.
        kind: of answer.
        answer: the judged final answer.
        embedding: mean hidden state of the judged response.
        mean_log_prob: mean log-probability of its tokens.
    """
    equal, like = same_answers(answers, kind, answer)
    known = np.array([one is not None for one in answers], bool)
    first = np.array([text not in texts[:at] for at, text in enumerate(texts)], bool)
    numbers = (samples.log_probs, np.array([len(one) for one in samples.tokens], np.int32))
    similar = (rouge_similarities(texts), jaccard_similarities(texts), samples.embeddings, embedding)
    arrays = (*numbers, equal, known, like, *similar, np.float32(mean_log_prob), first)
    found = jax.device_get(_measures(*map(jnp.asarray, arrays)))
    if answer is None:
        found["agreement"] = np.nan
    return {name: float(value) for name, value in found.items()}
