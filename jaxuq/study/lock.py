"""One process at a time in a folder."""

import contextlib
import os
import pathlib
import socket
import threading
from collections.abc import Iterator

from jaxuq.study.errors import RunFolderError

LOCK = ".lock"
_held: set[str] = set()  # a process's own locks never exclude itself, so it keeps account of them
_guard = threading.Lock()


@contextlib.contextmanager
def working_alone(path: str | pathlib.Path) -> Iterator[None]:
    """Hold a folder for this process while the block runs.

    The lock is the operating system's: it ends with the process that holds it, however that dies, and so never has to
    be cleared by hand. On file systems that know no locks there is none.

    Args:
        path: the folder; made if it does not exist.

    Raises:
        RunFolderError: another process (or another thread of this one) holds it; the message names it.
        OSError: the disk refuses.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, working_alone(folder):
        ...     with working_alone(folder):
        ...         pass
        Traceback (most recent call last):
        jaxuq.study.errors.RunFolderError: process ... works in ... at this moment...
    """
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    name = os.path.realpath(path)
    with _guard:
        if name in _held:
            raise RunFolderError(_busy(path, f"process {os.getpid()}"))
        descriptor = _locked(path)
        _held.add(name)
    try:
        yield
    finally:
        with _guard:
            _held.discard(name)
            with contextlib.suppress(OSError):
                (path / LOCK).unlink()
            os.close(descriptor)


def _locked(path: pathlib.Path) -> int:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    while True:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunFolderError(_busy(path, holder or "another process")) from None
        except OSError:  # a file system without locks
            pass
        if _is_there(path / LOCK, descriptor):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            return descriptor
        os.close(descriptor)  # its last holder has removed it meanwhile


def _is_there(file: pathlib.Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _busy(path: pathlib.Path, holder: str) -> str:
    return (
        f"{holder} works in {path} at this moment, and two would mix their results. Wait until it has ended, or choose "
        "another --output."
    )
