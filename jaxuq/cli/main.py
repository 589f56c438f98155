"""Parse, run, and exit: 0 when done, 2 for a user's mistake (one line), 130 after Ctrl-C, a traceback only for ours."""

import os
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from jaxuq._errors import JaxuqError
from jaxuq.cli.confidence import AskCommand
from jaxuq.cli.data import DataCommand
from jaxuq.cli.experts import ExpertsCommand
from jaxuq.cli.extract import ExtractCommand, ServeCommand
from jaxuq.cli.generate import GenerateCommand
from jaxuq.cli.models import ModelsCommand
from jaxuq.cli.report import ReportCommand
from jaxuq.confidence.study.configuration import StudyConfiguration
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tuning.configuration import TuneConfiguration

_COMMANDS = {
    "muben": MubenConfiguration,
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `jaxuq` with the given arguments, or those of the process; ends by raising `SystemExit` unless all went well.

    Args:
        arguments: without the program's name.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that there is no PyTorch is no news here
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if given[:2] == ["confidence", "ask"]:
            command = tyro.cli(AskCommand, prog="jaxuq confidence ask", args=given[2:])
        else:
            command = tyro.extras.subcommand_cli_from_dict(
                _COMMANDS,
                prog="jaxuq",
                description="How sure is this answer, and how far can few labels go?",
                args=given,
            )
        _run(command)
    except JaxuqError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted; finished work is kept, and the same command continues", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader of our output has gone
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise
        _fail(f"{error.strerror}: {error.filename or 'writing results'}; what was complete stays readable", 1)


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
