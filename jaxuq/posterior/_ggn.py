r"""Products with the Gauss-Newton matrix $\sum_n J_n^\top \Lambda_n J_n$ of a batch, from the model and its likelihood.

$\Lambda_n = R_n R_n^\top$ is the Fisher information of an example's labels in the outputs (`Likelihood.curvature`).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq._meshes import vary_like
from jaxuq.posterior._model import ApplyFn, Params, split_numbers, wide
from jaxuq.posterior.likelihood import Likelihood


class Batch(NamedTuple):
    """What a curvature is made from.

    Attributes:
        function: `function(leaves, inputs) -> outputs`, of the floating leaves.
        leaves: where it is taken, in single precision or wider.
        inputs: of the model, with zeros in rows that do not count.
        rows: rows that count; None for all.
        outputs: of the model, `[batch, *tasks, *event]`.
        roots: `[batch, tasks, event, roots]`, zero for labels that do not count.
    """

    function: Callable[[list[Array], Any], Array]
    leaves: list[Array]
    inputs: PyTree
    rows: Bool[Array, " batch"] | None
    outputs: Array
    roots: Float[Array, "batch tasks event roots"]

    @property
    def num_roots(self) -> int:
        """Roots of one example, over all tasks."""
        return self.roots.shape[1] * self.roots.shape[3]

    def root(self, number: Any) -> Float[Array, "batch tasks event"]:
        """Root `number` of every example; that of one task is zero for the others."""
        return _root(self.roots, number)


def _root(roots: Float[Array, "... tasks event roots"], number: Any) -> Float[Array, "... tasks event"]:
    tasks, count = roots.shape[-3], roots.shape[-1]
    one = jax.lax.dynamic_index_in_dim(roots, number % count, axis=-1, keepdims=False)
    chosen = (jnp.arange(tasks) == number // count).astype(one.dtype)
    return one * chosen.reshape((1,) * (one.ndim - 2) + (tasks, 1))


def make_batch(
    likelihood: Likelihood,
    apply_fn: ApplyFn,
    params: Params,
    inputs: PyTree,
    rows: Bool[Array, " batch"] | None,
    where: Any,
    label_axes: int,
) -> Batch:
    """The batch, with the model run once."""
    numbers, whole = split_numbers(params)

    def function(leaves: list[Array], inputs: Any) -> Array:
        return apply_fn(whole(leaves), inputs)

    leaves = vary_like([wide(leaf) for leaf in numbers], inputs)
    outputs = function(leaves, inputs)
    roots = likelihood.curvature(outputs)
    if where is not None:
        kept = where.reshape(where.shape + (1,) * (roots.ndim - where.ndim))
        roots = jnp.where(kept, roots, jnp.zeros_like(roots))
    shape = roots.shape
    flat = (shape[0], math.prod(shape[1:label_axes]), math.prod(shape[label_axes:-1]), shape[-1])
    return Batch(function, leaves, inputs, rows, outputs, roots.reshape(flat))


def times_ggn(batch: Batch, tangents: list[Array]) -> list[Array]:
    """The Gauss-Newton matrix of a batch times a vector: one forward and one backward product."""
    outputs, pull = jax.vjp(lambda leaves: batch.function(leaves, batch.inputs), batch.leaves)
    outer = jnp.einsum("ntr,nter->nte", _along(batch, tangents), batch.roots)
    return pull(outer.reshape(outputs.shape).astype(outputs.dtype))[0]


def ggn_along(batch: Batch, tangents: list[Array]) -> Array:
    r"""$v^\top H v$ as a sum of squares: exact to rounding however small it is beside the largest eigenvalue."""
    return jnp.sum(_along(batch, tangents) ** 2)


def _along(batch: Batch, tangents: list[Array]) -> Float[Array, "batch tasks roots"]:
    """What a step of the parameters changes in the outputs, in the units of their roots."""
    _, slope = jax.jvp(lambda leaves: batch.function(leaves, batch.inputs), (batch.leaves,), (tangents,))
    slope = slope.reshape(batch.roots.shape[:3]).astype(batch.roots.dtype)
    return jnp.einsum("nte,nter->ntr", slope, batch.roots)


def sum_over(count: int, function: Callable[[Any], PyTree]) -> PyTree:
    """`function(0) + ... + function(count - 1)`, one after another."""

    def add(number: Any, total: PyTree) -> PyTree:
        return jax.tree.map(jnp.add, total, function(number))

    return jax.lax.fori_loop(1, count, add, function(0)) if count > 1 else function(0)


def sum_over_examples(batch: Batch, function: Callable[[Callable[[Any], list[Array]]], PyTree], at_once: int) -> PyTree:
    """The sum over examples of `function(column)`, with `column(j)` the gradient $J^\\top r_j$ of one example.

    `at_once` examples are held side by side; no Jacobian of a batch is.
    """
    n = batch.roots.shape[0]
    size = min(at_once, n)
    chunks = -(-n // size)

    def of_example(number: Array) -> PyTree:
        counted = number < n
        place = jnp.minimum(number, n - 1)
        one = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, place, 1), batch.inputs)
        roots = jax.lax.dynamic_index_in_dim(batch.roots, place, keepdims=False)
        roots = jnp.where(counted, roots, jnp.zeros_like(roots))
        outputs, pull = jax.vjp(lambda leaves: batch.function(leaves, one), batch.leaves)
        return function(lambda j: pull(_root(roots, j).reshape(outputs.shape).astype(outputs.dtype))[0])

    def of_chunk(number: Any) -> PyTree:
        each = jax.vmap(of_example)(number * size + jnp.arange(size))
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), each)

    return sum_over(chunks, of_chunk)


def ravel(leaves: list[Array]) -> Float[Array, " parameters"]:
    """All leaves as one vector."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


def unravel(vector: Float[Array, " parameters"], like: list[Array]) -> list[Array]:
    """The inverse of `ravel`."""
    parts, place = [], 0
    for leaf in like:
        parts.append(jax.lax.slice_in_dim(vector, place, place + leaf.size).reshape(leaf.shape))
        place += leaf.size
    return parts
