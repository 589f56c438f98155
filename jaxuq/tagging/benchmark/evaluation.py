"""What is said of a forecast: entities with a confidence, scores, and how good each labelling function looks."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from jaxuq.metrics import EntityScores, entity_scores, entity_spans
from jaxuq.tagging.label_model import LabelForecast, emission_counts
from jaxuq.tagging.records import WeakLabels


class FunctionReliability(NamedTuple):
    """How good a labelling function looks to a model, and how good it is.

    Attributes:
        function: its name.
        entities: how many it marks.
        reliability: what the model takes it to be, in the model's own terms; NaN if it has none.
        agreement: F1 of its entities against those that the model found.
        true_precision: against gold labels; NaN without.
        true_recall: against gold labels; NaN without.
        true_f1: against gold labels; NaN without.
    """

    function: str
    entities: int
    reliability: float
    agreement: float
    true_precision: float
    true_recall: float
    true_f1: float


def entities(data: WeakLabels, forecast: LabelForecast, row: int) -> list[dict[str, Any]]:
    """The entities of a sentence with a confidence: the marginal probability of its least sure token.

    The probability that all tokens of the entity are labelled so is at most that.

    Args:
        data: the sentences.
        forecast: labels and marginals.
        row: which sentence.

    Returns:
        `start`, `end`, `type`, `text` and `confidence` of each.
    """
    length = int(data.lengths[row])
    labels = np.asarray(forecast.labels[row, :length])
    probabilities = np.asarray(forecast.probabilities[row, :length])
    sure = probabilities[np.arange(length), labels]
    spans = entity_spans([data.label_names[label] for label in labels])
    return [
        {
            "start": start,
            "end": end,
            "type": kind,
            "text": " ".join(data.tokens[row][start:end]),
            "confidence": round(float(sure[start:end].min()), 4),
        }
        for start, end, kind in spans
    ]


def forecast_scores(data: WeakLabels, labels: np.ndarray) -> EntityScores | None:
    """Scores of labels against gold ones; None where there are none."""
    return None if data.labels is None else entity_scores(data.tags(labels), data.tags(data.labels))


def sentence_counts(data: WeakLabels, labels: np.ndarray) -> Int[np.ndarray, "sentences 3"]:
    """Entities of each sentence that are right, found, and to be found; the text has gold labels.

    Args:
        data: the sentences.
        labels: what a model says.

    Returns:
        Counts, of whose sums precision, recall and F1 are made.
    """
    pairs = zip(data.tags(labels), data.tags(data.labels))  # type: ignore[arg-type]
    spans = [(set(entity_spans(found)), set(entity_spans(gold))) for found, gold in pairs]
    return np.array([[len(found & gold), len(found), len(gold)] for found, gold in spans])


def function_reliabilities(
    data: WeakLabels, forecast: LabelForecast, reliability: np.ndarray | None
) -> list[FunctionReliability]:
    """Each labelling function beside the model and beside gold labels.

    Args:
        data: the sentences that were labelled.
        forecast: what the model says of them.
        reliability: the model's own view of each function, if it has one.

    Returns:
        One row per function.
    """
    found = data.tags(np.asarray(forecast.labels))
    rows = []
    for number, name in enumerate(data.function_names):
        says = data.tags(data.observations[:, :, number])
        own = float("nan") if reliability is None else float(reliability[number])
        agreement = entity_scores(says, found)
        true = forecast_scores(data, data.observations[:, :, number])
        truth = (float("nan"),) * 3 if true is None else (true.precision, true.recall, true.f1)
        rows.append(FunctionReliability(name, agreement.predicted, own, agreement.f1, *truth))
    return rows


def believed_emissions(
    data: WeakLabels, probabilities: Float[np.ndarray, "batch time label"]
) -> Float[np.ndarray, "function state label"]:
    r"""What each function is expected to say of each label: $\Phi_{kij} \propto \sum_t \gamma_i^{(t)}
    \mathbb{I}(x_k^{(t)} = j)$, for the marginals of any model, or for gold labels.

    Args:
        data: the sentences.
        probabilities: of the labels.

    Returns:
        Matrices with rows that sum to one; rows of labels that never occur are zero.
    """
    size = len(data.label_names)
    counts = np.zeros((len(data.function_names), size, size))
    for start in range(0, len(data.lengths), 256):  # the intermediate one-hot votes of all sentences would be large
        rows = slice(start, start + 256)
        part = emission_counts(
            jnp.asarray(probabilities[rows], jnp.float32), jnp.asarray(data.observations[rows]), size
        )
        counts += np.asarray(part)
    total = counts.sum(axis=-1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1e-12), 0.0)
