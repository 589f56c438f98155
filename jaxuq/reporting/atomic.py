"""Write a file so that a reader sees either the old content or the whole new one."""

import os
import pathlib
import tempfile


def write_atomically(path: pathlib.Path, content: bytes) -> None:
    """Write to a temporary file beside `path`, then put it in place.

    Args:
        path: where the content belongs; missing parent folders are made.
        content: all of it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     target = pathlib.Path(folder) / "deep" / "report.html"
        ...     write_atomically(target, b"<p>")
        ...     print(target.read_bytes(), len(list(target.parent.iterdir())))
        b'<p>' 1
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise
