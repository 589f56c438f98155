"""What a long run shows: bars on a terminal, plain lines in a log; and what is said when it is over."""

import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jaxuq.cli.telling import progress_console, say, warn
from jaxuq.parallel.processes import is_first
from jaxuq.study.folder import RunFolder
from jaxuq.study.listener import Listener

_LOG_SECONDS = 10.0  # between two lines of the same work when there is no terminal
_BARS = 12  # that stay on the screen


def run_and_report(run: Callable[[Listener], RunFolder], files: Sequence[tuple[str, str]]) -> RunFolder:
    """Run with progress, print the scores, write the page, say what is where: what all commands with results do.

    Args:
        run: with a listener.
        files: see `Display.over`.

    Returns:
        The result folder.
    """
    from jaxuq.cli.compiled import keep_compiled_programs
    from jaxuq.reporting import print_report, write_report

    keep_compiled_programs()
    with Display() as display:
        folder = run(display.listener())
    if not is_first():
        return folder
    write_report(folder.path)
    print_report(folder.path)
    display.over(folder.path, files)
    return folder


class Display:
    """A context that shows progress on standard error while a run goes on; the same for every command."""

    def __init__(self):
        self._console = progress_console()
        columns = (
            *(SpinnerColumn(), TextColumn("{task.description:<28}", markup=False), BarColumn(bar_width=24)),
            *(MofNCompleteColumn(), TextColumn("{task.fields[said]}", markup=False), TimeElapsedColumn()),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._logged: dict[str, float] = {}
        self.began = time.monotonic()

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def listener(self) -> Listener:
        """The functions that a run calls."""
        return Listener(self._show, self._scored, self._message)

    def over(self, folder: pathlib.Path, files: Sequence[tuple[str, str]]) -> None:
        """Say how long it took, and what is in the folder of a finished run.

        Args:
            folder: of the run.
            files: names and what they hold; those that are not there are left out.
        """
        say(f"Done in {time.monotonic() - self.began:.0f} s. Written to {folder}:")
        for name, content in files:
            if (folder / name.rstrip("/")).exists():
                say(f"  {folder / name.rstrip('/')}  ({content})")

    def _show(self, step: str, done: int, total: int, said: str) -> None:
        if self._console.is_terminal:
            if step not in self._tasks:
                self._tasks[step] = self._progress.add_task(step, total=total, said="")
            self._progress.update(self._tasks[step], completed=done, total=total, said=said)
            if done >= total:  # a run in rounds trains more often than a screen has lines
                for finished in list(self._tasks.values())[:-_BARS]:
                    self._progress.update(finished, visible=False)
            return
        now = time.monotonic()
        if done >= total or now - self._logged.get(step, -math.inf) >= _LOG_SECONDS:
            self._logged[step] = now
            say(f"{step}: {done}/{total} {said}".rstrip())

    def _scored(self, cell: str, scores: Mapping[str, float]) -> None:
        text = ", ".join(f"{name} {value:.4g}" for name, value in scores.items()) or "done"
        say(f"  {cell}: {text}")

    def _message(self, text: str) -> None:
        warn(text)
