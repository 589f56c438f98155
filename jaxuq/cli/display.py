"""What a long run shows: bars on a terminal, plain lines in a log."""

import math
import pathlib
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jaxuq.cli.telling import progress_console, say, warn
from jaxuq.molecules.muben.listener import Listener

_LOG_SECONDS = 10.0  # between two lines of the same work when there is no terminal


class Display:
    """A context that shows progress on standard error while a run goes on."""

    def __init__(self):
        self._console = progress_console()
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[score]}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._logged: dict[str, float] = {}

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def listener(self) -> Listener:
        """The functions that a run calls."""
        return Listener(self._features, self._training, self._scored, self._message)

    def print_scores(self, folder: pathlib.Path) -> None:
        """Print the score tables of a result folder on standard output."""
        from jaxuq.reporting import read_folder, terminal_table
        from jaxuq.reporting.benchmark_page import parts, report_tables

        console = Console(width=None if sys.stdout.isatty() else 140)
        contents = read_folder(folder)
        for _, _, rows, summary in parts(contents):
            for table in report_tables(contents, rows, summary):
                console.print(terminal_table(table))

    def _show(self, name: str, done: int, total: int, score: str) -> None:
        if self._console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=total, score="")
            self._progress.update(self._tasks[name], completed=done, score=score)
            return
        now = time.monotonic()
        if done >= total or now - self._logged.get(name, -math.inf) >= _LOG_SECONDS:
            self._logged[name] = now
            say(f"{name}: {done}/{total} {score}".rstrip())

    def _features(self, done: int, total: int) -> None:
        self._show("features", done, total, "molecules")

    def _training(self, name: str, progress: Any) -> None:
        over = progress.running == 0
        total = progress.epoch if over else progress.num_epochs
        score = "" if not progress.best_score else f"best validation score {progress.best_score:.4f}"
        running = f", {progress.running} of {progress.num_members} networks running" if not over else ", stopped early"
        if over and self._console.is_terminal and name in self._tasks:
            self._progress.update(self._tasks[name], total=total)
        self._show(f"train {name}", progress.epoch, total, f"epochs, {score}{running}" if score else "epochs")

    def _scored(self, method: str, seed: int, scores: dict[str, Any]) -> None:
        names = [name for name in ("rmse", "auroc", "nll", "rce", "ece") if name in scores]
        text = ", ".join(f"{name} {scores[name]:.3f}" for name in names)
        say(f"  {method}, seed {seed}: {text}")

    def _message(self, text: str) -> None:
        warn(text)
