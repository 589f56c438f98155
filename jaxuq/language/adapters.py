r"""Low-rank adapters of a decoder: making, merging, and many at once.

Adapters are a pytree of their own, the collection `lora`; the base parameters stay as they are.

    decoder = decoder.clone(lora=LoraConfig(rank=8))
    lora = init_adapters(rng_key, decoder, params)
    decoder.apply({"params": params, "lora": lora}, tokens)

*Experts* are adapters with a leading axis, mapped over while the base parameters are shared:

    experts = jax.vmap(init_adapters, in_axes=(0, None, None))(rng_keys, decoder, params)   # or stack_adapters
    def expert(lora, tokens):
        return decoder.apply({"params": params, "lora": lora}, tokens)
    jax.vmap(expert, in_axes=(0, None))(experts, tokens)

Every base product is then one product of all experts' tokens with the one kernel; no kernel exists per expert.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.networks.decoder import Decoder
from jaxuq.networks.linear import LoraConfig, adapted_norm, init_adapter, merged_kernel


@typed()
def init_adapters(rng_key: Key[Array, ""], decoder: Decoder, params: PyTree) -> PyTree:
    r"""New adapters for a decoder: $A$ uniform within $1/\sqrt{in}$, $B = 0$, DoRA's magnitude the norm of the kernel.

    The model's outputs are those of the base until the adapters are trained. The base parameters are read for their
    shapes (and norms) only. Layer by layer the numbers are the same whether layers are stacked or not.

    Args:
        rng_key: for the factors $A$.
        decoder: with a `lora` configuration.
        params: of the base model.

    Returns:
        The collection `lora`, float32.

    Raises:
        ValueError: the decoder has no `lora` configuration.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import Decoder, DecoderConfig, LoraConfig
        >>> config = DecoderConfig(23, 8, 12, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4)
        >>> decoder = Decoder(config, lora=LoraConfig(rank=2, targets=("value",)))
        >>> params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 3), jnp.int32))["params"]
        >>> jax.tree.map(jnp.shape, init_adapters(jax.random.key(1), decoder, params))
        {'layers': {'value': {'a': (2, 8, 2), 'b': (2, 2, 4)}}}

    References:
        E. J. Hu et al. LoRA: low-rank adaptation of large language models. ICLR 2022, section 4.1.
    """
    lora = _configured(decoder)

    def one(layer: Array, kernel: Any, name: str) -> dict[str, Array]:
        adapter = init_adapter(jax.random.fold_in(named_key(rng_key, name), layer), kernel.shape, lora)
        if lora.dora:
            adapter["magnitude"] = adapted_norm(kernel.astype(jnp.float32), adapter["a"], adapter["b"], lora.scale)
        return adapter

    num_layers = decoder.config.num_layers
    if decoder.scan:
        kernels, numbers = params["layers"], jnp.arange(num_layers)
        layers = {name: jax.vmap(one, (0, 0, None))(numbers, kernels[name]["kernel"], name) for name in lora.targets}
        return {"layers": layers}
    return {
        f"layers_{i}": {
            name: one(jnp.asarray(i), params[f"layers_{i}"][name]["kernel"], name) for name in sorted(lora.targets)
        }
        for i in range(num_layers)
    }


@typed()
def merge_adapters(params: PyTree, lora: PyTree, lora_config: LoraConfig) -> PyTree:
    r"""Parameters of a plain model that does what the base does with the adapters: $W \leftarrow W + s A B$.

    With DoRA, $W \leftarrow m \odot (W + s A B) / \lVert W + s A B \rVert$, column by column. Use it to export a model
    or to run it without adapters; dropout is not part of it. Merged kernels keep the base's type, so merging into
    bfloat16 rounds; those of a quantised base become float32.

    Args:
        params: of the base model, layers stacked or not.
        lora: adapters for it, in the same arrangement.
        lora_config: their configuration.

    Returns:
        The merged parameters; what has no adapter is shared with `params`. Holds one more copy of the adapted kernels.

    Example:
        >>> import jax.numpy as jnp
        >>> base = {"layers_0": {"query": {"kernel": jnp.eye(2)}}}
        >>> adapter = {"layers_0": {"query": {"a": jnp.ones((2, 1)), "b": jnp.array([[1.0, 0.0]])}}}
        >>> merge_adapters(base, adapter, LoraConfig(rank=1, alpha=2.0))["layers_0"]["query"]["kernel"]
        Array([[3., 0.],
               [2., 1.]], dtype=float32)

    References:
        E. J. Hu et al. LoRA. ICLR 2022, section 4.1.
        S.-Y. Liu et al. DoRA. ICML 2024, Eq 5.
    """
    if not isinstance(params, Mapping) or not isinstance(lora, Mapping):
        raise OptionError("params and lora are collections of a decoder, dictionaries of layers; one of them is not")
    merged = dict(params)
    for layers, name, adapter in _adapters(lora):
        linear = params[layers][name]
        kernel = linear["kernel"]
        one = jax.vmap(merged_kernel, (0, 0, None)) if adapter["a"].ndim == 3 else merged_kernel
        linear = linear | {"kernel": one(kernel, adapter, lora_config)}
        merged[layers] = merged[layers] | {name: linear}
    return merged


@typed()
def stack_adapters(adapters: Sequence[PyTree]) -> PyTree:
    """Experts from single adapters: the same pytree with a leading axis, to be mapped over with the base shared.

    Args:
        adapters: collections `lora` of one model and one configuration.

    Returns:
        The stacked collection.

    Raises:
        ValueError: there are none, or they are not alike.

    Example:
        >>> import jax.numpy as jnp
        >>> stack_adapters([{"a": jnp.zeros(2)}, {"a": jnp.ones(2)}])["a"].shape
        (2, 2)
    """
    if not adapters:
        raise OptionError("there are no adapters to stack")
    shapes = [jax.tree.map(jnp.shape, adapter) for adapter in adapters]
    for number, other in enumerate(shapes):
        if other != shapes[0]:
            raise OptionError(f"adapter {number} has layers or shapes {other}; the first has {shapes[0]}")
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *adapters)


def _configured(decoder: Decoder) -> LoraConfig:
    if decoder.lora is None:
        raise OptionError("this decoder has no adapters; make one that has: decoder.clone(lora=LoraConfig(rank=8))")
    return decoder.lora


def _adapters(lora: PyTree) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every adapter with the names of its layers and of its linear layer."""
    for layers, group in lora.items():
        for name, adapter in group.items():
            yield layers, name, adapter
