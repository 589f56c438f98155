"""Promises P1 and P3 for every public array function: jit, vmap, grad, sharding, and masks."""

import importlib
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from tests.protocol import Example

ROOMS = [room for room in jaxuq._ROOMS if room != "reporting"]


def _room(room):
    return importlib.import_module(f"jaxuq.{room}"), importlib.import_module(f"tests.{room}.protocol")


def _cases():
    for room in ROOMS:
        _, protocol = _room(room)
        for name, examples in protocol.EXAMPLES.items():
            for number, example in enumerate([examples] if isinstance(examples, Example) else examples):
                yield pytest.param(example, id=f"{room}.{name}-{number}")


CASES = list(_cases())


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _call(example):
    def function(*args):
        keywords = dict(example.kwargs)
        if example.where is not None:
            *args, keywords["where"] = args
        return example.function(*args, **keywords)

    args = jax.tree.map(jnp.asarray, example.args)
    return function, (*args, jnp.asarray(example.where)) if example.where is not None else args


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


@pytest.mark.parametrize("example", CASES)
def test_jit_equals_eager(example):
    function, args = _call(example)
    _assert_close(jax.jit(function)(*args), function(*args))


@pytest.mark.parametrize("example", [case for case in CASES if case.values[0].vmappable])
def test_vmap_equals_a_loop(example):
    function, args = _call(example)
    other = jax.tree.map(lambda leaf: leaf if _is_key(leaf) or leaf.ndim == 0 else jnp.flip(leaf, axis=0), args)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), args, other)
    mapped = jax.jit(jax.vmap(function))(*both)
    for index, single in enumerate((args, other)):
        _assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], mapped), function(*single))


@pytest.mark.parametrize("example", [case for case in CASES if case.values[0].differentiable])
def test_gradients_are_finite(example):
    function, args = _call(example)
    gradients = jax.jit(jax.grad(lambda *a: _float_sum(function(*a)), argnums=example.differentiable))(*args)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf))


@pytest.mark.parametrize("example", [case for case in CASES if case.values[0].shardable])
def test_sharded_arrays_give_the_same(example, mesh):
    function, args = _call(example)

    def shard(leaf):
        spec = (
            jax.sharding.PartitionSpec("data") if leaf.ndim and leaf.shape[0] % 8 == 0 else jax.sharding.PartitionSpec()
        )
        return jax.device_put(leaf, jax.sharding.NamedSharding(mesh, spec))

    _assert_close(jax.jit(function)(*jax.tree.map(shard, args)), function(*args))


@pytest.mark.parametrize("example", [case for case in CASES if case.values[0].where is not None])
def test_masked_entries_have_no_influence(example):
    function, args = _call(example)
    where = np.asarray(example.where)
    assert not where.all(), "an example with a mask must mask something"

    def poison(leaf):
        poisoned = np.array(leaf)
        poisoned[~where] = np.nan if np.issubdtype(poisoned.dtype, np.floating) else np.iinfo(poisoned.dtype).max
        return jnp.asarray(poisoned)

    poisoned = tuple(jax.tree.map(poison, arg) if i in example.masked else arg for i, arg in enumerate(args))
    _assert_close(function(*poisoned), function(*args))
    if example.differentiable:
        gradient = jax.grad(lambda *a: _float_sum(function(*a)), argnums=example.differentiable)
        for actual, expected in zip(jax.tree.leaves(gradient(*poisoned)), jax.tree.leaves(gradient(*args))):
            np.testing.assert_allclose(actual, expected, rtol=2e-5, atol=2e-6)
