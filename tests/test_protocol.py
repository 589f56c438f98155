"""Promises P1 and P3 for every public array function: jit, vmap, grad, sharding, and masks.

Compiling takes nearly all the time here. An example is called eagerly once, and what is compiled for it is kept for all
its tests, which therefore share a process: the jitted function, shown equal to the eager one, is the reference for the
rest, and one compiled gradient serves the clean and the poisoned arguments.
"""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from tests.protocol import Example

ROOMS = [room for room in jaxuq._ROOMS if room != "reporting"]


def _room(room):
    return importlib.import_module(f"jaxuq.{room}"), importlib.import_module(f"tests.{room}.protocol")


def _examples():
    for room in ROOMS:
        _, protocol = _room(room)
        for name, examples in protocol.EXAMPLES.items():
            for number, example in enumerate([examples] if isinstance(examples, Example) else examples):
                yield f"{room}.{name}-{number}", example


EXAMPLES = dict(_examples())


def _names(which=lambda example: True):
    return [
        pytest.param(name, id=name, marks=pytest.mark.xdist_group(name))
        for name, example in EXAMPLES.items()
        if which(example)
    ]


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


class _Call(NamedTuple):
    """One example as a function of arrays alone, the mask last, and what is compiled for it."""

    example: Example
    args: tuple[Any, ...]
    function: Callable[..., Any]
    compiled: Callable[..., Any]
    gradient: Callable[..., Any]


@functools.cache
def _call(name):
    example = EXAMPLES[name]

    def function(*args):
        keywords = dict(example.kwargs)
        if example.where is not None:
            *args, keywords["where"] = args
        return example.function(*args, **keywords)

    def floats(*args):
        return _float_sum(function(*args))

    args = example.args if example.where is None else (*example.args, example.where)
    gradient = jax.jit(jax.grad(floats, argnums=example.differentiable))
    return _Call(example, jax.tree.map(jnp.asarray, args), function, jax.jit(function), gradient)


def _assert_close(actual, expected, rtol=2e-5, atol=2e-6):
    def check(a, b):
        if _is_key(jnp.asarray(a)):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)

    jax.tree.map(check, actual, expected)


def _float_sum(outputs):
    floats = [jnp.sum(leaf) for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.sum(jnp.stack(floats))


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_example_or_a_reason(room):
    module, protocol = _room(room)
    covered = set(protocol.EXAMPLES) | set(protocol.HOST)
    assert set(module.__all__) == covered, "public names and protocol entries differ"
    for name in module.__all__:
        assert (getattr(module, name).__doc__ or "").strip(), f"{name} has no docstring"
        if inspect.isfunction(getattr(module, name)):
            signature = inspect.signature(getattr(module, name))
            missing = [p for p in signature.parameters.values() if p.annotation is inspect.Parameter.empty]
            assert not missing, f"{name} has parameters without annotation: {missing}"


@pytest.mark.parametrize("name", _names())
def test_jit_equals_eager(name):
    call = _call(name)
    _assert_close(call.compiled(*call.args), call.function(*call.args))


@pytest.mark.parametrize("name", _names(lambda example: example.vmappable))
def test_vmap_equals_a_loop(name):
    call = _call(name)
    other = jax.tree.map(lambda leaf: leaf if _is_key(leaf) or leaf.ndim == 0 else jnp.flip(leaf, axis=0), call.args)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), call.args, other)
    mapped = jax.jit(jax.vmap(call.function))(*both)
    for index, single in enumerate((call.args, other)):
        _assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], mapped), call.compiled(*single))


@pytest.mark.parametrize("name", _names(lambda example: example.differentiable))
def test_gradients_are_finite(name):
    call = _call(name)
    for leaf in jax.tree.leaves(call.gradient(*call.args)):
        assert np.all(np.isfinite(leaf))


@pytest.mark.parametrize("name", _names(lambda example: example.shardable))
def test_sharded_arrays_give_the_same(name, mesh):
    call = _call(name)

    def shard(leaf):
        spec = (
            jax.sharding.PartitionSpec("data") if leaf.ndim and leaf.shape[0] % 8 == 0 else jax.sharding.PartitionSpec()
        )
        return jax.device_put(leaf, jax.sharding.NamedSharding(mesh, spec))

    _assert_close(call.compiled(*jax.tree.map(shard, call.args)), call.compiled(*call.args))


@pytest.mark.parametrize("name", _names(lambda example: example.where is not None))
def test_masked_entries_have_no_influence(name):
    call = _call(name)
    where = np.asarray(call.example.where)
    assert not where.all(), "an example with a mask must mask something"

    def poison(leaf):
        poisoned = np.array(leaf)
        poisoned[~where] = np.nan if np.issubdtype(poisoned.dtype, np.floating) else np.iinfo(poisoned.dtype).max
        return jnp.asarray(poisoned)

    masked = call.example.masked
    poisoned = tuple(jax.tree.map(poison, arg) if i in masked else arg for i, arg in enumerate(call.args))
    _assert_close(call.compiled(*poisoned), call.compiled(*call.args))
    if call.example.differentiable:
        gradients = (jax.tree.leaves(call.gradient(*args)) for args in (poisoned, call.args))
        for actual, expected in zip(*gradients):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)
