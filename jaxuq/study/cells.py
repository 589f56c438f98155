"""A cell: arrays together with everything that they follow from, or nothing."""

import json
import pathlib
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxuq._digest import digest
from jaxuq._files import read_arrays, write_arrays, write_json
from jaxuq.study.earlier import EARLIER, copy_kept, earlier_places
from jaxuq.study.errors import StudyWarning
from jaxuq.study.identity import Identity, address_of

_SEAL = "cell"
_FOLDER_SEAL = "cell.json"


class Cell(NamedTuple):
    """A place in a result folder for what follows from some content, and from nothing else.

    Reading gives arrays only if they are whole and were written under the same identity: a cell of other data, weights,
    options or of another version of a formula counts as missing, and is kept under `earlier/`. One of the same identity
    that was set aside before is found there. What "the same" is, with options that one of them does not know, says
    `Identity`, which is stored with the arrays.

    Attributes:
        root: the result folder.
        name: of the file (or folder, see `sealed`), relative to it.
        identity: what the arrays follow from.
        beside: files or folders that were written with it and are brought along with it.
    """

    root: pathlib.Path
    name: str
    identity: Identity
    beside: tuple[str, ...] = ()

    @property
    def path(self) -> pathlib.Path:
        """Where it is."""
        return self.root / self.name

    def write(self, arrays: Mapping[str, Any]) -> None:
        """Keep arrays, atomically, with identity and checksum."""
        plain = {name: np.asarray(array) for name, array in arrays.items()}
        write_arrays(self.path, plain | {_SEAL: np.array([json.dumps(self.identity.record()), digest(plain)])})

    def read(self) -> dict[str, np.ndarray] | None:
        """The arrays, or None if they are to be computed (again); says so where that is news."""
        found, owner = _opened(self.path)
        if found is not None and self.identity.matches(owner):
            return found
        if self.path.exists():
            if found is None:
                warnings.warn(f"{self.path} is damaged and is computed again", StudyWarning, stacklevel=2)
            else:
                self._put_away(address_of(owner))
        for place in earlier_places(self.root, self.name):
            found, owner = _opened(place)
            if found is not None and self.identity.matches(owner):
                copy_kept(place, self.path)
                self._bring_companions(place)
                return found
        return None

    @property
    def sealed(self) -> bool:
        """For a folder: whether it is complete and of this identity; one that was set aside is brought back."""
        if self.identity.matches(_folder_owner(self.path)):
            return True
        for place in earlier_places(self.root, self.name):
            if self.identity.matches(_folder_owner(place)):
                copy_kept(place, self.path)
                return True
        return False

    def seal(self) -> None:
        """For a folder: say that it is complete."""
        write_json(self.path / _FOLDER_SEAL, self.identity.record())

    def _put_away(self, owner: str) -> None:
        target = self.root / EARLIER / owner
        for name in (self.name, *self.beside):
            if (self.root / name).exists():
                copy_kept(self.root / name, target / name)
        self.path.unlink()
        warnings.warn(
            f"{self.path} follows from other data or options; it is kept in {target} and computed again",
            StudyWarning,
            stacklevel=3,
        )

    def _bring_companions(self, place: pathlib.Path) -> None:
        folder = place
        for _ in pathlib.PurePath(self.name).parts:
            folder = folder.parent
        for name in self.beside:
            if (folder / name).exists():
                copy_kept(folder / name, self.root / name)


def cell_arrays(path: str | pathlib.Path) -> dict[str, np.ndarray] | None:
    """The arrays of a cell's file, whoever it belongs to: for tables and pages of a folder as it is.

    Args:
        path: the file.

    Returns:
        Arrays by name, or None if the file is missing or damaged.
    """
    return _opened(pathlib.Path(path))[0]


def _opened(path: pathlib.Path) -> tuple[dict[str, np.ndarray] | None, Any]:
    """Arrays and what they follow from; arrays of a file without a seal follow from nothing that is known."""
    arrays = read_arrays(path)
    if arrays is None:
        return None, None
    seal = arrays.pop(_SEAL, None)
    if seal is None or seal.shape != (2,):
        return arrays, None
    owner, check = (str(one) for one in seal)
    try:
        return (arrays, json.loads(owner)) if digest(arrays) == check else (None, None)
    except (ValueError, RecursionError):
        return arrays, None


def _folder_owner(path: pathlib.Path) -> Any:
    try:
        return json.loads((path / _FOLDER_SEAL).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
