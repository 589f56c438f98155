"""`jaxuq confidence`: how sure is a model of its answers, over a set of questions or of one."""

import dataclasses
import time
from typing import Annotated

import tyro

from jaxuq.cli.telling import progress_console, say, warn
from jaxuq.confidence.study.configuration import StudyConfiguration


@dataclasses.dataclass(frozen=True)
class AskCommand:
    """Answer one question, and say how sure the model is and which tokens the answer rests on."""

    question: Annotated[str, tyro.conf.Positional]
    """What to ask; - reads it from the standard input."""

    model: str = "smollm2"
    """A name (jaxuq models list), a folder with safetensors, a .gguf file, or organisation/model on the hub."""

    kind: str = "auto"
    """How the answer is read: number, expression, choice, text, whole; auto: a number if there is one, else words."""

    response: str | None = None
    """A response that is there already: score it instead of letting the model answer."""

    answer: str | None = None
    """The final answer in that response, if it should not be looked for."""

    samples: int = 0
    """Further answers, for the measures of several answers."""

    max_new_tokens: int = 32
    """The longest answer."""

    chat: bool = False
    """Put the question as it is into the model's chat template, instead of after two examples of short answers."""

    seed: int = 0
    """Of the further answers."""

    explain: str | None = None
    """Write a page here that shows the chain step by step."""

    def run(self) -> None:
        """Load, answer, print."""
        from jaxuq.cli.compiled import keep_compiled_programs
        from jaxuq.cli.confidence_answer import answer_question

        keep_compiled_programs()
        answer_question(self)


def run(configuration: StudyConfiguration) -> None:
    """Run a study as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs
    from jaxuq.cli.generate import load_named_model
    from jaxuq.confidence.study.run import run_study
    from jaxuq.reporting.confidence_page import print_confidence, write_confidence_report

    keep_compiled_programs()
    began = time.monotonic()
    with _Bar() as bar:
        folder = run_study(configuration, model=load_named_model, on_progress=bar.show)
    page = write_confidence_report(folder.path)
    print_confidence(folder.path)
    for note in folder.record.get("notes", []):
        warn(note)
    say(f"Done in {time.monotonic() - began:.0f} s. Written to {folder.path}:")
    for name, content in (
        ("report.html", "open this: scores, calibration, costs, confident mistakes"),
        ("results.csv", "one row per measure and balanced subsample"),
        ("summary.csv", "one row per measure, with intervals"),
        ("predictions.jsonl", "one line per question: response, answer, measures, chain"),
        ("figures/", "the page's figures as files"),
        ("run.json", "configuration, versions, device"),
    ):
        say(f"  {page.parent / name.rstrip('/')}  ({content})")


class _Bar:
    """Progress on standard error: a bar on a terminal, a line every now and then in a log."""

    def __init__(self):
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = progress_console()
        self._terminal = console.is_terminal
        columns = (
            TextColumn("questions"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task("questions", total=None, said="")
        self._logged = 0.0

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int, right: int, missing: int) -> None:
        """As `run_study` calls it."""
        said = f"{right} right, {missing} without an answer"
        if self._terminal:
            self._progress.update(self._task, completed=done, total=total, said=said)
        elif done == total or time.monotonic() - self._logged > 10:
            self._logged = time.monotonic()
            say(f"{done}/{total} questions, {said}")
