r"""Bayes by Backprop: a factorised Gaussian over the parameters, trained by gradients.

$q(\theta) = \prod_i \mathcal{N}(\theta_i; \mu_i, \sigma_i^2)$, $\sigma = 10^{-6} + \mathrm{softplus}(\rho)$,
trained on $\mathrm{KL}(q \,\|\, p) - \mathbb{E}_q[\log p(D \mid \theta)]$.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from jaxuq._arrays import as_float, root, widest
from jaxuq._errors import OptionError
from jaxuq._options import check_number
from jaxuq.posterior._draws import draw_each, normal_as, normal_like
from jaxuq.posterior._model import Params, Samples, aligned, freeze_numbers, is_number, map_numbers, thaw
from jaxuq.posterior.method import Method

SCALE_FLOOR = 1e-6


class BBPState(NamedTuple):
    """Variational parameters; without an optimiser a pytree of floating arrays, to be trained as any part of a network.

    Attributes:
        mean: $\\mu$ of every parameter.
        raw_scale: $\\rho$ of the same; the standard deviation is `1e-6 + softplus(raw_scale)`.
        optimizer: state of the optimiser; `()` if there is none.
    """

    mean: Params
    raw_scale: Params
    optimizer: Any = ()


def bbp(prior_scale: float = 0.1, *, optimizer: optax.GradientTransformation | None = None) -> Method:
    r"""Bayes by Backprop over the parameters that it is given, such as a network's last layer.

    A step draws $\theta = \mu + \sigma \epsilon$, has the gradient $g$ of the summed negative log likelihood there, and
    moves along $\partial\mu = g + \partial_\mu \mathrm{KL}$, $\partial\rho = (g \epsilon + \partial_\sigma
    \mathrm{KL})\, \sigma'(\rho)$. `start` is at the weights that it is given, with deviations from 0.05 to 0.13.

    Use it where a last layer is to be learnt as a distribution. For a dense layer inside a network of one's own there
    is less noise in training the state itself, with `noisy_dense` as the layer and `kl_to_prior(state) / num_examples`
    added to the mean loss: leave `optimizer` out. The factorised posterior is narrower than the true one where
    parameters are correlated (its precision is the true precision's diagonal).

    Args:
        prior_scale: standard deviation of the prior $\mathcal{N}(0, \sigma_p^2)$ on every parameter.
        optimizer: that `update` moves the variational parameters with, such as `optax.adam(1e-2)`; None if something
            else trains the state.

    Returns:
        A `Method` that observes gradients, as a function: they are taken at weights that it draws.

    Raises:
        OptionError: on a scale that is not positive; from `update`, without an optimiser or on gradients that are no
            function.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> method = bbp(prior_scale=1.0, optimizer=optax.adam(1e-2))
        >>> state = method.init(jax.random.key(0), {"kernel": jnp.zeros((4, 2)), "bias": jnp.zeros(2)})
        >>> loss = lambda params: jnp.sum((params["bias"] - 3.0) ** 2)
        >>> state = method.update(jax.random.key(1), state, jax.grad(loss))
        >>> method.sample(jax.random.key(2), state, 30)["kernel"].shape
        (30, 4, 2)

    References:
        Blundell, Cornebise, Kavukcuoglu, Wierstra. Weight uncertainty in neural networks. ICML 2015, Eq. 1 and
        sections 3.2 and 3.3.
    """
    check_number("prior_scale", prior_scale, 0.0, open_low=True)

    def init(rng_key: Key[Array, ""], params: Params) -> BBPState:
        mean = freeze_numbers(params)
        leaves, structure = jax.tree.flatten(mean)
        keys = jax.random.split(jax.random.split(rng_key)[1], len(leaves))

        def start(key: Array, leaf: Array) -> Array:
            if not is_number(leaf):
                return leaf
            return jax.random.uniform(key, leaf.shape, widest(leaf), -3.0, -2.0).astype(leaf.dtype)

        raw = structure.unflatten([start(key, leaf) for key, leaf in zip(keys, leaves)])
        state = BBPState(mean, raw)
        return state if optimizer is None else state._replace(optimizer=optimizer.init(_numbers(state)))

    def update(rng_key: Key[Array, ""], state: BBPState, gradients: Any) -> BBPState:
        if optimizer is None or not callable(gradients):
            wrong = "there is no optimiser; pass optimizer=" if optimizer is None else "gradients are no function"
            raise OptionError(f"{wrong}: bbp draws the weights at which it wants the gradients, and then moves")
        noise = normal_like(rng_key, state.mean)
        weights = map_numbers(lambda m, raw, e: m + _scale(raw) * e, state.mean, state.raw_scale, noise)
        found = aligned(state.mean, gradients(thaw(weights)))
        kl = jax.grad(lambda numbers: _kl(numbers[0], numbers[1], prior_scale))(_numbers(state))
        places = [i for i, leaf in enumerate(jax.tree.leaves(state.mean)) if is_number(leaf)]
        white = jax.tree.leaves(noise)
        moves: Any = ([], [])
        for i, of_mean, of_raw, raw in zip(places, kl[0], kl[1], _numbers(state)[1]):
            gradient = jnp.zeros_like(of_mean) if found[i] is None else jnp.asarray(found[i]).astype(of_mean.dtype)
            moves[0].append(gradient + of_mean)
            moves[1].append(gradient * white[i] * jax.nn.sigmoid(raw) + of_raw)
        with jax.numpy_dtype_promotion("standard"):  # optimisers mix integer steps with floats
            updates, after = optimizer.update(moves, state.optimizer, _numbers(state))
        moved: Any = optax.apply_updates(_numbers(state), updates)
        mean, raw_scale = (iter(column) for column in moved)
        return BBPState(
            map_numbers(lambda _: next(mean), state.mean),
            map_numbers(lambda _: next(raw_scale), state.raw_scale),
            after,
        )

    def sample(rng_key: Key[Array, ""], state: BBPState, num_samples: int) -> Samples:
        def one(key: Key[Array, ""], state: BBPState) -> Params:
            noise = normal_like(key, state.mean)
            return map_numbers(lambda m, raw, e: m + _scale(raw) * e, state.mean, state.raw_scale, noise)

        return thaw(draw_each(one, rng_key, state, num_samples))

    return Method(init, update, sample, "gradients")


def _scale(raw: Array) -> Array:
    return SCALE_FLOOR + jax.nn.softplus(raw)


def _numbers(state: BBPState) -> tuple[list[Array], list[Array]]:
    """The floating leaves of mean and raw scale."""
    both = [[leaf for leaf in jax.tree.leaves(tree) if is_number(leaf)] for tree in (state.mean, state.raw_scale)]
    return both[0], both[1]


def _kl(means: list[Array], raw_scales: list[Array], prior_scale: float) -> Float[Array, ""]:
    terms = []
    for mean, raw in zip(means, raw_scales):
        mean, ratio = as_float(mean), _scale(as_float(raw)) / prior_scale
        terms.append(jnp.sum(0.5 * (ratio**2 + (mean / prior_scale) ** 2 - 1) - jnp.log(ratio)))
    return jnp.sum(jnp.stack(terms))


def kl_to_prior(state: BBPState, prior_scale: float = 0.1) -> Float[Array, ""]:
    r"""$\mathrm{KL}(q \,\|\, \mathcal{N}(0, \sigma_p^2))$ of a Bayes-by-Backprop state, nats, over all parameters.

    Args:
        state: of `bbp`.
        prior_scale: $\sigma_p > 0$.

    Returns:
        A scalar, differentiable in the state.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> state = BBPState(jnp.array([1.0]), jnp.array([0.5413]))  # softplus(0.5413) is 1
        >>> print(kl_to_prior(state, 1.0).round(3))
        0.5
    """
    check_number("prior_scale", prior_scale, 0.0, open_low=True)
    return _kl(*_numbers(state), prior_scale)


def noisy_dense(
    state: BBPState, features: Float[Array, "*batch features"], *, rng_key: Key[Array, ""] | None = None
) -> Float[Array, "*batch outputs"]:
    r"""A dense layer with a Bayes-by-Backprop state in the place of its weights, with noise on the activations.

    $a \sim \mathcal{N}(x\mu + \mu_b,\; x^2\sigma^2 + \sigma_b^2)$: one noise number per example and output, which has
    the same distribution per example as drawing weights and far less gradient variance. The noise of two examples is
    independent, so outputs of one call do not belong to one function: for predictions draw weights with `sample`.

    Args:
        state: of `bbp().init(rng_key, {"kernel": ..., "bias": ...})`; the bias may be missing.
        features: inputs of the layer.
        rng_key: of the noise; None for the mean.

    Returns:
        Pre-activations.

    Raises:
        OptionError: a state of something that is no dense layer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> state = bbp().init(jax.random.key(0), {"kernel": jnp.zeros((4, 2)), "bias": jnp.zeros(2)})
        >>> noisy_dense(state, jnp.ones((8, 4)), rng_key=jax.random.key(1)).shape
        (8, 2)

    References:
        Kingma, Salimans, Welling. Variational dropout and the local reparameterization trick. NeurIPS 2015, Eq. 6.
    """
    if not isinstance(state.mean, dict) or set(state.mean) - {"bias"} != {"kernel"}:
        names = sorted(state.mean) if isinstance(state.mean, dict) else type(state.mean).__name__
        raise OptionError(f"parameters are {names}; expected those of one dense layer, 'kernel' and perhaps 'bias'")
    mean = dense(state.mean, features)
    if rng_key is None:
        return mean
    variance = dense(jax.tree.map(lambda raw: _scale(as_float(raw)) ** 2, state.raw_scale), as_float(features) ** 2)
    deviation = root(variance)  # zero only for a layer without bias and an input of zeros
    return mean + deviation.astype(mean.dtype) * normal_as(rng_key, mean)


def dense(params: Params, features: Float[Array, "*batch features"]) -> Float[Array, "*batch outputs"]:
    """A dense layer, `features @ kernel + bias`: the `apply_fn` that reads samples of a last layer.

    Use it where a last layer is a model of its own, on features; parameters are named as by `flax.linen.Dense`.

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
