"""`jaxuq tune`: fine-tune with progress on the terminal, print the scores before and after, write the page."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.cli.telling import progress_console, say, warn
from jaxuq.tuning.configuration import TuneConfiguration

if TYPE_CHECKING:
    from jaxuq.tuning.study import Listener
    from jaxuq.tuning.uncertainty import Judge

_LOG_SECONDS = 10.0
_BARS = 12


def run(configuration: TuneConfiguration) -> None:
    """Tune and score as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs
    from jaxuq.language import load_model
    from jaxuq.reporting.tuning_page import print_tuning, write_tuning_report
    from jaxuq.tuning.configuration import normalised
    from jaxuq.tuning.records import load_split
    from jaxuq.tuning.study import run_tuning

    keep_compiled_programs()
    configuration = normalised(configuration)
    load_split(configuration.data, test=configuration.test, shifted=configuration.shifted)  # mistakes before the model
    began = time.monotonic()
    model = load_model(configuration.model, scan=True)
    judge = None
    if "ual" in configuration.loss and configuration.uncertainty == "judge" and configuration.judge is not None:
        judge = _judge(configuration.judge, configuration.judge_model)
    with _Display() as display:
        folder = run_tuning(configuration, model=model, judge=judge, listener=display.listener())
    page = write_tuning_report(folder.path)
    print_tuning(folder.path)
    say(f"Done in {time.monotonic() - began:.0f} s. Written to {folder.path}:")
    for name, content in _files(configuration):
        say(f"  {page.parent / name.rstrip('/')}  ({content})")


def _files(configuration: TuneConfiguration) -> list[tuple[str, str]]:
    """What is in the folder of a finished run."""
    files = [("report.html", "open this: scores before and after, reliability")]
    if configuration.acquire:
        files += [
            ("active.csv", "one row per test, acquisition, seed and round"),
            ("curve.csv", "the same over seeds, with intervals over questions: the learning curves"),
            ("labels.csv", "which question was labelled in which round"),
            ("rounds/", "forecasts of the pool and of the tests after every round"),
        ]
    files += [
        ("results.csv", "one row per test, method and seed" + (", after the last round" * bool(configuration.acquire))),
        ("summary.csv", "the same over seeds, with intervals over questions"),
    ]
    if configuration.teach:
        files += [
            ("predictions/", "confidence and grade of every answer"),
            ("adapters/", "one folder per way and seed"),
        ]
    elif not configuration.acquire:
        files += [
            ("predictions/", "distributions over answers, aleatoric and epistemic parts"),
            ("adapters/", "tuned adapters in PEFT's format, one folder per loss, seed and member"),
        ]
    files += [("figures/", "the page's figures as files"), ("run.json", "configuration, versions, device")]
    return [*files, ("merged/", "the model with the first adapters merged into it")] if configuration.merge else files


def _judge(address: str, model: str) -> "Judge":
    """A server or a local model as a function from prompts to replies."""
    from jaxuq.extraction.chat import Request
    from jaxuq.extraction.local import local_chat
    from jaxuq.serving.endpoint import open_endpoint

    if "://" in address:
        chat = open_endpoint(address, model)
    else:
        from jaxuq.cli.generate import load_named_model

        chat = local_chat(load_named_model(address))

    def ask(prompts: Sequence[str]) -> list[str]:
        return [reply.text for reply in chat.ask([Request(({"role": "user", "content": one},)) for one in prompts])]

    return ask


class _Display:
    """Progress on standard error: a bar on a terminal, a line every now and then in a log."""

    def __init__(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._console = progress_console()
        columns = (
            TextColumn("{task.description:<32}"), BarColumn(bar_width=24), MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"), TimeElapsedColumn(),
        )  # fmt: skip
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, Any] = {}
        self._logged = -math.inf

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def listener(self) -> "Listener":
        """The functions that a run calls."""
        from jaxuq.tuning.study import Listener

        return Listener(self._training, self._scored, self._message)

    def _training(self, name: str, progress: Any) -> None:
        said = f"steps, loss {progress.loss:.3f}"
        if self._console.is_terminal:
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(f"tune {name}", total=progress.num_steps, said="")
            self._progress.update(self._tasks[name], completed=progress.step, said=said)
            if progress.step == progress.num_steps:  # a run in rounds tunes more often than a screen has lines
                for finished in list(self._tasks.values())[:-_BARS]:
                    self._progress.update(finished, visible=False)
        elif progress.step == progress.num_steps or time.monotonic() - self._logged > _LOG_SECONDS:
            self._logged = time.monotonic()
            say(f"tune {name}: {progress.step}/{progress.num_steps} {said}")

    def _scored(self, method: str, seed: int, part: str, scores: dict[str, float]) -> None:
        text = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        say(f"  {method}, seed {seed}, {part}: {text}")

    def _message(self, text: str) -> None:
        warn(text)
