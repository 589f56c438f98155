"""Distances between the atoms of a molecule, lists of near ones, and functions of distance that vanish at a cut-off."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._shapes import checked


def vector_norm(vectors: Float[Array, "*batch xyz channels"]) -> Float[Array, "*batch channels"]:
    r"""Lengths $\sqrt{\sum_x v_x^2}$ over the second-last axis; a vector of zeros has length 0 and gradient 0.

    Args:
        vectors: with the three axes of space second-last.

    Returns:
        Lengths.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> vectors = jnp.array([[3.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
        >>> vector_norm(vectors), jax.grad(lambda v: vector_norm(v)[1])(vectors)[:, 1]
        (Array([5., 0.], dtype=float32), Array([0., 0., 0.], dtype=float32))
    """
    squared = (vectors**2).sum(-2)
    positive = squared > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)


@checked
def pair_distances(coordinates: Float[Array, "*batch atoms xyz"]) -> Float[Array, "*batch atoms atoms"]:
    r"""All distances $d_{ij} = \lVert r_i - r_j \rVert$, with a gradient of zero where two atoms coincide.

    Holds `atoms**2` numbers a molecule, three times.

    Args:
        coordinates: of the atoms of each molecule, in any unit.

    Returns:
        A symmetric matrix with zeros on the diagonal.

    Example:
        >>> import jax.numpy as jnp
        >>> pair_distances(jnp.array([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]]))
        Array([[0., 5.],
               [5., 0.]], dtype=float32)
    """
    differences = coordinates[..., :, None, :] - coordinates[..., None, :, :]
    return vector_norm(differences[..., None])[..., 0]


@checked
def cosine_cutoff(distances: Float[Array, "*shape"], cutoff: float = 5.0) -> Float[Array, "*shape"]:
    r"""A weight that falls smoothly to zero: $\tfrac12 (\cos(\pi d / c) + 1)$ for $d < c$, otherwise 0.

    Args:
        distances: in the unit of `cutoff`, at least 0.
        cutoff: $c$.

    Returns:
        Weights in [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> cosine_cutoff(jnp.array([0.0, 2.5, 5.0, 9.0])).round(6)
        Array([1. , 0.5, 0. , 0. ], dtype=float32)
    """
    inside = distances < cutoff
    return jnp.where(inside, 0.5 * (jnp.cos(jnp.where(inside, distances, 0.0) * (math.pi / cutoff)) + 1.0), 0.0)


@checked
def exponential_basis(
    distances: Float[Array, "*shape"], size: int = 64, cutoff: float = 5.0
) -> Float[Array, "*shape size"]:
    r"""Exponential-normal radial basis: $e_k(d) = C(d) \exp(-\beta (e^{-5 d / c} - \mu_k)^2)$.

    $\mu_k$ lie evenly between $e^{-c}$ and 1, $\beta = (\tfrac{2}{K} (1 - e^{-c}))^{-2}$, and $C$ is `cosine_cutoff`.
    The functions are dense near $d = 0$, where chemistry needs resolution. They are fixed, not trained.

    Args:
        distances: in ångström.
        size: $K$.
        cutoff: $c$; at and beyond it every function is 0.

    Returns:
        Values in [0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> [f"{value:.3f}" for value in exponential_basis(jnp.array(0.0), size=3).tolist()]
        ['0.105', '0.570', '1.000']

    References:
        O. T. Unke, M. Meuwly. PhysNet: a neural network for predicting energies, forces, dipole moments and partial
        charges. JCTC 15, 2019, Eq 7.
    """
    means, width = basis_constants(size, cutoff)
    centres = means.astype(distances.dtype).reshape((1,) * distances.ndim + (size,))
    closeness = jnp.exp(distances * (-5.0 / cutoff))[..., None]
    return cosine_cutoff(distances, cutoff)[..., None] * jnp.exp(-width * (closeness - centres) ** 2)


def basis_constants(size: int, cutoff: float) -> tuple[Float[Array, " size"], float]:
    """Centres and inverse squared width of `exponential_basis`.

    Args:
        size: number of functions.
        cutoff: in ångström.

    Returns:
        The centres, and the one width that all share.

    Example:
        >>> round(basis_constants(64, 5.0)[1], 3)
        1037.94
    """
    start = math.exp(-cutoff)
    return jnp.linspace(start, 1.0, size), (2 / size * (1 - start)) ** -2


@checked
def nearest_neighbors(
    distances: Float[Array, "*batch atoms atoms"],
    where: Bool[Array, "*batch atoms"],
    *,
    cutoff: float = 5.0,
    max_neighbors: int = 32,
) -> tuple[Int[Array, "*batch atoms neighbors"], Bool[Array, "*batch atoms neighbors"]]:
    """The atoms nearer than `cutoff` to each atom, itself included, as a list padded to one length.

    When there are more than `max_neighbors`, the farthest are left out, a choice that neither the order of atoms nor
    the orientation of the molecule changes (but for ties).

    Args:
        distances: see `pair_distances`.
        where: which atoms are real.
        cutoff: in the unit of the distances.
        max_neighbors: length of the list, or the number of atoms if that is smaller.

    Returns:
        Indices, nearest first, and which of them are real.

    Example:
        >>> import jax.numpy as jnp
        >>> line = jnp.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [9.0, 0.0, 0.0]])
        >>> nearest_neighbors(pair_distances(line), jnp.ones(3, bool), max_neighbors=2)[1]
        Array([[ True,  True],
               [ True,  True],
               [ True, False]], dtype=bool)
    """
    count = min(max_neighbors, distances.shape[-1])
    allowed = (distances < cutoff) & where[..., None, :] & where[..., :, None]
    nearness, neighbors = jax.lax.top_k(jnp.where(allowed, -distances, -jnp.inf), count)
    return neighbors, nearness > -jnp.inf
