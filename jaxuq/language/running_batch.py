"""Answers that join and leave a running batch: what a server needs in place of `generate`, which begins and ends whole.

batch = RunningBatch(model.functions, model.variables, stop_tokens=stop_tokens(model))
ticket = batch.add(Ask(prompt, 64, jax.random.key(seed)))
while batch.busy:
    for grown in batch.advance(): ...
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.language.constraints import DEAD_END
from jaxuq.language.decode_loop import CHUNK, advance_rows
from jaxuq.language.prefill import PIECES, Ask, Prefill, Prompt
from jaxuq.language.row_sampling import RowSampling
from jaxuq.language.scoring import Alternatives
from jaxuq.language.slots import (
    SIZES,
    RowSettings,
    Slots,
    cache_bytes,
    empty_rows,
    join_row,
    move_rows,
    shapes_of,
    slot_width,
)
from jaxuq.language.watching import AnswerStates, empty_watched, states_of_row, watched_bytes
from jaxuq.networks import Decoder, Model, as_model, capability

_PIECES = 4  # of prompts that are read between two chunks of steps where few answers run yet; one where most do
_SECONDS = 0.2  # that a chunk of steps should take, so that who comes or leaves meanwhile does not wait


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
        finish: `stop` or `length` at its end, or `dead end` if nothing that its grammar allows can follow; else empty.
        allowed_log_probs: of all tokens together that the grammar allowed; None without one.
    """

    ticket: int
    sample: int
    tokens: np.ndarray
    log_probs: np.ndarray
    entropies: np.ndarray
    alternatives: Alternatives | None
    observed: Any
    finish: str
    allowed_log_probs: np.ndarray | None


class _Row:
    """An answer that is being made."""

    def __init__(self, prompt: Prompt, sample: int):
        self.prompt, self.sample, self.count = prompt, sample, 0
        self.follower = None if prompt.ask.grammar is None else prompt.ask.grammar.follow()

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
    prompts with a common beginning of at least 32 tokens. While an answer is kept to a grammar, all grow by one token
    between two looks.

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
        self._prefill = Prefill(self._model, params, self._most_tokens)
        self._rows: list[_Row | None] = []
        self._slots: Slots | None = None
        self._used, self._width = 0, 0
        self._pace: dict[tuple[int, int], float] = {}
        self._grew: dict[tuple[int, int], int] = {}

    @property
    def running(self) -> int:
        """Answers that have rows."""
        return sum(row is not None for row in self._rows)

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._prefill.answers or self.running)

    @property
    def bytes(self) -> int:
        """Of the caches at their largest, those of beginnings of prompts included."""
        return cache_bytes(self._model, self._params) * self._most_tokens * 5 // 4

    @property
    def watched_bytes(self) -> int:
        """Of what is kept beside the caches, at their largest, while answers are watched."""
        return watched_bytes(self._model, self._params) * self._most_tokens

    @typed()
    def add(self, ask: Ask) -> int:
        """Hand in a prompt.

        Args:
            ask: what is wanted.

        Returns:
            A number by which its answers are known.

        Raises:
            OptionError: it is empty, numbers are out of range, or its answer needs more tokens than there may be.
            CapabilityError: it is to be watched, and the model gives no queries.
        """
        if ask.watched:
            capability(self._model, "attention")
        return self._prefill.add(ask)

    def change(self, params: PyTree) -> None:
        """Go on with other parameters, such as those with one adapter more; what was read stays as it was read.

        Args:
            params: of the same shapes.
        """
        self._params = self._prefill.params = params

    def waits(self, ticket: int) -> bool:
        """Whether nothing of a prompt is begun.

        Args:
            ticket: of `add`.
        """
        return self._prefill.waits(ticket)

    def leave(self, ticket: int, sample: int | None = None) -> None:
        """Nobody wants an answer any more: its row is free at the next chunk.

        Args:
            ticket: of `add`.
            sample: which of its answers; None: all.
        """
        self._prefill.leave(ticket, sample)
        for number, row in enumerate(self._rows):
            if row is not None and row.prompt.ticket == ticket and sample in (None, row.sample):
                self._rows[number] = None

    def states(self, ticket: int, sample: int, *, width: int) -> AnswerStates:
        """What the model saw of a watched answer, its last token included; to be asked before the next `advance`.

        Args:
            ticket: of `add`.
            sample: of an answer that has just grown.
            width: tokens of the arrays, of prompt and answer and padding; one program for each.

        Returns:
            The states.

        Raises:
            OptionError: the answer has not grown, was not watched, or has more tokens.
        """
        at = self._grew.get((ticket, sample))
        if at is None or self._slots is None or self._slots.watched is None:
            raise OptionError(f"nothing is known of sample {sample} of ticket {ticket}; have it watched, and ask while "
                              "it has just grown")  # fmt: skip
        if width > self._width:
            raise OptionError(f"width is {width}, and rows have {self._width} slots")
        slots = self._slots
        return states_of_row(self._model, slots.cache, slots.places, slots.watched, np.int32(at), width=width)

    def advance(self) -> list[Grown]:
        """Read some of the prompts, let who is ready join, and make some tokens of all answers.

        Returns:
            What has grown; perhaps nothing.
        """
        self._grew = {}
        pending = self._prefill.pending
        pieces = min(pending, _PIECES * pending // max(pending + self.running, 1))
        for _ in self._prefill.read(max(1, pieces) * PIECES[-1]):
            self._join_ready()
        return self._make_tokens() if self.running else []

    def _size(self, rows: int) -> int:
        return next((size for size in self._sizes if size >= rows), self._sizes[-1])

    def _widest(self, *more: Prompt) -> int:
        """The width that answers and `more` of them may come to need."""
        totals = [row.prompt.total for row in self._rows if row is not None] + [one.total for one in more]
        return slot_width(max(totals, default=1))

    def _join_ready(self) -> None:
        ready = self._prefill.ready
        while ready:
            prompt, running = ready[0], self.running
            widest = self._widest(prompt)
            if running == self._sizes[-1] or (running and self._size(running + 1) * widest > self._most_tokens):
                return
            self._make_room(prompt, widest)
            sample = prompt.waiting.popleft()
            self._join(prompt, sample)
            if not prompt.waiting:
                ready.popleft()

    def _make_room(self, prompt: Prompt, widest: int) -> None:
        """A free row, and slots for a prompt and the next steps."""
        running = self.running
        demand = running + self._prefill.answers
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
        self._watch(prompt)

    def _watch(self, *more: Prompt) -> None:
        """Room for what is seen, if one of the answers or of `more` of them is watched; else none."""
        slots, prompts = self._slots, [row.prompt for row in self._rows if row is not None]
        watched = any(one.ask.watched for one in (*prompts, *more))
        if slots is not None and watched != (slots.watched is not None):
            room = None
            if watched:
                room = empty_watched(self._model, self._params, rows=len(self._rows), width=self._width)
            self._slots = slots._replace(watched=room)

    def _move(self, rows: int, width: int) -> None:
        self._watch()
        live = [number for number, row in enumerate(self._rows) if row is not None]
        order = np.asarray(live + [-1] * (rows - len(live)), np.int32)
        kept: list[_Row | None] = [self._rows[number] for number in live]
        self._used = max(row.filled for row in kept if row is not None)
        self._slots = move_rows(self._model, self._slots, order, np.int32(self._used), width=width)
        self._rows, self._width = [*kept, *[None] * (rows - len(live))], width

    def _join(self, prompt: Prompt, sample: int) -> None:
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
            self._model, self._slots, np.int32(row), np.int32(self._used), prompt.cache, prompt.hidden, prompt.queries,
            np.int32(length), own,
        )  # fmt: skip
        self._rows[row] = _Row(prompt, sample)

    def _steps(self) -> int:
        """Steps of the next chunk, for which there is room afterwards."""
        live = [row for row in self._rows if row is not None]
        filled, waits = max(row.filled for row in live), bool(self._prefill.answers)
        fewer = next(size for size in self._sizes if size >= len(live))
        if not waits and fewer < len(self._rows) and len(live) <= max(1, fewer * 3 // 4):
            self._move(fewer, min(slot_width(filled + CHUNK), self._widest()))
        elif self._used >= self._width:
            self._move(len(self._rows), min(slot_width(filled + max(CHUNK, filled // 8)), self._widest()))
        most = min(CHUNK, self._width - self._used, max(row.left for row in live))
        if waits:
            most = min(most, min(row.left for row in live))
        if any(row.follower is not None for row in live):
            most = 1
        if any(row.prompt.ask.eager for row in live):
            most = min(most, 1 if jax.default_backend() == "cpu" else 4)
        pace = self._pace.get((len(self._rows), self._width), _SECONDS)
        return max(1, min(most, int(_SECONDS / max(pace, 1e-6))))

    def _allowed(self) -> np.ndarray | None:
        """What all rows may say next; None if that is anything."""
        followers = [None if row is None else row.follower for row in self._rows]
        kept = [one for one in followers if one is not None]
        if not kept:
            return None
        everything = np.full_like(kept[0].bits, 0xFFFFFFFF)
        return np.stack([everything if one is None else one.bits for one in followers])

    def _make_tokens(self) -> list[Grown]:
        steps, shows = self._steps(), any(row is not None and row.prompt.ask.alternatives for row in self._rows)
        began = time.perf_counter()
        stays = np.asarray([row is not None for row in self._rows])
        slots, said, number = advance_rows(
            self._model, self._params, self._slots, stays, np.int32(self._used), np.int32(steps), self._stops,
            self._allowed(), most_alternatives=self._others,
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
            finish, follower, allowed = "", row.follower, None
            if not running[at]:
                finish = "stop" if tokens[-1] in self._stops else "length"
            if follower is not None:
                allowed = np.array(said.allowed_log_probs[at, :made])
                for token in tokens.tolist():
                    follower.take(token, last=bool(finish))
                finish = DEAD_END if follower.dead else finish
            if finish:
                self._rows[at] = None
            ticket, sample = row.prompt.ticket, row.sample
            if row.prompt.ask.watched:
                self._grew[ticket, sample] = at
            grown.append(Grown(ticket, sample, tokens, log_probs, entropies, others, observed, finish, allowed))
        return grown
