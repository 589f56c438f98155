"""Running the server: until it is told to stop, or beside the rest of a program."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jaxuq._extras import needed_package
from jaxuq.serving.errors import ServingError
from jaxuq.serving.guard import Guard

if TYPE_CHECKING:
    from uvicorn import Server

_BACKLOG = 1024  # connections that wait to be accepted
_GRACE = 30.0  # seconds that requests under way have when the server is told to stop
_LAST = 3  # seconds that connections have to close after that


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Args:
        host: name or number of an address of this machine.
        port: 0 takes a free one.

    Returns:
        The socket.

    Raises:
        ServingError: the address is taken, or none of this machine's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise ServingError(f"cannot listen at {host}:{port}: {said}; choose another --port") from None


def serve(app: Guard, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C: new requests are refused then (503), and those under way are answered first.

    Args:
        app: of `make_app`.
        listening: of `listen`.
    """
    server = _server(app)
    before: list[tuple[int, Any]] = []
    if threading.current_thread() is threading.main_thread():  # uvicorn raises a signal again once it has stopped
        before = [(one, signal.signal(one, lambda *_: None)) for one in (signal.SIGTERM, signal.SIGINT)]
    try:
        server.run(sockets=[listening])
    finally:
        for one, handler in before:
            signal.signal(one, handler)


@contextlib.contextmanager
def serving(app: Guard, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """A server beside the rest of a program.

    Args:
        app: of `make_app`.
        host: to listen at.
        port: 0 takes a free one.

    Yields:
        Its address, such as `http://127.0.0.1:8000/v1`.

    Raises:
        ServingError: the address is taken.
    """
    listening = listen(host, port)
    server = _server(app)
    thread = threading.Thread(target=_run(server, listening), daemon=True)
    thread.start()
    try:
        yield address_of(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def address_of(listening: socket.socket) -> str:
    """The address of a server.

    Args:
        listening: its socket.

    Returns:
        Such as `http://127.0.0.1:8000/v1`.
    """
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _run(server: "Server", listening: socket.socket) -> Callable[[], None]:
    return lambda: server.run(sockets=[listening])


def _server(app: Guard) -> "Server":
    uvicorn = needed_package("uvicorn", "serving")

    class Stopping(uvicorn.Server):
        """Told to stop, it still speaks: those under way are answered, others refused; told again, it ends at once."""

        deadline = 0.0

        def handle_exit(self, sig: int, frame: Any) -> None:
            if app.stopping:
                super().handle_exit(sig, frame)
            else:
                app.stopping, self.deadline = True, time.monotonic() + _GRACE

        async def on_tick(self, counter: int) -> bool:
            over = app.stopping and (not app.under_way or time.monotonic() > self.deadline)
            return await super().on_tick(counter) or over

    known: Any = app
    return Stopping(
        uvicorn.Config(
            known,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_LAST,
        )
    )
