"""Parse, run, and exit: 0 when done, 2 for a user's mistake or a disk's refusal (one line), 130 after Ctrl-C, 143 after
SIGTERM, a traceback only for ours."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from jaxuq._errors import JaxuqError
from jaxuq.cli.confidence import AskCommand
from jaxuq.cli.data import DataCommand
from jaxuq.cli.experts import ExpertsCommand
from jaxuq.cli.extract import ExtractCommand
from jaxuq.cli.generate import GenerateCommand
from jaxuq.cli.models import ModelsCommand
from jaxuq.cli.molecules import MoleculesCommand
from jaxuq.cli.report import ReportCommand
from jaxuq.cli.serve import ServeCommand
from jaxuq.cli.telling import SWITCH, VARIABLE, take_switch, telling
from jaxuq.confidence.study.configuration import StudyConfiguration
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tuning.configuration import TuneConfiguration

_COMMANDS = {
    "muben": MubenConfiguration,
    "molecules": MoleculesCommand,
    "tag": TaggingConfiguration,
    "confidence": StudyConfiguration,
    "extract": ExtractCommand,
    "experts": ExpertsCommand,
    "tune": TuneConfiguration,
    "generate": GenerateCommand,
    "serve": ServeCommand,
    "models": ModelsCommand,
    "data": DataCommand,
    "report": ReportCommand,
}


class Terminated(KeyboardInterrupt):
    """The process was asked to end, as schedulers do before they kill."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `jaxuq` with the given arguments, or those of the process; ends by raising `SystemExit` unless all went well.

    Args:
        arguments: without the program's name.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch is no news here
    given = list(sys.argv[1:] if arguments is None else arguments)
    given, quiet = take_switch(given)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # not every stream can be told
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    try:
        with _terminable(), telling(quiet):
            _main(given)
    except JaxuqError as error:
        _fail(str(error), 2)
    except Terminated:
        _fail("terminated; finished work is kept, and the same command continues", 143)
    except KeyboardInterrupt:
        _fail("interrupted; finished work is kept, and the same command continues", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        _fail(f"{error.strerror}: {error.filename or 'writing results'}; what was complete stays readable", 2)


def _main(given: list[str]) -> None:
    if given[:2] == ["confidence", "ask"]:
        command = tyro.cli(AskCommand, prog="jaxuq confidence ask", args=given[2:])
    else:
        command = tyro.extras.subcommand_cli_from_dict(
            _COMMANDS,
            prog="jaxuq",
            description="How sure is this answer, and how far can few labels go? "
            f"With {SWITCH}, or {VARIABLE}=1, a command shows results and warnings alone.",
            args=given,
        )
    _run(command)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the work as Ctrl-C does."""

    def end(number: int, frame: Any) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(command: Any) -> None:
    if isinstance(command, MubenConfiguration):
        from jaxuq.cli.muben import run

        run(command)
    elif isinstance(command, TaggingConfiguration):
        from jaxuq.cli.tag import run as tag

        tag(command)
    elif isinstance(command, StudyConfiguration):
        from jaxuq.cli.confidence import run as study

        study(command)
    elif isinstance(command, TuneConfiguration):
        from jaxuq.cli.tune import run as tune

        tune(command)
    else:
        command.run()


def _fail(message: str, code: int) -> None:
    print(f"jaxuq: {message}", file=sys.stderr)
    sys.exit(code)
