"""Calls in processes of this machine, each in one of its own: what Ray does on a cluster, with Python's own means."""

import contextlib
import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pickle import PicklingError
from typing import Any, NamedTuple

from jaxuq.study.errors import ClusterError

_CHOICE = "CUDA_VISIBLE_DEVICES"
_LONGEST = 2000  # characters of what cannot be sent back


class Worker(NamedTuple):
    """A call in a process of its own.

    Attributes:
        process: that makes it.
        answers: where it says what came of it.
        place: its number among those that work at a time, which says what accelerator is its own.
    """

    process: Any
    answers: Connection
    place: int


class LocalWorkers:
    """Processes of this machine.

    A process that dies takes its call with it and nothing else, and when this one dies, so do they. Python begins them
    anew ("spawn"): they import the caller's main program, which therefore must do its work under
    `if __name__ == "__main__":`, and functions and arguments are sent by `pickle`, so they come from files.

    Args:
        prepare: called first in each, before JAX has looked for devices.
        accelerators: of this machine, which they share evenly; 0: none.
    """

    def __init__(self, prepare: Callable[[], None], accelerators: int = 0):
        self._prepare, self._spawn = prepare, multiprocessing.get_context("spawn")
        chosen = os.environ.get(_CHOICE, "")
        self._accelerators = chosen.split(",") if chosen else [str(number) for number in range(accelerators)]
        self._busy: set[int] = set()

    def begin(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Worker:
        """Make a call.

        Args:
            name: of the process.
            function: to be called.
            arguments: for it.

        Returns:
            The worker.

        Raises:
            ClusterError: they cannot be sent to another process.
        """
        place = next(number for number in itertools.count() if number not in self._busy)
        mine, theirs = self._spawn.Pipe(duplex=False)
        own = self._accelerators[place % len(self._accelerators)] if self._accelerators else None
        call = (theirs, own, self._prepare, function, arguments)
        process = self._spawn.Process(target=_work, args=call, name=name, daemon=True)
        try:
            process.start()
        except (PicklingError, AttributeError, TypeError) as error:
            raise ClusterError(
                f"this work cannot be sent to another process ({error}): put functions of your own into a file and "
                "import them, or leave out the cluster"
            ) from None
        theirs.close()
        self._busy.add(place)
        return Worker(process, mine, place)

    def finished(self, running: Sequence[Worker], timeout: float) -> list[Worker]:
        """Those of which there is news, waited for a while."""
        news = wait([part for one in running for part in (one.answers, one.process.sentinel)], timeout)
        return [one for one in running if one.answers in news or one.process.sentinel in news]

    def outcome(self, worker: Worker) -> tuple[Any, str]:
        """What became of a call that is finished, and what its process died of, if it did."""
        outcome, dead = None, False
        try:
            outcome = worker.answers.recv()
        except (EOFError, OSError):
            dead = True
        except Exception as error:
            outcome = ClusterError(f"what {worker.process.name} gave cannot be read: {error}")
        worker.process.join()
        self._busy.discard(worker.place)
        worker.answers.close()
        code = worker.process.exitcode
        return outcome, (f"signal {-code}" if code < 0 else f"exit code {code}") if dead else ""

    def cancel(self, worker: Worker) -> None:
        """End it."""
        worker.process.kill()
        worker.process.join()


@contextlib.contextmanager
def local_workers(prepare: Callable[[], None], accelerators: int = 0) -> Iterator[LocalWorkers]:
    """`LocalWorkers`, as Ray's are had."""
    yield LocalWorkers(prepare, accelerators)


def _work(
    answers: Connection,
    accelerator: str | None,
    prepare: Callable[[], None],
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """What a worker does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    if accelerator is not None:
        os.environ[_CHOICE] = accelerator
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    try:
        prepare()
        outcome = function(*arguments)
    except Exception as error:
        outcome = error
    try:
        answers.send(outcome)
    except (PicklingError, AttributeError, TypeError) as error:
        answers.send(ClusterError(f"what this work gave cannot be sent back ({error}): {str(outcome)[:_LONGEST]}"))
