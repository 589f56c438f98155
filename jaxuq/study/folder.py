"""Opening a result folder: new, or the same run again, never another one's, and never results of other data."""

import contextlib
import datetime
import json
import math
import pathlib
import platform
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from jaxuq._digest import digest
from jaxuq._files import write_json
from jaxuq.study.cells import Cell
from jaxuq.study.earlier import EARLIER, bring_back, content_name, earlier_places, set_aside
from jaxuq.study.errors import RunFolderError, StudyWarning
from jaxuq.study.lock import LOCK, working_alone

_PACKAGES = ("jaxuq", "jax", "jaxlib", "flax", "optax", "numpy", "rdkit", "scikit-learn")
_PATH = re.compile(r"[^,=:]*[/\\](?=[^/\\])")


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

    def cell(self, name: str, *content: Any, beside: tuple[str, ...] = ()) -> Cell:
        """A place for what follows from `content` alone: data, weights, entry and its version, options, seed.

        Args:
            name: of the file, relative to the folder.
            content: see `jaxuq.study.digest`.
            beside: what is written and brought along with it.

        Returns:
            `Cell`.
        """
        return Cell(self.path, name, digest(self.record["system"], *content), beside)

    def earlier(self, name: str) -> list[pathlib.Path]:
        """Files of a name among results of other data, which are set aside in this folder."""
        return list(earlier_places(self.path, name))

    @property
    def seconds(self) -> float:
        """That earlier calls took."""
        return float(self.record.get("seconds") or 0.0)

    @property
    def predictions(self) -> pathlib.Path:
        """The folder of predictions."""
        return self.path / "predictions"

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of unfinished work, removed cell by cell as cells finish."""
        return self.path / "checkpoints"


class Options(NamedTuple):
    """What a run was asked for, and how its options are compared with those of the run in a folder.

    Attributes:
        configuration: everything that decides the numbers, JSON-like.
        defaults: of the options; one that an old folder does not know counts as its default.
        names: options that only say where content is: compared by the content's digest, and by their last part.
        free: options that choose among cells and change none; they may differ.
    """

    configuration: Mapping[str, Any]
    defaults: Mapping[str, Any] = {}
    names: Collection[str] = ()
    free: Collection[str] = ()


@contextlib.contextmanager
def open_run(
    path: str | pathlib.Path,
    *,
    system: str,
    options: Options | Mapping[str, Any],
    content: Mapping[str, str],
    device: str,
    resume: bool = True,
) -> Iterator[RunFolder]:
    """Hold a folder for a run, or go on with it if it holds the same one: same options, same content.

    Content is what the numbers follow from besides options: the digests of data, of the weights that are started from,
    of labelling functions, questions, prompts. Where the folder's run is of the same options but other content (a label
    was corrected, weights changed under their name), everything in it is moved to `earlier/<digest>/` and said; results
    there of cells that have not changed are used again, and if the content is ever what it was, all of it comes back.

    Args:
        path: the folder; made if it does not exist.
        system: the command, e.g. `"muben"`.
        options: see `Options`; a mapping stands for its configuration.
        content: digests by name, of `jaxuq.study.digest`.
        device: a description for the reader, e.g. `"cpu x 2"`.
        resume: False refuses a folder that holds a run, even the same.

    Yields:
        The open folder; `run.json` is written with status `"running"` unless it is there already.

    Raises:
        RunFolderError: the folder holds another configuration (its differences are named), a run that `resume=False`
            forbids to touch, files that are not a run's, or another process works in it. Nothing is changed then.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     content = {"data": digest(["CCO", 0.3])}
        ...     with open_run(folder, system="muben", options={"seeds": 3}, content=content, device="cpu") as run:
        ...         run.resumed, run.record["status"]
        (False, 'running')
    """
    path, options = pathlib.Path(path), _options(options)
    check_folder(path, system=system, options=options, resume=resume)
    with working_alone(path):
        yield _opened(path, system, options, dict(content), device, resume)


def check_folder(
    path: str | pathlib.Path, *, system: str, options: Options | Mapping[str, Any], resume: bool = True
) -> None:
    """Refuse a folder that cannot take a run, before anything that takes time, such as loading a model.

    Args:
        path: the folder.
        system: see `open_run`.
        options: see `open_run`; names of content are not compared here.
        resume: see `open_run`.

    Raises:
        RunFolderError: see `open_run`.
    """
    path, options = pathlib.Path(path), _options(options)
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; --output names a folder")
    if (path / "run.json").exists():
        record = read_run(path)
        _refuse(path, _differences(record, system, options))
        if not resume:
            raise RunFolderError(
                f"{path} holds this run already (status {record.get('status')}) and --no-resume forbids to go on "
                "with it. Choose another --output, or remove that folder first."
            )
    elif path.exists() and not all(_ours(entry) for entry in path.iterdir()):
        raise RunFolderError(f"{path} is not empty and holds no run (there is no run.json). Choose another --output.")


def _opened(
    path: pathlib.Path, system: str, options: Options, content: dict[str, str], device: str, resume: bool
) -> RunFolder:
    check_folder(path, system=system, options=options, resume=resume)  # another process may have been here
    for litter in path.glob(".run.json.*"):
        litter.unlink()
    asked = {"configuration": _plain(options.configuration)}
    name = content_name(content)
    if (path / "run.json").exists():
        record = read_run(path)
        if record.get("content") == content:
            bring_back(path, name)  # if that was interrupted
            return RunFolder(path, record | asked, resumed=True)
        _refuse(path, _names_differ(record["configuration"], options))
        before = record.get("content")
        target = set_aside(path, content_name(before))
        known = before if isinstance(before, dict) else {}
        changed = [one for one in dict.fromkeys([*known, *content]) if known.get(one) != content.get(one)]
        said = f"{' and '.join(changed)} changed since the results in {path} were made"
        if not known:
            said = f"{path} was made before results were tied to their data"
        warnings.warn(f"{said}: these are kept in {target}, and what changed is computed", StudyWarning, stacklevel=4)
    kept = path / EARLIER / name
    if (kept / "run.json").exists() and not _differences(read_run(kept), system, options):
        bring_back(path, name)
        warnings.warn(f"results of this very content were kept in {kept} and are back", StudyWarning, stacklevel=4)
        return RunFolder(path, read_run(path) | asked, resumed=True)
    folder = RunFolder(path, {"system": system} | asked, resumed=False)
    folder.write_record(
        content=content,
        versions=_versions(),
        device=device,
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        status="running",
    )
    return folder


def read_run(path: str | pathlib.Path) -> dict[str, Any]:
    """Read the `run.json` of a result folder.

    Args:
        path: the folder.

    Returns:
        Its record, with at least the key `"configuration"`.

    Raises:
        RunFolderError: there is none, it cannot be read, or what it says makes no sense.
    """
    file = pathlib.Path(path) / "run.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(f"{path} is no result folder: it has no run.json") from None
    except (ValueError, RecursionError, OSError) as error:
        raise RunFolderError(f"{file} cannot be read ({error}); put it right, or remove the folder") from None
    if not isinstance(record, dict) or not isinstance(record.get("configuration"), dict):
        raise RunFolderError(f"{file} is not the record of a run: it has no configuration")
    seconds = record.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise RunFolderError(f"{file} is damaged: seconds is {seconds!r}; put it right, or remove the folder")
    return record


def _ours(entry: pathlib.Path) -> bool:
    """What an interruption may leave of a folder that has no record (yet, or any more)."""
    return entry.name in (EARLIER, LOCK) or entry.name.startswith(".run.json.")


def _options(options: Options | Mapping[str, Any]) -> Options:
    return options if isinstance(options, Options) else Options(options)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(dict(values), default=str))


def _refuse(path: pathlib.Path, differences: list[str]) -> None:
    if differences:
        raise RunFolderError(
            f"{path} holds a run of another configuration ({'; '.join(differences)}). Nothing was changed. "
            "Choose another --output, or remove that folder first."
        )


def _differences(record: Mapping[str, Any], system: str, options: Options) -> list[str]:
    defaults = _plain(options.defaults)
    old = {"system": record.get("system")} | defaults | record["configuration"]
    new = {"system": system} | defaults | _plain(options.configuration)
    names = sorted({*old, *new} - {*options.names, *options.free})
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} here" for name in names if old.get(name) != new.get(name)
    ]


def _names_differ(old: Mapping[str, Any], options: Options) -> list[str]:
    """What is called otherwise, directories aside: its content is not the same thing changed, but another thing."""
    defaults = _plain(options.defaults)
    old, new = defaults | dict(old), defaults | _plain(options.configuration)
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} here"
        for name in sorted(options.names)
        if _last_part(old.get(name)) != _last_part(new.get(name))
    ]


def _last_part(value: Any) -> Any:
    if isinstance(value, list):
        return [_last_part(one) for one in value]
    return _PATH.sub("", value.rstrip("/\\")) if isinstance(value, str) else value


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
