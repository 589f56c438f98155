"""Opening a result folder: new, or the same run again, never another one's."""

import datetime
import json
import pathlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from jaxuq._errors import JaxuqError
from jaxuq.results.files import write_json

_PACKAGES = ("jaxuq", "jax", "jaxlib", "flax", "optax", "numpy", "rdkit", "scikit-learn")


class RunFolderError(JaxuqError, ValueError):
    """The output folder cannot take this run; the message says why and what to do."""


class RunFolder(NamedTuple):
    """An open result folder.

    Attributes:
        path: the folder.
        record: what `run.json` holds; `write_record` stores it again with changes.
        resumed: whether the folder held this very run before.
    """

    path: pathlib.Path
    record: dict[str, Any]
    resumed: bool

    def write_record(self, **changes: Any) -> None:
        """Change entries of the record and store `run.json`."""
        self.record.update(changes)
        write_json(self.path / "run.json", self.record)

    @property
    def predictions(self) -> pathlib.Path:
        """The folder of predictions."""
        return self.path / "predictions"

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of unfinished work, removed cell by cell as cells finish."""
        return self.path / "checkpoints"


def open_run(
    path: str | pathlib.Path, *, system: str, configuration: Mapping[str, Any], device: str, resume: bool = True
) -> RunFolder:
    """Open a folder for a run, or go on with it if it holds the same one.

    Two runs are the same when system and configuration are equal, versions and devices aside.

    Args:
        path: the folder; made if it does not exist.
        system: the command, e.g. `"muben"`.
        configuration: everything that decides the numbers, JSON-like.
        device: a description for the reader, e.g. `"cpu x 2"`.
        resume: False refuses a folder that holds a run, even the same.

    Returns:
        The open folder; `run.json` is written with status `"running"` unless it is there already.

    Raises:
        RunFolderError: the folder holds another configuration (its differences are named), a run that `resume=False`
            forbids to touch, or files that are not a run's. Nothing is changed then.
    """
    path = pathlib.Path(path)
    plain = json.loads(json.dumps(dict(configuration)))
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; --output names a folder")
    if (path / "run.json").exists():
        record = read_run(path)
        differences = _differences(
            {"system": record.get("system"), **record["configuration"]}, {"system": system, **plain}
        )
        if differences:
            raise RunFolderError(
                f"{path} holds a run of another configuration ({'; '.join(differences)}). Nothing was changed. "
                "Choose another --output, or remove that folder first."
            )
        if not resume:
            raise RunFolderError(
                f"{path} holds this run already (status {record.get('status')}) and --no-resume forbids to go on "
                "with it. Choose another --output, or remove that folder first."
            )
        return RunFolder(path, record, resumed=True)
    if path.exists() and any(path.iterdir()):
        raise RunFolderError(f"{path} is not empty and holds no run (there is no run.json). Choose another --output.")
    record = {
        "system": system,
        "configuration": plain,
        "versions": _versions(),
        "device": device,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": 0.0,
        "status": "running",
    }
    folder = RunFolder(path, record, resumed=False)
    folder.write_record()
    return folder


def read_run(path: str | pathlib.Path) -> dict[str, Any]:
    """Read the `run.json` of a result folder.

    Args:
        path: the folder.

    Returns:
        Its record, with at least the key `"configuration"`.

    Raises:
        RunFolderError: there is none, or it cannot be read.
    """
    file = pathlib.Path(path) / "run.json"
    try:
        record = json.loads(file.read_text())
    except FileNotFoundError:
        raise RunFolderError(f"{path} is no result folder: it has no run.json") from None
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        raise RunFolderError(f"{file} cannot be read ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get("configuration"), dict):
        raise RunFolderError(f"{file} is not the record of a run: it has no configuration")
    return record


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names: Sequence[str] = sorted({*old, *new})
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} here" for name in names if old.get(name) != new.get(name)
    ]


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
