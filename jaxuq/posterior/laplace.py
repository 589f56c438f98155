r"""Laplace approximation: a Gaussian around trained parameters with the curvature of the loss.

$p(\theta \mid D) \approx \mathcal{N}(\theta^*, (H + \tau I)^{-1})$, $H$ the generalised Gauss-Newton matrix of the
summed negative log likelihood and $\tau$ the precision of the prior $\mathcal{N}(0, \tau^{-1} I)$.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from jaxuq._arrays import widest
from jaxuq._meshes import vary_like, whole
from jaxuq._options import check_choice, check_number
from jaxuq.posterior._draws import draw_each, normal_like
from jaxuq.posterior._ggn import make_batch
from jaxuq.posterior._model import (
    ApplyFn,
    Params,
    Samples,
    freeze,
    freeze_numbers,
    map_numbers,
    split_numbers,
    thaw,
    wide,
)
from jaxuq.posterior._rows import kept_rows, without_rows
from jaxuq.posterior.curvature import Curvature, diagonal, full, low_rank, numbers_of
from jaxuq.posterior.draws import Draws
from jaxuq.posterior.kronecker import columns, kronecker
from jaxuq.posterior.likelihood import Likelihood, total_log_prob
from jaxuq.posterior.likelihoods import likelihood_of
from jaxuq.posterior.method import Method

STRUCTURES: dict[str, Callable[[Params], Any]] = {
    "full": full,
    "columns": columns,
    "kronecker": kronecker,
    "diagonal": diagonal,
    "low_rank": low_rank(20),
}
"""By the name that `laplace` takes; each makes an empty curvature from parameters."""


class LaplaceState(NamedTuple):
    """Trained parameters and what the data say about them.

    Attributes:
        params: the trained parameters.
        curvature: H in the chosen structure, without the prior.
        log_likelihood: of all data at `params`, nats.
        prior_precision: tau; `best_prior` chooses it, no new pass over the data is needed.
    """

    params: Params
    curvature: Curvature
    log_likelihood: Float[Array, ""]
    prior_precision: Float[Array, ""]


def laplace(
    likelihood: str | Likelihood,
    structure: str | Callable[[Params], Any] = "kronecker",
    *,
    prior_precision: float = 1.0,
    linearised: bool = True,
) -> Method:
    r"""Laplace approximation of any model, streamed over batches.

    $H = \sum_n J_n^\top \Lambda_n J_n$ with the Jacobian $J_n$ of the outputs and the Fisher information $\Lambda_n$ of
    the likelihood in them: $1/\sigma^2$ for a Gaussian mean, $p(1-p)$ for a logit, $\mathrm{diag}(p) - pp^\top$ for a
    softmax. It is formed from products with vectors; no Jacobian of outputs by parameters exists, nor in prediction. On
    a mesh with explicit axes every device holds the batch of an update whole: make batches as small as one can hold.

    Use it after training, on parameters at a mode: one pass over the training data, no change to the network. The mode
    should be that of the same prior (weight decay $\tau / N$ on the mean loss); `best_prior` chooses $\tau$ by the
    marginal likelihood. All parameters, or through `on_part` a last layer or any subnetwork.

    - `"full"`: the whole matrix, parameters squared. In linear regression with known noise the exact posterior.
    - `"columns"`: a block a column of each dense layer (bias included), `outputs * inputs^2` numbers; for a last layer
      whose outputs do not interact (Gaussian, Bernoulli) it is the whole matrix.
    - `"kronecker"`: $A \otimes B / N$ a layer, `inputs^2 + outputs^2` numbers. Kernel and bias are one matrix (a one is
      appended to the inputs), so the form is exact when all $\Lambda_n$ are equal, as in regression; libraries that
      split the bias off lose its covariance with the kernel.
    - `"diagonal"`: a number a parameter; ignores all correlations, so variances are too small.
    - `"low_rank"`, or `low_rank(rank)`: leading eigenvectors by Lanczos, the prior elsewhere; for networks as they are.

    `"columns"` and `"kronecker"` know dense layers, found in the program of the model whatever library it is from: a
    matrix, with the vector beside it in the tree that is its bias. An own structure is a function that makes an empty
    one from parameters; see `jaxuq.posterior.curvature`.

    Args:
        likelihood: a name or a record; outputs are read as by `summarise`, and `gaussian(noise_scale)` has known noise.
        structure: a name in `STRUCTURES`, or what makes an empty curvature.
        prior_precision: $\tau > 0$, the inverse variance of the prior on every parameter.
        linearised: samples are read by $f(x; \theta^*) + J (\theta - \theta^*)$, the model for which $H$ is exact, at
            the cost of one forward-mode derivative each; False puts them into the network itself, which can be far off.

    Returns:
        A `Method` that observes data: `update(rng_key, state, apply_fn, inputs, labels, where=None)`. `where` has the
        labels' shape; masked labels, and the inputs of rows without any, may hold anything. Samples are `Draws`
        (`.varying` are the parameters), or parameters if not `linearised`.

    Raises:
        OptionError: an unknown likelihood or structure, a number out of range, or a leaf that the structure does not
            know.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.posterior import dense, predict_forecast
        >>> method = laplace("bernoulli", "full")
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.array([[2.0], [0.0]]), "bias": jnp.zeros(1)})
        >>> inputs, labels = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.array([[1.0], [0.0]])
        >>> state = method.update(jax.random.key(1), state, dense, inputs, labels)
        >>> variance = output_variance(state, dense, jnp.array([[1.0, 0.0], [1.0, 5.0]]))
        >>> variance[:, 0].round(1)  # the second feature was never seen: only the prior speaks about it
        Array([ 1.7, 26.7], dtype=float32)
        >>> predict_forecast(dense, method.sample(jax.random.key(2), state, 30), inputs, "bernoulli").logits.shape
        (2, 1)

    References:
        MacKay. A practical Bayesian framework for backpropagation networks. Neural Computation 1992, Eq. 12.
        Ritter, Botev, Barber. A scalable Laplace approximation for neural networks. ICLR 2018, Eq. 9.
        Immer, Korzepa, Bauer. Improving predictions of Bayesian neural nets via local linearization. AISTATS 2021.
        Daxberger, Kristiadi, Immer, Eschenhagen, Bauer, Hennig. Laplace redux: effortless Bayesian deep learning.
        NeurIPS 2021, Eq. 2, 4 and 7.
    """
    read = likelihood_of(likelihood)
    if not callable(structure):
        check_choice("structure", structure, tuple(STRUCTURES))
        structure = STRUCTURES[structure]
    check_number("prior_precision", prior_precision, 0.0, open_low=True)

    def init(rng_key: Key[Array, ""], params: Params) -> LaplaceState:
        del rng_key
        params = freeze_numbers(params)
        kind = widest(*numbers_of(params))
        return LaplaceState(params, structure(params), jnp.zeros((), kind), jnp.asarray(prior_precision, kind))

    def update(
        rng_key: Key[Array, ""],
        state: LaplaceState,
        apply_fn: ApplyFn,
        inputs: PyTree[Shaped[Array, "batch ..."]],
        labels: Shaped[Array, "batch *tasks"],
        *,
        where: Bool[Array, "batch *tasks"] | None = None,
    ) -> LaplaceState:
        if not labels.shape[0]:
            return state  # nothing was seen
        inputs, labels, where = jax.tree.map(whole, (inputs, labels, where))
        rows = kept_rows(labels, where)
        batch = make_batch(read, apply_fn, state.params, without_rows(inputs, rows), rows, where, labels.ndim)
        return state._replace(
            curvature=state.curvature.add(rng_key, batch),
            log_likelihood=state.log_likelihood + total_log_prob(read, batch.outputs, labels, where),
        )

    def sample(rng_key: Key[Array, ""], state: LaplaceState, num_samples: int) -> Samples:
        def one(key: Key[Array, ""], state: LaplaceState) -> Params:
            noise, _ = split_numbers(normal_like(key, state.params))
            moved = iter(state.curvature.colour(state.prior_precision, [wide(leaf) for leaf in noise]))
            return map_numbers(lambda leaf: leaf + next(moved).astype(leaf.dtype), state.params)

        drawn = draw_each(one, rng_key, state, num_samples)
        return Draws(drawn, state.params, linearised_at) if linearised else thaw(drawn)

    return Method(init, update, sample, "data")


def linearised_at(apply_fn: ApplyFn, centre: Params) -> ApplyFn:
    r"""The model linearised in its parameters, $f(x; \theta^*) + J(x)(\theta - \theta^*)$: a reader of `Draws`.

    Args:
        apply_fn: the model.
        centre: $\theta^*$.

    Returns:
        A model of the same arguments, exact where the model is linear in its parameters. One forward-mode derivative is
        taken a call; no Jacobian is formed.

    Example:
        >>> import jax.numpy as jnp
        >>> linearised_at(lambda w, x: w * w * x, jnp.ones(1))(jnp.array([3.0]), jnp.array([10.0]))  # 10 + 20 (3 - 1)
        Array([50.], dtype=float32)
    """
    start, filled = split_numbers(freeze(centre))

    def apply(params: Params, inputs: PyTree, **options: Any) -> Array:
        moved, _ = split_numbers(freeze(params))
        change = [(new - old).astype(old.dtype) for new, old in zip(moved, start)]
        outputs, slope = jax.jvp(lambda numbers: apply_fn(filled(numbers), inputs, **options), (start,), (change,))
        return outputs + slope

    return apply


def log_marginal_likelihood(
    state: LaplaceState, prior_precision: Float[Array, ""] | float | None = None
) -> Float[Array, ""]:
    r"""Laplace's approximation of the evidence, nats.

    $\log p(D \mid \tau) \approx \log p(D \mid \theta^*) + \log p(\theta^* \mid \tau) + \frac{P}{2} \log 2\pi -
    \frac12 \log \det (H + \tau I)$; exact in linear regression with known noise, at the mode of that $\tau$.

    Args:
        state: of `laplace`, after all data.
        prior_precision: $\tau$; None for the state's own.

    Returns:
        A scalar, differentiable in $\tau$; NaN where single precision cannot hold $H + \tau I$.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> state = laplace("gaussian", "diagonal").init(jax.random.key(0), jnp.zeros(3))
        >>> print(log_marginal_likelihood(state, 2.0))  # no data: nothing was said
        0.0

    References:
        MacKay. Bayesian interpolation. Neural Computation 1992, Eq. 4.7.
        Immer, Bauer, Fortuin, Rätsch, Khan. Scalable marginal likelihood estimation for model selection in deep
        learning. ICML 2021.
    """
    tau = jnp.asarray(
        state.prior_precision if prior_precision is None else prior_precision, state.prior_precision.dtype
    )
    leaves = [wide(leaf) for leaf in numbers_of(state.params)]
    squares = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in leaves]))
    log_prior = 0.5 * (sum(leaf.size for leaf in leaves) * jnp.log(tau) - tau * squares)
    return state.log_likelihood + log_prior - 0.5 * state.curvature.log_det(tau)


def best_prior(
    state: LaplaceState, precisions: Sequence[float] | Float[Array, " precisions"] | None = None
) -> LaplaceState:
    """The state with the prior precision of highest marginal likelihood.

    Args:
        state: of `laplace`, after all data.
        precisions: candidates; None for 57 from 1e-4 to 1e10, four a decade.

    Returns:
        The state with its `prior_precision` replaced; NaN where no candidate has an evidence, as after a label that is
        no label.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = laplace("bernoulli")
        >>> layer = {"kernel": jnp.full((4, 1), 0.1)}
        >>> state = best_prior(method.init(jax.random.key(0), layer), [1.0, 100.0])
        >>> print(state.prior_precision)  # without data any is as good as another: the first
        1.0
    """
    if precisions is None:
        precisions = tuple(np.geomspace(1e-4, 1e10, 57).tolist())
    candidates = jnp.asarray(precisions, state.prior_precision.dtype)
    evidence = jax.lax.map(lambda tau: log_marginal_likelihood(state, tau), candidates)
    known = ~jnp.isnan(evidence)  # not of a prior too weak for single precision
    best = candidates[jnp.argmax(jnp.where(known, evidence, -jnp.inf))]
    return state._replace(prior_precision=jnp.where(jnp.any(known), best, jnp.nan))


def output_variance(
    state: LaplaceState, apply_fn: ApplyFn, inputs: PyTree[Shaped[Array, "n ..."]]
) -> Float[Array, "n *outputs"]:
    r"""The variance of every output of the linearised model, without sampling: the diagonal of $J (H + \tau I)^{-1}
    J^\top$.

    Use it for a few outputs; each of each example costs a backward pass and a solution, and examples are taken in turn,
    on a mesh by every device. For a Gaussian likelihood the mean's variance is the epistemic part.

    Args:
        state: of `laplace`.
        apply_fn: the model.
        inputs: any pytree of arrays with the examples first.

    Returns:
        Variances in the shape of the outputs.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> state = laplace("gaussian", "diagonal", prior_precision=4.0).init(jax.random.key(0), jnp.zeros(2))
        >>> output_variance(state, lambda w, x: x @ w, jnp.array([[1.0, 1.0], [0.0, 2.0]]))  # the prior's
        Array([0.5, 1. ], dtype=float32)
    """
    leaves, filled = split_numbers(state.params)

    def of_example(one: Any) -> Array:
        row = jax.tree.map(lambda leaf: leaf[None], one)
        outputs, pull = jax.vjp(lambda numbers: apply_fn(filled(numbers), row)[0], vary_like(leaves, row))
        flat = outputs.size

        def of_output(number: Array) -> Array:
            cotangent = (jnp.arange(flat) == number).astype(outputs.dtype).reshape(outputs.shape)
            (gradient,) = pull(vary_like(cotangent, outputs))
            gradient = [wide(leaf) for leaf in gradient]
            solved = state.curvature.solve(state.prior_precision, gradient)
            return jnp.sum(jnp.stack([jnp.sum(a * b) for a, b in zip(gradient, solved)]))

        return jax.lax.map(of_output, jnp.arange(flat)).reshape(outputs.shape)

    return jax.lax.map(of_example, jax.tree.map(whole, inputs))
