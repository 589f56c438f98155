"""Rows of a batch that count: those with any label that a mask keeps; the inputs of the others may hold anything."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxuq._arrays import check_shapes, select
from jaxuq._errors import ArrayError


def kept_rows(
    labels: Shaped[Array, "batch *tasks"], where: Bool[Array, "batch *tasks"] | None
) -> Bool[Array, " batch"] | None:
    """Rows with any label that counts; None for all."""
    check_shapes(labels=labels, where=where)
    return None if where is None else jnp.any(where, axis=tuple(range(1, where.ndim)))


def without_rows(inputs: PyTree, rows: Bool[Array, " batch"] | None) -> Any:
    """Inputs with zeros in the rows that do not count."""
    if rows is None:
        return inputs

    def clean(leaf: Array) -> Array:
        if leaf.ndim == 0 or leaf.shape[0] != rows.shape[0]:
            raise ArrayError(
                f"inputs have a leaf of shape {leaf.shape}; its leading axis must be the labels' {rows.shape}"
            )
        return select(leaf, rows)

    return jax.tree.map(clean, inputs)
