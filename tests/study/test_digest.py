"""Equal content has equal digests, different content different ones."""

import dataclasses
import itertools
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.language import model_digest
from jaxuq.study import digest
from tests.experts.tiny_run import tiny_model


class _Pair(NamedTuple):
    a: int
    b: str


@dataclasses.dataclass
class _Options:
    rate: float = 0.1


def test_what_is_the_same_content():
    assert digest(_Pair(1, "x")) == digest([1, "x"]) == digest((1, "x"))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest(jnp.arange(3)) == digest(np.arange(3, dtype=np.int32)) == digest(np.arange(6, dtype=np.int32)[:3])
    assert digest(np.arange(6).reshape(2, 3).T) == digest(np.ascontiguousarray(np.arange(6).reshape(2, 3).T))
    assert digest(np.float64(0.5)) == digest(0.5) and digest(_Options()) == digest({"rate": 0.1})
    assert digest(np.array(["a", "bc"])) == digest(["a", "bc"]) == digest(np.array(["a", "bc"], "U9"))


def test_what_is_different_content():
    different = [
        None, True, 1, 1.0, "1", b"1", "", [], [[]], {}, [1, 2], [2, 1], ["a", "b"], ["ab"], ["a", ["b"]], "ab",
        np.zeros(2), np.zeros(2, np.float32), np.zeros((2, 1)), np.zeros((1, 2)), jnp.zeros(2, jnp.bfloat16),
        np.array([0.0, -0.0]), np.array([True]), np.array([1], np.uint8), {"a": [1]}, {"a": 1}, ("a", 1), "\ud800",
        float("nan"), float("inf"), [None], [[None]],
    ]  # fmt: skip
    for one, other in itertools.combinations(different, 2):
        assert digest(one) != digest(other), (one, other)


@pytest.mark.parametrize("value", [pathlib.Path("a"), print, object(), {1, 2}, np.array([None, 1])])
def test_a_path_or_a_function_is_no_content(value):
    with pytest.raises(TypeError, match="no content that can be digested"):
        digest([value])


def test_a_model_is_its_numbers_and_its_tokenizer_whatever_was_asked_last():
    import jax

    model = tiny_model()
    first = model_digest(model)
    model.tokenizer(["what is a", "b"], truncation=True, max_length=2)
    assert model_digest(model._replace(name="another")) == first
    leaves, tree = jax.tree.flatten(model.params)
    moved = model._replace(
        params=jax.tree.unflatten(tree, [leaves[0].at[(0,) * leaves[0].ndim].add(1e-3), *leaves[1:]])
    )
    others = {model_digest(one) for one in (moved, model._replace(stops=(3,)))}
    template = model.tokenizer.chat_template
    try:
        model.tokenizer.chat_template = template + " "
        others.add(model_digest(model))
    finally:
        model.tokenizer.chat_template = template
    assert len(others) == 3 and first not in others
