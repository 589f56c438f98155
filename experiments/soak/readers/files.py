"""What a row of the readers is, and what the rows share."""

import gzip
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

Write = Callable[[pathlib.Path], None]
Read = Callable[[pathlib.Path], Any]


class Reader(NamedTuple):
    """What reads files of a user's.

    Attributes:
        files: that are damaged, one each time, relative to the folder; a star stands for what it stands for in a shell.
        write: makes the folder with valid files.
        read: reads the folder; only `jaxuq.JaxuqError` may come out.
        covers: public names whose reading this is.
        share: how many inputs it takes of a night, relative to the others; less where one takes long.
    """

    files: tuple[str, ...]
    write: Write
    read: Read
    covers: tuple[str, ...] = ()
    share: float = 1.0


def texts(**files: str | bytes) -> Write:
    """Writes files whose names have a double underscore for the full stop."""

    def write(folder: pathlib.Path) -> None:
        for name, text in files.items():
            content = text if isinstance(text, bytes) else text.encode()
            (folder / name.replace("__", ".")).write_bytes(content)

    return write


def packed(write: Write) -> Write:
    """What another writes, gzipped."""

    def packed(folder: pathlib.Path) -> None:
        write(folder)
        for file in [*folder.iterdir()]:
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
            file.unlink()

    return packed


def any_text(folder: pathlib.Path, name: str = "reply.txt") -> str:
    """A text that came from elsewhere: any characters, and halves of characters as JSON may have them."""
    content = (folder / name).read_bytes()
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeError:
        return content.decode("latin-1")


def value_of(folder: pathlib.Path, name: str) -> Any:
    """A JSON value, or none: who sends what is no JSON is refused before."""
    try:
        return json.loads((folder / name).read_bytes())
    except (ValueError, RecursionError):
        return None


def lines(*records: Any) -> str:
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)


_MADE: dict[str, Any] = {}


def once(name: str, make: Callable[[], Any]) -> Any:
    if name not in _MADE:
        _MADE[name] = make()
    return _MADE[name]
