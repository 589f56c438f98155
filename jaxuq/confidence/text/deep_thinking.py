"""Many traces of one question, the unsure ones stopped while they are written, and a vote of the others (DeepConf)."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.confidence.group_confidence import token_confidence, trace_confidence
from jaxuq.confidence.group_stopping import group_halting, stopping_threshold, weighted_vote
from jaxuq.language import PLAIN, Answer, LanguageModel, Sampling, generate

_LIKELIEST = 20


class Thinking(NamedTuple):
    """What many traces of a question come to.

    Attributes:
        answer: with the most confidence behind it; None if no trace has one.
        share: of the traces' confidence, in [0, 1].
        threshold: group confidence below which traces were stopped.
        traces: in the order in which they were made; of a stopped one `finish` is `halted`.
        answers: of the traces, None where there is none or the trace was stopped.
        confidences: of the traces, which weigh them.
        num_tokens: of all traces.
    """

    answer: str | None
    share: float
    threshold: float
    traces: list[Answer]
    answers: list[str | None]
    confidences: np.ndarray
    num_tokens: int


@typed()
def think_in_traces(
    model: LanguageModel,
    prompt: str,
    read_answer: Callable[[str], str | None],
    *,
    num_traces: int = 64,
    warm_up: int = 16,
    kept: float = 0.9,
    enough: float = 0.95,
    window: int = 128,
    max_new_tokens: int = 1024,
    batch_size: int = 16,
    sampling: Sampling = PLAIN,
    rng_key: Key[Array, ""] | int = 0,
    mesh: jax.sharding.Mesh | None = None,
) -> Thinking:
    """Let a model reason about a question many times, stop what is unsure, and vote by confidence.

    The first `warm_up` traces run to their ends and give the threshold; every further one is ended inside the compiled
    loop after the first window whose mean confidence is below it, and has no vote. After every batch the vote is
    counted, and no further one is made once the winner has `enough` of it. A trace's weight is the confidence of its
    lowest group (`trace_confidence`). Confident majorities that are wrong gain by it: compare with a plain majority on
    graded questions, at equal tokens.

    Args:
        model: from `load_model`.
        prompt: the question, a message of a user.
        read_answer: the answer that a text ends in, None if it has none; equal strings are one answer.
        num_traces: the most of them.
        warm_up: how many of them are never stopped.
        kept: the share of the warm-up's traces that the threshold would let through, see `stopping_threshold`.
        enough: share of the vote at which to stop; 1.0 stops only where all that have an answer agree.
        window: tokens in a group; short reasoning wants 16 to 32, the authors' of many thousand tokens 2,048.
        max_new_tokens: the longest trace.
        batch_size: traces made at a time.
        sampling: how tokens are chosen; the confidence is of the model's own distribution whatever it says.
        rng_key: a key or a seed.
        mesh: devices to divide the traces over, see `jaxuq.language.generate`; None: where the parameters lie.

    Returns:
        `Thinking`.

    Raises:
        PromptError: an empty or too long prompt.
        ValueError: numbers out of range; a window that no trace would fill, so that none would ever be stopped.

    Example:
        `think_in_traces(load_model("smollm2"), "What is 12 + 30?", lambda text: text.split()[-1], window=16)`

    References:
        Fu, Wang, Tian and Zhao. Deep Think with Confidence. ICLR 2026.
    """
    num_traces, batch_size = check_count("num_traces", num_traces), check_count("batch_size", batch_size)
    warm_up, window = min(check_count("warm_up", warm_up), num_traces), check_count("window", window)
    if window > check_count("max_new_tokens", max_new_tokens):
        raise OptionError(f"window is {window}, max_new_tokens {max_new_tokens}: no trace would ever be stopped")
    enough = check_number("enough", enough, 0.0, 1.0)
    key = jax.random.key(rng_key) if isinstance(rng_key, int) else rng_key
    traces: list[Answer] = []
    confidences = np.zeros(0, np.float32)
    threshold, share, winner, numbers = -np.inf, 0.0, -1, {}
    while len(traces) < num_traces and not (len(traces) >= warm_up and share >= enough):
        warming = len(traces) < warm_up
        made = generate(
            model,
            prompt,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            num_samples=min(batch_size, (warm_up if warming else num_traces) - len(traces)),
            halting=group_halting(threshold, window=window),  # nothing is below -inf: one program for all batches
            rng_key=jax.random.fold_in(key, len(traces)),
            batch_size=batch_size,
            top_alternatives=_LIKELIEST,
            mesh=mesh,
        )
        traces += made
        confidences = np.append(confidences, _lowest_groups(made, window, max_new_tokens))
        if len(traces) == warm_up:
            threshold = float(stopping_threshold(jnp.asarray(confidences), kept=kept))
        answers = [None if trace.finish == "halted" else read_answer(trace.text) for trace in traces]
        numbers = {answer: number for number, answer in enumerate(dict.fromkeys(filter(None, answers)))}
        clusters = [-1 if not answer else numbers[answer] for answer in answers]
        vote = weighted_vote(jnp.asarray(clusters, jnp.int32), jnp.asarray(confidences))
        winner, share = int(vote.cluster), float(vote.share)
    return Thinking(
        list(numbers)[winner] if winner >= 0 else None,
        share,
        threshold,
        traces,
        answers,
        confidences,
        sum(len(trace.tokens) for trace in traces),
    )


def _lowest_groups(traces: list[Answer], window: int, width: int) -> np.ndarray:
    """Confidence of the lowest group of each trace; they are padded to one width, which compiles once."""
    likeliest = np.zeros((len(traces), width, _LIKELIEST), np.float32)
    counts = np.array([len(trace.tokens) for trace in traces])
    for row, trace in enumerate(traces):
        assert trace.alternatives is not None
        likeliest[row, : counts[row]] = trace.alternatives.log_probs
    return np.asarray(_lowest(jnp.asarray(likeliest), jnp.asarray(np.arange(width) < counts[:, None]), window))


@functools.partial(jax.jit, static_argnames="window")
def _lowest(likeliest: Array, where: Array, window: int) -> Array:
    def of_trace(log_probs: Array, where: Array) -> Array:
        return trace_confidence(token_confidence(log_probs), window=window, where=where)

    return jax.vmap(of_trace)(likeliest, where)
