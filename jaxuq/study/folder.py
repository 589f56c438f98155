"""Opening a result folder: new, or the same run again, never another one's, and never results of other data."""

import contextlib
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxuq._entries import Entry
from jaxuq._files import write_json
from jaxuq.study.cells import Cell
from jaxuq.study.crew import SHARE, Crew, Share, ShareDone
from jaxuq.study.earlier import EARLIER, bring_back, content_name, set_aside
from jaxuq.study.errors import RunFolderError, StudyWarning
from jaxuq.study.identity import Identity, plain_values
from jaxuq.study.lock import LOCK, working_alone
from jaxuq.study.log import PARTS, Log
from jaxuq.study.options import Options, as_options, differences, names_differ

_PACKAGES = ("jaxuq", "jax", "jaxlib", "flax", "optax", "numpy", "rdkit", "scikit-learn")


class RunFolder(NamedTuple):
    """An open result folder.

    Attributes:
        path: the folder.
        record: what `run.json` holds; `write_record` stores it again with changes.
        resumed: whether the folder held this very run before.
        began: clock at the opening, less the seconds that earlier calls took.
        crew: workers that may share the work; None: there are none.
        share: in such a worker, what is its own.
    """

    path: pathlib.Path
    record: dict[str, Any]
    resumed: bool
    began: float = 0.0
    crew: Crew | None = None
    share: Share | None = None

    def write_record(self, **changes: Any) -> None:
        """Change entries of the record and store `run.json`, with the seconds so far; a worker leaves it alone."""
        self.record.update({"seconds": round(time.monotonic() - self.began, 1)} | changes)
        if self.share is None:
            write_json(self.path / "run.json", self.record)

    def cell(
        self,
        name: str,
        *,
        options: Mapping[str, Any] = MappingProxyType({}),
        defaults: Mapping[str, Any] = MappingProxyType({}),
        beside: tuple[str, ...] = (),
        **follows: Any,
    ) -> Cell:
        """A place for what follows from some facts and options alone.

        Args:
            name: of the file, relative to the folder.
            options: resolved; see `Identity`.
            defaults: of the options.
            beside: what is written and brought along with it.
            follows: facts, such as `data=`, `weights=`, `method=`, `formula=`, `seed=`; see `Identity`.

        Returns:
            `Cell`.
        """
        return Cell(self.path, name, Identity({"system": self.record["system"]} | follows, options, defaults), beside)

    def log(self, name: str, *, ascii: bool = False, **further: Any) -> Log:
        """A place for records of what follows from some facts and options alone; see `Log`.

        Args:
            name: of the file, relative to the folder.
            ascii: see `Log`.
            further: as of `cell`.

        Returns:
            `Log`.
        """
        identity = self.cell(name, **further).identity
        return Log(self.path, name, identity, "" if self.share is None else self.share.name, ascii)

    @property
    def predictions(self) -> pathlib.Path:
        """The folder of predictions."""
        return self.path / "predictions"

    @property
    def checkpoints(self) -> pathlib.Path:
        """The folder of unfinished work, of each worker its own; removed when the run is complete."""
        return self.path / "checkpoints" / ("" if self.share is None else self.share.name)


@contextlib.contextmanager
def open_run(
    path: str | pathlib.Path,
    *,
    system: str,
    options: Options | Mapping[str, Any],
    content: Mapping[str, str],
    device: str | None = None,
    resume: bool = True,
    crew: Crew | None = None,
    **record: Any,
) -> Iterator[RunFolder]:
    """Hold a folder for a run, or go on with it if it holds the same one: same options, same content.

    Content is what the numbers follow from besides options: the digests of data, of the weights that are started from,
    of labelling functions, questions, prompts. Where the folder's run is of the same options but other content (a label
    was corrected, weights changed under their name), everything in it is moved to `earlier/<digest>/` and said; results
    there of cells that have not changed are used again, and if the content is ever what it was, all of it comes back.

    While the block runs `run.json` has the status `"running"`, once it has ended `"complete"`, and unfinished work is
    removed; an interruption leaves the one and the other, and the seconds so far.

    Args:
        path: the folder; made if it does not exist.
        system: the command, e.g. `"muben"`.
        options: see `Options`; a mapping stands for its configuration.
        content: digests by name, of `jaxuq._digest`.
        device: a description for the reader; None: JAX's.
        resume: False refuses a folder that holds a run, even the same.
        crew: workers that may share the work.
        record: further entries of `run.json`.

    Yields:
        The open folder. In a worker of a crew it is its leader's, which it neither holds nor writes a record of.

    Raises:
        RunFolderError: the folder holds another configuration (its differences are named), a run that `resume=False`
            forbids to touch, files that are not a run's, or another process works in it. Nothing is changed then.

    Example:
        >>> import tempfile
        >>> from jaxuq.study import digest
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     content = {"data": digest(["CCO", 0.3])}
        ...     with open_run(folder, system="muben", options={"seeds": 3}, content=content, device="cpu") as run:
        ...         run.resumed, run.record["status"]
        (False, 'running')
    """
    path, options, share = pathlib.Path(path), as_options(options), SHARE.get()
    if share is not None:
        found = read_run(path)
        _refuse(path, differences(found, system, options))
        if found.get("content") != dict(content):
            raise RunFolderError(f"{path} follows from other content than a worker of it reads; is it the same here?")
        with contextlib.suppress(ShareDone):
            yield RunFolder(path, found, True, time.monotonic(), share=share)
        return
    check_folder(path, system=system, options=options, resume=resume)
    with working_alone(path):
        folder = _opened(path, system, options, dict(content), device or _device(), resume)
        folder = folder._replace(began=time.monotonic() - float(folder.record.get("seconds") or 0.0), crew=crew)
        folder.write_record(status="running", **record)
        try:
            yield folder
        except BaseException:
            with contextlib.suppress(OSError):
                folder.write_record()
            raise
        for unfinished in (folder.checkpoints, path / PARTS):
            shutil.rmtree(unfinished, ignore_errors=True)
        folder.write_record(status="complete")


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
    path, options = pathlib.Path(path), as_options(options)
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path} is a file; --output names a folder")
    if (path / "run.json").exists():
        record = read_run(path)
        _refuse(path, differences(record, system, options))
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
    asked = {"configuration": plain_values(options.configuration)}
    name = content_name(content)
    if (path / "run.json").exists():
        record = read_run(path)
        if record.get("content") == content:
            bring_back(path, name)  # if that was interrupted
            return RunFolder(path, record | asked, resumed=True)
        _refuse(path, names_differ(record["configuration"], options))
        before = record.get("content")
        target = set_aside(path, content_name(before))
        known = before if isinstance(before, dict) else {}
        changed = [one for one in dict.fromkeys([*known, *content]) if known.get(one) != content.get(one)]
        said = f"{' and '.join(changed)} changed since the results in {path} were made"
        if not known:
            said = f"{path} was made before results were tied to their data"
        warnings.warn(f"{said}: these are kept in {target}, and what changed is computed", StudyWarning, stacklevel=4)
    kept = path / EARLIER / name
    if (kept / "run.json").exists() and not differences(read_run(kept), system, options):
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


def entry_record(entry: Entry) -> dict[str, Any]:
    """What pages want to know of an entry, for `run.json`: they need neither its table nor its package.

    Args:
        entry: of a method, label model, measure.

    Returns:
        Title, style and citation.
    """
    return {"title": entry.title, "style": dict(entry.style), "citation": list(entry.citation)}


def _refuse(path: pathlib.Path, found: list[str]) -> None:
    if found:
        raise RunFolderError(
            f"{path} holds a run of another configuration ({'; '.join(found)}). Nothing was changed. "
            "Choose another --output, or remove that folder first."
        )


def _device() -> str:
    import jax

    found = jax.devices()
    return f"{found[0].device_kind} x {len(found)}, {os.cpu_count()} cores"


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
