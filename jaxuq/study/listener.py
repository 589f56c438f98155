"""Who is told what a run is doing: the one protocol of all commands."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Listener(NamedTuple):
    """Who is told what a run is doing; each function may do nothing, or raise to end the run where it is.

    Attributes:
        progress: `progress(step, done, total, said)` while something goes on: its name, how much of it is done, and in
            a few words what else there is to say, such as the loss.
        scored: `scored(cell, scores)` when a cell is finished: a method with a seed, and what its row says.
        message: `message(text)` for notes and warnings.

    Example:
        >>> heard = []
        >>> listener = Listener(message=heard.append)
        >>> listener.progress("features", 3, 10, ""), listener.message("two rows were left out")
        (None, None)
        >>> heard
        ['two rows were left out']
    """

    progress: Callable[[str, int, int, str], None] = lambda step, done, total, said: None
    scored: Callable[[str, Mapping[str, float]], None] = lambda cell, scores: None
    message: Callable[[str], None] = lambda text: None
