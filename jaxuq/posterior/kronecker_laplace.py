r"""Laplace approximation of many matrices at once, each with a Kronecker-factored curvature: for low-rank adapters.

$p(\theta \mid D) \approx \prod_m \mathcal{N}(W_m^*, (A_m \otimes B_m / N + \tau I)^{-1})$, matrix by matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from jaxuq.posterior import _curvature
from jaxuq.posterior._curvature import KroneckerFactors
from jaxuq.posterior._draws import normal_like, sample_keys
from jaxuq.posterior._model import ApplyFn, Params, Samples


class KroneckerLaplaceState(NamedTuple):
    """Trained matrices and what the data say about them.

    Attributes:
        params: a pytree of matrices `[inputs, outputs]`, or of stacks of them, `[layers, inputs, outputs]`.
        factors: the same pytree of `KroneckerFactors`.
        log_likelihood: of all data at `params`, nats.
        prior_precision: tau; change it with `state._replace(prior_precision=...)`.
    """

    params: Params
    factors: PyTree
    log_likelihood: Float[Array, ""]
    prior_precision: Float[Array, ""]


class KroneckerLaplace(NamedTuple):
    """The functions of `kronecker_laplace`.

    Attributes:
        init: `init(params) -> state` that has seen no data.
        update: `update(state, factors, log_likelihood) -> state` that has seen one more batch.
        sample: `sample(rng_key, state, num_samples) -> params` with a leading sample axis.
        log_marginal_likelihood: `log_marginal_likelihood(state, prior_precision=None)`, nats.
        bind: `bind(apply_fn, state)`: the model linearised at the trained matrices, to be read with samples.
    """

    init: Callable[[Params], KroneckerLaplaceState]
    update: Callable[..., KroneckerLaplaceState]
    sample: Callable[[Key[Array, ""], KroneckerLaplaceState, int], Samples]
    log_marginal_likelihood: Callable[..., Float[Array, ""]]
    bind: Callable[[ApplyFn, KroneckerLaplaceState], ApplyFn]


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
    kept = jnp.ones(inputs.shape[0], bool) if where is None else where
    inputs = jnp.where(kept[:, None], inputs, 0.0)
    gradients = jnp.where(jnp.broadcast_to(kept[:, None], gradients.shape), gradients, 0.0)
    flat = gradients.reshape(-1, gradients.shape[-1])
    return KroneckerFactors(inputs.T @ inputs, flat.T @ flat, jnp.sum(kept, dtype=inputs.dtype))


def kronecker_laplace(*, prior_precision: float = 1.0) -> KroneckerLaplace:
    r"""Laplace approximation with one Kronecker product for each matrix of a pytree.

    Use it for trained low-rank adapters (see `jaxuq.tuning.adapter_factors`, which computes the factors of a decoder),
    or for any network whose layers' inputs and output gradients can be had. `bind` gives the linearised model
    $f(x; \theta^*) + J (\theta_s - \theta^*)$, whose outputs under samples follow $\mathcal{N}(f, J P^{-1} J^\top)$
    exactly; each sample costs one forward-mode derivative and no Jacobian is formed. To put samples into the network
    itself, pass the unbound function.

    The state holds `inputs^2 + outputs^2` numbers a matrix. Matrices are independent of each other, and so are rows of
    different tokens: both are approximations. The adapters' product does not change under $A G, G^{-1} B$; the prior
    alone decides there.

    Args:
        prior_precision: $\tau > 0$ of the prior $\mathcal{N}(0, \tau^{-1})$ on every number.

    Returns:
        `KroneckerLaplace(init, update, sample, log_marginal_likelihood, bind)`.

    Raises:
        ValueError: a `prior_precision` that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = kronecker_laplace(prior_precision=2.0)
        >>> state = method.init({"a": jnp.ones((3, 2))})
        >>> deviation = method.sample(jax.random.key(0), state, 1000)["a"].std()  # no data: the prior's, 0.707
        >>> bool(abs(deviation - 0.707) < 0.02)
        True

    References:
        A. X. Yang, M. Robeyns, X. Wang, L. Aitchison, "Bayesian Low-Rank Adaptation for Large Language Models", ICLR
        2024, Eq. 8 to 12.
        H. Ritter, A. Botev, D. Barber, "A Scalable Laplace Approximation for Neural Networks", ICLR 2018, Eq. 9.
        A. Immer, M. Korzepa, M. Bauer, "Improving Predictions of Bayesian Neural Nets via Local Linearization", AISTATS
        2021 (why the linearised model is read).
    """
    if prior_precision <= 0:
        raise ValueError(f"prior_precision is {prior_precision}; expected a positive number")
    curvature = _curvature.kronecker()

    def per_matrix(function: Callable, factors: PyTree, *trees: PyTree) -> PyTree:
        return jax.tree.map(function, factors, *trees, is_leaf=lambda leaf: isinstance(leaf, KroneckerFactors))

    def of_stack(function: Callable, leaf: Array) -> Callable:
        """A function of one matrix's arrays, for a stack of matrices if the leaf is one: one after another."""
        return function if leaf.ndim == 2 else lambda *arrays: jax.lax.map(lambda one: function(*one), arrays)

    def init(params: Params) -> KroneckerLaplaceState:
        def zeros(leaf: Array) -> KroneckerFactors:
            one = curvature.zeros(*leaf.shape[-2:])
            return jax.tree.map(lambda x: jnp.zeros((*leaf.shape[:-2], *x.shape), x.dtype), one)

        factors = jax.tree.map(zeros, params)
        return KroneckerLaplaceState(params, factors, jnp.zeros(()), jnp.asarray(prior_precision, jnp.float32))

    def update(
        state: KroneckerLaplaceState, factors: PyTree, log_likelihood: Float[Array, ""]
    ) -> KroneckerLaplaceState:
        return state._replace(
            factors=jax.tree.map(jnp.add, state.factors, factors),
            log_likelihood=state.log_likelihood + log_likelihood,
        )

    def sample(rng_key: Key[Array, ""], state: KroneckerLaplaceState, num_samples: int) -> Samples:
        noise = jax.vmap(lambda key: normal_like(key, state.params))(sample_keys(rng_key, num_samples))

        def colour(factors: KroneckerFactors, white: Array) -> Array:
            return curvature.colour(factors, state.prior_precision, white)

        def draw(factors: KroneckerFactors, leaf: Array, white: Array) -> Array:
            layers_first = white if leaf.ndim == 2 else jnp.swapaxes(white, 0, 1)
            coloured = of_stack(colour, leaf)(factors, layers_first)
            return leaf[None] + (coloured if leaf.ndim == 2 else jnp.swapaxes(coloured, 0, 1))

        return per_matrix(draw, state.factors, state.params, noise)

    def log_marginal_likelihood(
        state: KroneckerLaplaceState, prior_precision: Float[Array, ""] | float | None = None
    ) -> Float[Array, ""]:
        tau = jnp.asarray(state.prior_precision if prior_precision is None else prior_precision, jnp.float32)

        def log_det(factors: KroneckerFactors, leaf: Array) -> Array:
            return jnp.sum(of_stack(lambda one: curvature.log_det(one, tau), leaf)(factors))

        log_dets = jax.tree.leaves(per_matrix(log_det, state.factors, state.params))
        leaves = jax.tree.leaves(state.params)
        squares = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in leaves]))
        log_prior = 0.5 * (sum(leaf.size for leaf in leaves) * jnp.log(tau) - tau * squares)
        return state.log_likelihood + log_prior - 0.5 * jnp.sum(jnp.stack(log_dets))

    def bind(apply_fn: ApplyFn, state: KroneckerLaplaceState) -> ApplyFn:
        def linearised(params: Params, inputs: PyTree) -> Array:
            change = jax.tree.map(jnp.subtract, params, state.params)
            outputs, slope = jax.jvp(lambda theta: apply_fn(theta, inputs), (state.params,), (change,))
            return outputs + slope

        return linearised

    return KroneckerLaplace(init, update, sample, log_marginal_likelihood, bind)
