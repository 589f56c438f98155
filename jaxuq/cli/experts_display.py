"""What `jaxuq experts` shows: a bar a step on a terminal, plain lines in a log."""

import math
import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jaxuq.cli.telling import progress_console, say

_LOG_SECONDS = 10.0  # between two lines of the same step when there is no terminal


class ExpertsDisplay:
    """A context that shows progress on standard error while a run goes on."""

    def __init__(self):
        console = progress_console()
        columns = (
            *(SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(bar_width=24)),
            *(MofNCompleteColumn(), TimeElapsedColumn()),
        )
        self._terminal = console.is_terminal
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._logged: dict[str, float] = {}

    def __enter__(self) -> "ExpertsDisplay":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, step: str, done: int, total: int) -> None:
        """What a run calls: name of the step, what is done, and what there is in all."""
        if self._terminal:
            if step not in self._tasks:
                self._tasks[step] = self._progress.add_task(step, total=total)
            self._progress.update(self._tasks[step], completed=done, total=total)
            return
        now = time.monotonic()
        if done >= total or now - self._logged.get(step, -math.inf) >= _LOG_SECONDS:
            self._logged[step] = now
            say(f"{step}: {done}/{total}")
