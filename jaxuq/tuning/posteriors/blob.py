r"""BLoB: Bayesian low-rank adaptation by backpropagation, a Gaussian over one factor of each adapter.

$q(A) = \mathcal{N}(M, \Omega^2)$ elementwise with $\Omega = G \circ G$, B a point: a Gaussian of low rank over weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, widened, widest
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.networks.linear import Linear
from jaxuq.posterior._draws import normal_as, sample_keys


class BLoBState(NamedTuple):
    """Variational parameters, to be trained by gradients.

    Attributes:
        mean: adapters, M in the place of A.
        root: G of each adapter, in the shape of its A; the deviation is its square.
    """

    mean: PyTree
    root: PyTree


class BLoB(NamedTuple):
    """The functions of `blob`.

    Attributes:
        init: `init(rng_key, lora) -> state` around adapters.
        kl: `kl(state) -> KL(q || p)`, nats, of all adapters.
        adapters: `adapters(state)`: the collection `lora` that `flipout` reads, each adapter with its `deviation`.
        sample: `sample(rng_key, state, num_samples) -> adapters` with a leading sample axis.
    """

    init: Callable[[Key[Array, ""], PyTree], BLoBState]
    kl: Callable[[BLoBState], Float[Array, ""]]
    adapters: Callable[[BLoBState], PyTree]
    sample: Callable[[Key[Array, ""], BLoBState, int], PyTree]


def blob(prior_scale: float = 0.2, *, initial_root: float = 0.05) -> BLoB:
    r"""Bayes by backprop on the first factor of adapters.

    $$\mathrm{KL} = \sum_{ij} \log\frac{\sigma_p}{\Omega_{ij}} + \frac{\Omega_{ij}^2 + M_{ij}^2}{2\sigma_p^2}
      - \tfrac12$$

    Minimise the negative log likelihood under `flipout` noise plus `kl`, weighted over the steps of an epoch by
    `growing_kl_weight`; the released code does both one after the other, with AdamW and SGD. Predict with the
    probabilities of samples averaged, or with the mean alone. Unlike `jaxuq.posterior.bbp`, which is for one dense
    layer, it leaves B and the base as they are, so a sample costs what an adapter costs.

    Args:
        prior_scale: $\sigma_p$ of the prior $\mathcal{N}(0, \sigma_p^2)$ on A.
        initial_root: $\epsilon$: G starts uniform in $[\epsilon / \sqrt2, \epsilon]$.

    Returns:
        `BLoB(init, kl, adapters, sample)`.

    Raises:
        ValueError: a scale that is not positive.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> method = blob()
        >>> lora = {"layers_0": {"query": {"a": jnp.zeros((4, 2)), "b": jnp.zeros((2, 3))}}}
        >>> state = method.init(jax.random.key(0), lora)
        >>> method.sample(jax.random.key(1), state, 5)["layers_0"]["query"]["a"].shape
        (5, 4, 2)

    References:
        Y. Wang, H. Shi, L. Han, D. Metaxas, H. Wang, "BLoB: Bayesian Low-Rank Adaptation by Backpropagation for Large
        Language Models", NeurIPS 2024.
    """
    check_number("prior_scale", prior_scale, 0.0, open_low=True)
    check_number("initial_root", initial_root, 0.0, open_low=True)

    def init(rng_key: Key[Array, ""], lora: PyTree) -> BLoBState:
        factors = _first_factors(lora)
        leaves, structure = jax.tree.flatten(factors)
        keys = jax.random.split(rng_key, len(leaves))
        roots = [
            jax.random.uniform(key, leaf.shape, widest(leaf), initial_root * 0.5**0.5, initial_root).astype(leaf.dtype)
            for key, leaf in zip(keys, leaves)
        ]
        return BLoBState(lora, structure.unflatten(roots))

    def kl(state: BLoBState) -> Float[Array, ""]:
        def of_leaf(mean: Array, root: Array) -> Array:
            deviation = root**2
            ratio = deviation / prior_scale
            ratio, mean = as_float(ratio), as_float(mean)
            return jnp.sum(0.5 * (ratio**2 + (mean / prior_scale) ** 2 - 1) - jnp.log(ratio))

        return jnp.sum(jnp.stack(jax.tree.leaves(jax.tree.map(of_leaf, _first_factors(state.mean), state.root))))

    def adapters(state: BLoBState) -> PyTree:
        return _each(lambda adapter, root: adapter | {"deviation": root**2}, state.mean, state.root)

    def sample(rng_key: Key[Array, ""], state: BLoBState, num_samples: int) -> PyTree:
        leaves, structure = jax.tree.flatten(state.root)

        def one(key: Key[Array, ""]) -> PyTree:
            keys = jax.random.split(key, len(leaves))
            noise = structure.unflatten([normal_as(k, leaf) * leaf**2 for k, leaf in zip(keys, leaves)])
            return _each(lambda adapter, shift: adapter | {"a": adapter["a"] + shift}, state.mean, noise)

        return jax.lax.map(one, sample_keys(rng_key, num_samples))

    return BLoB(init, kl, adapters, sample)


@typed()
def growing_kl_weight(step: Int[Array, ""] | int, num_steps: int) -> Float[Array, ""]:
    r"""Weight of the divergence in step $i = 0, 1, \dots, M - 1$ of an epoch: $2^{i+1} / (2^{M+1} - 1)$.

    As the released code has it; the halving sequence of Bayes by backprop reversed, so that the data come first. Beyond
    an epoch it begins again.

    Args:
        step: i.
        num_steps: M.

    Returns:
        The weight; no power of two is formed that float32 could not hold.

    Example:
        >>> [round(float(growing_kl_weight(i, 5)), 6) for i in range(5)]
        [0.031746, 0.063492, 0.126984, 0.253968, 0.507937]

    References:
        Y. Wang et al., "BLoB", NeurIPS 2024 (released code).
        C. Blundell et al., "Weight Uncertainty in Neural Networks", ICML 2015, section 3.4.
    """
    place = jnp.mod(jnp.asarray(step), num_steps).astype(jnp.result_type(float))
    return jnp.exp2(place - num_steps) / (1 - 2.0 ** -(num_steps + 1))


@checked
@widened
def flipout_noise(
    x: Float[Array, "*batch inputs"],
    deviation: Float[Array, "inputs rank"],
    noise: Float[Array, "inputs rank"],
    input_signs: Float[Array, "*batch inputs"],
    rank_signs: Float[Array, "*batch rank"],
) -> Float[Array, "*batch rank"]:
    r"""$t \circ \big((s \circ x)^\top (\Omega \circ E)\big)$: one noise matrix, made independent for each row by signs.

    Args:
        x: inputs.
        deviation: $\Omega$.
        noise: E, standard normal, the same for all rows.
        input_signs: s, each -1 or 1.
        rank_signs: t, each -1 or 1.

    Returns:
        What is added to $x^\top M$; its variance in each row is that of a noise matrix of its own.

    Example:
        >>> import jax.numpy as jnp
        >>> flipout_noise(jnp.ones(2), jnp.ones((2, 1)), jnp.ones((2, 1)), jnp.array([1.0, -1.0]), jnp.ones(1))
        Array([0.], dtype=float32)

    References:
        Y. Wen, P. Vicol, J. Ba, D. Tran, R. Grosse, "Flipout: Efficient Pseudo-Independent Weight Perturbations on
        Mini-Batches", ICLR 2018, Eq. 4.
    """
    return rank_signs * ((input_signs * x) @ (deviation * noise))


def flipout() -> Any:
    """A context in which every adapter that has a `deviation` adds flipout noise, if the model has a `dropout` key.

    with flipout():
        decoder.apply({"params": params, "lora": method.adapters(state)}, tokens, rngs={"dropout": rng_key})

    Signs are drawn for each row of the batch, noise for each layer and call. The adapters' dropout, if any, acts too.

    Returns:
        The context.
    """

    def listen(following: Any, args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        y = following(*args, **kwargs)
        if not isinstance(module, Linear) or context.method_name != "_adapted" or module.lora is None:
            return y
        if not module.has_variable("lora", "deviation") or not module.has_rng("dropout"):
            return y
        x = args[0]
        deviation, b = module.get_variable("lora", "deviation"), module.get_variable("lora", "b")
        noise_key, input_key, rank_key = jax.random.split(module.make_rng("dropout"), 3)
        noise = jax.random.normal(noise_key, deviation.shape, jnp.float32)
        rows = (x.shape[0],) + (1,) * (x.ndim - 2)
        signs = [
            jnp.broadcast_to(jax.random.rademacher(key, (*rows, width), x.dtype), (*x.shape[:-1], width))
            for key, width in ((input_key, deviation.shape[0]), (rank_key, deviation.shape[1]))
        ]
        narrow = flipout_noise(x, deviation.astype(x.dtype), noise.astype(x.dtype), *signs)
        return y + (narrow @ b.astype(x.dtype)) * module.lora.scale

    return nn.intercept_methods(listen)


def _is_adapter(node: Any) -> bool:
    return isinstance(node, dict) and "a" in node and "b" in node


def _first_factors(lora: PyTree) -> PyTree:
    return jax.tree.map(lambda adapter: adapter["a"], lora, is_leaf=_is_adapter)


def _each(function: Callable[..., Any], lora: PyTree, other: PyTree) -> PyTree:
    return jax.tree.map(function, lora, other, is_leaf=_is_adapter)
