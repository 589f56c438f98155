"""Labelling functions from files: a Python file of the user's own, gazetteers and regular expressions from TOML."""

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq.tagging.functions import (
    LabellingFunction,
    apply_labelling_functions,
    gazetteer_function,
    marked_spans,
    regex_function,
)
from jaxuq.tagging.records import Span, TaggingDataError, WeakLabels, read_text


class FunctionFile(NamedTuple):
    """What a file of labelling functions holds.

    Attributes:
        functions: by name.
        types: of entities, where the file names them; further ones are those that the functions mark.
    """

    functions: dict[str, LabellingFunction]
    types: tuple[str, ...] = ()


def read_functions(path: str | Path) -> FunctionFile:
    """Labelling functions from a file.

    A `.py` file is run, as `python mine.py` would: name only your own. Its functions are the dictionary `FUNCTIONS` if
    there is one, else all functions that it makes whose names have no underscore in front; `TYPES` may list the types.
    A `.toml` file runs nothing: tables `[[gazetteer]]` with `name`, `type`, `phrases` (or `file`, one phrase a line)
    and optionally `ignore_case`; tables `[[regex]]` with `name`, `type`, `pattern` and optionally `ignore_case`.

    Args:
        path: the file.

    Returns:
        `FunctionFile`.

    Raises:
        TaggingDataError: it is missing or malformed, fails, or holds no function.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "rules.toml")
        >>> _ = path.write_text('[[gazetteer]]\\nname = "names"\\ntype = "PER"\\nphrases = ["Ada"]')
        >>> read_functions(path).functions["names"](["then", "Ada"])
        [(1, 2, 'PER')]
    """
    path = Path(path)
    if not path.is_file():
        raise TaggingDataError(f"there is no file {path} of labelling functions")
    found = _run(path) if path.suffix == ".py" else _rules(path)
    if not found.functions:
        raise TaggingDataError(f"{path} holds no labelling function")
    return found


def _run(path: Path) -> FunctionFile:
    names: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    try:
        exec(compile(read_text(path), str(path), "exec"), names)  # the user's own program, named on the command line
    except (Exception, SystemExit) as error:
        raise TaggingDataError(f"{path} could not be run: {type(error).__name__}: {error}") from error
    functions: Any = names.get("FUNCTIONS")
    types: Any = names.get("TYPES", ())
    if functions is None:
        functions = {
            name: value
            for name, value in names.items()
            if callable(value) and not name.startswith("_") and not isinstance(value, type)
            if _made_here(name, value, path.stem)
        }
    if not isinstance(functions, Mapping) or not all(callable(value) for value in functions.values()):
        raise TaggingDataError(f"{path}: FUNCTIONS is no dictionary of functions by name")
    if not isinstance(types, list | tuple | set) or not all(isinstance(kind, str) and kind for kind in types):
        raise TaggingDataError(f"{path}: TYPES is {types!r}; expected a list of names")
    return FunctionFile({str(name): value for name, value in functions.items()}, tuple(types))


def _made_here(name: str, value: Any, module: str) -> bool:
    """Whether a callable of a file is its own: defined or put together there, not brought in, under any name."""
    if getattr(value, "__module__", None) == module or isinstance(value, functools.partial):
        return True
    inner = "<locals>" in getattr(value, "__qualname__", "")  # what a function such as `gazetteer_function` returned
    return inner and getattr(value, "__name__", name) != name


def _rules(path: Path) -> FunctionFile:
    text = read_text(path)
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaggingDataError(f"{path} could not be read as TOML: {error}") from None
    makers = {"gazetteer": _gazetteer, "regex": _regex}
    functions: dict[str, LabellingFunction] = {}
    for table, rules in content.items():
        if table not in makers or not isinstance(rules, list):
            raise TaggingDataError(f"{path}: {table!r} is no table of rules; expected [[gazetteer]] and [[regex]]")
        for number, rule in enumerate(rules):
            where = f"{path}, {table} {number}"
            if not isinstance(rule, dict) or not all(isinstance(rule.get(key), str) for key in ("name", "type")):
                raise TaggingDataError(f"{where}: expected a name and a type, both text")
            if rule["name"] in functions or not rule["type"] or not rule["name"]:
                raise TaggingDataError(f"{where}: the name {rule['name']!r} is taken, or it or the type is empty")
            functions[rule["name"]] = makers[table](where, path, rule)
    return FunctionFile(functions)


def _options(where: str, rule: Mapping[str, Any], known: Sequence[str]) -> bool:
    """Whether capitals do not matter."""
    unknown = sorted(set(rule) - {"name", "type", "ignore_case", *known})
    if unknown or not isinstance(rule.get("ignore_case", False), bool):
        raise TaggingDataError(f"{where}: {unknown[0] if unknown else 'ignore_case'!r} is not as expected; known are "
                               f"name, type, {', '.join(known)}, and ignore_case = true or false")  # fmt: skip
    return bool(rule.get("ignore_case", False))


def _gazetteer(where: str, path: Path, rule: Mapping[str, Any]) -> LabellingFunction:
    ignore_case = _options(where, rule, ("phrases", "file"))
    if ("phrases" in rule) == ("file" in rule):
        raise TaggingDataError(f"{where}: expected either phrases or a file of them")
    phrases = read_text(path.parent / str(rule["file"])).split("\n") if "file" in rule else rule["phrases"]
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise TaggingDataError(f"{where}: phrases is {phrases!r}; expected a list of texts")
    try:
        return gazetteer_function(phrases, rule["type"], ignore_case=ignore_case)
    except ValueError as error:
        raise TaggingDataError(f"{where}: {error}") from None


def _regex(where: str, path: Path, rule: Mapping[str, Any]) -> LabellingFunction:
    flags = re.IGNORECASE if _options(where, rule, ("pattern",)) else re.RegexFlag(0)
    if not rule.get("pattern"):
        raise TaggingDataError(f"{where}: the pattern is missing or malformed: it is empty")
    try:
        return regex_function(rule["pattern"], rule["type"], flags=flags)
    except (TypeError, ValueError, re.error, OverflowError, RecursionError) as error:  # numbers without end
        raise TaggingDataError(f"{where}: the pattern is missing or malformed: {error}") from None


def with_functions(data: WeakLabels, files: Sequence[FunctionFile]) -> WeakLabels:
    """Text with the votes of further labelling functions behind those that it has.

    Args:
        data: the sentences.
        files: of `read_functions`.

    Returns:
        The same with more functions; types that only these mark are added behind the others, sorted.

    Raises:
        TaggingDataError: a function fails, marks what is impossible, or is called like another.
    """
    functions: dict[str, LabellingFunction] = {}
    for file in files:
        twice = [name for name in file.functions if name in functions or name in data.function_names]
        if twice:
            raise TaggingDataError(f"two labelling functions are called {twice[0]!r}; give each its own name")
        functions |= file.functions
    marked: list[dict[str, list[Span]]] = []
    for name, words in zip(data.ids, data.tokens):
        marked.append({})
        for source, function in functions.items():
            try:
                marked[-1][source] = [tuple(span) for span in marked_spans(function, words)]  # type: ignore[misc]
            except Exception as error:
                raise TaggingDataError(
                    f"sentence {name}: the labelling function {source!r} failed: {type(error).__name__}: {error}"
                ) from error
    known = list(dict.fromkeys([name[2:] for name in data.label_names[1:]] + [k for file in files for k in file.types]))
    said = [span[2] for one in marked for spans in one.values() for span in spans if len(span) == 3]
    types = [*known, *sorted({kind for kind in said if isinstance(kind, str) and kind and kind not in known})]
    rows = {source: iter([one[source] for one in marked]) for source in functions}
    told = {source: lambda words, own=own: next(own) for source, own in rows.items()}
    added = apply_labelling_functions(data.tokens, told, types, ids=data.ids)
    data = data.with_labels(added.label_names)
    time = added.observations.shape[1]
    return data._replace(
        observations=np.concatenate([data.observations[:, :time], added.observations], axis=2),
        labels=None if data.labels is None else data.labels[:, :time],
        function_names=(*data.function_names, *functions),
    )
