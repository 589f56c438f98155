"""What goes wrong with a model's files, said in one line."""

import contextlib
from collections.abc import Iterator

from jaxuq._errors import JaxuqError


class CheckpointError(JaxuqError, ValueError):
    """A model's files are missing, damaged, or of an architecture that is not supported; the message names the file."""


class CheckpointWarning(UserWarning):
    """A model's files say something that is left out, or contradict themselves where one reading is the known one."""


@contextlib.contextmanager
def refused(what: str) -> Iterator[None]:
    """Whatever a library raises at damaged files, as a `CheckpointError`.

    Libraries in Rust raise what is no `Exception` where they panic.

    Args:
        what: the beginning of the message, which names the file.

    Raises:
        CheckpointError: with what the library said.

    Example:
        >>> with refused("the tokenizer in x cannot be read"):
        ...     [][0]
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: the tokenizer in x cannot be read: list index out of range
    """
    try:
        yield
    except (CheckpointError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise CheckpointError(f"{what}: {error}") from error
