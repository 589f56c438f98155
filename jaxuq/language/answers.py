"""From prompts to answers as text, with what the model thought of every token."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.language._prompt_batches import (
    Chat,
    captured_row,
    encode_prompts,
    listed_prompts,
)
from jaxuq.language.attention import Captured
from jaxuq.language.constraints import DEAD_END, Constraint, Follower, ready_grammar
from jaxuq.language.generated import Generation
from jaxuq.language.generation import continue_generation, start_generation
from jaxuq.language.halting import Halting
from jaxuq.language.model import LanguageModel
from jaxuq.language.sampling import PLAIN, Sampling, check_sampling
from jaxuq.language.scoring import Alternatives
from jaxuq.language.streaming import TextStream
from jaxuq.language.tokenization import decode_tokens, stop_tokens
from jaxuq.parallel import on_host, pad_rows, plan_rows, row_parts, rung

_CHUNK = 16  # tokens between two looks for a stop string


class Answer(NamedTuple):
    """One answer. Arrays are NumPy's, one entry a token of the answer; logarithms are natural.

    Attributes:
        prompt: index of the prompt.
        sample: index among the answers to that prompt.
        text: without special tokens, and cut before a stop string.
        tokens: numbers; the stop token, or the tokens of the stop string, included.
        finish: `stop` (a stop token, the last of `tokens`), `stop string`, `length` (as long as was allowed),
            `dead end` (nothing that the constraint allows could follow), `halted` (by a rule), or `given` (scored, not
            generated).
        log_probs: of each token by the model's own distribution, at temperature 1 and without filters.
        entropies: of that distribution, over the whole vocabulary.
        alternatives: the most likely tokens at each place, `[tokens, alternatives]`; None if not asked for.
        hidden: the last hidden state from which each token was predicted; None if not asked for.
        captured: what `attention_rows` needs, a batch of one on the device; None if not asked for.
        prompt_tokens: of the prompt, which come before the answer's in `captured`.
        allowed_log_probs: of all tokens together that the constraint allowed in the place of each, by the model's own
            distribution; None without a constraint.
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
    allowed_log_probs: np.ndarray | None = None


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


class _Row(NamedTuple):
    """A row of a batch that is an answer."""

    row: int
    prompt: int
    sample: int
    stream: TextStream
    follower: Follower | None = None


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
            np.array(part) for part in on_host((generation.tokens, generation.num_generated, generation.running))
        )
        log_probs, entropies = on_host((generation.log_probs, generation.entropies))
        step = int(generation.step)
        for row, prompt, sample, stream, follower in rows:
            ended = not running[row] or step >= until
            for index in range(len(stream.tokens), min(int(counts[row]), until)):
                if stream.stopped:
                    break
                token = int(tokens[row, index])
                last = bool(ended and index + 1 == counts[row])
                if follower is not None:
                    follower.take(token, last=last)
                    last |= follower.dead
                text = stream.push(token, last=last)
                if on_token is not None:
                    told = float(log_probs[row, index]), float(entropies[row, index])
                    on_token(NewToken(prompt, sample, token, text, *told))
            running[row] &= not (stream.stopped or (follower is not None and follower.dead))
        if step >= until or not running.any():
            return generation
        generation = continue_generation(
            model.functions,
            model.variables,
            generation._replace(running=jnp.asarray(running)),
            until=min(step + chunk, until),
            sampling=sampling,
            allowed=_allowed(rows, len(running)),
            stop_tokens=stops,
        )


def _allowed(rows: Sequence[_Row], size: int) -> jax.Array | None:
    """What all rows of a batch may say next; rows that are no answers may say anything."""
    kept = [(row.row, row.follower.bits) for row in rows if row.follower is not None]
    if not kept:
        return None
    bits = np.full((size, len(kept[0][1])), 0xFFFFFFFF, np.uint32)
    for number, own in kept:
        bits[number] = own
    return jnp.asarray(bits)


def _key(rng_key: Key[Array, ""] | int) -> Key[Array, ""]:
    return rng_key if isinstance(rng_key, jax.Array) else jax.random.key(rng_key)


@typed()
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
    constraint: Constraint | Sequence[Constraint | None] | None = None,
    halting: Halting | None = None,
    on_token: Callable[[NewToken], None] | None = None,
    batch_size: int = 8,
    overflow: Literal["error", "truncate"] = "error",
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
    mesh: jax.sharding.Mesh | None = None,
) -> list[Answer]:
    """Answer prompts.

    Prompts are sorted by length, padded to a few lengths, and run in batches; the answers come in the order of the
    prompts. An answer depends on its prompt, its index and `rng_key` alone (but for rounding, see `generate_tokens`).

    With a `constraint` an answer of finish `stop` is a whole text of that form, whatever the model would rather say:
    each token is drawn from those that can still make one. Such draws are not the model's answers given that
    they have the form; `weigh_answers` makes up for that. The device comes back to the host at every token.

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
        constraint: what the text of an answer must be, see `schema_constraint`, `regex_constraint`,
            `choices_constraint`, `table_constraint`; a list: of each prompt its own; None: anything.
        halting: a rule that may end an answer by what the model thinks of its tokens, as `group_halting` of
            `jaxuq.confidence` makes one.
        on_token: called for every token, in order within an answer.
        batch_size: answers made at a time.
        overflow: a prompt that leaves no room for `max_new_tokens` in the model's context is an `error`, or its
            beginning is cut off (`truncate`).
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.
        mesh: devices to divide the work over, see `LanguageModel.on_mesh`; batches are filled up to a multiple of those
            that rows are divided over. None: where the parameters lie.

    Returns:
        `len(prompts) * num_samples` answers, those of one prompt together.

    Raises:
        PromptError: an empty or too long prompt, an invalid chat.
        ConstraintError: the constraint is not supported, too complex, or impossible with the model's tokens.
        ValueError: numbers out of range.
    """
    model, listed = model.on_mesh(mesh), listed_prompts(prompts)
    check_count("batch_size", batch_size)
    check_count("max_new_tokens", max_new_tokens)
    check_count("num_samples", num_samples)
    encoded = encode_prompts(model, listed, chat, [max_new_tokens] * len(listed), overflow)
    sampling, stops = check_sampling(sampling), stop_tokens(model)
    strings = tuple(filter(None, (stop,) if isinstance(stop, str) else stop))
    wanted = [constraint] * len(listed) if constraint is None or isinstance(constraint, Constraint) else [*constraint]
    if len(wanted) != len(listed):
        raise OptionError(f"there are {len(wanted)} constraints for {len(listed)} prompts; give one, or one a prompt")
    grammars = [None if one is None else ready_grammar(one, model) for one in wanted]
    kept = any(one is not None for one in grammars)
    watch = bool(strings) or on_token is not None or kept
    chunk = _CHUNK if on_token is None else (1 if jax.default_backend() == "cpu" else 4)
    size = max(1, batch_size // num_samples)
    key = _key(rng_key)
    answers: list[Answer] = []
    for batch in plan_rows([len(tokens) for tokens in encoded], max_rows=size, devices=row_parts(model.mesh)):
        group = batch.rows.tolist()
        tokens, lengths = map(jnp.asarray, pad_rows([encoded[index] for index in group], batch))
        indices = jnp.asarray(np.pad(batch.rows, (0, batch.size - len(group))))
        rows = [
            _Row(
                at * num_samples + sample, index, sample, TextStream(model.tokenizer, strings),
                None if (grammar := grammars[index]) is None else grammar.follow(),
            )
            for at, index in enumerate(group)
            for sample in range(num_samples)
        ]  # fmt: skip
        generation = start_generation(
            model.functions,
            model.variables,
            tokens,
            lengths,
            jax.vmap(jax.random.fold_in, (None, 0))(key, indices),
            capacity=rung(max_new_tokens),
            sampling=sampling,
            allowed=_allowed(rows, batch.size * num_samples),
            halting=halting,
            stop_tokens=stops,
            num_samples=num_samples,
            top_alternatives=top_alternatives,
            keep_hidden=keep_hidden,
            keep_queries=keep_queries,
        )
        if watch:
            generation = _watched(model, generation, rows, max_new_tokens, chunk, sampling, stops, on_token)
        else:
            generation = continue_generation(
                model.functions, model.variables, generation, until=max_new_tokens, sampling=sampling, stop_tokens=stops
            )
        answers += _collected(model, generation, rows, encoded, watch)
    return sorted(answers, key=lambda answer: (answer.prompt, answer.sample))


def _collected(
    model: LanguageModel, generation: Generation, rows: Sequence[_Row], encoded: Sequence[Sequence[int]], watched: bool
) -> list[Answer]:
    fetched = on_host(
        (generation.tokens, generation.log_probs, generation.entropies, generation.alternatives, generation.hidden,
         generation.allowed_log_probs)
    )  # fmt: skip
    counts, running = on_host((generation.num_generated, generation.running))
    halted = np.zeros_like(running) if generation.halted is None else on_host(generation.halted)
    answers = []
    for row, prompt, sample, stream, follower in rows:
        length = len(stream.tokens) if watched else int(counts[row])
        tokens, log_probs, entropies, alternatives, hidden, allowed = jax.tree.map(
            lambda part, row=row, length=length: np.array(part[row, :length]), fetched
        )
        answers.append(
            Answer(
                prompt,
                sample,
                stream.text if watched else decode_tokens(model.tokenizer, tokens.tolist()),
                tokens,
                _finish(stream, follower, bool(running[row]), bool(halted[row])),
                log_probs,
                entropies,
                alternatives,
                hidden,
                None if generation.queries is None else captured_row(generation.captured(model.functions), row),
                np.asarray(encoded[prompt], np.int32),
                allowed,
            )
        )
    return answers


def _finish(stream: TextStream, follower: Follower | None, running: bool, halted: bool) -> str:
    if stream.stopped:
        return "stop string"
    if follower is not None and follower.dead:
        return DEAD_END
    if halted:
        return "halted"
    return "length" if running else "stop"
