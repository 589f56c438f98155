"""The open table of measures, what of it a run takes, and what a page has to know of each."""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from jaxuq._arguments import typed
from jaxuq._entries import Entries, Entry, entry_of
from jaxuq._errors import OptionError
from jaxuq.confidence._measure import GROUPS, NEEDS, Seen, measure
from jaxuq.questions import QuestionError

_SETS = {"single": ("uqac", "answer", "response"), "samples": ("samples",), "asking": ("asking",)}
"""Groups of groups; `learned` ones come with any of them."""


def _entries_of_this_folder() -> dict[str, Entry]:
    """What the files beside this one say of their measures, in `ENTRIES`."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("*.py"))
    own = [name for name in names if not name.startswith("_") and name != "measures"]
    modules = [importlib.import_module(f"{__package__}.{name}") for name in own]
    found = [one for module in modules for one in getattr(module, "ENTRIES", ())]
    return {one.name: one for one in sorted(found, key=lambda one: GROUPS.index(one.about["group"]))}


MEASURES: Entries[Any] = Entries("measure", "jaxuq.measures", _entries_of_this_folder())
"""Measures by name, each an entry that stands beside its function, see `measure`. A function of `Seen` will do, too."""


class MeasureFacts(NamedTuple):
    """A measure as tables and pages have it.

    Attributes:
        title: of its rows.
        group: see `measure`.
        sign: 1 if a higher value means more confident, -1 if less.
        bounded: see `measure`.
        seconds: what of a run's time it takes, beside generating the answer.
        citation: names of `jaxuq.citation`, or BibTeX.
    """

    title: str
    group: str
    sign: int
    bounded: bool | Literal["one minus"]
    seconds: tuple[str, ...]
    citation: tuple[str, ...] = ()


def as_measure(name: str, given: Entry | Callable[[Seen], Any]) -> Entry:
    """An entry, whichever was given; a function alone sees the tokens of a response, and more is more confident.

    Args:
        name: of the measure.
        given: an entry, or a function of `Seen`.

    Returns:
        The entry, under that name.
    """
    entry = entry_of(MEASURES, given, "score")
    if not isinstance(given, Entry):
        entry = entry._replace(title=name, needs=("tokens",))
    return entry._replace(name=name, about={**measure(name, needs=entry.needs).about, **entry.about})


def in_a_run(entry: Entry) -> bool:
    """Whether a run has what a measure needs."""
    return all(need in NEEDS for need in entry.needs) and ("score" in entry.functions or "labels" in entry.needs)


@typed()
def chosen_measures(
    names: Sequence[str], own: Mapping[str, Entry | Callable[[Seen], Any]] | None = None
) -> tuple[Entry, ...]:
    """The measures that names and groups stand for, each once, in the order of the table.

    Args:
        names: of measures; `all`; `single` (from one answer alone), `samples` (several answers), `asking`; a group of
            the table (`uqac`, `answer`, `response`); or a need (`attention`, `states`, ...), for all that have it.
            Several may stand in one, with commas.
        own: further measures, by name.

    Returns:
        Entries.

    Raises:
        QuestionError: there is no such measure or group, or a run has not what it needs.

    Example:
        >>> [one.name for one in chosen_measures(["cocoa,rauq"])]
        ['rauq', 'cocoa']
        >>> len(chosen_measures(["attention"])), len(chosen_measures(["samples"]))
        (2, 20)
    """
    both = MEASURES.beside(own)
    table = {name: as_measure(name, both[name]) for name in both}
    usable = [one for one in table.values() if in_a_run(one)]
    wanted = set(own or {})
    for name in (part for one in names for part in one.split(",") if part):
        groups = set(GROUPS) if name == "all" else {*_SETS.get(name, (name,)), *(("learned",) if name in _SETS else ())}
        found = [one.name for one in usable if one.about["group"] in groups or name in one.needs or one.name == name]
        if not found or (name in table and not in_a_run(table[name])):
            raise QuestionError(f"--measures {name}: {_why_not(name, table)}")
        wanted |= set(found)
    for name in own or {}:
        if not in_a_run(table[name]):
            raise QuestionError(f"the measure {name!r}: {_why_not(name, table)}")
    if not wanted:
        raise QuestionError("--measures names none: expected all, single, samples, asking, or names of measures")
    return tuple(one for one in usable if one.name in wanted)


def _why_not(name: str, table: Mapping[str, Entry]) -> str:
    if name not in table:
        near = MEASURES._missing(name).args[0]
        return f"expected all, single, samples, asking, attention or names of measures; {near}"
    missing = [need for need in table[name].needs if need not in NEEDS]
    if missing:
        return f"it needs {', '.join(missing)}, which a run does not have; call jaxuq.confidence.{name} yourself"
    return f"it has no function `score`; a run can give {', '.join(NEEDS)}"


def needs_of(measures: Iterable[Entry]) -> frozenset[str]:
    """All that some measures need."""
    return frozenset(need for one in measures for need in one.needs)


def facts_of(entry: Entry) -> MeasureFacts:
    """What tables and pages have to know of a measure.

    Args:
        entry: of the table.

    Returns:
        `MeasureFacts`.
    """
    seconds = dict.fromkeys(part for need in entry.needs if need in NEEDS for part in NEEDS[need].seconds)
    more = {"logistic_single": ("substitutions",), "logistic_all": ("substitutions", "samples", "p_true")}
    about = entry.about
    higher = about.get("higher", "confident")
    if higher not in ("confident", "uncertain"):
        raise OptionError(f"the measure {entry.name} has higher={higher!r}; expected 'confident' or 'uncertain'")
    return MeasureFacts(
        entry.title, str(about.get("group", "response")), -1 if about.get("higher") == "uncertain" else 1,
        cast(Any, about.get("bounded", False)), (*seconds, *more.get(entry.name, ())), entry.citation,
    )  # fmt: skip


def stored_facts(record: Mapping[str, Any], names: Iterable[str] = ()) -> dict[str, MeasureFacts]:
    """The facts of the measures of a run, as they are in its `run.json`; of the table's own, where it says nothing.

    Args:
        record: of the run.
        names: of further measures.

    Returns:
        By name, in the order of the table.
    """
    kept = {
        name: MeasureFacts(one["title"], one["group"], one["sign"], one["bounded"], tuple(one["seconds"]),
                           tuple(one["citation"]))
        for name, one in record.get("measures", {}).items()
    }  # fmt: skip
    wanted = [one for one in MEASURES if one in names or not record.get("measures")]
    known = {name: facts_of(as_measure(name, MEASURES[name])) for name in wanted if name not in kept}
    both = {name: one for name, one in {**known, **kept}.items() if one.group in GROUPS}
    return dict(sorted(both.items(), key=lambda item: GROUPS.index(item[1].group)))
