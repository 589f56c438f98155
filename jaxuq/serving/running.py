"""Running the server: until it is told to stop, or beside the rest of a program."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from jaxuq._extras import needed_package
from jaxuq.serving.errors import ServingError
from jaxuq.serving.guard import Application

if TYPE_CHECKING:
    from uvicorn import Server

_BACKLOG = 1024  # connections that wait to be accepted
_GRACE = 30  # seconds that requests under way have when the server is told to stop


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


def serve(app: Application, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C: no new requests then, and those under way are answered first.

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
def serving(app: Application, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
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


def _server(app: Application) -> "Server":
    uvicorn = needed_package("uvicorn", "serving")
    known: Any = app
    return uvicorn.Server(
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
            timeout_graceful_shutdown=_GRACE,
        )
    )
