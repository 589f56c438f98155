"""`typed`: what the annotation of a function says about kinds of arguments is compared with what it is given.

A function above the arrays takes models, tokenizers, texts, records, functions and keys; a mistyped one is an error of
the library that meets it first, three levels below. `typed` says at the door which argument it is, what it is, and what
is expected. It looks at kinds alone: ranges, choices and shapes are their functions' own, and `checked`'s.
"""

import builtins
import collections.abc
import enum
import functools
import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np

from jaxuq._errors import JaxuqError, OptionError

_P = ParamSpec("_P")
_R = TypeVar("_R")
_BUILTINS = (str, bytes, bool, int, float, complex, list, dict, set, frozenset)
_SOME = 1000  # items of a list that are looked at


class _Rule(NamedTuple):
    """What an argument may be, how that is said, and what the items of a list or dictionary may be."""

    accepts: Callable[[Any], bool]
    words: str
    holds: "Callable[[Any], dict[Any, Any]] | None" = None
    inner: "_Rule | None" = None
    parts: "tuple[_Rule, ...]" = ()


class _Either(NamedTuple):
    """Annotations of which any will do, where Python has no union of them."""

    parts: tuple[Any, ...]

    def __or__(self, other: Any) -> "_Either":
        return _Either((*self.parts, other))

    __ror__ = __or__


class _Unseen(NamedTuple):
    """A class that a module names for type checkers alone: any object that is no plain value will do."""

    name: str

    def __or__(self, other: Any) -> _Either:
        return _Either((self, other))

    __ror__ = __or__


class _Names(dict):
    """The names of a module, and whatever else its annotations name."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name) if hasattr(builtins, name) else _Unseen(name)


def typed(*own: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Compare the kinds of arguments with a function's annotations.

    Args:
        own: names of arguments that the function looks at itself, since a wrong one of them is its caller's data and
            costs a row, not the call.

    Returns:
        A decorator; the function that it makes raises an OptionError which names argument, value and remedy.

    Example:
        >>> from collections.abc import Sequence
        >>> @typed()
        ... def count(texts: Sequence[str]) -> int:
        ...     return len(texts)
        >>> count("one")
        Traceback (most recent call last):
            ...
        jaxuq._errors.OptionError: texts is 'one'; expected a list of texts: write [texts]
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        rules_once = functools.cache(lambda: _rules_of(function, own))  # annotations name what follows

        @functools.wraps(function)
        def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            positional, rules = rules_once()
            for name, value in (*zip(positional, args), *kwargs.items()):
                rule = rules.get(name)
                if rule is not None and not rule.accepts(value):
                    raise OptionError(_said(name, value, rule))
            return function(*args, **kwargs)

        return call

    return decorate


def check_fields(options: Any, error: type[JaxuqError] = OptionError) -> None:
    """Compare the kinds of a dataclass's values with its annotations, as `typed` does with arguments.

    Args:
        options: an instance, such as the configuration of a run.
        error: what is raised; it names the option as the command line does.

    Example:
        >>> import dataclasses
        >>> @dataclasses.dataclass
        ... class Options:
        ...     batch_size: int = 1
        >>> check_fields(Options("many"))
        Traceback (most recent call last):
            ...
        jaxuq._errors.OptionError: --batch-size is 'many'; expected a whole number
    """
    kind = type(options)
    for name, annotation in typing.get_type_hints(kind).items():
        rule, value = _rule(annotation), getattr(options, name)
        if rule is not None and not rule.accepts(value) and value is not getattr(kind, name, _NONE):
            raise error(f"--{name.replace('_', '-')}{_said(name, value, rule).removeprefix(name)}")


def _rules_of(function: Callable[..., Any], own: tuple[str, ...]) -> tuple[tuple[str, ...], dict[str, _Rule]]:
    written = inspect.unwrap(function)
    names = _Names(written.__globals__)
    positional, rules = [], {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            positional.append(name)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name in own:
            continue
        annotation = parameter.annotation
        rule = _rule(eval(annotation, {}, names) if isinstance(annotation, str) else annotation)
        if rule is not None:
            rules[name] = _or_default(rule, parameter.default)
    return tuple(positional), rules


def _or_default(rule: _Rule, default: Any) -> _Rule:
    return rule._replace(accepts=lambda value: value is default or rule.accepts(value))


def _rule(annotation: Any) -> _Rule | None:
    """None: anything goes."""
    if annotation in _SIMPLE:
        return _SIMPLE[annotation]
    if isinstance(annotation, _Unseen):
        return _Rule(_is_object, _REMEDIES.get(annotation.name, f"a `{annotation.name}`"))
    parts = annotation.parts if isinstance(annotation, _Either) else None
    if parts is None and typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = typing.get_args(annotation)
    if parts is not None:
        return _any_of([_rule(part) for part in parts])
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return _KEY if annotation.dtype is jaxtyping.Key else _ARRAY
    origin = typing.get_origin(annotation) or annotation
    if origin is typing.Literal:
        choices = typing.get_args(annotation)
        kinds = tuple({type(choice) for choice in choices})
        return _Rule(lambda value: isinstance(value, kinds), f"one of {', '.join(map(repr, choices))}")
    if origin is collections.abc.Callable:
        return _Rule(callable, "a function")
    if isinstance(origin, type) and issubclass(origin, collections.abc.Mapping) and origin.__module__ in _ABSTRACT:
        return _dictionary_of(annotation)
    if origin in _LISTS:
        return _list_of(annotation)
    return _of_class(annotation) if isinstance(annotation, type) else None


def _any_of(rules: list[_Rule | None]) -> _Rule | None:
    known = [rule for rule in rules if rule is not None]
    if len(known) < len(rules):
        return None
    words = list(dict.fromkeys(part for rule in known for part in rule.words.split(" or ")))
    words = [one for one in words if one != _NONE.words] + [one for one in words if one == _NONE.words]
    return _Rule(lambda value: any(rule.accepts(value) for rule in known), " or ".join(words), parts=tuple(known))


def _dictionary_of(annotation: Any) -> _Rule:
    """Of which each value is looked at."""
    arguments = typing.get_args(annotation)
    inner = _rule(arguments[1]) if len(arguments) == 2 else None

    def holds(value: Any) -> dict[Any, Any]:
        return dict(value) if isinstance(value, collections.abc.Mapping) else {}

    def accepts(value: Any) -> bool:
        known = isinstance(value, collections.abc.Mapping)
        return known and (inner is None or all(map(inner.accepts, value.values())))

    return _Rule(accepts, "a dictionary", holds, inner)


def _list_of(annotation: Any) -> _Rule:
    """Of texts or records each item is looked at, up to a thousand; what is read when it is asked for, is not."""
    arguments = [one for one in typing.get_args(annotation) if one is not ...]
    inner = _rule(arguments[0]) if arguments and len(set(arguments)) == 1 else None

    def holds(value: Any) -> dict[Any, Any]:
        return dict(enumerate(value[:_SOME])) if isinstance(value, list | tuple) else {}

    def accepts(value: Any) -> bool:
        if isinstance(value, str | bytes | collections.abc.Mapping) or not _iterable(value):
            return False
        return inner is None or all(map(inner.accepts, holds(value).values()))

    if arguments and typing.get_origin(annotation) is tuple and ... not in typing.get_args(annotation):
        rules = [_rule(one) for one in arguments]

        def all_accepted(value: Any) -> bool:
            pairs = zip(rules, value) if isinstance(value, list | tuple) and len(value) == len(rules) else [(_NONE, 0)]
            return all(rule is None or rule.accepts(one) for rule, one in pairs)

        words = [rule.words if rule is not None else "anything" for rule in rules]
        return _Rule(all_accepted, f"a tuple of {len(rules)}: {', '.join(words)}")
    said = [] if inner is None else list(dict.fromkeys(_plural(word) for word in inner.words.split(" or ")))
    return _Rule(accepts, " or ".join(f"a list of {one}" for one in said) or "a list", holds, inner)


def _plural(words: str) -> str:
    known = {"text": "texts", "an array": "arrays", "a dictionary": "dictionaries", "a whole number": "whole numbers"}
    if words.startswith("a list of "):
        return "lists of " + words.removeprefix("a list of ")
    return known.get(words, f"{words.removeprefix('a ')}s" if words.startswith("a ") and "`" not in words else words)


def _iterable(value: Any) -> bool:
    return hasattr(value, "__iter__") or (hasattr(value, "__len__") and hasattr(value, "__getitem__"))


def _of_class(kind: type) -> _Rule | None:
    if kind in (np.ndarray, jax.Array):
        return _Rule(lambda value: hasattr(value, "shape") and hasattr(value, "dtype"), "an array")
    if kind.__module__.partition(".")[0] != "jaxuq":
        return None if kind.__module__.partition(".")[0] in _ABSTRACT else _Rule(_is_object, f"a `{kind.__name__}`")
    if issubclass(kind, enum.Enum) or getattr(kind, "_is_protocol", False):
        return None
    room = ".".join(part for part in kind.__module__.split(".")[:2] if not part.startswith("_"))
    return _Rule(lambda value: isinstance(value, kind), _REMEDIES.get(kind.__name__, f"a `{room}.{kind.__name__}`"))


def _is_object(value: Any) -> bool:
    return value is not None and not isinstance(value, _BUILTINS) and type(value) is not tuple


def _is_array(value: Any) -> bool:
    known = hasattr(value, "shape") and hasattr(value, "dtype")
    return known or isinstance(value, numbers.Number | list) or type(value) is tuple or hasattr(value, "__jax_array__")


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _has_index(value: Any) -> bool:
    if hasattr(value, "dtype"):  # of a traced number only its shape is known
        return getattr(value, "shape", None) == ()
    return hasattr(value, "__index__")


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) or (hasattr(value, "dtype") and getattr(value, "shape", None) == ())


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_ | int) or hasattr(value, "dtype")


_ABSTRACT = ("builtins", "collections", "collections.abc", "typing", "jaxtyping")
_LISTS = (
    collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection, collections.abc.MutableSequence,
    list, tuple,
)  # fmt: skip
_NONE = _Rule(lambda value: value is None, "None")
_ARRAY = _Rule(_is_array, "an array")
_KEY = _Rule(_is_key, "a key: jax.random.key(0) makes one of a seed")
_SIMPLE: dict[Any, _Rule | None] = {
    Any: None,
    inspect.Parameter.empty: None,
    None: _NONE,
    type(None): _NONE,
    object: None,
    str: _Rule(lambda value: isinstance(value, str), "text"),
    bytes: _Rule(lambda value: isinstance(value, bytes), "bytes"),
    bool: _Rule(_is_flag, "True or False"),
    int: _Rule(_has_index, "a whole number"),
    typing.SupportsInt: _Rule(lambda value: _has_index(value) or _is_number(value), "a whole number"),
    float: _Rule(_is_number, "a number"),
    Path: _Rule(lambda value: isinstance(value, Path), "a `pathlib.Path`"),
    os.PathLike: _Rule(lambda value: isinstance(value, os.PathLike), "a path"),
}
_REMEDIES = {
    "LanguageModel": "a `jaxuq.language.LanguageModel`, as `load_model` gives one",
    "PreTrainedTokenizerBase": "a tokenizer of transformers, such as `model.tokenizer`",
    "Sampling": "a `jaxuq.language.Sampling`: Sampling(temperature=0.7), say, or GREEDY",
    "Model": "a `jaxuq.networks.Model`",
    "Decoder": "a `jaxuq.networks.Decoder`",
}


def _shown(value: Any) -> str:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"an array of {value.dtype}{list(value.shape)}"
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text if value is None or isinstance(value, str | bytes | bool) else f"{text} ({type(value).__name__})"


def _said(name: str, value: Any, rule: _Rule) -> str:
    """The message: of an item, where the list or dictionary itself is of the right kind."""
    among = [one for one in rule.parts or (rule,) if one.holds is not None and one.inner is not None]
    for key in [key for one in among for key in one.holds(value)]:  # type: ignore[misc]
        item, inner = value[key], _any_of([one.inner for one in among])
        if inner is not None and not inner.accepts(item):
            return _said(f"{name}[{key!r}]", item, inner)
    return f"{name} is {_shown(value)}; expected {_expected(name, value, rule)}"


def _expected(name: str, value: Any, rule: _Rule) -> str:
    if rule.words == _KEY.words and getattr(value, "dtype", None) == np.uint32:
        return f"a key of jax.random.key; jax.random.wrap_key_data({name}) makes one of an old one"
    one = isinstance(value, str) and rule.words.startswith("a list of texts")
    return f"{rule.words}: write [{name}]" if one else rule.words
