"""Prompts on their way into a running batch: they wait, are read in pieces, and stand ready for rows.

Compiled once for each length of a piece and width of a cache of one row: `read_piece`.
"""

import functools
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.language.constraints import Grammar
from jaxuq.language.prefixes import Prefixes
from jaxuq.language.sampling import PLAIN, Sampling, check_sampling
from jaxuq.language.slots import slot_width
from jaxuq.networks import Model, capability, on_layers

PIECES = (32, 128)
"""Lengths of the pieces that prompts are read in; each a multiple of those before it."""
_SIDE_BY_SIDE = 4  # prompts that are read in turns, a piece of each


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
        grammar: what its text must be, of `ready_grammar`; None: anything.
        condition: what the model is given with the prompt, see `CacheRows`; None: nothing.
        reading: where the model reads otherwise for another condition: what tells conditions apart, for beginnings that
            prompts share; None: what was read does not depend on it.
        watched: whether what the model sees of the answers is kept, for `RunningBatch.states`.
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
    grammar: Grammar | None = None
    condition: PyTree = None
    reading: Hashable = None
    watched: bool = False


def slots_of(prompt: int, max_new_tokens: int) -> int:
    """Slots that an answer may come to need; those of a `RunningBatch` must be as many at least."""
    return slot_width(prompt + max_new_tokens)


class Prompt:
    """A prompt that is being read, or whose answers wait for rows."""

    def __init__(self, ticket: int, ask: Ask):
        self.ticket, self.ask = ticket, ask
        self.waiting = deque(range(ask.num_samples))
        self.read, self.cache, self.hidden, self.queries = 0, None, None, None
        self.width = slot_width(len(ask.prompt))

    @property
    def total(self) -> int:
        """Slots of a row when its answer is as long as it may be."""
        return len(self.ask.prompt) + self.ask.max_new_tokens

    @property
    def whole(self) -> bool:
        """Whether it was read."""
        return self.read == len(self.ask.prompt)


class Prefill:
    """Prompts in the order in which they came; those with a common beginning of a piece or more read it once.

    Attributes:
        params: of the model.
        ready: prompts that were read.

    Args:
        model: that reads.
        params: of the model.
        most_tokens: that a prompt and its answer may need; a quarter more is kept of beginnings.
    """

    def __init__(self, model: Model, params: PyTree, most_tokens: int):
        self._model, self.params, self._most_tokens = model, params, most_tokens
        self._prefixes = Prefixes(most_tokens // 4, PIECES[0])
        self._tickets = 0
        self._waiting: deque[Prompt] = deque()
        self._reading: deque[Prompt] = deque()
        self.ready: deque[Prompt] = deque()

    @property
    def pending(self) -> int:
        """Prompts that are not read."""
        return len(self._reading) + len(self._waiting)

    @property
    def answers(self) -> int:
        """Answers that have no rows yet."""
        return sum(len(one.waiting) for one in (*self.ready, *self._reading, *self._waiting))

    def add(self, ask: Ask) -> int:
        """Take a prompt in: see `RunningBatch.add`."""
        check_count("max_new_tokens", ask.max_new_tokens)
        check_count("num_samples", ask.num_samples)
        if not len(ask.prompt):
            raise OptionError("the prompt has no tokens; give at least one")
        prompt = Prompt(self._tickets, ask._replace(sampling=check_sampling(ask.sampling)))
        if slots_of(len(ask.prompt), ask.max_new_tokens) > self._most_tokens:
            raise OptionError(
                f"prompt and answer take {prompt.total} tokens, more than there is memory for; most_tokens is "
                f"{self._most_tokens}"
            )
        self._tickets += 1
        self._waiting.append(prompt)
        self._begin_some()
        return prompt.ticket

    def waits(self, ticket: int) -> bool:
        """Whether nothing of a prompt is begun."""
        return bool(self._waiting) and ticket >= self._waiting[0].ticket

    def leave(self, ticket: int, sample: int | None) -> None:
        """Nobody wants an answer, or all answers, to a prompt any more."""
        for queue in (self._waiting, self._reading, self.ready):
            for prompt in [one for one in queue if one.ticket == ticket]:
                if sample is None:
                    prompt.waiting.clear()
                elif sample in prompt.waiting:
                    prompt.waiting.remove(sample)
                if not prompt.waiting:
                    queue.remove(prompt)

    def read(self, tokens: int) -> Iterator[None]:
        """Read pieces of prompts in turns, until they are so many tokens or more; stops before each for who is ready.

        Args:
            tokens: to be read, padding included.
        """
        while True:
            yield
            self._begin_some()
            if tokens <= 0 or not self._reading:
                return
            prompt = self._reading.popleft()
            tokens -= self._read_some(prompt)
            (self.ready if prompt.whole else self._reading).append(prompt)

    def _begin_some(self) -> None:
        while self._waiting and len(self._reading) + len(self.ready) < _SIDE_BY_SIDE:
            self._reading.append(self._waiting.popleft())

    def _read_some(self, prompt: Prompt) -> int:
        """Read the next piece of a prompt; its length."""
        tokens, model = prompt.ask.prompt, self._model
        if prompt.cache is None:
            known, prefix = self._prefixes.longest(tokens, prompt.ask.reading)
            if prefix is None:
                prompt.cache = empty_prompt(model, self.params, width=prompt.width)
            else:
                prompt.cache = begin_prompt(model, prefix.cache, np.int32(known), width=prompt.width)
            if prompt.ask.condition is not None:
                prompt.cache = capability(model, "rows.condition")(prompt.cache, prompt.ask.condition)
            prompt.read = known
        left, room = len(tokens) - prompt.read, prompt.width - prompt.read
        size = max(one for one in PIECES if one == PIECES[0] or (one <= room and left > PIECES[0]))
        piece = np.zeros((1, size), np.int32)
        length = min(size, left)
        piece[0, :length] = tokens[prompt.read : prompt.read + length]
        prompt.hidden, prompt.queries, prompt.cache = read_piece(
            model, self.params, prompt.cache, piece, np.int32(prompt.read), np.int32(length)
        )
        prompt.read += length
        if prompt.whole:
            self._prefixes.keep(tokens, prompt.cache, prompt.width, prompt.ask.reading)
        return size


@functools.partial(jax.jit, static_argnames=("model", "width"))
def empty_prompt(model: Model, params: PyTree, *, width: int) -> Any:
    """The cache of one row, before a prompt is read."""
    return capability(model, "init_cache")(params, 1, width)


@functools.partial(jax.jit, static_argnames=("model", "width"))
def begin_prompt(model: Model, cache: Any, known: Array, *, width: int) -> Any:
    """A copy of the cache of one row, in which nothing but the first `known` tokens is left; `width` slots."""
    rows = capability(model, "rows")
    slots = jnp.arange(width, dtype=jnp.int32)[None]
    cache = rows.extend(cache, width)  # at least as wide; cut to `width` by arranging
    return capability(model, "rows.seek")(rows.arrange(cache, jnp.where(slots < known, slots, -1), slots), known)


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("cache",))
def read_piece(
    model: Model, params: PyTree, cache: Any, tokens: Array, begin: Array, length: Array
) -> tuple[Any, Any, Any]:
    """Read `length` tokens of a prompt, those from `begin` on; hidden state and queries of the last, and the cache."""
    slots = jnp.arange(tokens.shape[1], dtype=jnp.int32)[None]
    hidden, cache, queries = model.hidden_of(params, tokens, jnp.where(slots < length, begin + slots, -1), cache)
    last = jax.lax.dynamic_index_in_dim(hidden, length - 1, axis=1, keepdims=False)
    if queries is not None:
        queries = on_layers(
            queries, lambda leaf, batch: jax.lax.dynamic_slice_in_dim(leaf, length - 1, 1, axis=batch + 1)
        )
    return last, queries, capability(model, "rows.seek")(cache, begin + length)
