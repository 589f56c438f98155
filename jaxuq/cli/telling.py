"""What a command tells beside its results: one logger, one handler on standard error, one switch that quiets them.

Results go to standard output; errors that end a command are `main`'s. In between are progress and where things were
written (`say`), and what a reader of the results should know (`warn`). The library itself prints nothing: it calls
listeners, warns, or logs under `jaxuq`.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from jaxuq._errors import StudyWarning

if TYPE_CHECKING:
    from rich.console import Console

SWITCH, VARIABLE = "--quiet", "JAXUQ_QUIET"
_LOG = logging.getLogger("jaxuq.cli")


def say(text: str) -> None:
    """Tell how it goes; nothing if the command is quiet."""
    _LOG.info(text)


def warn(text: str) -> None:
    """Tell what a reader of the results should know; a quiet command does too."""
    _LOG.warning("note: %s", text)


def progress_console() -> "Console":
    """Standard error for bars, which lines of `say` do not break; a quiet command shows none."""
    from rich.console import Console

    handlers = [one for one in logging.getLogger("jaxuq").handlers if isinstance(one, _Lines)]
    if not handlers:
        return Console(stderr=True)
    return Console(stderr=True, quiet=True, force_terminal=False) if handlers[0].quiet else handlers[0].console


def take_switch(arguments: list[str]) -> tuple[list[str], bool]:
    """The arguments without `--quiet`, and whether it, or the variable `JAXUQ_QUIET`, is there."""
    quiet = SWITCH in arguments or os.environ.get(VARIABLE, "") not in ("", "0")
    return [one for one in arguments if one != SWITCH], quiet


@contextlib.contextmanager
def telling(quiet: bool) -> Iterator[None]:
    """What is logged under `jaxuq` goes to standard error, and notes on results too, without the code that warns."""

    def show(message: Any, category: type[Warning], *where: Any) -> None:
        if issubclass(category, StudyWarning):
            warn(str(message))
        else:
            usual(message, category, *where)

    logger, handler = logging.getLogger("jaxuq"), _Lines(quiet)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # a package that logs by itself gives the root a handler: lines would come twice
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        with warnings.catch_warnings():
            usual = warnings.showwarning
            warnings.showwarning = show
            warnings.simplefilter("always", StudyWarning)
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _Lines(logging.Handler):
    """Every record a line, as it is: neither wrapped nor marked up; notes in yellow."""

    def __init__(self, quiet: bool):
        from rich.console import Console

        super().__init__()
        self.quiet, self.console = quiet, Console(stderr=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        from rich.text import Text

        style = "yellow" if record.levelno >= logging.WARNING else ""
        self.console.print(Text(self.format(record), style), soft_wrap=True)
