"""An argument of the wrong kind is one error that names it, at every public function above the arrays."""

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Key

import jaxuq
from jaxuq import _arguments
from jaxuq._arguments import typed

if TYPE_CHECKING:
    from elsewhere import Thing

ROOMS = ("networks", "checkpoints", "language", "confidence", "experts", "tuning")
ARRAYS = {"an array", "a number", "a whole number", "a flag", "None"}
"""What functions of arrays take: their shapes and ranges are other tests'."""
WRONG = {
    "None": None, "a number": 3, "a text": "text", "bytes": b"text", "a dictionary": {"a": 1}, "a set": {1},
    "an old key": np.zeros(2, np.uint32), "a function": len, "an object": object(), "texts": ["a", "b"],
    "nones": [None],
}  # fmt: skip


def _functions():
    for room in ROOMS:
        module = importlib.import_module(f"jaxuq.{room}")
        for name in module.__all__:
            function = getattr(module, name)
            written = inspect.unwrap(function)
            if inspect.isfunction(written) and written.__module__.startswith(f"jaxuq.{room}"):
                yield f"{room}.{name}", function


FUNCTIONS = dict(_functions())


def _rules(function):
    names = _arguments._Names(inspect.unwrap(function).__globals__)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            annotation = parameter.annotation
            yield name, _arguments._rule(eval(annotation, {}, names) if isinstance(annotation, str) else annotation)


def _above_arrays(function):
    """Whether it takes more than arrays, numbers and choices."""
    said = [rule.words for _, rule in _rules(function) if rule is not None and not rule.words.startswith("one of")]
    parts = [part for words in said for part in words.replace("True or False", "a flag").split(" or ")]
    return not ARRAYS.issuperset(parts)


ABOVE = [name for name, function in FUNCTIONS.items() if _above_arrays(function)]
OWN = {
    ("language.encode_prompt", "prompt"),
    ("language.encode_reply", "text"),
    ("language.encode_instruction", "record"),
}
"""Arguments that are rows of data, with an error of their own."""


@pytest.mark.parametrize("name", ABOVE)
def test_every_argument_of_the_wrong_kind_is_named(name):
    """Whatever the others are: what is wrong is said before anything is done."""
    function = FUNCTIONS[name]
    for argument, rule in _rules(function):
        for what, value in WRONG.items():
            if rule is None or rule.accepts(value) or (name, argument) in OWN:
                continue
            if value is inspect.signature(function).parameters[argument].default:
                continue
            with pytest.raises(jaxuq.JaxuqError, match=rf"^{argument}(\[.*\])? is .*; expected ") as error:
                function(**{argument: value})
            assert "\n" not in str(error.value) and len(str(error.value)) < 400, what


def test_functions_above_the_arrays_are_many_and_those_that_people_begin_with_are_there():
    assert len(ABOVE) > 140
    begin = {"language.generate", "language.score", "language.finetune", "confidence.uqac", "confidence.run_study"}
    assert begin | {"tuning.run_tuning", "experts.gradient_features", "language.generate_tokens"} <= set(ABOVE)


@typed("row")
def _example(
    rng_key: Key[Array, ""],
    texts: Sequence[str],
    thing: "Thing | None",
    row: str = "",
    *,
    values: Float[Array, " n"] | float = 0.0,
    count: int = 1,
    path: str | Path = "x",
    form: Literal["a", "b"] = "a",
    names: Mapping[str, int] | None = None,
    rule: Callable[[int], int] = abs,
) -> None:
    """All kinds of arguments; `row` is looked at by the function itself."""


GOOD = {"rng_key": jax.random.key(0), "texts": ["a"], "thing": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rng_key": 0}, r"rng_key is 0 \(int\); expected a key: jax.random.key\(0\) makes one of a seed"),
        (
            {"rng_key": jax.random.PRNGKey(0)},
            r"uint32\[2\]; .*jax.random.wrap_key_data\(rng_key\)",
        ),
        ({"rng_key": None}, "rng_key is None; expected a key"),
        ({"texts": "one"}, r"texts is 'one'; expected a list of texts: write \[texts\]"),
        ({"texts": None}, "texts is None; expected a list of texts"),
        ({"texts": [1, "a"]}, r"texts\[0\] is 1 \(int\); expected text"),
        ({"names": {"a": 1, "b": "c"}}, r"names\['b'\] is 'c'; expected a whole number"),
        ({"texts": 3}, r"texts is 3 \(int\); expected a list of texts"),
        ({"thing": "name"}, "thing is 'name'; expected a `Thing` or None"),
        ({"thing": ("a", "b")}, r"thing is \('a', 'b'\) \(tuple\); expected a `Thing` or None"),
        ({"values": "x"}, "values is 'x'; expected an array or a number"),
        ({"values": None}, "values is None; expected an array or a number"),
        ({"count": 1.5}, r"count is 1.5 \(float\); expected a whole number"),
        ({"path": 3}, r"path is 3 \(int\); expected text or a `pathlib.Path`"),
        ({"form": None}, "form is None; expected one of 'a', 'b'"),
        ({"names": ("a", "b")}, r"names is \('a', 'b'\) \(tuple\); expected a dictionary or None"),
        ({"rule": 3}, r"rule is 3 \(int\); expected a function"),
    ],
)
def test_what_is_said(given, said):
    with pytest.raises(jaxuq.JaxuqError, match=said):
        _example(**GOOD | given)


def test_what_is_right_passes():
    from collections import namedtuple

    _example(**GOOD, row=None, values=np.ones(2), count=np.int32(3), path=Path("x"), names={"a": 1}, rule=len)
    _example(jax.random.key(1), ("a", "b"), namedtuple("Any", "x")(1), values=jnp.float32(1))
    seen = jax.jit(lambda key: (_example(key, [], object()), jax.random.uniform(key))[1])(jax.random.key(0))
    assert seen == jax.random.uniform(jax.random.key(0))
    jax.vmap(lambda key: _example(key, [], None))(jax.random.split(jax.random.key(0), 3))


def test_a_long_value_is_shown_in_short():
    class Long(NamedTuple):
        text: str

    with pytest.raises(jaxuq.JaxuqError) as error:
        _example(**GOOD | {"texts": Long("x" * 10_000).text})
    assert len(str(error.value)) < 200
