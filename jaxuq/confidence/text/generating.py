"""Answers for the measures: greedy ones with all that the pass knew, and sampled ones with their mean states."""

import functools
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq.confidence.text.token_quantities import Reductions, watching
from jaxuq.language import (
    GREEDY,
    Generation,
    Sampling,
    continue_generation,
    start_generation,
    stop_tokens,
    take_rows,
)
from jaxuq.parallel import RowBatch, on_host, pad_rows, rung

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_MOST_END_HERE = 16
_LINE_ENDS: "weakref.WeakKeyDictionary[object, tuple[int, ...]]" = weakref.WeakKeyDictionary()


class Sampled(NamedTuple):
    """Sampled answers to one prompt.

    Attributes:
        tokens: of each.
        log_probs: of each whole answer, by the model's own distribution at temperature 1.
        embeddings: mean last hidden state of each, `[samples, hidden]`; None: not asked for.
    """

    tokens: list[np.ndarray]
    log_probs: np.ndarray
    embeddings: np.ndarray | None


def line_ends(model: "LanguageModel") -> tuple[int, ...]:
    """Tokens whose text has a line end: stop tokens for answers of one line, found without leaving the device."""
    tokenizer = model.tokenizer
    if tokenizer not in _LINE_ENDS:
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        _LINE_ENDS[tokenizer] = tuple(token for token, text in enumerate(texts) if "\n" in text)
    return _LINE_ENDS[tokenizer]


def all_stops(model: "LanguageModel", one_line: bool) -> tuple[int, ...]:
    """The model's stop tokens, and line ends if answers are one line."""
    return tuple(sorted({*stop_tokens(model), *(line_ends(model) if one_line else ())}))


def _padded(prompts: Sequence[Sequence[int]], rows: int) -> tuple[Array, Array]:
    batch = RowBatch(np.arange(len(prompts)), rows, rung(max(map(len, prompts)), least=32))
    tokens, lengths = pad_rows(prompts, batch)
    return jnp.asarray(tokens), jnp.asarray(lengths)


def generate_greedy(
    model: "LanguageModel",
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    stops: tuple[int, ...],
    rows: int,
    keep: bool = True,
    keep_queries: bool = True,
    reductions: Reductions = (),
) -> tuple[Generation, list[np.ndarray]]:
    """Answer prompts greedily, and keep hidden states, and queries, if asked for.

    One token more than is wanted is generated then, so that the state of the last one is known too. Distributions are
    reduced where they are made, but for a model that observes something of its own.

    Returns:
        The generation, and the tokens of each answer (at most `max_new_tokens`, the stop token included).
    """
    tokens, lengths = _padded(prompts, rows)
    keys = jax.random.split(jax.random.key(0), rows)  # not used by greedy choice
    functions = model.functions
    if keep and reductions and functions.observe is None:
        functions = watching(functions, reductions)
    state = start_generation(
        functions, model.variables, tokens, lengths, keys, capacity=max_new_tokens + 1, sampling=GREEDY,
        stop_tokens=stops, keep_hidden=keep, keep_queries=keep and keep_queries,
    )  # fmt: skip
    state = continue_generation(
        functions, model.variables, state, until=max_new_tokens + keep, sampling=GREEDY, stop_tokens=stops
    )
    made, counts = on_host((state.tokens, state.num_generated))
    return state, [made[row, : min(counts[row], max_new_tokens)] for row in range(len(prompts))]


@jax.jit
def _summaries(state: Generation) -> tuple[Array, ...]:
    """Joint log-probability and mean state, if states were kept; tokens that were not generated have zeros."""
    if state.hidden is None:
        return (jnp.sum(state.log_probs, axis=1),)
    # The state from which a token was predicted is that of the token before: the first one is the prompt's.
    states = state.hidden[:, 1:].astype(jnp.float32)
    index = jnp.arange(states.shape[1], dtype=jnp.int32)[None, :, None]
    inside = jnp.broadcast_to(index < state.num_generated[:, None, None] - 1, states.shape)
    count = jnp.maximum(state.num_generated - 1, 1).astype(jnp.float32)[:, None]
    return jnp.sum(state.log_probs, axis=1), jnp.sum(jnp.where(inside, states, 0.0), axis=1) / count


def _results(state: Generation) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in on_host((state.tokens, state.num_generated, *_summaries(state)))]


def sample_answers(
    model: "LanguageModel",
    prompts: Sequence[Sequence[int]],
    rng_keys: Key[Array, " rows"],
    *,
    num_samples: int,
    temperature: float,
    max_new_tokens: int,
    stops: tuple[int, ...],
    keep: bool = True,
) -> list[Sampled]:
    """Sample several answers to each prompt, which is read once.

    Few answers are much longer than the others: after sixteen tokens those that go on do so in a smaller batch, if the
    model's cache can be divided. The mean state leaves the last token out, which nothing has followed; it is made if
    states are kept.
    """
    rows = rng_keys.shape[0]
    tokens, lengths = _padded(prompts, rows)
    sampling = Sampling(temperature)
    state = start_generation(
        model.functions, model.variables, tokens, lengths, rng_keys, capacity=max_new_tokens, sampling=sampling,
        stop_tokens=stops, num_samples=num_samples, keep_hidden=keep,
    )  # fmt: skip
    go_on = functools.partial(
        continue_generation, model.functions, model.variables, sampling=sampling, stop_tokens=stops
    )
    divided = model.functions.rows is not None
    state = go_on(state, until=min(_MOST_END_HERE, max_new_tokens) if divided else max_new_tokens)
    results, running = _results(state), np.flatnonzero(on_host(state.running))
    if divided and len(running) and max_new_tokens > _MOST_END_HERE:
        whole = state.tokens.shape[0]
        size = next((whole // part for part in (4, 2) if len(running) <= whole // part), whole)
        taken = np.pad(running, (0, size - len(running)), constant_values=-1)
        state = go_on(take_rows(model.functions, state, jnp.asarray(taken)), until=max_new_tokens)
        for all_rows, some in zip(results, _results(state)):
            all_rows[running] = some[: len(running)]
    made, counts, log_probs, *means = results
    answers = []
    for row in range(len(prompts)):
        at = slice(row * num_samples, (row + 1) * num_samples)
        tokens_of = [one[:count] for one, count in zip(made[at], counts[at])]
        answers.append(Sampled(tokens_of, log_probs[at], means[0][at] if means else None))
    return answers
