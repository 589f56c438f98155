"""One thread that runs the model: answers of all requests side by side, and whoever leaves makes room at once."""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

from jaxuq.serving.jobs import Backend, Job


class Busy(Exception):
    """There are as many requests waiting as there may be."""


class Work(NamedTuple):
    """What a request asks of the model.

    Attributes:
        jobs: answers to be made, with the numbers by which what they grow by is told.
        calls: functions to be called, with the numbers by which what they return is told.
    """

    jobs: Sequence[tuple[int, Job]] = ()
    calls: Sequence[tuple[int, Callable[[], Any]]] = ()


class _End(NamedTuple):
    """The last thing that a task gives."""

    error: BaseException | None


class Task:
    """Work that was handed in: what it gives, `(number, item)`, can be awaited, and it can be called off."""

    def __init__(self, work: Work):
        self.work, self._loop = work, asyncio.get_running_loop()
        self._given: asyncio.Queue[Any] = asyncio.Queue()
        self._gone = threading.Event()
        self.tickets: list[Any] = []
        self.left, self.begun = len(work.jobs) + len(work.calls), False

    @property
    def gone(self) -> bool:
        """Whether nobody waits any more."""
        return self._gone.is_set()

    def cancel(self) -> None:
        """Nobody waits any more: the work ends at the model's next step."""
        self._gone.set()

    async def __aiter__(self) -> AsyncIterator[tuple[int, Any]]:
        while not isinstance(item := await self._given.get(), _End):
            yield item
        if item.error is not None:
            raise item.error

    def give(self, item: Any) -> None:
        """Hand over, from the model's thread."""
        try:
            self._loop.call_soon_threadsafe(self._given.put_nowait, item)
        except RuntimeError:
            self._gone.set()  # the server has ended

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        self.give(_End(error))


class Worker:
    """The thread.

    Args:
        backend: the model.
        most_waiting: requests that may wait before anything of them is begun.
    """

    def __init__(self, backend: Backend, most_waiting: int = 256):
        self._backend, self._most, self._lock = backend, most_waiting, threading.Lock()
        self._new: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._tasks: dict[Task, None] = {}
        self._tickets: dict[Any, tuple[Task, int]] = {}
        self._calls: deque[tuple[Task, int, Callable[[], Any]]] = deque()
        self._open, self.waiting = True, 0
        threading.Thread(target=self._work, name="jaxuq-model", daemon=True).start()

    @property
    def running(self) -> int:
        """Requests that the model works at."""
        return sum(task.begun for task in list(self._tasks))

    def submit(self, work: Work) -> Task:
        """Hand work in, from a coroutine.

        Args:
            work: what is wanted.

        Returns:
            The task.

        Raises:
            Busy: too many wait.
        """
        task = Task(work)
        with self._lock:
            if self.waiting >= self._most:
                raise Busy
            self.waiting += 1
        self._new.put(task)
        return task

    def close(self) -> None:
        """End the thread after what was handed in."""
        self._new.put(None)

    def _work(self) -> None:
        while self._open or self._tasks:
            self._take_in()
            for task in [one for one in self._tasks if one.gone]:
                self._end(task)
            if self._calls:
                task, number, call = self._calls.popleft()
                try:
                    self._give(task, number, call(), last=True)
                except BaseException as error:  # the thread must outlive any request
                    self._end(task, error)
            for task in self._tasks:
                if not task.begun and not all(map(self._backend.waits, task.tickets)):
                    self._begin(task)
            if self._backend.busy:
                self._advance()

    def _take_in(self) -> None:
        """All that was handed in; waits for it where there is nothing else to do."""
        idle = not (self._tasks or self._backend.busy)
        while idle or not self._new.empty():
            task, idle = self._new.get(), False
            if task is None:
                self._open = False
                continue
            self._tasks[task] = None
            try:
                for number, job in task.work.jobs:
                    task.tickets.append(self._backend.add(job))
                    self._tickets[task.tickets[-1]] = task, number
            except BaseException as error:
                self._end(task, error)
                continue
            self._calls += [(task, *call) for call in task.work.calls]
            if not task.left:
                self._end(task)

    def _advance(self) -> None:
        try:
            grown = self._backend.advance()
        except BaseException as error:  # of the model itself: it is everybody's
            for task in list(self._tasks):
                self._end(task, error)
            return
        for ticket, item, last in grown:
            if ticket not in self._tickets:
                continue
            task, number = self._tickets[ticket]
            if isinstance(item, BaseException):
                self._end(task, item)
                continue
            if last:
                del self._tickets[ticket]
            self._give(task, number, item, last=last)

    def _give(self, task: Task, number: int, item: Any, *, last: bool) -> None:
        self._begin(task)
        task.give((number, item))
        task.left -= last
        if not task.left:
            self._end(task)

    def _begin(self, task: Task) -> None:
        if not task.begun:
            task.begun = True
            with self._lock:
                self.waiting -= 1

    def _end(self, task: Task, error: BaseException | None = None) -> None:
        if self._tasks.pop(task, 0) == 0:
            return
        self._begin(task)
        for ticket in task.tickets:
            if self._tickets.pop(ticket, None) is not None:
                self._backend.leave(ticket)
        self._calls = deque(call for call in self._calls if call[0] is not task)
        task.end(error)
