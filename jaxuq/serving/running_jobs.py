"""A job whose answers are being made: their texts so far, and all that is told of an answer once it has ended."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq.serving.answer_text import AnswerText
from jaxuq.serving.fields import finite
from jaxuq.serving.jobs import Growth, Job
from jaxuq.serving.served import Given, Served

if TYPE_CHECKING:
    from jaxuq.language import Ask, Grown
    from jaxuq.language.constraints import Grammar


class RunningJob:
    """A job whose answers are being made.

    Args:
        job: that was asked for.
        own: the batch's ticket.
        texts: of the answers.
        given: to the model with its prompt.
        judged: whether somebody says how sure the model is.
        watched: whether the batch keeps what the model sees of the answers.
    """

    def __init__(self, job: Job, own: int, texts: list[AnswerText], given: Given, *, judged: bool, watched: bool):
        self.job, self.own, self.texts, self.given, self.judged, self.watched = job, own, texts, given, judged, watched
        self.left = len(texts)
        self.held: dict[int, list[Growth]] = {}
        self._allowed = [0.0] * len(texts)  # logarithms of the probability of all that the form allowed
        self._observed: dict[int, list[Any]] = {}
        self._scores: dict[int, list[Any]] = {}

    def take(self, grown: "Grown") -> None:
        """Note what is known of new tokens, beside their text."""
        if grown.allowed_log_probs is not None:
            self._allowed[grown.sample] += float(grown.allowed_log_probs.sum(dtype=float))
        if grown.observed is not None:
            self._observed.setdefault(grown.sample, []).append(grown.observed)
        if self.watched:
            self._scores.setdefault(grown.sample, []).append(np.stack([grown.log_probs, grown.entropies]))

    def scores(self, sample: int) -> np.ndarray:
        """Log-probabilities and entropies of the tokens of a watched answer, `[2, tokens]`."""
        return np.concatenate(self._scores.pop(sample), axis=1)[:, : self.texts[sample].count]

    def about(self, served: Served, sample: int) -> dict[str, Any]:
        """What is told of an answer at its end, whether or not somebody asks how sure the model is."""
        import jax

        told: dict[str, Any] = dict(self.given.told)
        if self.job.constraint is not None:
            told["allowed_logprob"] = finite(self._allowed[sample])
        parts, left = [], self.texts[sample].count
        for part in self._observed.pop(sample, []):  # the last may hold tokens behind a stop text
            parts.append(jax.tree.map(lambda leaf, left=left: leaf[:left], part))
            left -= len(jax.tree.leaves(part)[0])
        observed: Mapping[str, Any] = served.observed(self.given, parts)
        return told | dict(observed)


def asked(job: Job, given: Given, grammar: "Grammar | None", *, watched: bool) -> "Ask":
    """What a running batch is asked for a job.

    Args:
        job: that is wanted.
        given: to the model with its prompt.
        grammar: of its constraint; None: none.
        watched: whether what the model sees is kept.
    """
    import jax

    from jaxuq.language import Ask, Sampling

    return Ask(
        job.prompt,
        job.max_tokens,
        jax.random.fold_in(_key(job.seed), job.number),
        job.answers,
        Sampling(job.temperature, job.top_k, job.top_p, job.min_p),
        job.bias,
        job.frequency_penalty,
        job.presence_penalty,
        bool(job.alternatives),
        job.eager,
        grammar,
        given.condition,
        given.reading,
        watched,
    )


def _key(seed: int) -> Any:
    """A key of 64 bits; the same as `jax.random.key` for those below 2^32."""
    import jax
    import numpy as np

    low, high = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    key = jax.random.key(np.uint32(low))
    return jax.random.fold_in(key, np.uint32(high)) if high else key
