"""A log: records that are kept line by line as they come, each with the address of what it follows from."""

import contextlib
import functools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from jaxuq._files import write_bytes, write_json, write_text
from jaxuq.study.earlier import earlier_places
from jaxuq.study.identity import Identity
from jaxuq.study.lines import read_sealed, sealed_lines

CELLS = "cells.json"
PARTS = "parts"
_ADDRESS = "cell"


class Log(NamedTuple):
    """A file of JSON lines in a result folder, for work whose parts are many and small: questions, conversations.

    A line belongs to an identity as a `Cell`'s arrays do; it carries the address, and `cells.json` in the folder says
    what the addresses stand for. A line that an interruption has cut is as if it had not been written.

    Attributes:
        root: the result folder.
        name: of the file, relative to it.
        identity: what the records follow from.
        share: which process of several writes, each to a file of its own in `parts/`; empty: the only one.
        ascii: see `sealed_lines`.
    """

    root: pathlib.Path
    name: str
    identity: Identity
    share: str = ""
    ascii: bool = False

    @property
    def path(self) -> pathlib.Path:
        """Where new records are written."""
        return self.root / PARTS / self.share / self.name if self.share else self.root / self.name

    def read(self) -> list[dict[str, Any]]:
        """Every whole record of this identity: of the file, of other processes, and of results that were set aside."""
        shared = sorted((self.root / PARTS).glob(f"*/{self.name}"))
        places = [self.root / self.name, *shared, *earlier_places(self.root, self.name)]
        known = functools.cache(self._known)
        return [
            {name: value for name, value in line.items() if name != _ADDRESS}
            for place in places
            for line in read_sealed(place)
            if known(str(line.get(_ADDRESS)))
        ]

    def append(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Keep records; they are on the disk when this returns."""
        self._declare()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists() and not _ends_whole(self.path):
            content = self.path.read_bytes()
            write_bytes(self.path, content[: content.rfind(b"\n") + 1])
        with self.path.open("ab") as file:
            file.write(self._text(records).encode())
            file.flush()
            os.fsync(file.fileno())

    def settle(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Make the file hold these records in this order and no others; untouched if it does."""
        text = self._text(records)
        if not self.path.is_file() or self.path.read_bytes() != text.encode():
            self._declare()
            write_text(self.path, text)

    def _text(self, records: Iterable[Mapping[str, Any]]) -> str:
        address = self.identity.address
        return sealed_lines([{**record, _ADDRESS: address} for record in records], ascii=self.ascii)

    def _known(self, address: str) -> bool:
        return address == self.identity.address or any(
            self.identity.matches(found[address]) for found in self._declared() if address in found
        )

    def _declared(self) -> Iterator[dict[str, Any]]:
        for place in (self.root / CELLS, *earlier_places(self.root, CELLS)):
            with contextlib.suppress(OSError, ValueError, RecursionError):
                found = json.loads(place.read_text(encoding="utf-8"))
                if isinstance(found, dict):
                    yield found

    def _declare(self) -> None:
        address = self.identity.address
        here = next(self._declared(), {}) if (self.root / CELLS).is_file() else {}
        if address not in here and not self.share:
            write_json(self.root / CELLS, here | {address: self.identity.record()})


def _ends_whole(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END):
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
    return True
