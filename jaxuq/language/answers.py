"""From prompts to answers as text, with what the model thought of every token; and the same for answers given."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq.language.attention import Captured
from jaxuq.language.errors import PromptError
from jaxuq.language.generated import Generation
from jaxuq.language.generation import continue_generation, start_generation
from jaxuq.language.model import LanguageModel
from jaxuq.language.sampling import PLAIN, Sampling, check_sampling
from jaxuq.language.scoring import Alternatives, score_tokens
from jaxuq.language.streaming import TextStream
from jaxuq.language.tokenization import decode_tokens, encode_prompt, stop_tokens

Chat = Sequence[Mapping[str, str]]
_CHUNK = 16  # tokens between two looks for a stop string


class Answer(NamedTuple):
    """One answer. Arrays are NumPy's, one entry a token of the answer; logarithms are natural.

    Attributes:
        prompt: index of the prompt.
        sample: index among the answers to that prompt.
        text: without special tokens, and cut before a stop string.
        tokens: numbers; the stop token, or the tokens of the stop string, included.
        finish: `stop` (a stop token, the last of `tokens`), `stop string`, `length` (as long as was allowed), or
            `given` (scored, not generated).
        log_probs: of each token by the model's own distribution, at temperature 1 and without filters.
        entropies: of that distribution, over the whole vocabulary.
        alternatives: the most likely tokens at each place, `[tokens, alternatives]`; None if not asked for.
        hidden: the last hidden state from which each token was predicted; None if not asked for.
        captured: what `attention_rows` needs, a batch of one on the device; None if not asked for.
        prompt_tokens: of the prompt, which come before the answer's in `captured`.
    """

    prompt: int
    sample: int
    text: str
    tokens: np.ndarray
    finish: str
    log_probs: np.ndarray
    entropies: np.ndarray
    alternatives: Alternatives | None
    hidden: np.ndarray | None
    captured: Captured | None
    prompt_tokens: np.ndarray


class NewToken(NamedTuple):
    """What `on_token` is told.

    Attributes:
        prompt: index of the prompt.
        sample: index among its answers.
        token: the number.
        text: what the answer's text has grown by; empty within a character, or while a stop string may be beginning.
        log_prob: of the token.
        entropy: of the distribution that it came from.
    """

    prompt: int
    sample: int
    token: int
    text: str
    log_prob: float
    entropy: float


def _bucket(length: int) -> int:
    """16, 24, 32, 48, 64, 96, ...: few shapes, and at most half of what is asked for is wasted."""
    size = 16
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def _listed(prompts: str | Chat | Sequence[str | Chat]) -> list[Any]:
    if isinstance(prompts, str | bytes) or (len(prompts) and isinstance(prompts[0], Mapping)):
        return [prompts]
    return list(prompts)


def _encode(
    model: LanguageModel, prompts: Sequence[str | Chat], chat: bool, after: Sequence[int], overflow: str
) -> list[list[int]]:
    """Tokens of each prompt, which leave room for `after` tokens."""
    if overflow not in ("error", "truncate"):
        raise ValueError(f"overflow is {overflow!r}; expected 'error' or 'truncate'")
    context = model.decoder.config.max_positions
    encoded = []
    for number, (prompt, room) in enumerate(zip(prompts, after)):
        try:
            if room >= context:
                raise PromptError(f"{room} tokens of an answer leave no room in the model's context of {context}")
            tokens = encode_prompt(model.tokenizer, prompt, chat=chat)
            if len(tokens) + room > context and overflow == "error":
                raise PromptError(
                    f"the prompt has {len(tokens)} tokens and the answer may have {room}, more than the context of "
                    f"{context}; ask for fewer, or cut the prompt's beginning off (overflow='truncate')"
                )
            encoded.append(tokens[max(0, len(tokens) + room - context) :])
        except PromptError as error:
            raise PromptError(f"prompt {number}: {error}" if len(prompts) > 1 else str(error)) from None
    return encoded


def _check_batch(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; expected at least 1")


def _groups(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in order of length, `size` at a time."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def _rows(count: int, size: int) -> int:
    """Rows of a batch: a power of two, so that few programs serve all numbers of prompts."""
    return min(size, 1 << (count - 1).bit_length())


def _padded(texts: Sequence[Sequence[int]], rows: int) -> tuple[Array, Array]:
    tokens = np.zeros((rows, _bucket(max(map(len, texts)))), np.int32)
    lengths = np.zeros(rows, np.int32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)], lengths[row] = text, len(text)
    return jnp.asarray(tokens), jnp.asarray(lengths)


def _captured(captured: Captured, row: int) -> Captured:
    def one(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(layer[row : row + 1] for layer in part)
        return part[:, row : row + 1]

    return Captured(one(captured.queries), one(captured.keys), captured.positions[row : row + 1])


class _Row(NamedTuple):
    """A row of a batch that is an answer."""

    row: int
    prompt: int
    sample: int
    stream: TextStream


def _watched(
    model: LanguageModel,
    generation: Generation,
    rows: Sequence[_Row],
    until: int,
    chunk: int,
    sampling: Sampling,
    stops: tuple[int, ...],
    on_token: Callable[[NewToken], None] | None,
) -> Generation:
    """Generate, looking at the texts every `chunk` tokens."""
    while True:
        tokens, counts, running = (
            np.array(part) for part in (generation.tokens, generation.num_generated, generation.running)
        )
        log_probs, entropies = np.array(generation.log_probs), np.array(generation.entropies)
        step = int(generation.step)
        for row, prompt, sample, stream in rows:
            ended = not running[row] or step >= until
            for index in range(len(stream.tokens), min(int(counts[row]), until)):
                if stream.stopped:
                    break
                token = int(tokens[row, index])
                text = stream.push(token, last=bool(ended and index + 1 == counts[row]))
                if on_token is not None:
                    told = float(log_probs[row, index]), float(entropies[row, index])
                    on_token(NewToken(prompt, sample, token, text, *told))
            running[row] &= not stream.stopped
        if step >= until or not running.any():
            return generation
        generation = continue_generation(
            model.decoder,
            model.variables,
            generation._replace(running=jnp.asarray(running)),
            until=min(step + chunk, until),
            sampling=sampling,
            stop_tokens=stops,
        )


def _key(rng_key: Key[Array, ""] | int) -> Key[Array, ""]:
    return jax.random.key(rng_key) if isinstance(rng_key, int) else rng_key


def generate(
    model: LanguageModel,
    prompts: str | Chat | Sequence[str | Chat],
    *,
    max_new_tokens: int = 256,
    sampling: Sampling = PLAIN,
    num_samples: int = 1,
    rng_key: Key[Array, ""] | int = 0,
    stop: str | Sequence[str] = (),
    chat: bool = True,
    on_token: Callable[[NewToken], None] | None = None,
    batch_size: int = 8,
    overflow: Literal["error", "truncate"] = "error",
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
) -> list[Answer]:
    """Answer prompts.

    Prompts are sorted by length, padded to a few lengths, and run in batches; the answers come in the order of the
    prompts. An answer depends on its prompt, its index and `rng_key` alone (but for rounding, see `generate_tokens`).

    With `on_token` or `stop` the device comes back to the host every few tokens (each token with `on_token` on a CPU);
    a stop string is therefore noticed a little late, and what was generated after it is cut off.

    Args:
        model: from `load_model`.
        prompts: a string, a chat (messages with `role` and `content`), or a list of them.
        max_new_tokens: the longest answer.
        sampling: how tokens are chosen; `GREEDY` for the most likely.
        num_samples: answers to each prompt, which is read once.
        rng_key: a key or a seed.
        stop: strings that end an answer, beside the model's stop tokens; they are not part of its text.
        chat: whether a string is a message to be put into the chat template, or text to be continued as it is.
        on_token: called for every token, in order within an answer.
        batch_size: answers made at a time.
        overflow: a prompt that leaves no room for `max_new_tokens` in the model's context is an `error`, or its
            beginning is cut off (`truncate`).
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.

    Returns:
        `len(prompts) * num_samples` answers, those of one prompt together.

    Raises:
        PromptError: an empty or too long prompt, an invalid chat.
        ValueError: numbers out of range.
    """
    listed = _listed(prompts)
    _check_batch(batch_size)
    if max_new_tokens < 1 or num_samples < 1:
        raise ValueError(f"{num_samples} answers of at most {max_new_tokens} tokens; ask for at least one of one")
    encoded = _encode(model, listed, chat, [max_new_tokens] * len(listed), overflow)
    sampling, stops = check_sampling(sampling), stop_tokens(model)
    strings = tuple(filter(None, (stop,) if isinstance(stop, str) else stop))
    watch = bool(strings) or on_token is not None
    chunk = _CHUNK if on_token is None else (1 if jax.default_backend() == "cpu" else 4)
    size = max(1, batch_size // num_samples)
    key = _key(rng_key)
    answers: list[Answer] = []
    for group in _groups([len(tokens) for tokens in encoded], size):
        count = _rows(len(group), size)
        tokens, lengths = _padded([encoded[index] for index in group], count)
        indices = jnp.asarray([*group, *(0,) * (count - len(group))])
        generation = start_generation(
            model.decoder,
            model.variables,
            tokens,
            lengths,
            jax.vmap(jax.random.fold_in, (None, 0))(key, indices),
            capacity=_bucket(max_new_tokens),
            sampling=sampling,
            stop_tokens=stops,
            num_samples=num_samples,
            top_alternatives=top_alternatives,
            keep_hidden=keep_hidden,
            keep_queries=keep_queries,
        )
        rows = [
            _Row(at * num_samples + sample, index, sample, TextStream(model.tokenizer, strings))
            for at, index in enumerate(group)
            for sample in range(num_samples)
        ]
        if watch:
            generation = _watched(model, generation, rows, max_new_tokens, chunk, sampling, stops, on_token)
        else:
            generation = continue_generation(
                model.decoder, model.variables, generation, until=max_new_tokens, sampling=sampling, stop_tokens=stops
            )
        answers += _collected(model, generation, rows, encoded, watch)
    return sorted(answers, key=lambda answer: (answer.prompt, answer.sample))


def _collected(
    model: LanguageModel, generation: Generation, rows: Sequence[_Row], encoded: Sequence[Sequence[int]], watched: bool
) -> list[Answer]:
    fetched = jax.device_get(
        (generation.tokens, generation.log_probs, generation.entropies, generation.alternatives, generation.hidden)
    )
    counts, running = np.asarray(generation.num_generated), np.asarray(generation.running)
    answers = []
    for row, prompt, sample, stream in rows:
        length = len(stream.tokens) if watched else int(counts[row])
        tokens, log_probs, entropies, alternatives, hidden = jax.tree.map(
            lambda part, row=row, length=length: np.array(part[row, :length]), fetched
        )
        answers.append(
            Answer(
                prompt,
                sample,
                stream.text if watched else decode_tokens(model.tokenizer, tokens.tolist()),
                tokens,
                "stop string" if stream.stopped else ("length" if running[row] else "stop"),
                log_probs,
                entropies,
                alternatives,
                hidden,
                None if generation.queries is None else _captured(generation.captured, row),
                np.asarray(encoded[prompt], np.int32),
            )
        )
    return answers


def score(
    model: LanguageModel,
    prompts: str | Chat | Sequence[str | Chat],
    responses: str | Sequence[str] | Sequence[Sequence[int]] | Sequence[np.ndarray],
    *,
    chat: bool = True,
    batch_size: int = 8,
    overflow: Literal["error", "truncate"] = "error",
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
) -> list[Answer]:
    """What a model thinks of answers that are already there: what `generate` would have said of them.

    One pass a batch. To score an answer of `generate` give its `tokens`: the same text may be written with other tokens
    than those that the model chose, and has other probabilities then.

    Args:
        model: from `load_model`.
        prompts: as for `generate`; one prompt may have several responses.
        responses: texts (what looks like a special token is text), or token numbers.
        chat: as for `generate`.
        batch_size: texts in a pass.
        overflow: as for `generate`; the prompt's beginning is cut off, never the response.
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.

    Returns:
        One `Answer` for each response, in their order.

    Raises:
        PromptError: an empty or too long prompt or response, an invalid chat, a token that the model does not have.
        ValueError: another number of responses than of prompts.
    """
    listed = _listed(prompts)
    _check_batch(batch_size)
    given: list[Any] = [responses] if isinstance(responses, str) else list(responses)
    if len(listed) == 1:
        listed = listed * len(given)
    if len(listed) != len(given):
        raise ValueError(f"{len(listed)} prompts have {len(given)} responses; expected one response for each prompt")
    replies = [_response(model, number, response) for number, response in enumerate(given)]
    encoded = _encode(model, listed, chat, [len(reply) for reply in replies], overflow)
    texts = [[*prompt, *reply] for prompt, reply in zip(encoded, replies)]
    answers: list[Answer] = []
    for group in _groups([len(text) for text in texts], batch_size):
        tokens, lengths = _padded([texts[index] for index in group], _rows(len(group), batch_size))
        begins = np.full(tokens.shape[0], tokens.shape[1], np.int32)
        begins[: len(group)] = [len(encoded[index]) for index in group]
        slots = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
        scores = score_tokens(
            model.decoder,
            model.variables,
            tokens,
            jnp.where(slots < lengths[:, None], slots, -1),
            where=slots >= jnp.asarray(begins)[:, None],
            top_alternatives=top_alternatives,
            keep_hidden=keep_hidden,
            keep_queries=keep_queries,
        )
        fetched = jax.device_get((scores.log_probs, scores.entropies, scores.alternatives, scores.hidden))
        for row, index in enumerate(group):
            part = slice(len(encoded[index]), len(texts[index]))
            log_probs, entropies, alternatives, hidden = jax.tree.map(
                lambda leaf, row=row, part=part: np.array(leaf[row, part]), fetched
            )
            reply = np.asarray(replies[index], np.int32)
            text = given[index] if isinstance(given[index], str) else decode_tokens(model.tokenizer, replies[index])
            captured = None if scores.captured is None else _captured(scores.captured, row)
            prompt = np.asarray(encoded[index], np.int32)
            answers.append(
                Answer(index, 0, text, reply, "given", log_probs, entropies, alternatives, hidden, captured, prompt)
            )
    return sorted(answers, key=lambda answer: answer.prompt)


def _response(model: LanguageModel, number: int, response: str | Sequence[int] | np.ndarray) -> list[int]:
    if isinstance(response, str):
        try:
            response.encode("utf-8")
        except UnicodeError as error:
            raise PromptError(f"response {number} is not valid Unicode text: {error}") from None
        tokens = model.tokenizer(response, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    else:
        tokens = [int(token) for token in response]
    if not tokens:
        raise PromptError(f"response {number} is empty")
    vocabulary = model.decoder.config.vocab_size
    wrong = [token for token in tokens if not 0 <= token < vocabulary]
    if wrong:
        raise PromptError(f"response {number} has the token {wrong[0]}; the model has {vocabulary} tokens")
    return tokens
