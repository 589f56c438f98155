"""What a run tells while it goes on."""

from collections.abc import Callable
from typing import NamedTuple


class Listener(NamedTuple):
    """What a run tells while it goes on.

    Attributes:
        embedding: called with the name of a text and with sub-words done and in all.
        scored: called with data set, method, seed and the scores of a finished cell (None without gold labels).
        message: called with anything else worth knowing.
    """

    embedding: Callable[[str, int, int], None] = lambda name, done, total: None
    scored: Callable[[str, str, int, dict[str, float] | None], None] = lambda dataset, method, seed, scores: None
    message: Callable[[str], None] = lambda text: None
