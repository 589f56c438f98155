"""A `Fitted` as a folder: one JSON file that says what it is, two safetensors files with its arrays.

    fitted.json                    names, structures, sizes and digests; written last, so a folder is old or new
    samples-<digest>.safetensors   parameter samples, and the arrays of `about`
    states-<digest>.safetensors    states of calibrator and conformal method; all that recalibrating replaces

The arithmetic after the model needs NumPy alone: `states-...` holds `calibrator/temperature`, `calibrator/factor`,
`conformal/thresholds` and the like under the names of the states' fields.
"""

import hashlib
import json
import pathlib
import re
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxuq._digest import digest
from jaxuq._entries import Entries
from jaxuq._files import write_bytes, write_text
from jaxuq.calibration._trees import FittedError, pack, unpack
from jaxuq.calibration.fitted import CALIBRATORS, CONFORMAL, Fitted
from jaxuq.posterior import LIKELIHOODS

_FORMAT, _VERSION = "jaxuq.fitted", 1
_MANIFEST = "fitted.json"
_LARGEST_MANIFEST = 2**26
_TABLES: dict[str, Entries[Any]] = {"likelihood": LIKELIHOODS, "calibrator": CALIBRATORS, "conformal": CONFORMAL}
_FILES = {"samples": ("samples", "about"), "states": ("calibrator", "conformal")}
_FIELDS = {"calibrator": "calibrator_state", "conformal": "conformal_state"}
_TYPES: dict[str, np.dtype] = {  # safetensors' names
    "BOOL": np.dtype(bool),
    **{f"{kind.upper()}{8 * size}": np.dtype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
    "BF16": np.dtype(jnp.bfloat16),
    "F8_E4M3": np.dtype(jnp.float8_e4m3fn),
    "F8_E5M2": np.dtype(jnp.float8_e5m2),
    "C64": np.dtype(np.complex64),
}


def save_fitted(folder: str | pathlib.Path, fitted: Fitted) -> None:
    """Write a `Fitted` as a folder that `load_fitted` reads anywhere; nothing in it is ever executed.

    A folder that holds one already is replaced: its old content stays readable until the new one is whole, and files
    that are the same are not written again. One writer at a time. The arrays are copied to the host, twice for the
    moment of writing. Likelihood, calibrator and conformal method are saved by name; a record that has none in its
    table is given again at loading.

    Args:
        folder: made if needed; other files in it stay.
        fitted: what is saved.

    Raises:
        FittedError: an array of a type that safetensors has not, `Draws` whose reader has no name, or a folder that is
            a file or whose `fitted.json` is another program's.
        OptionError: a name that its table does not hold.
        OSError: the disk refuses; what was there stays.

    Example:
        >>> import tempfile, jax.numpy as jnp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_fitted(folder, Fitted({"slope": jnp.array([1.0, 3.0])}, "bernoulli"))
        ...     load_fitted(folder).samples
        {'slope': Array([1., 3.], dtype=float32)}
    """
    folder = pathlib.Path(folder)
    record: dict[str, Any] = {"format": _FORMAT, "version": _VERSION, "level": _level(fitted.level)}
    for field, table in _TABLES.items():
        record[field] = _saved_name(table, getattr(fitted, field))
    record["structures"], record["files"], contents = {}, {}, {}
    for file, parts in _FILES.items():
        arrays: dict[str, np.ndarray] = {}
        for part in parts:
            record["structures"][part] = pack(getattr(fitted, _FIELDS.get(part, part)), part, arrays)
        content = _serialised(arrays)
        sha = hashlib.sha256(content).hexdigest()
        record["files"][file] = {"name": f"{file}-{sha[:16]}.safetensors", "bytes": len(content), "sha256": sha}
        contents[f"{file}-{sha[:16]}.safetensors"] = content
    record["digest"] = digest(record)
    _check_free(folder)
    for name, content in contents.items():
        if not _is_whole(folder / name, content):
            write_bytes(folder / name, content)
    write_text(folder / _MANIFEST, json.dumps(record, indent=1) + "\n")
    for file in folder.iterdir():
        if re.fullmatch(r"(samples|states)-[0-9a-f]{16}\.safetensors", file.name) and file.name not in contents:
            file.unlink(missing_ok=True)


def load_fitted(folder: str | pathlib.Path, *, like: Fitted | None = None) -> Fitted:
    """Read a `Fitted` of `save_fitted`: the same numbers, bit by bit.

    Digests and sizes are checked first. Trees of dictionaries, lists and tuples (flax linen) come back as they were.
    Trees of classes (nnx states, equinox modules, your own) cannot be named safely in a file: `like` has trees of the
    same structure, such as the parameters that the model's init gives, with or without the sample axis; their leaves
    that are no arrays, such as activation functions, are taken from there. Arrays of float64 stay NumPy's where JAX
    has 32 bits.

    Args:
        folder: as given to `save_fitted`.
        like: a `Fitted` with what a file cannot hold: `samples` and states of classes, and a likelihood, calibrator or
            conformal method that were records of your own. A record in it is used in place of a name.

    Returns:
        The `Fitted`.

    Raises:
        FittedError: no such folder, a damaged or missing file, another format, a version that is newer than this jaxuq,
            a name that is unknown here, or `like` where it is needed and missing or of another structure.
    """
    folder = pathlib.Path(folder)
    manifest = folder / _MANIFEST
    record = _read_manifest(manifest)
    try:
        arrays: dict[str, np.ndarray] = {}
        for file in _FILES:
            arrays.update(_read_arrays(folder, file, record["files"][file]))
        given = like if like is not None else Fitted(None, "")
        named = {
            field: _loaded_name(manifest, field, table, record[field], getattr(given, field))
            for field, table in _TABLES.items()
        }
        trees = {}
        for part, structure in record["structures"].items():
            field = str(_FIELDS.get(part, part))
            trees[field] = unpack(structure, arrays, getattr(given, field), f"{field} of {manifest}")
        if arrays:
            raise FittedError(f"{manifest} does not say what {sorted(arrays)[:4]} are; {_AGAIN}")
        return Fitted(**named, **trees, level=_level(record["level"]))
    except (FittedError, OSError):
        raise
    except Exception as error:  # a file that was sealed by another hand can be wrong in any way
        raise FittedError(f"{manifest} is damaged ({type(error).__name__}: {error!s:.80}); {_AGAIN}") from error


_AGAIN = "copy the folder again from where it was saved, or save it again"


def _level(level: Any) -> float | None:
    return None if level is None else float(level)


def _saved_name(table: Entries[Any], value: Any) -> dict[str, str] | None:
    """The name of a record in its table; an empty record for one that has none."""
    if value is None:
        return None
    if isinstance(value, str):
        table[value]  # or the error that says which there are
    name = value if isinstance(value, str) else table.name_of(value)
    return {} if name is None else {"name": name}


def _loaded_name(manifest: pathlib.Path, field: str, table: Entries[Any], saved: Any, given: Any) -> Any:
    if saved is None or (given is not None and not isinstance(given, str)):
        return None if saved is None else given
    remedy = f"pass like=Fitted(...) whose {field} is the record"
    if not saved:
        raise FittedError(f"{manifest} was saved with a {field} of its author's own; {remedy}")
    name = saved["name"]
    if given and given != name:
        raise FittedError(f"{manifest} was saved with the {field} {name!r}, and like= has {given!r}; give the same")
    if name not in table:
        raise FittedError(f"{manifest} was saved with the {field} {name!r}, which is unknown here; {remedy}")
    return name


def _serialised(arrays: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype not in _TYPES.values():
            raise FittedError(
                f"{name} is of type {array.dtype}, which safetensors has not; convert it first, say to int8 or float32"
            )
    return save({name: np.ascontiguousarray(array).reshape(array.shape) for name, array in sorted(arrays.items())})


def _is_whole(file: pathlib.Path, content: bytes) -> bool:
    return file.is_file() and file.stat().st_size == len(content) and file.read_bytes() == content


def _check_free(folder: pathlib.Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FittedError(f"{folder} is a file; name a folder")
    if (folder / _MANIFEST).exists():
        try:
            _read_manifest(folder / _MANIFEST)
        except FittedError as error:
            raise FittedError(f"{folder} is not overwritten: {error}. Move it away or name another folder") from error


def _read_manifest(file: pathlib.Path) -> dict[str, Any]:
    if not file.is_file():
        raise FittedError(f"{file} is missing; {file.parent} holds no fitted forecaster. Name a folder of save_fitted")
    if file.stat().st_size > _LARGEST_MANIFEST:
        raise FittedError(f"{file} has more than {_LARGEST_MANIFEST} bytes, which no fitted forecaster has")
    try:
        record = json.loads(file.read_bytes())
        sealed = record.pop("digest", None) if isinstance(record, dict) else None
        found = digest(record)
    except (ValueError, RecursionError, TypeError) as error:
        raise FittedError(f"{file} is damaged: {error!s:.80}; {_AGAIN}") from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT:
        raise FittedError(f"{file} is of another program or damaged: its format is not {_FORMAT!r}; name another")
    version = record.get("version")
    if type(version) is int and version > _VERSION:
        raise FittedError(
            f"{file} has version {version}, newer than this jaxuq reads ({_VERSION}); install a newer jaxuq"
        )
    if version != _VERSION or found != sealed:
        raise FittedError(f"{file} is damaged: its digest is another than it says; {_AGAIN}")
    return record


def _read_arrays(folder: pathlib.Path, file: str, said: dict[str, Any]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, deserialize

    if not re.fullmatch(rf"{file}-[0-9a-f]{{16}}\.safetensors", said["name"]):
        raise FittedError(f"{folder / _MANIFEST} names a file outside its folder; {_AGAIN}")
    path = folder / said["name"]
    if not path.is_file():
        raise FittedError(f"{path} is missing; {_AGAIN}")
    if path.stat().st_size != said["bytes"]:
        raise FittedError(f"{path} has {path.stat().st_size} bytes and should have {said['bytes']}; {_AGAIN}")
    try:
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != said["sha256"]:
            raise FittedError(f"{path} is damaged: its digest is another than fitted.json says; {_AGAIN}")
        stored = deserialize(content)
    except (SafetensorError, MemoryError) as error:
        raise FittedError(f"{path} cannot be read: {error}; {_AGAIN}") from error
    return {name: np.frombuffer(part["data"], _TYPES[part["dtype"]]).reshape(part["shape"]) for name, part in stored}
