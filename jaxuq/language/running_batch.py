"""Answers that join and leave a running batch: what a server needs in place of `generate`, which begins and ends whole.

batch = RunningBatch(model.functions, model.variables, stop_tokens=stop_tokens(model))
ticket = batch.add(Ask(prompt, 64, jax.random.key(seed)))
while batch.busy:
    for grown in batch.advance(): ...
"""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.language.prefixes import Prefixes
from jaxuq.language.row_sampling import RowSampling
from jaxuq.language.sampling import PLAIN, Sampling, check_sampling
from jaxuq.language.scoring import Alternatives
from jaxuq.language.slots import (
    CHUNK,
    PIECES,
    SIZES,
    RowSettings,
    Slots,
    advance_rows,
    begin_prompt,
    cache_bytes,
    empty_prompt,
    empty_rows,
    join_row,
    move_rows,
    read_piece,
    shapes_of,
    slot_width,
)
from jaxuq.networks import Decoder, Model, as_model, capability

_PIECES = 4  # of prompts that are read between two chunks of steps where few answers run yet; one where most do
_SIDE_BY_SIDE = 4  # prompts that are read in turns, a piece of each
_SECONDS = 0.2  # that a chunk of steps should take, so that who comes or leaves meanwhile does not wait


class Ask(NamedTuple):
    """What is to be answered, and how.

    Attributes:
        prompt: token numbers.
        max_new_tokens: the longest answer.
        rng_key: sample s draws its token t with `fold_in(fold_in(rng_key, s), t)`.
        num_samples: answers.
        sampling: how tokens are chosen.
        bias: added to the logits of tokens, by number.
        frequency: see `Steering`.
        presence: the same.
        alternatives: whether the likeliest tokens are wanted.
        eager: whether somebody reads along, so that every token is wanted at once.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    rng_key: Key[Array, ""]
    num_samples: int = 1
    sampling: Sampling = PLAIN
    bias: Mapping[int, float] = {}
    frequency: float = 0.0
    presence: float = 0.0
    alternatives: bool = False
    eager: bool = False


class Grown(NamedTuple):
    """What an answer has grown by. Arrays have one entry a token.

    Attributes:
        ticket: of `RunningBatch.add`.
        sample: which of its answers.
        tokens: numbers, the stop token included.
        log_probs: by the model's own distribution, at temperature 1 and without filters.
        entropies: of that distribution.
        alternatives: the likeliest tokens; None if not asked for.
        observed: what the model's `observe` said.
        finish: `stop` or `length` at its end, else empty.
    """

    ticket: int
    sample: int
    tokens: np.ndarray
    log_probs: np.ndarray
    entropies: np.ndarray
    alternatives: Alternatives | None
    observed: Any
    finish: str


def slots_of(prompt: int, max_new_tokens: int) -> int:
    """Slots that an answer may come to need; those of a `RunningBatch` must be as many at least."""
    return slot_width(prompt + max_new_tokens)


class _Prompt:
    """A prompt that is being read, or whose answers wait for rows."""

    def __init__(self, ticket: int, ask: Ask):
        self.ticket, self.ask = ticket, ask
        self.waiting = deque(range(ask.num_samples))
        self.read, self.cache, self.hidden = 0, None, None
        self.width = slot_width(len(ask.prompt))

    @property
    def total(self) -> int:
        """Slots of a row when its answer is as long as it may be."""
        return len(self.ask.prompt) + self.ask.max_new_tokens

    @property
    def whole(self) -> bool:
        """Whether it was read."""
        return self.read == len(self.ask.prompt)


class _Row:
    """An answer that is being made."""

    def __init__(self, prompt: _Prompt, sample: int):
        self.prompt, self.sample, self.count = prompt, sample, 0

    @property
    def filled(self) -> int:
        """Slots with tokens."""
        return len(self.prompt.ask.prompt) + self.count

    @property
    def left(self) -> int:
        """Tokens that it may yet have."""
        return self.prompt.ask.max_new_tokens - self.count


class RunningBatch:
    """Answers that are made side by side; whoever comes joins at the next chunk of steps, whoever leaves frees a row.

    An answer is that of `generate_tokens` with the same key, whatever else runs (but for rounding: where two tokens
    are equally likely to the last bits, the other may be chosen). Prompts are read in pieces of 32 or 128 tokens
    between chunks of steps, so that a long one stops nobody; several answers to one prompt read it once, and so do
    prompts with a common beginning of at least 32 tokens.

    The cache has `rows * slots` places, at most `most_tokens`: answers that would need more wait, in the order in which
    they came. While rows are moved there are two caches, and beginnings of prompts take a quarter more; beside them
    there are two numbers of float32 for each row and token of the vocabulary. Not for several threads.

    Args:
        model: with `init_cache`, and `rows` with `put` and `seek`; a decoder has them.
        params: of the model.
        stop_tokens: that end an answer.
        most_rows: answers that run at a time.
        most_tokens: of all of them with their prompts, padding included.
        most_alternatives: how many of the likeliest tokens can be told.

    Raises:
        CapabilityError: the model lacks what is needed; says so by name.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> batch = RunningBatch(decoder, variables, most_alternatives=0)
        >>> tickets = [batch.add(Ask([1, 2], 3, jax.random.key(seed))) for seed in (1, 2)]
        >>> counts = dict.fromkeys(tickets, 0)
        >>> while batch.busy:
        ...     for grown in batch.advance():
        ...         counts[grown.ticket] += len(grown.tokens)
        >>> counts
        {0: 3, 1: 3}
    """

    def __init__(
        self,
        model: Model | Decoder,
        params: PyTree,
        *,
        stop_tokens: Sequence[int] = (),
        most_rows: int = 32,
        most_tokens: int = 32768,
        most_alternatives: int = 20,
    ):
        self._model, self._params = as_model(model), params
        for name in ("init_cache", "rows.put", "rows.seek"):
            capability(self._model, name)
        most_rows = check_count("most_rows", most_rows)
        self._most_tokens = check_count("most_tokens", most_tokens)
        self._vocabulary = shapes_of(self._model, params)[1].shape[-1]
        self._others = min(check_count("most_alternatives", most_alternatives, 0), self._vocabulary)
        self._stops = np.asarray(tuple(stop_tokens), np.int32)
        self._sizes = [*(size for size in SIZES if size < most_rows), most_rows]
        self._prefixes = Prefixes(most_tokens // 4, PIECES[0])
        self._tickets = 0
        self._waiting: deque[_Prompt] = deque()
        self._reading: deque[_Prompt] = deque()
        self._ready: deque[_Prompt] = deque()
        self._rows: list[_Row | None] = []
        self._slots: Slots | None = None
        self._used, self._width = 0, 0
        self._pace: dict[tuple[int, int], float] = {}

    @property
    def running(self) -> int:
        """Answers that have rows."""
        return sum(row is not None for row in self._rows)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting or self._reading or self._ready or self.running)

    @property
    def bytes(self) -> int:
        """Of the caches at their largest, those of beginnings of prompts included."""
        return cache_bytes(self._model, self._params) * self._most_tokens * 5 // 4

    @typed()
    def add(self, ask: Ask) -> int:
        """Hand in a prompt.

        Args:
            ask: what is wanted.

        Returns:
            A number by which its answers are known.

        Raises:
            OptionError: it is empty, numbers are out of range, or its answer needs more tokens than there may be.
        """
        check_count("max_new_tokens", ask.max_new_tokens)
        check_count("num_samples", ask.num_samples)
        if not len(ask.prompt):
            raise OptionError("the prompt has no tokens; give at least one")
        prompt = _Prompt(self._tickets, ask._replace(sampling=check_sampling(ask.sampling)))
        if slots_of(len(ask.prompt), ask.max_new_tokens) > self._most_tokens:
            raise OptionError(
                f"prompt and answer take {prompt.total} tokens, more than there is memory for; most_tokens is "
                f"{self._most_tokens}"
            )
        self._tickets += 1
        self._waiting.append(prompt)
        self._begin_some()
        return prompt.ticket

    def _begin_some(self) -> None:
        while self._waiting and len(self._reading) + len(self._ready) < _SIDE_BY_SIDE:
            self._reading.append(self._waiting.popleft())

    def waits(self, ticket: int) -> bool:
        """Whether nothing of a prompt is begun.

        Args:
            ticket: of `add`.
        """
        return bool(self._waiting) and ticket >= self._waiting[0].ticket

    def leave(self, ticket: int, sample: int | None = None) -> None:
        """Nobody wants an answer any more: its row is free at the next chunk.

        Args:
            ticket: of `add`.
            sample: which of its answers; None: all.
        """
        for queue in (self._waiting, self._reading, self._ready):
            for prompt in [one for one in queue if one.ticket == ticket]:
                if sample is None:
                    prompt.waiting.clear()
                elif sample in prompt.waiting:
                    prompt.waiting.remove(sample)
                if not prompt.waiting:
                    queue.remove(prompt)
        for number, row in enumerate(self._rows):
            if row is not None and row.prompt.ticket == ticket and sample in (None, row.sample):
                self._rows[number] = None

    def advance(self) -> list[Grown]:
        """Read some of the prompts, let who is ready join, and make some tokens of all answers.

        Returns:
            What has grown; perhaps nothing.
        """
        pending = len(self._reading) + len(self._waiting)
        pieces = min(pending, _PIECES * pending // max(pending + self.running, 1))
        left = max(1, pieces) * PIECES[-1]
        while True:
            self._join_ready()
            self._begin_some()
            if left <= 0 or not self._reading:
                break
            prompt = self._reading.popleft()
            left -= self._read_some(prompt)
            (self._ready if prompt.whole else self._reading).append(prompt)
        return self._make_tokens() if self.running else []

    def _read_some(self, prompt: _Prompt) -> int:
        """Read the next piece of a prompt; its length."""
        tokens, model = prompt.ask.prompt, self._model
        if prompt.cache is None:
            known, prefix = self._prefixes.longest(tokens)
            if prefix is None:
                prompt.cache = empty_prompt(model, self._params, width=prompt.width)
            else:
                prompt.cache = begin_prompt(model, prefix.cache, np.int32(known), width=prompt.width)
            prompt.read = known
        left, room = len(tokens) - prompt.read, prompt.width - prompt.read
        size = max(one for one in PIECES if one == PIECES[0] or (one <= room and left > PIECES[0]))
        piece = np.zeros((1, size), np.int32)
        length = min(size, left)
        piece[0, :length] = tokens[prompt.read : prompt.read + length]
        prompt.hidden, prompt.cache = read_piece(
            model, self._params, prompt.cache, piece, np.int32(prompt.read), np.int32(length)
        )
        prompt.read += length
        if prompt.whole:
            self._prefixes.keep(tokens, prompt.cache, prompt.width)
        return size

    def _size(self, rows: int) -> int:
        return next((size for size in self._sizes if size >= rows), self._sizes[-1])

    def _widest(self, *more: _Prompt) -> int:
        """The width that answers and `more` of them may come to need."""
        totals = [row.prompt.total for row in self._rows if row is not None] + [one.total for one in more]
        return slot_width(max(totals, default=1))

    def _join_ready(self) -> None:
        while self._ready:
            prompt, running = self._ready[0], self.running
            widest = self._widest(prompt)
            if running == self._sizes[-1] or (running and self._size(running + 1) * widest > self._most_tokens):
                return
            self._make_room(prompt, widest)
            sample = prompt.waiting.popleft()
            self._join(prompt, sample)
            if not prompt.waiting:
                self._ready.popleft()

    def _make_room(self, prompt: _Prompt, widest: int) -> None:
        """A free row, and slots for a prompt and the next steps."""
        running = self.running
        demand = running + sum(len(one.waiting) for one in (*self._ready, *self._reading, *self._waiting))
        affordable = [size for size in {*self._sizes, len(self._rows)} if size * widest <= self._most_tokens]
        rows = min(self._size(demand), max(affordable, default=1))
        rows = max(rows, self._size(running + 1), len(self._rows) if running and len(self._rows) in affordable else 1)
        filled = max([row.filled for row in self._rows if row is not None] + [len(prompt.ask.prompt)])
        width = min(max(slot_width(filled + CHUNK), prompt.width), widest)
        if not running:
            if (rows, width) != (len(self._rows), self._width):
                self._slots = empty_rows(self._model, self._params, rows=rows, width=width)
                self._rows = [None] * rows
                self._width = width
            self._used = 0
        elif rows != len(self._rows) or prompt.width > self._width:
            self._move(rows, width)

    def _move(self, rows: int, width: int) -> None:
        live = [number for number, row in enumerate(self._rows) if row is not None]
        order = np.asarray(live + [-1] * (rows - len(live)), np.int32)
        kept: list[_Row | None] = [self._rows[number] for number in live]
        self._used = max(row.filled for row in kept if row is not None)
        self._slots = move_rows(self._model, self._slots, order, np.int32(self._used), width=width)
        self._rows, self._width = [*kept, *[None] * (rows - len(live))], width

    def _join(self, prompt: _Prompt, sample: int) -> None:
        ask, row = prompt.ask, self._rows.index(None)
        temperature, top_k, top_p, min_p = ask.sampling
        bias = None
        if ask.bias:
            bias = np.zeros(self._vocabulary, np.float32)
            bias[list(ask.bias)] = list(ask.bias.values())
        chosen: Any = (
            np.float32(temperature or 0.0),
            np.int32(top_k or 0),
            np.float32(top_p or 1.0),
            np.float32(min_p or 0),
        )
        steered: Any = np.float32(ask.frequency), np.float32(ask.presence), bias
        told: Any = np.int32(ask.max_new_tokens), np.bool_(ask.alternatives)
        own = RowSettings(jax.random.fold_in(ask.rng_key, sample), RowSampling(*chosen), *steered, *told)
        length = len(ask.prompt)
        self._used = max(self._used, length)
        self._slots = join_row(
            self._model, self._slots, np.int32(row), np.int32(self._used), prompt.cache, prompt.hidden,
            np.int32(length), own,
        )  # fmt: skip
        self._rows[row] = _Row(prompt, sample)

    def _steps(self) -> int:
        """Steps of the next chunk, for which there is room afterwards."""
        live = [row for row in self._rows if row is not None]
        filled, waits = max(row.filled for row in live), bool(self._waiting or self._reading or self._ready)
        fewer = next(size for size in self._sizes if size >= len(live))
        if not waits and fewer < len(self._rows) and len(live) <= max(1, fewer * 3 // 4):
            self._move(fewer, min(slot_width(filled + CHUNK), self._widest()))
        elif self._used >= self._width:
            self._move(len(self._rows), min(slot_width(filled + max(CHUNK, filled // 8)), self._widest()))
        most = min(CHUNK, self._width - self._used, max(row.left for row in live))
        if waits:
            most = min(most, min(row.left for row in live))
        if any(row.prompt.ask.eager for row in live):
            most = min(most, 1 if jax.default_backend() == "cpu" else 4)
        pace = self._pace.get((len(self._rows), self._width), _SECONDS)
        return max(1, min(most, int(_SECONDS / max(pace, 1e-6))))

    def _make_tokens(self) -> list[Grown]:
        steps, shows = self._steps(), any(row is not None and row.prompt.ask.alternatives for row in self._rows)
        began = time.perf_counter()
        stays = np.asarray([row is not None for row in self._rows])
        slots, said, number = advance_rows(
            self._model, self._params, self._slots, stays, np.int32(self._used), np.int32(steps), self._stops,
            most_alternatives=self._others,
        )  # fmt: skip
        self._slots = slots
        if not shows:
            said = said._replace(alternatives=None)
        said, running, number = jax.device_get((said, slots.running, number))
        self._used += int(number)
        self._pace[len(self._rows), self._width] = (time.perf_counter() - began) / max(int(number), 1)
        grown = []
        for at, row in enumerate(self._rows):
            if row is None:
                continue
            made = int((said.tokens[at] >= 0).sum())
            row.count += made
            tokens, log_probs, entropies, observed = jax.tree.map(
                lambda part, at=at, made=made: np.array(part[at, :made]),
                (said.tokens, said.log_probs, said.entropies, said.observed),
            )
            others = None
            if row.prompt.ask.alternatives and said.alternatives is not None:
                likeliest: Any = (np.array(part[at, :made]) for part in said.alternatives)
                others = Alternatives(*likeliest)
            finish = ""
            if not running[at]:
                finish = "stop" if tokens[-1] in self._stops else "length"
                self._rows[at] = None
            grown.append(Grown(row.prompt.ticket, row.sample, tokens, log_probs, entropies, others, observed, finish))
        return grown
