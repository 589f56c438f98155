"""Checkpoints of a training run: one pytree on disk, replaced atomically."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._damaged import DAMAGED
from jaxuq._files import write_json
from jaxuq.parallel.process_folders import common_path


def _is_key(leaf: object) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    """As orbax stores it: of several processes, what one of them has to itself is NumPy's, and the first writes it."""
    leaf = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    alone = jax.process_count() == 1 or not isinstance(leaf, jax.Array) or not leaf.is_fully_addressable
    return leaf if alone else np.asarray(leaf)


def save_checkpoint(folder: str | pathlib.Path, tree: PyTree) -> None:
    """Write a pytree of arrays with orbax, keeping the previous checkpoint until the new one is complete.

    Typed random keys are stored as their data. The folder holds one checkpoint; a crash or a full disk in the middle
    of writing leaves the previous one readable.

    Args:
        folder: where the checkpoint lives; made if needed.
        tree: arrays in any pytree but a bare array (None leaves are allowed).

    Raises:
        OSError: the disk refuses (full, read-only); the previous checkpoint stays.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(folder + "/state", {"mean": jnp.arange(3.0)})
        ...     load_checkpoint(folder + "/state", like={"mean": jnp.zeros(3)})
        {'mean': Array([0., 1., 2.], dtype=float32)}
    """
    start_checkpoint(folder, tree)()


def start_checkpoint(folder: str | pathlib.Path, tree: PyTree) -> Callable[[], None]:
    """`save_checkpoint` that copies the arrays to the host and writes them while the devices go on computing.

    Args:
        folder: as for `save_checkpoint`.
        tree: as for `save_checkpoint`; its arrays may be donated once this returns. Of arrays on a mesh every process
            writes what lies on its devices.

    Returns:
        What waits until all is written, to be called before the next one; until then the previous checkpoint is the one
        that is read.

    Raises:
        OSError: the disk refuses, here or where it is waited for; the previous checkpoint stays.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     finish = start_checkpoint(folder, {"mean": jnp.arange(3.0)})
        ...     _ = jnp.arange(100).sum()  # meanwhile
        ...     finish()
        ...     load_checkpoint(folder, like={"mean": jnp.zeros(3)})
        {'mean': Array([0., 1., 2.], dtype=float32)}
    """
    import orbax.checkpoint as ocp

    folder = common_path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    plain = jax.tree.map(_plain, tree)
    previous = _complete(folder)
    number = 1 + (int(previous.name) if previous is not None else 0)
    checkpointer = ocp.StandardCheckpointer()
    with _refusals(folder):
        checkpointer.save(folder / str(number), plain, force=True)

    def finish() -> None:
        with _refusals(folder), checkpointer:
            checkpointer.wait_until_finished()
        if previous is not None:
            shutil.rmtree(previous, ignore_errors=True)

    return finish


@contextlib.contextmanager
def _refusals(folder: pathlib.Path) -> Iterator[None]:
    """What the disk refuses is an OSError, however orbax and the store below it say it."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise _refusal(folder, error) or error from error


def load_checkpoint(folder: str | pathlib.Path, *, like: PyTree | None = None) -> PyTree | None:
    """Read the checkpoint of a folder, if there is a complete one.

    Args:
        folder: as given to `save_checkpoint`.
        like: a pytree of the same structure, whose leaves give shapes, types and placement. None: nested dictionaries
            and lists with the stored shapes, on one device, whatever mesh they were on, and keys as their data.

    Returns:
        The pytree, or None when the folder holds no complete checkpoint.

    Raises:
        ValueError: the stored tree has another structure or other shapes than `like`.
    """
    import orbax.checkpoint as ocp

    latest = _complete(common_path(folder).absolute())
    if latest is None:
        return None
    if like is None:
        with ocp.StandardCheckpointer() as checkpointer:  # where it lay is no matter: those devices may not be here
            stored: Any = checkpointer.metadata(latest).item_metadata
            empty = jax.tree.map(lambda leaf: np.empty(leaf.shape, leaf.dtype), stored.tree)
            found = checkpointer.restore(latest, empty)
        return jax.tree.map(
            lambda leaf, about: leaf if about.sharding is None else jnp.asarray(leaf), found, stored.tree
        )
    plain = jax.tree.map(_plain, like)
    with ocp.StandardCheckpointer() as checkpointer:
        stored = checkpointer.restore(latest, plain)

    def as_given(leaf: Any, template: Any) -> Any:
        leaf = jnp.asarray(leaf) if isinstance(template, jax.Array) else leaf
        return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(template)) if _is_key(template) else leaf

    return jax.tree.map(as_given, stored, like)


def claim_checkpoints(folder: str | pathlib.Path, record: Mapping[str, Any]) -> list[str]:
    """Note in `run.json` whose checkpoints a folder holds, or compare with whose they are.

    Args:
        folder: made if needed.
        record: what the run follows from, as JSON has it.

    Returns:
        The names whose values are another run's; none if the folder is this run's, or was nobody's and is now.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     claim_checkpoints(folder, {"epochs": 3}), claim_checkpoints(folder, {"epochs": 4})
        ([], ['epochs'])
    """
    folder, record = pathlib.Path(folder), json.loads(json.dumps(dict(record)))
    file = folder / "run.json"
    if not file.is_file():
        write_json(file, record)
        return []
    earlier: Any = None
    with contextlib.suppress(*DAMAGED):
        earlier = json.loads(file.read_text())
    known = earlier if isinstance(earlier, dict) else {}
    return [name for name in {**record, **known} if known.get(name) != record.get(name)]


def _refusal(folder: pathlib.Path, error: BaseException) -> OSError | None:
    """The disk's refusal that an error of another library is about, if it is about one."""
    said = " ".join(str(one) for one in (error, error.__cause__, error.__context__) if one is not None).lower()
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO):
        if os.strerror(number).lower() in said:
            return OSError(number, os.strerror(number), str(folder))
    return None


def _complete(folder: pathlib.Path) -> pathlib.Path | None:
    """The newest finished checkpoint; orbax gives an unfinished one a name that is no number."""
    finished = [path for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
    return max(finished, key=lambda path: int(path.name), default=None)
