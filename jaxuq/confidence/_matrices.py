"""Functions of symmetric matrices whose gradients are finite where eigenvalues are equal."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def matrix_function(
    matrix: Float[Array, "n n"], function: Callable[[Array], tuple[Array, Array]]
) -> Float[Array, "n n"]:
    """A function of a symmetric matrix, from what gives it and its derivative at eigenvalues.

    Its gradient is that of Daleckii and Krein, which equal eigenvalues (equal answers, masked samples) leave finite;
    that of the eigenvectors would be NaN there.
    """
    eigenvalues, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(matrix))
    values, _ = function(eigenvalues)
    apart = eigenvalues[:, None] - eigenvalues[None]
    near = jnp.abs(apart) < 1e-2 * (1.0 + jnp.abs(eigenvalues[:, None]))
    _, slopes = function(0.5 * (eigenvalues[:, None] + eigenvalues[None]))
    slopes = jnp.where(near, slopes, (values[:, None] - values[None]) / jnp.where(near, 1.0, apart))
    turned = vectors.T @ matrix @ vectors
    moved = jax.lax.stop_gradient(slopes) * (turned - jax.lax.stop_gradient(turned))  # 0, with a gradient
    return vectors @ (jnp.diag(values) + moved) @ vectors.T
