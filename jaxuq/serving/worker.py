"""One thread that runs the model, and requests that wait for it: first come, first served."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NamedTuple

Steps = Callable[[Callable[[], bool]], Iterator[Any]]


class Busy(Exception):
    """There are as many requests waiting as there may be."""


class _End(NamedTuple):
    """The last thing that a task gives."""

    error: BaseException | None


class Task:
    """Work that was handed in: what it gives can be awaited, and it can be called off.

    Args:
        steps: from a function that says whether nobody waits any more, to what the work gives.
    """

    def __init__(self, steps: Steps):
        self._steps, self._loop = steps, asyncio.get_running_loop()
        self._given: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = threading.Event()

    def cancel(self) -> None:
        """Nobody waits any more: the work ends at its next step."""
        self._gone.set()

    async def __aiter__(self) -> AsyncIterator[Any]:
        while not isinstance(item := await self._given.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def run(self) -> None:
        """Do the work, in this thread."""
        error: BaseException | None = None
        if not self._gone.is_set():
            try:
                for item in self._steps(self._gone.is_set):
                    if self._gone.is_set():
                        break
                    self._give(item)
            except BaseException as raised:  # the thread must outlive any request
                error = raised
        self._give(_End(error))

    def _give(self, item: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._given.put_nowait, item)
        except RuntimeError:
            self._gone.set()  # the server has ended


class Worker:
    """The thread.

    Args:
        most_waiting: requests that may wait.
    """

    def __init__(self, most_waiting: int = 256):
        self._most, self._tasks, self._lock = most_waiting, queue.SimpleQueue(), threading.Lock()
        self.waiting = self.running = 0
        threading.Thread(target=self._work, name="jaxuq-model", daemon=True).start()

    def submit(self, steps: Steps) -> Task:
        """Hand work in, from a coroutine.

        Args:
            steps: as for `Task`.

        Returns:
            The task.

        Raises:
            Busy: too many wait.
        """
        task = Task(steps)
        with self._lock:
            if self.waiting >= self._most:
                raise Busy
            self.waiting += 1
        self._tasks.put(task)
        return task

    def close(self) -> None:
        """End the thread after what was handed in."""
        self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            with self._lock:
                self.waiting, self.running = self.waiting - 1, 1
            task.run()
            self.running = 0
