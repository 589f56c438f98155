r"""Bayes by Backprop for a dense layer: a factorised Gaussian over its weights, trained by gradients.

$q(W) = \prod_{ij} \mathcal{N}(W_{ij}; \mu_{ij}, \sigma_{ij}^2)$, $\sigma = 10^{-6} + \mathrm{softplus}(\rho)$, trained
on $\mathrm{KL}(q \,\|\, p) - \mathbb{E}_q[\log p(D \mid W)]$ with noise drawn for the activations.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq.posterior._draws import normal_like, sample_keys
from jaxuq.posterior._model import ApplyFn, Params, Samples, bind_parameters

Convention = Literal["paper", "muben"]


class BBPState(NamedTuple):
    """Variational parameters; a pytree of floating arrays to be trained by any optimiser.

    Attributes:
        mean: $\\mu$ of `kernel` and, where the layer has one, `bias`.
        raw_scale: $\\rho$ of the same; the standard deviation is `1e-6 + softplus(raw_scale)`.
    """

    mean: Params
    raw_scale: Params


class BBP(NamedTuple):
    """The functions of `bbp`.

    Attributes:
        init: `init(rng_key, dense_params) -> state`.
        apply: `apply(state, features, *, rng_key=None) -> pre-activations`, an `apply_fn` of the state.
        kl: `kl(state) -> KL(q || p)`, nats, for all weights of the layer.
        sample: `sample(rng_key, state, num_samples) -> dense parameters` with a leading sample axis.
        bind: `bind(apply_fn, state)` is `apply_fn`, the plain dense layer.
    """

    init: Callable[[Key[Array, ""], Params], BBPState]
    apply: Callable[..., Float[Array, "*batch outputs"]]
    kl: Callable[[BBPState], Float[Array, ""]]
    sample: Callable[[Key[Array, ""], BBPState, int], Samples]
    bind: Callable[[ApplyFn, BBPState], ApplyFn]


def bbp(prior_scale: float = 0.1, *, scale_floor: float = 1e-6, convention: Convention = "paper") -> BBP:
    r"""Bayes by Backprop with local reparameterisation, for a dense layer such as a network's last.

    Pre-activations are drawn directly, $a \sim \mathcal{N}(x\mu + \mu_b,\; x^2\sigma^2 + \sigma_b^2)$: one noise number
    per example and output, which has the same distribution per example as drawing weights and far less gradient
    variance. The loss per example is

    `mean(nll(method.apply(state, features, rng_key=key), labels)) + method.kl(state) / num_training_examples`.

    The noise of two examples is independent, so outputs of one call do not belong to one function: for predictions draw
    weights with `sample`. The factorised posterior is narrower than the true one where weights are correlated (its
    precision is the true precision's diagonal).

    Args:
        prior_scale: standard deviation of the prior $\mathcal{N}(0, \sigma_p^2)$ on kernel and bias.
        scale_floor: smallest standard deviation of a weight.
        convention: where `init` starts the means: `"paper"` at the weights it is given (a trained layer goes on from
            where it is), `"muben"` at U(-0.1, 0.1) as the published code does. Raw scales start at U(-3, -2) in both:
            standard deviations from 0.05 to 0.13.

    Returns:
        `BBP(init, apply, kl, sample, bind)`.

    Raises:
        ValueError: on a scale that is not positive, an unknown convention, or parameters that are not `{"kernel"}` or
            `{"kernel", "bias"}`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = bbp(prior_scale=0.1)
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.zeros((4, 2)), "bias": jnp.zeros(2)})
        >>> method.apply(state, jnp.ones((8, 4)), rng_key=jax.random.key(1)).shape
        (8, 2)
        >>> bool(method.kl(state) > 0)
        True
        >>> method.sample(jax.random.key(2), state, 30)["kernel"].shape
        (30, 4, 2)

    References:
        Blundell, Cornebise, Kavukcuoglu, Wierstra. Weight uncertainty in neural networks. ICML 2015, Eq. 1 and
        section 3.2.
        Kingma, Salimans, Welling. Variational dropout and the local reparameterization trick. NeurIPS 2015, Eq. 6.
    """
    if prior_scale <= 0 or scale_floor <= 0:
        raise ValueError(f"prior_scale is {prior_scale} and scale_floor {scale_floor}; both must be positive")
    if convention not in get_args(Convention):
        raise ValueError(f"convention is {convention!r}; expected one of {', '.join(get_args(Convention))}")

    def scale(state: BBPState) -> Params:
        return jax.tree.map(lambda raw: scale_floor + jax.nn.softplus(raw), state.raw_scale)

    def init(rng_key: Key[Array, ""], params: Params) -> BBPState:
        if not isinstance(params, dict) or set(params) - {"bias"} != {"kernel"}:
            names = sorted(params) if isinstance(params, dict) else type(params).__name__
            raise ValueError(f"parameters are {names}; expected those of one dense layer, 'kernel' and perhaps 'bias'")
        mean_key, scale_key = jax.random.split(rng_key)

        def uniform(key: Key[Array, ""], low: float, high: float) -> Params:
            keys = dict(zip(sorted(params), jax.random.split(key, len(params))))
            return {k: jax.random.uniform(keys[k], v.shape, v.dtype, low, high) for k, v in params.items()}

        mean = uniform(mean_key, -0.1, 0.1) if convention == "muben" else dict(params)
        return BBPState(mean, uniform(scale_key, -3.0, -2.0))

    def apply(
        state: BBPState, features: Float[Array, "*batch features"], *, rng_key: Key[Array, ""] | None = None
    ) -> Float[Array, "*batch outputs"]:
        mean = dense(state.mean, features)
        if rng_key is None:
            return mean
        variance = dense(jax.tree.map(jnp.square, scale(state)), features**2)
        positive = variance > 0  # zero only for a layer without bias and an input of zeros
        deviation = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1.0)), 0.0)
        return mean + deviation * jax.random.normal(rng_key, mean.shape, mean.dtype)

    def kl(state: BBPState) -> Float[Array, ""]:
        def of_leaf(mean: Float[Array, "..."], deviation: Float[Array, "..."]) -> Float[Array, ""]:
            ratio = deviation / prior_scale
            return jnp.sum(0.5 * (ratio**2 + (mean / prior_scale) ** 2 - 1) - jnp.log(ratio))

        terms = jax.tree.leaves(jax.tree.map(of_leaf, state.mean, scale(state)))
        return jnp.sum(jnp.stack(terms))

    def sample(rng_key: Key[Array, ""], state: BBPState, num_samples: int) -> Samples:
        deviation = scale(state)

        def one(key: Key[Array, ""]) -> Params:
            noise = normal_like(key, state.mean)
            return jax.tree.map(lambda mean, s, normal: mean + s * normal, state.mean, deviation, noise)

        return jax.vmap(one)(sample_keys(rng_key, num_samples))

    return BBP(init, apply, kl, sample, bind_parameters)


def dense(params: Params, features: Float[Array, "*batch features"]) -> Float[Array, "*batch outputs"]:
    """A dense layer, `features @ kernel + bias`: the `apply_fn` that reads samples of a last layer.

    Use it with the samples of `bbp`, `laplace` and `nuts_last_layer`; parameters are named as by `flax.linen.Dense`.

    Args:
        params: `{"kernel": [features, outputs]}` and, where the layer has one, `"bias": [outputs]`.
        features: inputs of the layer, `[*batch, features]`.

    Returns:
        `[*batch, outputs]`.

    Example:
        >>> import jax.numpy as jnp
        >>> dense({"kernel": jnp.ones((3, 1)), "bias": jnp.ones(1)}, jnp.ones((2, 3)))[:, 0]
        Array([4., 4.], dtype=float32)
    """
    outputs = features @ params["kernel"]
    if "bias" not in params:
        return outputs
    return outputs + jnp.broadcast_to(params["bias"], outputs.shape)
