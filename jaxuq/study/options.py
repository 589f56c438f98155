"""The options of a run, and how they differ from those of the run that a folder holds."""

import dataclasses
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from jaxuq.study.crew import CREW_OPTIONS
from jaxuq.study.identity import plain_values

_PATH = re.compile(r"[^,=:]*[/\\](?=[^/\\])")
_PLACES = ("output", "resume")


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


def options_of(
    configuration: Any,
    *,
    left_out: Collection[str] = (),
    names: Collection[str] = (),
    free: Collection[str] = (),
    **resolved: Any,
) -> Options:
    """The options of a command's dataclass.

    Args:
        configuration: the dataclass.
        left_out: fields that decide no number, such as where results go; those of `CrewOptions` are always.
        names: see `Options`.
        free: see `Options`.
        resolved: values, and defaults, of fields that were left to the data.

    Returns:
        `Options`.
    """
    fields = [one for one in dataclasses.fields(configuration) if one.name not in {*left_out, *CREW_OPTIONS, *_PLACES}]
    values = {one.name: getattr(configuration, one.name) for one in fields}
    defaults = {one.name: one.default for one in fields if one.default is not dataclasses.MISSING}
    return Options(values | resolved, defaults | resolved, names, free)


def as_options(options: Options | Mapping[str, Any]) -> Options:
    """A mapping stands for a configuration without defaults.

    Args:
        options: either.

    Returns:
        `Options`.
    """
    return options if isinstance(options, Options) else Options(options)


def differences(record: Mapping[str, Any], system: str, options: Options) -> list[str]:
    """In what a run of the folder's record is another, names of content aside.

    Args:
        record: of `run.json`.
        system: the command.
        options: asked for.

    Returns:
        A few words for each.
    """
    defaults = plain_values(options.defaults)
    old = {"system": record.get("system")} | defaults | record["configuration"]
    new = {"system": system} | defaults | plain_values(options.configuration)
    names = sorted({*old, *new} - {*options.names, *options.free})
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} here" for name in names if old.get(name) != new.get(name)
    ]


def names_differ(old: Mapping[str, Any], options: Options) -> list[str]:
    """What is called otherwise, directories aside: its content is not the same thing changed, but another thing.

    Args:
        old: configuration in the folder.
        options: asked for.

    Returns:
        A few words for each.
    """
    defaults = plain_values(options.defaults)
    old, new = defaults | dict(old), defaults | plain_values(options.configuration)
    return [
        f"{name}: {old.get(name)!r} there, {new.get(name)!r} here"
        for name in sorted(options.names)
        if _last_part(old.get(name)) != _last_part(new.get(name))
    ]


def _last_part(value: Any) -> Any:
    if isinstance(value, list):
        return [_last_part(one) for one in value]
    return _PATH.sub("", value.rstrip("/\\")) if isinstance(value, str) else value
