"""Promises P1 and P3 for every public array function: jit, vmap, grad, sharding, and masks.

Compiling takes nearly all the time here: an eager call compiles each of its operations, and costs more than the rest
together. So an example is compiled twice. The first program gives its value and its gradient; the second maps over a
new axis, with arguments divided over eight devices. That the first equals an eager call is one of the long tests.
"""

import importlib
import inspect
from typing import Any

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


def _is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _of_arrays(example: Example):
    """The example as a function of arrays alone, the mask last, and these arrays."""

    def function(*args: Any):
        keywords = dict(example.kwargs)
        if example.where is not None:
            *args, keywords["where"] = args
        return example.function(*args, **keywords)

    args = example.args if example.where is None else (*example.args, example.where)
    return function, jax.tree.map(jnp.asarray, args)


def _with_gradient(example: Example, function):
    """`function` with the gradient of the sum of its floating outputs, as one compiled program."""

    def total(*args):
        outputs = function(*args)
        floats = [jnp.sum(leaf) for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        return jnp.sum(jnp.stack(floats)), outputs

    def both(*args):
        if not example.differentiable:
            return function(*args), ()
        (_, outputs), gradients = jax.value_and_grad(total, argnums=example.differentiable, has_aux=True)(*args)
        return outputs, gradients

    return jax.jit(both)


def _poisoned(example: Example, args):
    """The arguments with NaN, or the largest integer, wherever the mask leaves them out."""
    where = np.asarray(example.where)
    assert not where.all(), "an example with a mask must mask something"

    def poison(leaf):
        poisoned = np.array(leaf)
        poisoned[~where] = np.nan if np.issubdtype(poisoned.dtype, np.floating) else np.iinfo(poisoned.dtype).max
        return jnp.asarray(poisoned)

    return tuple(jax.tree.map(poison, arg) if i in example.masked else arg for i, arg in enumerate(args))


def _divided(args, mesh, axis):
    """Every array whose `axis` eight devices can share, divided over them; the others on all."""

    def put(leaf):
        shared = leaf.ndim > axis and leaf.shape[axis] % 8 == 0
        spec = jax.sharding.PartitionSpec(*[None] * axis, "data") if shared else jax.sharding.PartitionSpec()
        return jax.device_put(leaf, jax.sharding.NamedSharding(mesh, spec))

    return jax.tree.map(put, args)


def _assert_close(actual, expected, rtol=2e-5, atol=2e-6):
    def check(a, b):
        if _is_key(jnp.asarray(a)):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=rtol, atol=atol)

    jax.tree.map(check, actual, expected)


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


def _names():
    """The first example of every function; its further ones take long together."""
    return [pytest.param(name, marks=[] if name.endswith("-0") else [pytest.mark.long]) for name in EXAMPLES]


@pytest.mark.parametrize("name", _names())
def test_transforms(name, mesh):
    example = EXAMPLES[name]
    function, args = _of_arrays(example)
    compiled = _with_gradient(example, function)
    expected, gradients = compiled(*args)
    for leaf in jax.tree.leaves(gradients):
        assert np.all(np.isfinite(leaf))

    if example.where is not None:
        _assert_close(compiled(*_poisoned(example, args)), (expected, gradients))

    if example.vmappable:
        turned = jax.tree.map(lambda leaf: leaf if _is_key(leaf) or leaf.ndim == 0 else jnp.flip(leaf, axis=0), args)
        both = jax.tree.map(lambda *leaves: jnp.stack(leaves), args, turned)
        mapped = jax.jit(jax.vmap(function))(*(_divided(both, mesh, axis=1) if example.shardable else both))
        for index, single in enumerate((expected, compiled(*turned)[0])):
            _assert_close(jax.tree.map(lambda leaf, i=index: leaf[i], mapped), single)
    elif example.shardable:
        _assert_close(jax.jit(function)(*_divided(args, mesh, axis=0)), expected)


@pytest.mark.long
@pytest.mark.parametrize("name", EXAMPLES)
def test_jit_equals_eager(name):
    function, args = _of_arrays(EXAMPLES[name])
    _assert_close(jax.jit(function)(*args), function(*args))
