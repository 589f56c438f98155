"""What `jaxuq tag` shows: bars on a terminal, plain lines in a log."""

import math
import pathlib
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from jaxuq.cli.telling import progress_console, say, warn
from jaxuq.tagging.benchmark.listener import Listener

_LOG_SECONDS = 10.0  # between two lines of the same work when there is no terminal


class TagDisplay:
    """A context that shows progress on standard error while a run goes on."""

    def __init__(self):
        self._console = progress_console()
        columns = (
            *(SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(bar_width=24)),
            *(MofNCompleteColumn(), TimeElapsedColumn()),
        )
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._logged: dict[str, float] = {}

    def __enter__(self) -> "TagDisplay":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def listener(self) -> Listener:
        """The functions that a run calls."""
        return Listener(self._embedding, self._scored, self._message)

    def print_scores(self, folder: pathlib.Path) -> None:
        """Print the score tables of a result folder on standard output."""
        import csv

        console = Console(width=None if sys.stdout.isatty() else 120)
        with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for dataset in dict.fromkeys(row["dataset"] for row in rows):
            table = Table(title=f"{dataset}: entities, in % over seeds", title_justify="left")
            for column in ("method", "seeds", "precision", "recall", "F1"):
                table.add_column(column, justify="left" if column == "method" else "right")
            for row in rows:
                if row["dataset"] == dataset:
                    values = [percent(row[name], row[f"{name}_std"]) for name in ("precision", "recall", "f1")]
                    table.add_row(row["method"], row["num_seeds"], *values)
            console.print(table)

    def _embedding(self, name: str, done: int, total: int) -> None:
        name = f"word vectors, {name}"
        if self._console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(name, total=total)
            self._progress.update(self._tasks[name], completed=done)
            return
        now = time.monotonic()
        if done >= total or now - self._logged.get(name, -math.inf) >= _LOG_SECONDS:
            self._logged[name] = now
            say(f"{name}: {done}/{total} sub-words")

    def _scored(self, dataset: str, method: str, seed: int, scores: dict[str, float] | None) -> None:
        text = "done" if scores is None else ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        say(f"  {dataset}, {method}, seed {seed}: {text}")

    def _message(self, text: str) -> None:
        warn(text)


def percent(mean: str, deviation: str) -> str:
    """A mean with its deviation, in per cent.

    Args:
        mean: as in `summary.csv`.
        deviation: the same; empty for one seed.

    Returns:
        Text.

    Example:
        >>> percent("0.7844", "0.0012"), percent("0.5", "")
        ('78.44 ± 0.12', '50.00')
    """
    return f"{100 * float(mean):.2f}" + (f" ± {100 * float(deviation):.2f}" if deviation else "")
