"""Who is told what a run is doing."""

from collections.abc import Callable
from typing import NamedTuple

from jaxuq.training import Progress


class Listener(NamedTuple):
    """Who is told what a run is doing; each function may do nothing.

    Attributes:
        features: `features(done, total)` molecules featurised.
        training: `training(name, progress)` after each chunk of epochs.
        scored: `scored(method, seed, scores)` when a cell is finished.
        message: `message(text)` for warnings and notes.
    """

    features: Callable[[int, int], None] = lambda done, total: None
    training: Callable[[str, Progress], None] = lambda name, progress: None
    scored: Callable[[str, int, dict[str, float]], None] = lambda method, seed, scores: None
    message: Callable[[str], None] = lambda text: None
