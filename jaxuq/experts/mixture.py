r"""Experts mixed within every layer: routing, merging, and a trained gate (MoLE).

An ensemble adds logits at the end; a mixture adds what the adapters do in each linear layer, in one pass and cache.
`mixing` makes a plain decoder do so, whatever its layers are, without another module:

    layers = mixture_adapters(experts, scan=decoder.scan)
    with mixing("routing", lora_config.scale, weights):
        decoder.clone(lora=None).apply({"params": params, "lora": layers}, tokens)
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, widened
from jaxuq._entries import Entries, function_of
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.networks.linear import Linear

Mixing = str | Callable[..., Float[Array, "batch time features"]]


@checked
def mixture_output(
    x: Float[Array, "batch time inputs"],
    a: Float[Array, "experts inputs rank"],
    b: Float[Array, "experts rank features"],
    weights: Float[Array, "batch time experts"],
) -> Float[Array, "batch time features"]:
    r"""$\sum_c \lambda_c\, x A_c B_c$ with $\lambda = w / \sum_c w_c$: adapters' outputs, averaged in a layer.

    Args:
        x: what goes into the layer.
        a: of every expert.
        b: of every expert.
        weights: not negative, with a positive sum.

    Returns:
        What is added to the layer's output, before the adapters' scale.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = jnp.ones((2, 1, 1)), jnp.array([[[1.0]], [[3.0]]])
        >>> mixture_output(jnp.ones((1, 1, 1)), a, b, jnp.ones((1, 1, 2))).item()
        2.0

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4, Eq D.1.
    """
    narrow = jnp.einsum("bti,cir->btcr", x, a.astype(x.dtype))
    share = _shares(as_float(weights))[..., None].astype(x.dtype)
    return jnp.einsum("btcr,crf->btf", narrow * jnp.broadcast_to(share, narrow.shape), b.astype(x.dtype))


@checked
def merged_output(
    x: Float[Array, "batch time inputs"],
    a: Float[Array, "experts inputs rank"],
    b: Float[Array, "experts rank features"],
    weights: Float[Array, "batch time experts"],
) -> Float[Array, "batch time features"]:
    r"""$x \left(\sum_c \lambda_c A_c\right) \left(\sum_c \lambda_c B_c\right)$: an adapter of averaged factors.

    Not `mixture_output`: the product of averages is not the average of products, and has cross terms $A_c B_{c'}$. The
    averages themselves are not formed, so that every row may have its own weights.

    Args:
        x: what goes into the layer.
        a: of every expert.
        b: of every expert.
        weights: not negative, with a positive sum.

    Returns:
        What is added to the layer's output, before the adapters' scale.

    Example:
        >>> import jax.numpy as jnp
        >>> a, b = jnp.array([[[1.0]], [[3.0]]]), jnp.array([[[1.0]], [[3.0]]])
        >>> merged_output(jnp.ones((1, 1, 1)), a, b, jnp.ones((1, 1, 2))).item()
        4.0

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        D.4 (MoE merging).
    """
    share = _shares(as_float(weights)).astype(x.dtype)
    narrow = jnp.einsum("bti,cir,btc->btr", x, a.astype(x.dtype), share)
    return jnp.einsum("btr,crf,btc->btf", narrow, b.astype(x.dtype), share)


@checked
@widened
def gate_weights(
    x: Float[Array, "batch time inputs"], gate: Float[Array, "inputs experts"]
) -> Float[Array, "batch time experts"]:
    r"""$\lambda_c = \exp(w_c^\top x) / \sum_{c'} \exp(w_{c'}^\top x)$: a layer's own weights for every token.

    Args:
        x: what goes into the layer.
        gate: the trained vectors $w_c$ as columns.

    Returns:
        Weights, float32; they sum to one.

    Example:
        >>> import jax.numpy as jnp
        >>> gate = jnp.array([[0.5, 0.0, 1.0], [0.0, 0.5, 1.0]])
        >>> [f"{weight:.4f}" for weight in gate_weights(jnp.array([[[1.0, -1.0]]]), gate)[0, 0].tolist()]
        ['0.5065', '0.1863', '0.3072']

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4, Eq D.2.
        X. Wu, S. Huang, F. Wei. Mixture of LoRA experts. ICLR 2024 (there with one gate a block, over all tokens).
    """
    return jax.nn.softmax(jnp.einsum("bti,ic->btc", x, gate), axis=-1)


@typed()
def mixture_adapters(experts: PyTree, *, scan: bool, gates: PyTree | None = None) -> PyTree:
    """Stacked experts as each layer reads them: the expert axis beside the layer, not before it.

    Args:
        experts: adapters with a leading axis, of `stack_adapters`; plain LoRA, not DoRA.
        scan: whether the decoder's layers are stacked.
        gates: of `init_gates`, or trained; None: none.

    Returns:
        The collection `lora` for `mixing`.

    Raises:
        ValueError: the adapters are DoRA, whose magnitudes cannot be mixed so.

    Example:
        >>> import jax.numpy as jnp
        >>> experts = {"layers": {"up": {"a": jnp.zeros((5, 2, 8, 3)), "b": jnp.zeros((5, 2, 3, 4))}}}
        >>> mixture_adapters(experts, scan=True)["layers"]["up"]["a"].shape
        (2, 5, 8, 3)
    """
    if any("magnitude" in adapter for group in experts.values() for adapter in group.values()):
        raise OptionError("adapters with magnitudes (DoRA) cannot be mixed within layers; use the ensemble of logits")
    moved = jax.tree.map(lambda leaf: jnp.swapaxes(leaf, 0, 1), experts) if scan else experts
    if gates is None:
        return moved
    return {
        layers: {name: adapter | gates[layers][name] for name, adapter in group.items()}
        for layers, group in moved.items()
    }


@typed()
def init_gates(experts: PyTree, *, scan: bool) -> PyTree:
    """Gates that weigh all experts alike, for every adapted layer.

    Args:
        experts: adapters with a leading axis.
        scan: whether the decoder's layers are stacked.

    Returns:
        `gate` of each layer, zeros `[inputs, experts]` (with the layers before it, if stacked).

    Example:
        >>> import jax.numpy as jnp
        >>> experts = {"layers": {"up": {"a": jnp.zeros((5, 2, 8, 3)), "b": jnp.zeros((5, 2, 3, 4))}}}
        >>> init_gates(experts, scan=True)["layers"]["up"]["gate"].shape
        (2, 8, 5)
    """

    def one(a: Array) -> dict[str, Array]:
        shape = (a.shape[1], a.shape[2], a.shape[0]) if scan else (a.shape[1], a.shape[0])
        return {"gate": jnp.zeros(shape, jnp.float32)}

    return {layers: {name: one(part["a"]) for name, part in group.items()} for layers, group in experts.items()}


@typed()
@contextlib.contextmanager
def mixing(kind: Mixing, scale: float, weights: Float[Array, "batch experts"] | None = None) -> Iterator[None]:
    """A context in which decoders without adapters of their own mix those of `mixture_adapters` in every linear layer.

    Args:
        kind: `routing` (`mixture_output`), `merging` (`merged_output`), `gate` (`mixture_output` with trained gates),
            or a function `(x, a, b, weights) -> output` of yours.
        scale: of the adapters, `LoraConfig.scale`.
        weights: of the experts for each row of the batch; where adapters have gates, those of `gate_weights` are taken.

    Raises:
        OptionError: an unknown kind, or neither weights nor gates.
    """
    mix = function_of(MIXINGS, kind)
    if weights is None and kind != "gate":
        raise OptionError(f"{kind} needs the weights of the experts for every row")

    def intercept(call: Callable, args: tuple, kwargs: dict[str, Any], context: Any) -> Any:
        y, module = call(*args, **kwargs), context.module
        adapted = isinstance(module, Linear) and context.method_name == "__call__" and module.has_variable("lora", "a")
        if not adapted:
            return y
        (x,) = args
        a, b = (module.get_variable("lora", name) for name in ("a", "b"))
        if module.has_variable("lora", "gate"):
            share = gate_weights(x, module.get_variable("lora", "gate"))
        elif weights is None or kind == "gate":
            raise OptionError("there are no gates in the adapters: give them to mixture_adapters(gates=...)")
        else:
            share = jnp.broadcast_to(weights[:, None], (*x.shape[:2], weights.shape[1]))
        return y + mix(x, a, b, share) * jnp.asarray(scale, y.dtype)

    with nn.intercept_methods(intercept):
        yield


def _shares(weights: Array) -> Array:
    return weights / jnp.broadcast_to(weights.sum(-1, keepdims=True), weights.shape)


MIXINGS: Entries[Callable[..., Float[Array, "batch time features"]]] = Entries(
    "way of mixing",
    "jaxuq.mixings",
    {"routing": mixture_output, "merging": merged_output, "gate": mixture_output},
)
"""Functions `(x, a, b, weights) -> output` by name; put yours in, or declare an entry point of the group."""
