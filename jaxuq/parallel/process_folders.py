"""Folders of processes that share a mesh: the first works in the one that is named, each of the others in a copy of it.

All of them run one program, and what a program does next depends on what it finds on the disk: a step that is done is
not done again. In a copy each finds what the first one finds, at every moment, and what it writes disturbs nobody; it
is thrown away in the end. Checkpoints alone are written by all of them to the folder that is named, as each holds a
part of the arrays.
"""

import atexit
import os
import pathlib
import shutil
import tempfile

import jax
import numpy as np

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.parallel.processes import await_processes, first_says, is_first

_folders: dict[pathlib.Path, pathlib.Path] = {}  # that were named, by where this process works instead


@typed()
def process_folder(folder: str | os.PathLike) -> pathlib.Path:
    """The folder that this process works in: the one that is named, or a copy of it if another process is the first.

    Where processes share a mesh all of them have to call it, before anything is written there.

    Args:
        folder: of results; it need not exist.

    Returns:
        The folder; a copy lies among the temporary files until the process ends.

    Raises:
        OptionError: the processes see different files there, as on machines that do not share the disk.

    Example:
        >>> process_folder("runs/mine").name  # alone
        'mine'
    """
    path = pathlib.Path(folder)
    for own, named in _folders.items():
        if path.is_relative_to(own):
            return path
        if path.is_relative_to(named):
            return own / path.relative_to(named)
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return path
    from jax.experimental.multihost_utils import process_allgather

    await_processes()
    seen = sorted([str(one.relative_to(path)), one.stat().st_size] for one in path.rglob("*") if one.is_file())
    if not np.all(process_allgather(np.int32(first_says(seen) == seen))):
        raise OptionError(
            f"the processes see different files in {path}; name a folder on a disk that all of them share"
        )
    named = path
    if not is_first():
        place = tempfile.mkdtemp(prefix="jaxuq-")
        atexit.register(shutil.rmtree, place, ignore_errors=True)
        path = pathlib.Path(place, named.name)
        if named.exists():
            shutil.copytree(named, path)
    _folders[path] = named
    await_processes()
    return path


@typed()
def common_path(path: str | os.PathLike) -> pathlib.Path:
    """The place in the folder that was named, of a place in this process's copy of it.

    Args:
        path: of a file or folder.

    Returns:
        Where all processes find it; a path outside every copy stays what it is.

    Example:
        >>> common_path("runs/mine/checkpoints").name
        'checkpoints'
    """
    path = pathlib.Path(path)
    for own, folder in _folders.items():
        if path.is_relative_to(own):
            return folder / path.relative_to(own)
    return path
