"""Asking the model itself: P(True), stated confidence, preferences between answers."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arguments import typed
from jaxuq._arrays import widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure
from jaxuq.questions.shares import OF, share, without_scale


@checked
@widened
def p_true(
    true_logits: Float[Array, "*batch true_tokens"], false_logits: Float[Array, "*batch false_tokens"]
) -> Float[Array, "*batch"]:
    r"""P(True): probability of the option "true" among both options. Higher is more confident.

    $$\frac{\sum_{v \in \mathrm{true}} e^{z_v}}{\sum_{v \in \mathrm{true} \cup \mathrm{false}} e^{z_v}}$$

    Renormalised over both options and their spellings: the mass on one option alone is not a probability of truth.

    Args:
        true_logits: of the tokens that say true (with and without space, both cases), at the cue.
        false_logits: of those that say false.

    Returns:
        In [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(p_true(jnp.array([2.0]), jnp.array([0.5]))), 4)
        0.8176

    References:
        Kadavath et al. Language Models (Mostly) Know What They Know. arXiv 2207.05221, 2022.
    """
    return jax.nn.sigmoid(jax.nn.logsumexp(true_logits, axis=-1) - jax.nn.logsumexp(false_logits, axis=-1))


class StatedConfidences(NamedTuple):
    """What was read from replies.

    Attributes:
        values: in [0, 1]; NaN for a reply without a usable number or phrase.
        failures: positions of those replies. Report their share; do not count them as 0 or 1.
    """

    values: list[float]
    failures: list[int]


# Tian et al. 2023, Figure 3 and appendix: the median probability that people attach to each phrase.
PHRASES = {
    "almost certain": 0.95,
    "highly likely": 0.9,
    "very good chance": 0.8,
    "we believe": 0.75,
    "probably": 0.7,
    "probable": 0.7,
    "likely": 0.7,
    "better than even": 0.6,
    "about even": 0.5,
    "probably not": 0.25,
    "we doubt": 0.2,
    "unlikely": 0.2,
    "little chance": 0.1,
    "chances are slight": 0.1,
    "improbable": 0.1,
    "highly unlikely": 0.05,
    "almost no chance": 0.02,
}
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
_DENIED = re.compile(r"(?:\bnot|n't)\s+(?:even\s+|quite\s+|at\s+all\s+)?$", re.I)
_BOXED = re.compile(r"\\boxed\s*\{\s*(?:\\text\s*\{)?\s*(" + _NUMBER + r")" + OF)
_LABELLED = re.compile(
    r"(?:probability|confidence|certainty|likelihood|score)\b[^\d\n+-]{0,40}?(" + _NUMBER + r")" + OF, re.I
)
_ANY = re.compile(r"(?<![\w.])(" + _NUMBER + r")" + OF + r"(?![\w]|\.\d)", re.I)


_OF_ERROR = re.compile(r"^[^.!?]*\b(?:wrong|incorrect|false|mistaken)\b")


@typed()
def parse_confidence(replies: Sequence[str], *, scale: Literal["unit", "ten", "hundred"] = "unit") -> StatedConfidences:
    r"""Read the confidence that a model states in words or numbers.

    In this order: the last number in `\boxed{}`, the last number after "probability", "confidence" and the like, the
    only number of the reply, a phrase ("almost certain"), the longest phrase first, so that "probably not" is not
    "probably". A percent sign or "/ 10" beside the number overrules `scale`. Numbers outside the scale are failures; a
    scale that is repeated ("0 to 100") is no number of the reply.

    Args:
        replies: the model's replies.
        scale: what was asked for: 0 to 1, 0 to 10 (the dissertation's prompt), or 0 to 100.

    Returns:
        `StatedConfidences`.

    Raises:
        ValueError: if `scale` is unknown.

    Example:
        >>> parse_confidence(["Probability: 0.85", "90%", "Probably not.", "no idea"]).values
        [0.85, 0.9, 0.25, nan]
        >>> parse_confidence(["I would say \\boxed{8}"], scale="ten").values
        [0.8]

    References:
        Tian et al. Just Ask for Calibration: Strategies for Eliciting Calibrated Confidence Scores from Language Models
        Fine-Tuned with Human Feedback. EMNLP 2023.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, section 3.4.2 (baseline 8).
    """
    check_choice("scale", scale, ("unit", "ten", "hundred"))
    whole = {"unit": 1.0, "ten": 10.0, "hundred": 100.0}[scale]

    def read(reply: str) -> float:
        reply = without_scale(reply)
        found = list(_BOXED.finditer(reply)) or list(_LABELLED.finditer(reply))
        if not found:
            found = list(_ANY.finditer(reply))
            if len(found) > 1:
                marked = [one for one in found if one[2]]
                found = marked if len(marked) == 1 else []
        if found:
            if _DENIED.search(reply[: found[-1].start(1)]):
                return float("nan")
            return share(float(found[-1][1]), found[-1][2], whole)
        text = " ".join(reply.lower().split())
        for phrase in sorted(PHRASES, key=len, reverse=True):
            if said := re.search(rf"\b{phrase}\b", text):
                denied = _DENIED.search(text[: said.start()]) or _OF_ERROR.search(text[said.end() :])
                return float("nan") if denied else PHRASES[phrase]
        return float("nan")

    values = [read(reply) for reply in replies]
    return StatedConfidences(values, [place for place, value in enumerate(values) if value != value])


@checked
@widened
def relative_confidence(
    preferences: Float[Array, "questions questions"],
    *,
    prior: float = 0.1,
    iterations: int = 100,
    where: Bool[Array, "questions questions"] | None = None,
) -> Float[Array, " questions"]:
    r"""Confidence from comparisons: "are you surer of your answer to question i or to question j?"

    The Bradley-Terry model $P(i \succ j) = \sigma(s_i - s_j)$, fitted by minorise-maximise steps with a small prior
    towards equal strengths (as `prior` wins and losses against an average opponent). Higher is more confident.

    Args:
        preferences: how often (or with what probability) i was preferred to j; each pair asked in both orders.
        prior: > 0; keeps the strengths of unbeaten questions finite.
        iterations: of the fit.
        where: True for comparisons that were made; None: all but the diagonal.

    Returns:
        $\sigma(s_i)$, the chance against an average question, in (0, 1). Holds arrays `[questions, questions]`: for
        some thousands of questions compare within blocks.

    Raises:
        ValueError: if `prior` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> wins = jnp.array([[0.0, 3.0], [1.0, 0.0]])
        >>> relative_confidence(wins).argmax().tolist()
        0

    References:
        Shrivastava et al. Language Models Prefer What They Know: Relative Confidence Estimation via Confidence
        Preferences. arXiv 2502.01126, 2025.
        Hunter. MM Algorithms for Generalized Bradley-Terry Models. Annals of Statistics 32, 2004.
    """
    check_number("prior", prior, 0.0, open_low=True)
    made = ~jnp.eye(preferences.shape[0], dtype=bool)
    if where is not None:
        made &= where
    wins = jnp.where(made, preferences, 0.0)
    games = wins + wins.T

    def improve(_: Array, strengths: Array) -> Array:
        rates = games / (strengths[:, None] + strengths[None])
        expected = jnp.sum(rates, axis=1) + 2.0 * prior / (strengths + 1.0)
        return (jnp.sum(wins, axis=1) + prior) / expected

    strengths = jax.lax.fori_loop(0, iterations, improve, vary_like(jnp.ones(preferences.shape[:1], wins.dtype), wins))
    return strengths / (1.0 + strengths)


ENTRIES = (
    measure("p_true", "P(True)",
            lambda seen: jnp.where(jnp.any(seen.answer), p_true(seen.true_logits, seen.false_logits), jnp.nan),
            needs=("judge",), bounded=True, citation=("p-true",)),
    measure("stated_confidence", "Verbalised confidence", lambda seen: seen.stated, needs=("stated",), bounded=True,
            citation=("stated-confidence",)),
    measure("relative_confidence", "Relative confidence", needs=("comparisons of pairs of questions",),
            citation=("relative-confidence",)),
)  # fmt: skip
"""What a model says of its answers as measures of them, see `jaxuq.confidence.MEASURES`."""
