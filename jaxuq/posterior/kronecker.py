r"""Structures of $H$ that know dense layers: a Kronecker product a layer, and a block an output.

A layer $f = \tilde\phi^\top W$ with inputs $\tilde\phi \in \mathbb{R}^d$ (a one appended where there is a bias, so that
kernel and bias are one matrix) has $H = \sum_n \tilde\phi_n \tilde\phi_n^\top \otimes \sum_k g_{nk} g_{nk}^\top$, with
$g_{nk}$ the gradients, in the layer's outputs, of the roots of the information of example n.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from jaxuq._arrays import as_float, counted, widened, widest
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.posterior._ggn import Batch, sum_over
from jaxuq.posterior._model import Params, Static, wide
from jaxuq.posterior._taps import Layer, Tapped, layers_of, num_rows, run_tapped
from jaxuq.posterior.curvature import numbers_of

_OUTPUTS_AT_ONCE = 8


class KroneckerFactors(NamedTuple):
    """$H \\approx A \\otimes B / N$ of one layer, or of a stack of them.

    Attributes:
        inputs: A, sum of outer products of the inputs.
        outputs: B, sum of outer products of the gradients in the outputs.
        count: N, rows that went into both: examples, or tokens.
    """

    inputs: Float[Array, "*stack d d"]
    outputs: Float[Array, "*stack m m"]
    count: Float[Array, "*stack"]


@checked
@widened
def kronecker_factors(
    inputs: Float[Array, "rows inputs"],
    gradients: Float[Array, "*roots rows outputs"],
    *,
    where: Bool[Array, " rows"] | None = None,
) -> KroneckerFactors:
    r"""The two factors of a matrix's curvature: $A = \sum_t x_t x_t^\top$, $B = \sum_{k,t} g_{kt} g_{kt}^\top$.

    For a Gauss-Newton matrix the $g_{kt}$ are the gradients, in the matrix's output at row t, of the loss's $k$ roots:
    $\sqrt{p_k}\,(e_k - p)^\top f$ for a softmax over $f$. Rows are tokens, or examples of a plain layer; the product is
    $A \otimes B$ divided by their number. It is exact if there is one row, or if all $x_t$ are equal.

    Use it where a model is too large for `laplace(...).update` to trace it whole; the factors then go into
    `KroneckerCurvature.plus`.

    Args:
        inputs: of the matrix.
        gradients: in its outputs.
        where: rows that count; the rest may hold NaN.

    Returns:
        `KroneckerFactors(inputs, outputs, count)`; those of two batches are added.

    Example:
        >>> import jax.numpy as jnp
        >>> factors = kronecker_factors(jnp.ones((2, 1)), jnp.array([[1.0, -1.0], [0.0, 2.0]]))
        >>> factors.outputs
        Array([[ 1., -1.],
               [-1.,  5.]], dtype=float32)

    References:
        J. Martens, R. Grosse, "Optimizing Neural Networks with Kronecker-Factored Approximate Curvature", ICML 2015.
        R. Eschenhagen et al., "Kronecker-Factored Approximate Curvature for Modern Neural Network Architectures",
        NeurIPS 2023, section 3 (the sum over tokens: "expand").
    """
    inputs, gradients, kept = inputs, gradients, counted(where, inputs.shape[:1])
    inputs = jnp.where(kept[:, None], inputs, 0.0)
    gradients = jnp.where(jnp.broadcast_to(kept[:, None], gradients.shape), gradients, 0.0)
    flat = gradients.reshape(-1, gradients.shape[-1])
    return KroneckerFactors(inputs.T @ inputs, flat.T @ flat, jnp.sum(kept, dtype=inputs.dtype))


class KroneckerCurvature(NamedTuple):
    """A Kronecker product a layer: `inputs^2 + outputs^2` numbers each; layers are independent of each other.

    Attributes:
        factors: of each layer.
        layers: where the layers are among the leaves; no arrays.
    """

    factors: tuple[KroneckerFactors, ...]
    layers: Static

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "KroneckerCurvature":
        """Inputs and output curvatures averaged apart; one backward pass a root of the likelihood."""
        del rng_key
        tapped = run_tapped(lambda leaves: batch.function(leaves, batch.inputs), batch.leaves, self.layers.value)
        kept = [_kept(layer, x, batch) for layer, x in zip(self.layers.value, tapped.inputs)]
        inputs = [_with_one(layer, x, rows) for layer, x, rows in zip(self.layers.value, tapped.inputs, kept)]
        if _is_last(tapped, batch):
            outputs = [_block_diagonal(jnp.einsum("nter,ntfr->tef", batch.roots, batch.roots))]
        else:
            outputs = sum_over(
                batch.num_roots,
                lambda j: [g.T @ g for g in map(_rows, tapped.pull(_like_outputs(batch.root(j), batch)))],
            )
        new = (KroneckerFactors(x.T @ x, b, jnp.sum(as_float(rows, x))) for x, b, rows in zip(inputs, outputs, kept))
        return self.plus(tuple(new))

    def plus(self, factors: Any) -> "KroneckerCurvature":
        """With factors that were made elsewhere: a pytree whose `KroneckerFactors` come as the matrices do."""
        new = jax.tree.leaves(factors, is_leaf=lambda node: isinstance(node, KroneckerFactors))
        if len(new) != len(self.factors):
            raise OptionError(f"there are factors of {len(new)} matrices; the parameters have {len(self.factors)}")
        return self._replace(factors=tuple(jax.tree.map(jnp.add, a, b) for a, b in zip(self.factors, new)))

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """From the eigenvalues of both factors."""

        def one(factors: KroneckerFactors) -> Array:
            return jnp.sum(jnp.log(_eigen(factors, tau)[0]))

        return jnp.sum(jnp.stack([jnp.sum(_stacked(one, factors)(factors)) for factors in self.factors]))

    def _mapped(self, function: Callable[..., Array], vector: list[Array]) -> list[Array]:
        result = list(vector)
        for layer, factors in zip(self.layers.value, self.factors):
            layer.put(_stacked(function, factors)(factors, layer.matrix(vector)), result)
        return result

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """In the eigenbases of both factors."""

        def one(factors: KroneckerFactors, matrix: Array) -> Array:
            values, left, right = _eigen(factors, tau)
            return left @ ((left.T @ matrix @ right) / values) @ right.T

        return self._mapped(one, vector)

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """The symmetric root."""

        def one(factors: KroneckerFactors, matrix: Array) -> Array:
            values, left, right = _eigen(factors, tau)
            return left @ ((left.T @ matrix @ right) / jnp.sqrt(values)) @ right.T

        return self._mapped(one, noise)


def kronecker(params: Params) -> KroneckerCurvature:
    """An empty `KroneckerCurvature`; a matrix may be a stack, `[layers, inputs, outputs]`, if `plus` fills it."""
    layers = layers_of(params)
    leaves = numbers_of(params)

    def empty(layer: Layer) -> KroneckerFactors:
        kind = widest(*leaves)
        *stack, d, m = jax.eval_shape(lambda: layer.matrix(leaves)).shape
        return KroneckerFactors(*(jnp.zeros(shape, kind) for shape in ((*stack, d, d), (*stack, m, m), tuple(stack))))

    return KroneckerCurvature(tuple(empty(layer) for layer in layers), Static(layers))


def _eigen(factors: KroneckerFactors, tau: Float[Array, ""]) -> tuple[Array, Array, Array]:
    inputs, input_basis = jnp.linalg.eigh(factors.inputs)
    outputs, output_basis = jnp.linalg.eigh(factors.outputs)
    inputs, outputs = jnp.maximum(inputs, 0), jnp.maximum(outputs, 0)
    values = inputs[:, None] * outputs[None, :] / jnp.maximum(factors.count, 1)
    return values + tau, input_basis, output_basis


def _stacked(function: Callable[..., Array], factors: KroneckerFactors) -> Callable[..., Array]:
    """A function of one matrix's arrays, for a stack of matrices if there is one: one after another."""
    if factors.count.ndim == 0:
        return function
    return lambda *arrays: jax.lax.map(lambda one: function(*one), arrays)


class ColumnCurvature(NamedTuple):
    """A block a column of each layer: `outputs * inputs^2` numbers; columns are independent of each other.

    Attributes:
        blocks: of each layer.
        layers: where the layers are among the leaves; no arrays.
    """

    blocks: tuple[Float[Array, "outputs inputs inputs"], ...]
    layers: Static

    def add(self, rng_key: Key[Array, ""], batch: Batch) -> "ColumnCurvature":
        """Exact within a column where a layer sees one row an example."""
        del rng_key
        tapped = run_tapped(lambda leaves: batch.function(leaves, batch.inputs), batch.leaves, self.layers.value)
        if _is_last(tapped, batch):
            squares = jnp.sum(batch.roots**2, axis=-1)
            weights = [squares.reshape(squares.shape[0], -1)]
        else:
            weights = sum_over(
                batch.num_roots, lambda j: [_rows(g) ** 2 for g in tapped.pull(_like_outputs(batch.root(j), batch))]
            )
        blocks = []
        for layer, old, x, squares in zip(self.layers.value, self.blocks, tapped.inputs, weights):
            inputs = _with_one(layer, x, _kept(layer, x, batch))
            blocks.append(old + _map(lambda w, x=inputs: (x * w[:, None]).T @ x, squares.T))
        return self._replace(blocks=tuple(blocks))

    def _factors(self, tau: Float[Array, ""]) -> list[Array]:
        return [jnp.linalg.cholesky(block + tau * jnp.eye(block.shape[-1])[None]) for block in self.blocks]

    def log_det(self, tau: Float[Array, ""]) -> Float[Array, ""]:
        """By Cholesky."""
        return jnp.sum(jnp.stack([2 * jnp.sum(jnp.log(jnp.diagonal(f, axis1=1, axis2=2))) for f in self._factors(tau)]))

    def _mapped(self, function: Callable[..., Array], tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        result = list(vector)
        for layer, factor in zip(self.layers.value, self._factors(tau)):
            layer.put(jax.vmap(function)(factor, layer.matrix(vector).T).T, result)
        return result

    def solve(self, tau: Float[Array, ""], vector: list[Array]) -> list[Array]:
        """By Cholesky."""
        return self._mapped(lambda lower, v: jax.scipy.linalg.cho_solve((lower, True), v), tau, vector)

    def colour(self, tau: Float[Array, ""], noise: list[Array]) -> list[Array]:
        """By Cholesky."""
        return self._mapped(
            lambda lower, v: jax.scipy.linalg.solve_triangular(lower, v, lower=True, trans=1), tau, noise
        )


def columns(params: Params) -> ColumnCurvature:
    """An empty `ColumnCurvature`."""
    layers = layers_of(params)
    leaves = numbers_of(params)
    shapes = [jax.eval_shape(lambda layer=layer: layer.matrix(leaves)).shape for layer in layers]
    return ColumnCurvature(tuple(jnp.zeros((m, d, d), widest(*leaves)) for d, m in shapes), Static(layers))


def _is_last(tapped: Tapped, batch: Batch) -> bool:
    """Whether the only layer's outputs are those of the model, arranged otherwise at most: no pass a root is needed."""
    program = jax.make_jaxpr(tapped.pull)(batch.outputs).jaxpr
    harmless = {"reshape", "convert_element_type", "squeeze", "copy"}
    return len(tapped.inputs) == 1 and all(eqn.primitive.name in harmless for eqn in program.eqns)


def _block_diagonal(blocks: Float[Array, "tasks event event"]) -> Float[Array, "outputs outputs"]:
    tasks, event, _ = blocks.shape
    apart = jnp.eye(tasks, dtype=blocks.dtype)[:, None, :, None]
    return (apart * blocks[:, :, None, :]).reshape(tasks * event, tasks * event)


def _map(function: Callable[[Array], Array], arrays: Array) -> Array:
    return jax.lax.map(function, arrays, batch_size=min(_OUTPUTS_AT_ONCE, arrays.shape[0]))


def _rows(x: Array) -> Array:
    """As rows, in at least single precision, in which their products are summed."""
    return wide(x.reshape(-1, x.shape[-1]))


def _like_outputs(root: Array, batch: Batch) -> Array:
    return root.reshape(batch.outputs.shape).astype(batch.outputs.dtype)


def _kept(layer: Layer, inputs: Array, batch: Batch) -> Bool[Array, " rows"]:
    """Rows of a layer's inputs whose example counts."""
    if batch.rows is None:
        return jnp.ones(num_rows(inputs), bool)
    if inputs.ndim < 2 or inputs.shape[0] != batch.rows.shape[0]:
        raise OptionError(
            f"the inputs of {layer.path!r} have shape {inputs.shape}, without the examples first; a mask cannot be used"
        )
    each = num_rows(inputs) // inputs.shape[0]
    return jnp.repeat(batch.rows, each)


def _with_one(layer: Layer, inputs: Array, rows: Bool[Array, " rows"]) -> Float[Array, "rows inputs"]:
    """Inputs as rows, a one appended for the bias, zero where they do not count."""
    flat = _rows(inputs)
    if layer.bias is not None:
        flat = jnp.concatenate([flat, jnp.ones((flat.shape[0], 1), flat.dtype)], axis=1)
    return jnp.where(rows[:, None], flat, jnp.zeros_like(flat))
