r"""Three ways to hold the curvature of a dense layer's weights, and what can be computed from each.

A layer $f = \tilde\phi^\top W$ with inputs $\tilde\phi \in \mathbb{R}^d$ (a one appended where there is a bias) and $m$
outputs has the Gauss-Newton matrix $H = \sum_n (\tilde\phi_n \tilde\phi_n^\top) \otimes \Lambda_n$, $\Lambda_n$ the
curvature of example $n$'s loss in its outputs. Outputs that do not interact have a diagonal $\Lambda_n$ (passed as
`[batch, m]`), and $H$ falls into $m$ blocks of $d \times d$; classes of one softmax interact (`[batch, m, m]`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_OUTPUTS_AT_ONCE = 8


class Curvature(NamedTuple):
    """One structure of $H$; everywhere `tau` is the prior precision added to its diagonal.

    Attributes:
        zeros: `zeros(d, m) -> H` of no data.
        add: `add(H, inputs [batch, d], weights, rows [batch]) -> H` with a batch; masked entries have zero weight.
        log_det: `log_det(H, tau)`, the log determinant of `H + tau I`.
        colour: `colour(H, tau, noise [samples, d, m])`, a linear map after which white noise has covariance
            (H + tau I)^-1.
        variance: `variance(H, tau, inputs [batch, d]) -> [batch, m]`, the variance of each output.
    """

    zeros: Callable[[int, int], Any]
    add: Callable[..., Any]
    log_det: Callable[[Any, Float[Array, ""]], Float[Array, ""]]
    colour: Callable[[Any, Float[Array, ""], Float[Array, "samples d m"]], Float[Array, "samples d m"]]
    variance: Callable[[Any, Float[Array, ""], Float[Array, "batch d"]], Float[Array, "batch m"]]


def _map(function, *arrays):
    return jax.lax.map(lambda items: function(*items), arrays, batch_size=min(_OUTPUTS_AT_ONCE, len(arrays[0])))


def _second_moments(inputs, weights):
    """For every column of weights, the weighted sum of outer products of the inputs: `[columns, d, d]`."""
    return _map(lambda weight: (inputs * weight[:, None]).T @ inputs, weights.T)


# ---- full ----


def full(interacting: bool) -> Curvature:
    """Every entry of H: `[m, d, d]` where outputs do not interact, else one matrix `[1, d * m, d * m]`."""

    def zeros(d: int, m: int) -> Float[Array, "groups p p"]:
        return jnp.zeros((1, d * m, d * m) if interacting else (m, d, d))

    def add(matrix, inputs, weights, rows):
        del rows
        d, m = inputs.shape[1], weights.shape[1]
        blocks = _second_moments(inputs, weights.reshape(len(weights), -1))
        if interacting:
            blocks = blocks.reshape(m, m, d, d).transpose(2, 0, 3, 1).reshape(1, d * m, d * m)
        return matrix + blocks

    def factor(matrix, tau):
        return jnp.linalg.cholesky(matrix + tau * jnp.eye(matrix.shape[-1])[None])

    def log_det(matrix, tau):
        return 2 * jnp.sum(jnp.log(jnp.diagonal(factor(matrix, tau), axis1=1, axis2=2)))

    def colour(matrix, tau, noise):
        samples, d, m = noise.shape
        columns = noise.reshape(samples, 1, d * m) if interacting else noise.transpose(0, 2, 1)
        solve = jax.vmap(lambda lower, z: jax.scipy.linalg.solve_triangular(lower, z, lower=True, trans=1))
        coloured = solve(factor(matrix, tau), columns.transpose(1, 2, 0)).transpose(2, 0, 1)
        return coloured.reshape(samples, d, m) if interacting else coloured.transpose(0, 2, 1)

    def variance(matrix, tau, inputs):
        identity = jnp.eye(matrix.shape[-1])
        covariance = jax.vmap(lambda lower: jax.scipy.linalg.cho_solve((lower, True), identity))(factor(matrix, tau))
        if interacting:
            d = inputs.shape[1]
            m = matrix.shape[-1] // d
            covariance = jnp.diagonal(covariance.reshape(d, m, d, m), axis1=1, axis2=3).transpose(2, 0, 1)
        return _map(lambda block: jnp.sum((inputs @ block) * inputs, axis=1), covariance).T

    return Curvature(zeros, add, log_det, colour, variance)


# ---- Kronecker ----


class KroneckerFactors(NamedTuple):
    """$H \\approx A \\otimes B / N$.

    Attributes:
        inputs: A, sum of outer products of the inputs.
        outputs: B, sum of the output curvatures.
        count: N, examples with any label.
    """

    inputs: Float[Array, "d d"]
    outputs: Float[Array, "m m"]
    count: Float[Array, ""]


def kronecker() -> Curvature:
    """Inputs and output curvatures averaged apart: d^2 + m^2 numbers."""

    def zeros(d: int, m: int) -> KroneckerFactors:
        return KroneckerFactors(jnp.zeros((d, d)), jnp.zeros((m, m)), jnp.zeros(()))

    def add(factors, inputs, weights, rows):
        outputs = jnp.sum(weights, axis=0)
        outputs = jnp.diag(outputs) if outputs.ndim == 1 else outputs
        count = jnp.sum(rows.astype(jnp.float32))
        return KroneckerFactors(factors.inputs + inputs.T @ inputs, factors.outputs + outputs, factors.count + count)

    def eigen(factors, tau):
        inputs, input_basis = jnp.linalg.eigh(factors.inputs)
        outputs, output_basis = jnp.linalg.eigh(factors.outputs)
        inputs, outputs = jnp.maximum(inputs, 0), jnp.maximum(outputs, 0)
        values = inputs[:, None] * outputs[None, :] / jnp.maximum(factors.count, 1)
        return values + tau, input_basis, output_basis

    def log_det(factors, tau):
        return jnp.sum(jnp.log(eigen(factors, tau)[0]))

    def colour(factors, tau, noise):
        values, left, right = eigen(factors, tau)
        rotated = jnp.einsum("di,sdm,mj->sij", left, noise, right)
        return jnp.einsum("di,sij,mj->sdm", left, rotated / jnp.sqrt(values)[None], right)  # the symmetric root

    def variance(factors, tau, inputs):
        values, left, right = eigen(factors, tau)
        return (inputs @ left) ** 2 @ (1 / values) @ (right**2).T

    return Curvature(zeros, add, log_det, colour, variance)


# ---- diagonal ----


def diagonal() -> Curvature:
    """The diagonal of H: as many numbers as weights."""

    def zeros(d: int, m: int) -> Float[Array, "d m"]:
        return jnp.zeros((d, m))

    def add(values, inputs, weights, rows):
        del rows
        weights = weights if weights.ndim == 2 else jnp.diagonal(weights, axis1=1, axis2=2)
        return values + (inputs**2).T @ weights

    def log_det(values, tau):
        return jnp.sum(jnp.log(values + tau))

    def colour(values, tau, noise):
        return noise / jnp.sqrt(values + tau)[None]

    def variance(values, tau, inputs):
        return inputs**2 @ (1 / (values + tau))

    return Curvature(zeros, add, log_det, colour, variance)
