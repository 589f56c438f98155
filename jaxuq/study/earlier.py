"""Results of other data in the same folder: set aside under the digest of what they belong to, and found again."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

from jaxuq._digest import digest
from jaxuq.study.lock import LOCK

EARLIER = "earlier"
_UNKNOWN = "before-digests"


def content_name(content: Any) -> str:
    """The name under which results of some content are kept.

    Args:
        content: digests by name, as `run.json` has them; anything else: results from before there were digests.

    Returns:
        Twelve hexadecimal digits, or `before-digests`.

    Example:
        >>> content_name(None)
        'before-digests'
    """
    return digest(content)[:12] if isinstance(content, Mapping) else _UNKNOWN


def set_aside(path: pathlib.Path, name: str) -> pathlib.Path:
    """Move everything in a folder into `earlier/<name>`; `run.json` last, so that an interrupted move goes on.

    Args:
        path: the folder.
        name: of `content_name`.

    Returns:
        Where it is now: a result folder of its own, which `jaxuq report` reads.
    """
    target = path / EARLIER / name
    entries = [entry for entry in path.iterdir() if entry.name not in (EARLIER, LOCK)]
    for entry in sorted(entries, key=lambda entry: entry.name == "run.json"):
        _move(entry, target / entry.name)
    return target


def bring_back(path: pathlib.Path, name: str) -> bool:
    """The reverse: `earlier/<name>` becomes the folder's content again; `run.json` first.

    Args:
        path: the folder.
        name: of `content_name`.

    Returns:
        Whether there was anything.
    """
    source = path / EARLIER / name
    if not source.is_dir():
        return False
    for entry in sorted(source.iterdir(), key=lambda entry: entry.name != "run.json"):
        _move(entry, path / entry.name)
    for folder in (source, source.parent):
        with contextlib.suppress(OSError):  # others are kept there
            folder.rmdir()
    return True


def _move(entry: pathlib.Path, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir() and entry.is_dir():
        for inner in list(entry.iterdir()):
            _move(inner, target / inner.name)
        entry.rmdir()
    else:
        os.replace(entry, target)


def earlier_places(path: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """Where else in a folder a file of some name is kept.

    Args:
        path: the folder.
        name: relative to it.

    Yields:
        Existing files or folders.
    """
    root = path / EARLIER
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if (folder / name).exists():
            yield folder / name


def copy_kept(source: pathlib.Path, target: pathlib.Path) -> None:
    """The same file or folder at a second place, without a second copy of its bytes where the disk can do that.

    Args:
        source: what is kept; none of our files is ever changed in place.
        target: replaced if it is there.
    """
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, copy_function=_link)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    _link(source, target)


def _link(source: Any, target: Any) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
