"""What tuning did to accuracy and to calibration: scores of forecasts over answers, with intervals."""

import math
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Real

from jaxuq._arguments import typed
from jaxuq._arrays import (
    as_float,
    class_numbers,
    counted,
    select,
    undefined_unless,
    widened,
    within_classes,
    within_unit,
)
from jaxuq._shapes import checked
from jaxuq.language import encode_prompt, score_tokens
from jaxuq.metrics import (
    area_under_risk_coverage,
    area_under_roc,
    expected_calibration_error,
    multiclass_brier_score,
)
from jaxuq.parallel import pad_rows, plan_rows
from jaxuq.tuning.answers import answer_loss

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

SCORES = ("accuracy", "nll", "brier", "ece", "correctness_auroc", "aurc")


@checked
@widened
def answer_scores(
    log_probs: Float[Array, "questions options"],
    labels: Int[Array, " questions"],
    *,
    bins: int = 10,
    where: Bool[Array, " questions"] | None = None,
) -> Float[Array, "6"]:
    """The scores named in `SCORES`: of the answers, of their probabilities, and of confidence as a sign of being right.

    Accuracy; negative log likelihood, nats; Brier score, summed over the answers; expected calibration error of the
    highest probability; AUROC of the highest probability for "the answer is right" (NaN if all or none are); area under
    risk and coverage, sorted by it.

    Args:
        log_probs: of the answers to choose from, normalised.
        labels: the right ones.
        bins: of the calibration error.
        where: questions that count.

    Returns:
        Six numbers; NaN if none counts, and if a label that counts is no option.

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = answer_scores(jnp.log(jnp.array([[0.8, 0.2], [0.6, 0.4]])), jnp.array([0, 1]))
        >>> dict(zip(SCORES, scores.round(3).tolist()))["brier"]
        0.4...
    """
    kept = counted(where, labels)
    log_probs = select(log_probs, kept, -math.log(log_probs.shape[1]))
    known = jnp.all(within_classes(labels, log_probs.shape[1]) | ~kept)
    labels = class_numbers(select(labels, kept), log_probs.shape[1])
    probabilities = jnp.exp(log_probs)
    confidence = probabilities.max(1)
    right = (jnp.argmax(log_probs, 1).astype(jnp.int32) == labels).astype(log_probs.dtype)
    count = kept.sum(dtype=log_probs.dtype)
    none = count == 0

    def mean(values: Array) -> Array:
        return jnp.where(none, jnp.nan, jnp.where(kept, values, 0.0).sum() / jnp.maximum(count, 1))

    scores = jnp.stack(
        [
            mean(right),
            mean(answer_loss(log_probs, labels)),
            multiclass_brier_score(probabilities, labels, where=kept),
            expected_calibration_error(confidence, right, bins=bins, where=kept),
            area_under_roc(confidence, right, where=kept),
            area_under_risk_coverage(1 - confidence, 1 - right, where=kept),
        ]
    )
    return undefined_unless(known, scores)


@checked
@widened
def confidence_scores(
    confidence: Float[Array, " questions"],
    correct: Real[Array, " questions"],
    *,
    bins: int = 10,
    where: Bool[Array, " questions"] | None = None,
) -> Float[Array, "6"]:
    """The scores named in `SCORES` of one confidence an answer, however it came about.

    Share of right answers; negative log likelihood, nats, and Brier score of "the answer is right" with that
    probability; expected calibration error; AUROC; area under risk and coverage. Not those of `answer_scores`, whose
    likelihood and Brier score are of all answers to choose from.

    Args:
        confidence: in [0, 1]; probabilities of 0 and 1 count as 1e-6 from there in the likelihood.
        correct: 1 if the answer was right, else 0.
        bins: of the calibration error.
        where: questions that count.

    Returns:
        Six numbers; NaN if none counts, and if a grade that counts is outside [0, 1].

    Raises:
        ArrayError: the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> scores = confidence_scores(jnp.array([0.8, 0.4]), jnp.array([1.0, 0.0]))
        >>> dict(zip(SCORES, scores.round(3).tolist()))["brier"]
        0.1...
    """
    kept = counted(where, correct)
    confidence = select(confidence, kept, 0.5)
    right = select(as_float(correct, confidence), kept)
    known = within_unit(right)
    inner = jnp.clip(confidence, 1e-6, 1 - 1e-6)
    count = kept.sum(dtype=confidence.dtype)

    def mean(values: Array) -> Array:
        return jnp.where(count == 0, jnp.nan, jnp.where(kept, values, 0.0).sum() / jnp.maximum(count, 1))

    scores = jnp.stack(
        [
            mean(right),
            mean(-right * jnp.log(inner) - (1 - right) * jnp.log1p(-inner)),
            mean((confidence - right) ** 2),
            expected_calibration_error(confidence, right, bins=bins, where=kept),
            area_under_roc(confidence, right, where=kept),
            area_under_risk_coverage(1 - confidence, 1 - right, where=kept),
        ]
    )
    return undefined_unless(known, scores)


@typed()
def text_loss(model: "LanguageModel", texts: list[str] | tuple[str, ...], *, batch_size: int = 8) -> float:
    r"""Mean $-\log p$ of the tokens of texts, nats: measured before and after tuning, its rise is what was forgotten.

    Args:
        model: with its adapters, if any.
        texts: not used for tuning.
        batch_size: texts in a pass.

    Returns:
        The mean over all tokens but the first of each text.
    """
    encoded = [encode_prompt(model.tokenizer, text, chat=False) for text in texts]
    total, count = 0.0, 0
    for batch in plan_rows([len(text) for text in encoded], max_rows=batch_size, full=True):
        tokens, lengths = pad_rows([encoded[row] for row in batch.rows], batch)
        slots = np.arange(batch.length, dtype=np.int32)[None]
        positions = np.where(slots < lengths[:, None], slots, -1)
        scores = score_tokens(model.decoder, model.variables, jnp.asarray(tokens), jnp.asarray(positions))
        total -= float(np.asarray(scores.log_probs, np.float64).sum())
        count += int((positions > 0).sum())
    return total / max(count, 1)
