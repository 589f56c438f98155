"""Entries: the one record of anything in an open table, whether jaxuq's or a stranger's; imports nothing heavy.

A method, backbone, label model, measure, loss, routing rule or question set is an `Entry`; a table of them is an
`Entries`, a dictionary that also finds what other packages declare as entry points, and imports those on use alone:

    [project.entry-points."jaxuq.measures"]
    mine = "my_package.measures:MINE"      # an Entry
"""

import difflib
import importlib.metadata
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar, cast

from jaxuq._errors import OptionError
from jaxuq._fingerprint import fingerprint


class UnknownEntryError(OptionError, KeyError):
    """A name that its table does not hold."""


class Entry(NamedTuple):
    """What there is to know of one thing in a table.

    Attributes:
        name: how commands and functions call it: lower case, words joined by `-` or `_`.
        title: how pages call it.
        functions: what it does, by the names that its table documents, such as `{"score": f}`.
        citation: keys of `jaxuq.citation`, or BibTeX of its own.
        needs: what must be there before it can work, by name: capabilities, inputs, extras.
        options: its options and their defaults.
        style: how figures draw it, such as `{"color": "C1", "marker": "o"}`.
        formula: version of what it computes; raise it when its numbers change, and old results are computed again.
        about: further facts that its table documents, such as `{"higher": "confident"}`.
    """

    name: str
    title: str
    functions: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    citation: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})
    style: Mapping[str, Any] = MappingProxyType({})
    formula: int = 1
    about: Mapping[str, Any] = MappingProxyType({})


Kind = TypeVar("Kind")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Entries(MutableMapping[str, Kind], Generic[Kind]):
    """An open table by name: what is put in, and what installed packages declare under `group`.

    Names are listed from the packages' metadata; an entry of another package is imported when it is asked for.

    Args:
        kind: what it holds, for messages: "measure", "loss".
        group: the entry-point group, such as `"jaxuq.measures"`.
        entries: those that come with jaxuq.
        role: as what a function counts, that stands in the table in the place of an entry, a name among
            `Entry.functions`; empty: the table holds what it holds.

    Example:
        >>> table = Entries("measure", "jaxuq.measures", {"mine": Entry("mine", "Mine")})
        >>> table["mine"].title
        'Mine'
        >>> table["mein"]
        Traceback (most recent call last):
            ...
        jaxuq._entries.UnknownEntryError: there is no measure 'mein'; did you mean 'mine'? There are: mine
    """

    def __init__(self, kind: str, group: str, entries: Mapping[str, Kind] = MappingProxyType({}), role: str = ""):
        self.kind = kind
        self.group = group
        self.role = role
        self._entries = dict(entries)

    def _declared(self) -> dict[str, importlib.metadata.EntryPoint]:
        points = importlib.metadata.entry_points(group=self.group)
        return {point.name: point for point in points if point.name not in self._entries}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._entries:
            point = self._declared().get(name)
            if point is None:
                raise self._missing(name)
            try:
                self._entries[name] = point.load()
            except Exception as error:  # another package's import may fail in any way
                raise OptionError(f"{self.kind} {name!r} of {point.value!r} cannot be loaded: {error}") from error
        found: Any = self._entries[name]
        if self.role and not isinstance(found, Entry):
            if not callable(found):
                raise OptionError(f"the {self.kind} {name!r} is {found!r}; expected an Entry or a function")
            made: Any = entry_of(cast(Any, self), found)._replace(name=name, title=name)
            self._entries[name] = made
        return self._entries[name]

    def _missing(self, name: str) -> UnknownEntryError:
        names = sorted(self)
        near = difflib.get_close_matches(str(name), names, n=1)
        there = f"did you mean {near[0]!r}? There are" if near else "there are"
        return UnknownEntryError(f"there is no {self.kind} {name!r}; {there}: {', '.join(names)}")

    def name_of(self, entry: Kind) -> str | None:
        """The name of an entry that is in use here, or None; nothing is imported for it."""
        return next((name for name, known in self._entries.items() if known is entry), None)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._declared()

    def __setitem__(self, name: str, entry: Kind) -> None:
        self._entries[name] = entry

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        yield from self._entries
        yield from self._declared()

    def __len__(self) -> int:
        return len(self._entries) + len(self._declared())

    def beside(self, given: Mapping[str, Any] | None) -> "Entries[Any]":
        """This table and what a caller gives beside it for one run, by names of their own.

        Args:
            given: what the table holds, by name; None: nothing.

        Returns:
            Another table; this one stays as it is.

        Raises:
            OptionError: a name that this table has already, or that could not name a file or stand between commas.
        """
        for name in given or {}:
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise OptionError(f"a {self.kind} is called {name!r}; expected letters, digits, and _ . + - after one")
            if name in self:
                raise OptionError(f"there is a {self.kind} {name!r} already; give yours another name")
        return Entries(self.kind, self.group, {**self._entries, **(given or {})}, self.role)

    def __repr__(self) -> str:
        return f"<table of {len(self)} {self.kind}s: {', '.join(self)}>"


def entry_of(table: Entries[Entry], given: Any, role: str = "") -> Entry:
    """The entry that is meant by a name, by an entry, or by a function of the user's.

    Args:
        table: where names are looked up.
        given: a name, an `Entry`, or a function.
        role: as what a function counts, a name among `Entry.functions`; empty: the table's.

    Returns:
        The entry.

    Raises:
        UnknownEntryError: a name that the table does not hold.
        OptionError: none of the three.

    Example:
        >>> entry_of(Entries("loss", "jaxuq.none", role="loss"), abs).functions["loss"](-2)
        2
    """
    if isinstance(given, Entry):
        return given
    if isinstance(given, str):
        return table[given]
    if not callable(given):
        raise OptionError(f"a {table.kind} is {given!r}; expected a name ({', '.join(table)}), an Entry or a function")
    name = getattr(given, "__name__", type(given).__name__)
    return Entry(name, name, {role or table.role: given}, about={"code": fingerprint(given)})


def function_of(table: Entries[Callable[..., Any]], given: Any) -> Callable[..., Any]:
    """The function that is meant by a name in a table of functions, or the function itself.

    Args:
        table: where names are looked up.
        given: a name or a function.

    Returns:
        The function.

    Raises:
        UnknownEntryError: a name that the table does not hold.
        OptionError: neither.
    """
    if isinstance(given, str):
        return table[given]
    if not callable(given):
        raise OptionError(f"a {table.kind} is {given!r}; expected a name ({', '.join(table)}) or a function")
    return given


def label_of(given: Any) -> str:
    """A name as it is, and a function by its name and code: what results that depend on it are compared by."""
    return given if isinstance(given, str) else f"{getattr(given, '__name__', 'function')} {fingerprint(given)[:16]}"


def given_entries(given: Mapping[str, Any] | None, table: Entries[Entry]) -> Entries[Entry]:
    """A table and a caller's own functions or entries beside it, each under the name that it is given by.

    Args:
        given: functions or entries by name; None: none.
        table: of jaxuq.

    Returns:
        Another table.

    Raises:
        OptionError: a name that is taken or cannot be one, or what is given is neither a function nor an entry.

    Example:
        >>> given_entries({"mine": abs}, Entries("loss", "jaxuq.none", role="loss"))["mine"].title
        'mine'
    """
    named = {}
    for name, one in (given or {}).items():
        if isinstance(one, str):
            raise OptionError(f"the {table.kind} {name!r} is given as {one!r}; expected an Entry or a function")
        entry = entry_of(table, one)
        named[name] = entry._replace(name=name, title=entry.title if isinstance(one, Entry) else name)
    return table.beside(named)


def identity_of(entry: Entry) -> Any:
    """What results follow from, as `jaxuq.study.digest` takes it: the name, and version, options and code if any."""
    rest = {"formula": entry.formula, "options": dict(entry.options), "code": entry.about.get("code")}
    return entry.name if rest == {"formula": 1, "options": {}, "code": None} else [entry.name, rest]
