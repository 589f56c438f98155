"""Beginnings of prompts that were read: what many share, such as a system prompt, is read once."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Prefix(NamedTuple):
    """A prompt that was read.

    Attributes:
        tokens: of it.
        cache: of one row, with the tokens in the first slots.
        width: slots of the cache.
        reading: on what else the cache depends.
    """

    tokens: np.ndarray
    cache: Any
    width: int
    reading: Hashable


class Prefixes:
    """The prompts read last.

    Args:
        most_slots: of all their caches together; the one used longest ago goes first.
        step: shared beginnings are cut to a multiple of so many tokens.
    """

    def __init__(self, most_slots: int, step: int):
        self._most, self._step = most_slots, step
        self._kept: OrderedDict[tuple[bytes, Hashable], Prefix] = OrderedDict()

    @property
    def slots(self) -> int:
        """Slots of all caches."""
        return sum(one.width for one in self._kept.values())

    def longest(self, prompt: Sequence[int], reading: Hashable = None) -> tuple[int, Prefix | None]:
        """How many first tokens of a prompt are known, but never all of them, and where from."""
        wanted = np.asarray(prompt, np.int32)[: len(prompt) - 1]
        known, found = 0, None
        for name, one in self._kept.items():
            if one.reading != reading:
                continue
            both = min(len(wanted), len(one.tokens))
            differ = np.flatnonzero(wanted[:both] != one.tokens[:both])
            shared = (int(differ[0]) if len(differ) else both) // self._step * self._step
            if shared > known:
                known, found = shared, name
        if found is None:
            return 0, None
        self._kept.move_to_end(found)
        return known, self._kept[found]

    def keep(self, prompt: Sequence[int], cache: Any, width: int, reading: Hashable = None) -> None:
        """Remember a prompt; too short and too long ones are not worth it."""
        tokens = np.asarray(prompt, np.int32)
        if len(tokens) <= self._step or width > self._most:
            return
        name = tokens.tobytes(), reading
        self._kept[name] = Prefix(tokens, cache, width, reading)
        self._kept.move_to_end(name)
        while self.slots > self._most:
            self._kept.popitem(last=False)
