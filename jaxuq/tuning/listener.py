"""What a run calls as it goes on: for progress bars, logs, and tests that interrupt it."""

from collections.abc import Callable
from typing import NamedTuple

from jaxuq.language import FinetuneProgress


class Listener(NamedTuple):
    """What a run calls as it goes on.

    Attributes:
        training: `training(name, progress)` after every step.
        scored: `scored(method, seed, part, scores)`.
        message: `message(text)`.
    """

    training: Callable[[str, FinetuneProgress], None] = lambda name, progress: None
    scored: Callable[[str, int, str, dict[str, float]], None] = lambda method, seed, part, scores: None
    message: Callable[[str], None] = lambda text: None
