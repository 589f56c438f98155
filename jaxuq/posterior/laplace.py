r"""Laplace approximation of a last layer: a Gaussian around trained weights with the curvature of the loss.

$p(W \mid D) \approx \mathcal{N}(W^*, (H + \tau I)^{-1})$, $H$ the generalised Gauss-Newton matrix of the summed
negative log likelihood and $\tau$ the precision of the prior $\mathcal{N}(0, \tau^{-1} I)$.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, Shaped

from jaxuq.posterior import _curvature
from jaxuq.posterior._draws import normal_like, sample_keys
from jaxuq.posterior._likelihood import Likelihood, check_likelihood, log_likelihood, output_curvature
from jaxuq.posterior._model import ApplyFn, Params, Samples, bind_parameters
from jaxuq.posterior.bbp import dense

Structure = Literal["full", "kronecker", "diagonal"]


class LaplaceState(NamedTuple):
    """A layer's weights and what the data say about them.

    Attributes:
        params: the trained layer, `{"kernel": [features, outputs], "bias": [outputs]}`; the bias may be missing.
        curvature: H in the chosen structure, without the prior.
        log_likelihood: of all data at `params`, nats.
        prior_precision: tau; change it with `state._replace(prior_precision=...)`, no new pass over the data is needed.
    """

    params: Params
    curvature: Any
    log_likelihood: Float[Array, ""]
    prior_precision: Float[Array, ""]


class Laplace(NamedTuple):
    """The functions of `laplace`.

    Attributes:
        init: `init(dense_params) -> state` that has seen no data.
        update: `update(state, features, labels, *, where=None) -> state` that has seen one more batch.
        sample: `sample(rng_key, state, num_samples) -> dense parameters` with a leading sample axis.
        linearised: `linearised(state, features) -> (mean, variance)` of every output, `[batch, outputs]` each.
        log_marginal_likelihood: `log_marginal_likelihood(state, prior_precision=None)`, nats; None for the state's own.
        bind: `bind(apply_fn, state)` is `apply_fn`, the plain dense layer.
    """

    init: Callable[[Params], LaplaceState]
    update: Callable[..., LaplaceState]
    sample: Callable[[Key[Array, ""], LaplaceState, int], Samples]
    linearised: Callable[..., tuple[Array, Array]]
    log_marginal_likelihood: Callable[..., Float[Array, ""]]
    bind: Callable[[ApplyFn, LaplaceState], ApplyFn]


def laplace(
    likelihood: Likelihood,
    structure: Structure = "kronecker",
    *,
    prior_precision: float = 1.0,
    noise_scale: float | None = None,
) -> Laplace:
    r"""Last-layer Laplace approximation, streamed over batches.

    $H = \sum_n (\tilde\phi_n \tilde\phi_n^\top) \otimes \Lambda_n$ with the last layer's inputs $\tilde\phi$ (a one
    appended for the bias) and the Fisher information $\Lambda_n$ of the likelihood in the outputs: $1/\sigma^2$ for a
    Gaussian mean, $p(1-p)$ for a logit, $\mathrm{diag}(p) - pp^\top$ for a softmax.

    Use it after training, on weights at a mode: one pass over the training features, no change to the network. With a
    known noise it is the exact posterior of Bayesian linear regression (`"full"`). The mode should be that of the same
    prior (weight decay $\tau / N$ on the mean loss); `log_marginal_likelihood` compares values of $\tau$.

    - `"full"`: `outputs * features^2` numbers for Gaussian and Bernoulli heads, whose outputs do not interact, and
      `(classes * features)^2` for a categorical head.
    - `"kronecker"`: $A \otimes B / N$, `features^2 + outputs^2` numbers; exact when all
      $\Lambda_n$ are equal.
    - `"diagonal"`: one number per weight; ignores all correlations, so variances are too small.

    No Jacobian of a batch is ever formed: beyond the state, `update` holds a few copies of the batch's features
    (`batch * classes^2` numbers besides for a categorical head).

    Args:
        likelihood: `"gaussian"`, outputs `[tasks, 2]` flattened: mean, raw variance of task one, of task two, ... (see
            `summarise`), or `tasks` means when `noise_scale` is given; `"bernoulli"`; `"categorical"`.
        structure: `"full"`, `"kronecker"` or `"diagonal"`.
        prior_precision: $\tau > 0$, the inverse variance of the prior on every weight and bias.
        noise_scale: standard deviation of the labels' noise, the same for all; only with `"gaussian"`.

    Returns:
        `Laplace(init, update, sample, linearised, log_marginal_likelihood, bind)`. Labels are `[batch, tasks]`, or
        integers `[batch]` for `"categorical"`; `where` has their shape, and masked labels (and the features of rows
        without any) may hold anything. `linearised` gives the outputs' posterior: for a Gaussian head its variance is
        the epistemic part alone.

    Raises:
        ValueError: on an unknown likelihood or structure, or a number out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = laplace("bernoulli", "full")
        >>> state = method.init({"kernel": jnp.array([[2.0], [0.0]]), "bias": jnp.zeros(1)})
        >>> features = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
        >>> state = method.update(state, features, jnp.array([[1.0], [0.0]]))
        >>> mean, variance = method.linearised(state, jnp.array([[1.0, 0.0], [1.0, 5.0]]))
        >>> variance[:, 0].round(1)  # the second feature was never seen: only the prior speaks about it
        Array([ 1.7, 26.7], dtype=float32)
        >>> method.sample(jax.random.key(0), state, 30)["kernel"].shape
        (30, 2, 1)

    References:
        MacKay. A practical Bayesian framework for backpropagation networks. Neural Computation 1992, Eq. 12.
        Ritter, Botev, Barber. A scalable Laplace approximation for neural networks. ICLR 2018, Eq. 9.
        Daxberger, Kristiadi, Immer, Eschenhagen, Bauer, Hennig. Laplace redux: effortless Bayesian deep learning.
        NeurIPS 2021, Eq. 2, 4 and 7.
    """
    check_likelihood(likelihood)
    if structure not in get_args(Structure):
        raise ValueError(f"structure is {structure!r}; expected one of {', '.join(get_args(Structure))}")
    if prior_precision <= 0:
        raise ValueError(f"prior_precision is {prior_precision}; expected a positive number")
    if noise_scale is not None and (likelihood != "gaussian" or noise_scale <= 0):
        raise ValueError(
            f"noise_scale is {noise_scale} for {likelihood!r}; it must be positive, and only for 'gaussian'"
        )
    curvature = {
        "full": lambda: _curvature.full(interacting=likelihood == "categorical"),
        "kronecker": _curvature.kronecker,
        "diagonal": _curvature.diagonal,
    }[structure]()

    def init(params: Params) -> LaplaceState:
        features, outputs = params["kernel"].shape
        empty = curvature.zeros(features + ("bias" in params), outputs)
        return LaplaceState(params, empty, jnp.zeros(()), jnp.asarray(prior_precision, jnp.float32))

    def update(
        state: LaplaceState,
        features: Float[Array, "batch features"],
        labels: Shaped[Array, "batch *tasks"],
        *,
        where: Bool[Array, "batch *tasks"] | None = None,
    ) -> LaplaceState:
        where = jnp.ones(labels.shape, bool) if where is None else where
        rows = jnp.any(where, axis=tuple(range(1, where.ndim)))
        features = jnp.where(rows[:, None], features, jnp.zeros_like(features))
        outputs = dense(state.params, features)
        weights = output_curvature(outputs, likelihood, noise_scale)
        if likelihood == "categorical":
            kept = rows[:, None, None]
        else:
            kept = jnp.repeat(where, weights.shape[1] // where.shape[1], axis=1)
        weights = jnp.where(kept, weights, jnp.zeros_like(weights))
        inputs = jnp.where(rows[:, None], _inputs(state, features), 0.0)
        return state._replace(
            curvature=curvature.add(state.curvature, inputs, weights, rows),
            log_likelihood=state.log_likelihood + log_likelihood(outputs, labels, likelihood, noise_scale, where),
        )

    def sample(rng_key: Key[Array, ""], state: LaplaceState, num_samples: int) -> Samples:
        whole = _weights(state.params)
        noise = jax.vmap(lambda key: normal_like(key, whole))(sample_keys(rng_key, num_samples))
        drawn = whole[None] + curvature.colour(state.curvature, state.prior_precision, noise)
        return {"kernel": drawn[:, :-1], "bias": drawn[:, -1]} if "bias" in state.params else {"kernel": drawn}

    def linearised(
        state: LaplaceState, features: Float[Array, "batch features"]
    ) -> tuple[Float[Array, "batch outputs"], Float[Array, "batch outputs"]]:
        variance = curvature.variance(state.curvature, state.prior_precision, _inputs(state, features))
        return dense(state.params, features), variance

    def log_marginal_likelihood(
        state: LaplaceState, prior_precision: Float[Array, ""] | float | None = None
    ) -> Float[Array, ""]:
        tau = jnp.asarray(state.prior_precision if prior_precision is None else prior_precision, jnp.float32)
        whole = _weights(state.params)
        log_prior = 0.5 * (whole.size * jnp.log(tau) - tau * jnp.sum(whole**2))
        return state.log_likelihood + log_prior - 0.5 * curvature.log_det(state.curvature, tau)

    return Laplace(init, update, sample, linearised, log_marginal_likelihood, bind_parameters)


def _weights(params: Params) -> Float[Array, "inputs outputs"]:
    """Kernel and bias as one matrix, the bias as its last row."""
    return jnp.concatenate([params["kernel"], params["bias"][None]]) if "bias" in params else params["kernel"]


def _inputs(state: LaplaceState, features: Float[Array, "batch features"]) -> Float[Array, "batch inputs"]:
    if "bias" not in state.params:
        return features
    return jnp.concatenate([features, jnp.ones((len(features), 1), features.dtype)], axis=1)
