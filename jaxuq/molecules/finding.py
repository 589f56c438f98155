"""Where data sets are looked for: the user's folder, `JAXUQ_DATA`, the packaged files, the cache, and a download.

A data folder looks like this, and any part of it may be missing:

    moleculenet/raw/<file>.csv[.gz]                                     as published
    moleculenet/scaffold/<name>/{train,valid,test}.csv, meta.json       the benchmark's splits
    moleculenet/random/<name>/seed-<k>/{train,valid,test}.csv, meta.json
"""

import gzip
import hashlib
import os
import tempfile
from pathlib import Path

from jaxuq._cache import cache_folder
from jaxuq._damaged import DAMAGED
from jaxuq.molecules.catalogue import DatasetInfo
from jaxuq.molecules.records import DataError
from jaxuq.study import write_bytes

_PACKAGED = Path(__file__).parent / "data"
_LARGEST = 256 * 2**20


def _data_folders(folder: str | os.PathLike | None) -> list[Path]:
    """The user's folder and `JAXUQ_DATA`, each with and without its `moleculenet` level."""
    named = []
    if folder is not None:
        named.append(Path(folder).expanduser())
        if not named[0].is_dir():
            raise DataError(f"the data folder {named[0]} does not exist or is not a folder")
    if os.environ.get("JAXUQ_DATA"):
        named.append(Path(os.environ["JAXUQ_DATA"]).expanduser())
    return [place for root in named for place in (root / "moleculenet", root)]


def find_split(info: DatasetInfo, kind: str, seed: int | None, folder: str | os.PathLike | None) -> Path | None:
    """The folder with the published split, or None where there is none."""
    ends = [Path("scaffold", info.name)] if kind == "scaffold" else []
    if kind == "random":
        ends = [Path("random", info.name, f"seed-{seed}"), Path("random", info.name, str(seed))]
    for place in _data_folders(folder):
        for end in ends:
            if (place / end / "valid.csv").is_file() and (place / end / "test.csv").is_file():
                return place / end
    return None


def find_raw(info: DatasetInfo, folder: str | os.PathLike | None, download: bool) -> Path:
    """The published file of a data set; downloaded, where it is nowhere and its content is known."""
    names = [variant for file in info.files for variant in (file.removesuffix(".gz"), file.removesuffix(".gz") + ".gz")]
    cache = cache_folder() / "moleculenet" / "raw"
    places = [variant for place in _data_folders(folder) for variant in (place / "raw", place)]
    for place in (*places, _PACKAGED, cache):
        for name in names:
            if (place / name).is_file():
                return place / name

    by_hand = (
        f"Fetch {info.address} yourself and put it as {info.files[0]} into {cache} or into the folder "
        "moleculenet/raw of the data folder (argument `folder`, or environment variable JAXUQ_DATA)"
    )
    if info.sha256 is None:
        raise DataError(
            f"the data set {info.name} is not on this machine, and jaxuq does not download it because the hash of its "
            f"file is not known and so could not be verified. {by_hand}"
        )
    if not download:
        raise DataError(f"the data set {info.name} is not on this machine and downloading is switched off. {by_hand}")
    return _download(info, cache, by_hand)


def _download(info: DatasetInfo, cache: Path, by_hand: str) -> Path:
    """Fetch, verify the uncompressed content against the pinned hash, and only then put it in place."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    with tempfile.TemporaryDirectory() as temporary:
        try:
            # The hash that is known is that of the content; `pooch` would compare that of the compressed file.
            fetched = pooch.retrieve(info.address, known_hash=None, path=temporary, fname=info.files[0])
        except Exception as error:
            raise DataError(
                f"the data set {info.name} is not on this machine and could not be downloaded from {info.address} "
                f"({type(error).__name__}: {error}). {by_hand}"
            ) from error
        try:
            content = read_bytes(Path(fetched))
        except DAMAGED as error:
            raise DataError(f"what {info.address} sent is not a complete gzip file: {error}. {by_hand}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != info.sha256:
        raise DataError(
            f"{info.address} sent another file than the one that jaxuq knows (SHA-256 of the uncompressed content "
            f"{digest}, expected {info.sha256}); it was thrown away. If you trust it: {by_hand}"
        )
    target = cache / info.files[0].removesuffix(".gz")
    write_bytes(target, content)
    return target


def read_bytes(path: Path) -> bytes:
    """The content of a file, uncompressed if it is gzipped, within a limit on its size."""
    with open(path, "rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
    with gzip.open(path, "rb") if zipped else open(path, "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise DataError(f"{path} holds more than {_LARGEST // 2**20} MiB uncompressed, more than any known data set")
    return content
