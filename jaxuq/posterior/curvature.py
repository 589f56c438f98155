r"""Structures of the Gauss-Newton matrix $H$ of a loss in a pytree of parameters, each a value.

A structure is a NamedTuple of arrays with four functions, in which `tau` is the prior precision added to the diagonal
and vectors are lists of leaves: `add(rng_key, batch)` with the curvature of one more batch, `log_det(tau)` of $H + \tau
I$, `solve(tau, v)` for $(H + \tau I)^{-1} v$, and `colour(tau, noise)`, a linear map after which white noise has the
covariance $(H + \tau I)^{-1}$. What makes an empty one from parameters is what `laplace` takes as `structure`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq._arrays import as_float, widest
from jaxuq._meshes import vary_like
from jaxuq._options import check_count
from jaxuq.posterior._ggn import Batch, ggn_along, ravel, sum_over, sum_over_examples, times_ggn, unravel
from jaxuq.posterior._model import Params, is_number, wide

_EXAMPLES_AT_ONCE = 8


class Curvature(Protocol):
    """What `laplace` asks of a structure; see this module's text."""

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "Curvature":
        """With one more batch."""
        ...

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """Of H + tau I."""
        ...

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """(H + tau I)^-1 times a vector."""
        ...

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """A square root of (H + tau I)^-1 times white noise."""
        ...


def numbers_of(params: Params) -> list[Array]:
    """The floating leaves of frozen parameters, in single precision or wider."""
    return [wide(leaf) for leaf in jax.tree.leaves(params) if is_number(leaf)]


class FullCurvature(NamedTuple):
    """Every entry of H: parameters squared.

    Attributes:
        matrix: H.
    """

    matrix: Float[Array, "parameters parameters"]

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "FullCurvature":
        """Exact: the sum of outer products of all examples' gradients of their roots."""
        del rng_key

        def outer(column: Callable[[Any], list[Array]]) -> Array:
            rows = jax.lax.map(lambda j: ravel(column(j)), jnp.arange(batch.num_roots))
            return rows.T @ rows

        return FullCurvature(self.matrix + sum_over_examples(batch, outer, 1))

    def _factor(self, tau: Float[Array, ""]) -> Array:
        return jnp.linalg.cholesky(self.matrix + tau * jnp.eye(self.matrix.shape[0], dtype=self.matrix.dtype))

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """By Cholesky."""
        return 2 * jnp.sum(jnp.log(jnp.diagonal(self._factor(tau))))

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """By Cholesky."""
        return unravel(jax.scipy.linalg.cho_solve((self._factor(tau), True), ravel(vector)), vector)

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """By Cholesky."""
        solved = jax.scipy.linalg.solve_triangular(self._factor(tau), ravel(noise), lower=True, trans=1)
        return unravel(solved, noise)


def full(params: Params) -> FullCurvature:
    """An empty `FullCurvature`, for a few thousand parameters."""
    leaves = numbers_of(params)
    size = sum(leaf.size for leaf in leaves)
    return FullCurvature(jnp.zeros((size, size), widest(*leaves)))


class DiagonalCurvature(NamedTuple):
    """The diagonal of H: as many numbers as parameters.

    Attributes:
        values: of each leaf.
    """

    values: list[Array]

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "DiagonalCurvature":
        """Exact: the sum of squared gradients of all examples' roots."""
        del rng_key

        def squares(column: Callable[[Any], list[Array]]) -> list[Array]:
            return sum_over(batch.num_roots, lambda j: [leaf**2 for leaf in column(j)])

        return DiagonalCurvature(
            [a + b for a, b in zip(self.values, sum_over_examples(batch, squares, _EXAMPLES_AT_ONCE))]
        )

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """Sum of logarithms."""
        return jnp.sum(jnp.stack([jnp.sum(jnp.log(leaf + tau)) for leaf in self.values]))

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """Entry by entry."""
        return [v / (leaf + tau) for v, leaf in zip(vector, self.values)]

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """Entry by entry."""
        return [white / jnp.sqrt(leaf + tau) for white, leaf in zip(noise, self.values)]


def diagonal(params: Params) -> DiagonalCurvature:
    """An empty `DiagonalCurvature`."""
    return DiagonalCurvature([jnp.zeros_like(as_float(leaf)) for leaf in numbers_of(params)])


class LowRankCurvature(NamedTuple):
    """The leading eigenvectors of H: `rank` times the parameters.

    Eigenvalues are sums of squares along their vectors, so that small ones are not lost beside large ones; the vectors
    have single precision: inputs of 1e4 beside a bias of 1 leave its variance two or three digits.

    Attributes:
        vectors: orthonormal, one a row; zero where there are fewer.
        values: eigenvalues, largest first.
    """

    vectors: Float[Array, "rank parameters"]
    values: Float[Array, " rank"]

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "LowRankCurvature":
        """Lanczos on the sum of what there is and the batch's matrix, which is only multiplied by vectors.

        Exact as long as the rank of H is not above `rank`; beyond, the smallest directions of every batch are lost.
        """
        like = batch.leaves
        size, rank = self.vectors.shape[1], self.vectors.shape[0]

        def times(vector: Array) -> Array:
            known = (self.values * (self.vectors @ vector)) @ self.vectors
            return known + ravel(times_ggn(batch, unravel(vector, like)))

        def along(vector: Array) -> Array:
            return jnp.sum(self.values * (self.vectors @ vector) ** 2) + ggn_along(batch, unravel(vector, like))

        vectors = _leading(rng_key, times, size, rank, (like, self))
        values = jax.lax.map(along, vectors)
        order = jnp.argsort(-values)
        return LowRankCurvature(vectors[order], values[order])

    def _divided(self, vector: Array) -> tuple[Array, Array]:
        """The leading parts of a vector, and what is left of it, which has no part in them to the last digit."""
        parts = self.vectors @ vector
        left = vector - parts @ self.vectors
        return parts, left - (self.vectors @ left) @ self.vectors

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """All directions that are not among the leading have the prior's precision."""
        rank, size = self.vectors.shape
        return jnp.sum(jnp.log(self.values + tau)) + (size - rank) * jnp.log(tau)

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """The posterior's covariance in the leading directions, the prior's elsewhere.

        The two are added: the prior's in all less what the data say would cancel where eigenvalues are large.
        """
        parts, left = self._divided(ravel(vector))
        return unravel((parts / (self.values + tau)) @ self.vectors + left / tau, vector)

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """The symmetric root."""
        parts, left = self._divided(ravel(noise))
        return unravel((parts / jnp.sqrt(self.values + tau)) @ self.vectors + left / jnp.sqrt(tau), noise)


def low_rank(rank: int) -> Callable[[Params], LowRankCurvature]:
    """What makes an empty `LowRankCurvature` of at most `rank` directions, for `laplace(likelihood, low_rank(20))`.

    Args:
        rank: eigenvectors kept.

    Returns:
        A function of parameters.

    Raises:
        OptionError: a rank below 1.

    Example:
        >>> import jax.numpy as jnp
        >>> low_rank(20)({"kernel": jnp.ones((30, 2))}).vectors.shape
        (20, 60)
    """
    check_count("rank", rank)

    def empty(params: Params) -> LowRankCurvature:
        leaves = numbers_of(params)
        size, kind = sum(leaf.size for leaf in leaves), widest(*leaves)
        kept = min(rank, size)
        return LowRankCurvature(jnp.zeros((kept, size), kind), jnp.zeros(kept, kind))

    return empty


def _leading(
    rng_key: Key[Array, ""], times: Callable[[Array], Array], size: int, rank: int, like: Any
) -> Float[Array, "rank parameters"]:
    """The leading eigenvectors of a symmetric matrix by Lanczos, every vector made orthogonal to all before it."""
    steps = min(size, 2 * rank + 10)
    keys = jax.random.split(rng_key, steps)

    def orthogonal(vector: Array, basis: Array) -> Array:
        for _ in range(2):  # once leaves rounding errors that grow from step to step
            vector = vector - (basis @ vector) @ basis
        return vector

    def unit(vector: Array) -> tuple[Array, Array]:
        norm = jnp.linalg.norm(vector)
        return vector / jnp.where(norm == 0, jnp.ones_like(norm), norm), norm

    first, _ = unit(jax.random.normal(keys[0], (size,)))
    basis = jnp.zeros((steps, size), first.dtype).at[0].set(first)

    def step(number: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        basis, images = carry
        image = times(basis[number])
        images = images.at[number].set(image)
        following, norm = unit(orthogonal(image, basis))
        # An exhausted Krylov space is left by a random direction.
        other, _ = unit(orthogonal(jax.random.normal(keys[number], (size,)), basis))
        following = jnp.where(norm > 1e-5 * jnp.linalg.norm(image), following, other)
        return basis.at[(number + 1) % steps].set(jnp.where(number + 1 < steps, following, basis[0])), images

    start = vary_like([basis, jnp.zeros_like(basis)], like)
    basis, images = jax.lax.fori_loop(0, steps, step, (start[0], start[1]))
    projected = basis @ images.T
    _, rotation = jnp.linalg.eigh((projected + projected.T) / 2)
    return rotation[:, ::-1][:, :rank].T @ basis
