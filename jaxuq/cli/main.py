"""Parse, run, and exit: 0 when done, 2 for a user's mistake or a disk's refusal (one line), 130 after Ctrl-C, 143 after
SIGTERM, a traceback only for ours."""

import ast
import contextlib
import difflib
import importlib
import os
import pathlib
import shutil
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import jaxuq
from jaxuq._errors import JaxuqError, OptionError
from jaxuq._extras import check_extras, missing_package
from jaxuq.cli.telling import SWITCH, VARIABLE, take_switch, telling

_COMMANDS = {
    "muben": ("jaxuq.molecules.muben.configuration", "MubenConfiguration", ("molecules", "reports")),
    "molecules": ("jaxuq.cli.molecules", "MoleculesCommand", ("molecules",)),
    "tag": ("jaxuq.tagging.benchmark.configuration", "TaggingConfiguration", ("tagging", "reports")),
    "confidence": ("jaxuq.confidence.study.configuration", "StudyConfiguration", ("language", "reports")),
    "extract": ("jaxuq.cli.extract", "ExtractCommand", ("extraction", "reports")),
    "experts": ("jaxuq.cli.experts", "ExpertsCommand", ("language", "reports")),
    "tune": ("jaxuq.tuning.configuration", "TuneConfiguration", ("language", "reports")),
    "generate": ("jaxuq.cli.generate", "GenerateCommand", ("language",)),
    "serve": ("jaxuq.cli.serve", "ServeCommand", ("language", "serve")),
    "launch": ("jaxuq.cli.launch", "LaunchCommand", ()),
    "plan": ("jaxuq.cli.plan", "PlanCommand", ("language",)),
    "models": ("jaxuq.cli.models", "ModelsCommand", ()),
    "data": ("jaxuq.cli.data", "DataCommand", ("molecules",)),
    "report": ("jaxuq.cli.report", "ReportCommand", ("reports",)),
}
"""Module and class of the options of every command, and the extras that its work needs; only that of the one that is
asked for is imported."""


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
    name = given[0] if given else ""
    if given[:2] == ["confidence", "ask"]:
        name, place, given = "confidence ask", ("jaxuq.cli.confidence", "AskCommand", ("language",)), given[1:]
    elif name in _COMMANDS:
        place = _COMMANDS[name]
    elif name == "--version":
        print(f"jaxuq {jaxuq.__version__}")
        return
    elif name and not name.startswith("-"):
        near = difflib.get_close_matches(name, _COMMANDS, n=1)
        meant = f"did you mean {near[0]}?" if near else f"there are {', '.join(_COMMANDS)}"
        raise OptionError(f"there is no command {name!r}: {meant} (jaxuq --help tells what each does)")
    elif name in ("-h", "--help"):
        print(_help())
        return
    else:
        wrong = f"there is no option {name!r} before a command" if name else "a command is missing"
        raise OptionError(f"{wrong}: there are {', '.join(_COMMANDS)} (jaxuq --help tells what each does)")
    import tyro

    options = getattr(importlib.import_module(place[0]), place[1])
    if name == "launch":
        _launch(options, given[1:])
        return
    command = tyro.cli(options, prog=f"jaxuq {name}", args=given[1:])
    check_extras(place[2], f"jaxuq {name}")
    try:
        _run(name, command)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("jaxuq"):
            raise
        raise missing_package(error.name, f"jaxuq {name}") from error


def _launch(options: Any, given: list[str]) -> None:
    """Its own options stand before the command that it is to run."""
    import tyro

    at = next((number for number, part in enumerate(given) if part in _COMMANDS), len(given))
    launch = tyro.cli(options, prog="jaxuq launch", args=given[:at])
    launch.check(given[at:])
    if launch.processes is None:  # a scheduler has begun this process and the others
        os.environ["JAXUQ_LAUNCHED"] = "scheduler"
        _main(given[at:])
    elif code := launch.start(given[at:], launch.processes):
        sys.exit(code)


def _help() -> str:
    """What `jaxuq --help` shows, without importing JAX or what parses the options of a command."""
    width = min(shutil.get_terminal_size().columns, 120)
    commands = [
        textwrap.fill(
            description(*place[:2]).partition("\n\n")[0],
            width,
            initial_indent=f"  {name:<12}",
            subsequent_indent=" " * 14,
            break_on_hyphens=False,
        )
        for name, place in _COMMANDS.items()
    ]
    after = (
        f"jaxuq COMMAND --help tells the options of a command. With {SWITCH}, or {VARIABLE}=1, a command shows results "
        "and warnings alone; jaxuq --version tells which jaxuq this is."
    )
    usage = "usage: jaxuq COMMAND [OPTIONS]\n\nHow sure is this answer, and how far can few labels go?\n"
    return "\n".join([usage, *commands, "", textwrap.fill(after, width)])


def description(module: str, name: str) -> str:
    """What the class with the options of a command says that they are for, without importing it."""
    file = pathlib.Path(__file__).parents[2].joinpath(*module.split(".")).with_suffix(".py")
    for one in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(one, ast.ClassDef) and one.name == name:
            return ast.get_docstring(one) or ""
    raise LookupError(f"{file} has no class {name}")


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


def _run(name: str, command: Any) -> None:
    """What has options of a room runs in a file of this one; the others run themselves."""
    if hasattr(command, "run"):
        command.run()
    else:
        importlib.import_module(f"jaxuq.cli.{name}").run(command)


def _fail(message: str, code: int) -> None:
    print(f"jaxuq: {message}", file=sys.stderr)
    sys.exit(code)
