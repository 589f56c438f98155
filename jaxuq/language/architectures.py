"""Which families of language models are read, how their configuration maps to ours, and where each tensor goes."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from jaxuq.language.errors import CheckpointError
from jaxuq.networks import DecoderConfig, Rotary
from jaxuq.networks.rotary import ROTARY_KINDS

ARCHITECTURES: tuple[str, ...] = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3")
_GELU = ("gelu_pytorch_tanh", "gelu_new", "gelu")  # the Gemma files that say "gelu" mean the tanh form


class TensorPlace(NamedTuple):
    """Where a checkpoint's tensor goes.

    Attributes:
        path: keys inside `params` of a stacked decoder, such as `("layers", "query", "kernel")`.
        layer: index on the stacked axis; None for what is not in a layer.
        shape: in the file.
        transposed: whether the file holds `[out, in]` where the decoder has `[in, out]`.
    """

    path: tuple[str, ...]
    layer: int | None
    shape: tuple[int, ...]
    transposed: bool


def _rotary(parameters: Mapping[str, Any], max_positions: int) -> Rotary:
    kind = parameters.get("rope_type") or "default"
    if kind not in ROTARY_KINDS:
        raise CheckpointError(f"rotary embedding of type {kind!r}; supported are {', '.join(ROTARY_KINDS)}")
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        raise CheckpointError("rotary embeddings of a part of each head (partial_rotary_factor) are not supported")
    original = parameters.get("original_max_position_embeddings") or max_positions
    attention_factor = parameters.get("attention_factor")
    factor = parameters.get("factor") or (max_positions / original if kind == "yarn" else 1.0)
    if attention_factor is None and parameters.get("mscale") and parameters.get("mscale_all_dim"):
        logarithm = 0.1 * math.log(max(factor, 1.0))
        attention_factor = (logarithm * parameters["mscale"] + 1) / (logarithm * parameters["mscale_all_dim"] + 1)
    return Rotary(
        theta=float(parameters["rope_theta"]),
        kind=kind,
        factor=float(factor),
        original_context=int(original),
        low_freq_factor=float(parameters.get("low_freq_factor") or 1.0),
        high_freq_factor=float(parameters.get("high_freq_factor") or 4.0),
        beta_fast=float(parameters.get("beta_fast") or 32.0),
        beta_slow=float(parameters.get("beta_slow") or 1.0),
        attention_factor=attention_factor,
        truncate=bool(parameters.get("truncate", True)),
    )


def decoder_config(config: Mapping[str, Any]) -> DecoderConfig:
    """The shape of a decoder from the contents of a Hugging Face `config.json`.

    Older files (`rope_theta`, `rope_scaling`) and newer ones (`rope_parameters`) are read alike; what a file leaves out
    has its family's default.

    Args:
        config: the file's contents.

    Returns:
        The configuration.

    Raises:
        CheckpointError: an unknown architecture, or a feature that is not supported, by name.

    Example:
        >>> decoder_config({"model_type": "qwen2", "num_hidden_layers": 2}).attention_bias
        True
    """
    kind = config.get("model_type")
    if kind not in ARCHITECTURES:
        raise CheckpointError(f"architecture {kind!r} is not supported; supported are {', '.join(ARCHITECTURES)}")
    if config.get("quantization_config"):
        raise CheckpointError("the weights are quantised (quantization_config); use the unquantised checkpoint")
    from transformers import AutoConfig

    try:
        full = AutoConfig.for_model(**config)
    except (TypeError, ValueError, KeyError) as error:
        raise CheckpointError(f"the configuration of this {kind} model cannot be read: {error}") from error
    activation = getattr(full, "hidden_activation", None) or full.hidden_act
    if activation != "silu" and activation not in _GELU:
        raise CheckpointError(f"activation {activation!r} is not supported; supported are silu and gelu_pytorch_tanh")
    if getattr(full, "use_bidirectional_attention", False):
        raise CheckpointError("bidirectional attention is not supported: this is a causal decoder")

    layers = range(full.num_hidden_layers)
    kinds = getattr(full, "layer_types", None) or ["full_attention"] * len(layers)
    if kind == "mistral":
        kinds = ["sliding_attention"] * len(layers)
    window = getattr(full, "sliding_window", None)
    windows = tuple(window if kinds[layer] == "sliding_attention" else None for layer in layers)
    parameters = full.rope_parameters
    if "rope_theta" in parameters:
        rotary, layer_rotary = (_rotary(parameters, full.max_position_embeddings),), ()
    else:
        names = [name for name in ("full_attention", "sliding_attention") if name in parameters]
        rotary = tuple(_rotary(parameters[name], full.max_position_embeddings) for name in names)
        layer_rotary = tuple(names.index(kinds[layer]) for layer in layers)

    gemma = kind.startswith("gemma")
    bias = kind == "qwen2" or bool(getattr(full, "attention_bias", False))
    scalar = getattr(full, "query_pre_attn_scalar", None)
    return DecoderConfig(
        vocab_size=full.vocab_size,
        hidden_size=full.hidden_size,
        intermediate_size=full.intermediate_size,
        num_layers=full.num_hidden_layers,
        num_heads=full.num_attention_heads,
        num_kv_heads=full.num_key_value_heads,
        head_dim=getattr(full, "head_dim", None) or full.hidden_size // full.num_attention_heads,
        max_positions=full.max_position_embeddings,
        activation="silu" if activation == "silu" else "gelu",
        norm_eps=full.rms_norm_eps,
        norm_offset=1.0 if gemma else 0.0,
        rotary=rotary,
        layer_rotary=layer_rotary,
        layer_windows=windows if any(w is not None for w in windows) else (),
        attention_bias=bias,
        output_bias=bias and kind != "qwen2",
        mlp_bias=bool(getattr(full, "mlp_bias", False)),
        query_key_norm=kind in ("qwen3", "gemma3_text"),
        post_norms=kind in ("gemma2", "gemma3_text"),
        query_scale=scalar**-0.5 if scalar else None,
        attention_softcap=getattr(full, "attn_logit_softcapping", None),
        logit_softcap=getattr(full, "final_logit_softcapping", None),
        embedding_scale=full.hidden_size**0.5 if gemma else 1.0,
        tied=bool(full.tie_word_embeddings),
    )


_LINEAR = {
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


def linear_names() -> dict[str, str]:
    """Our names of a block's linear layers, and Hugging Face's.

    Returns:
        For instance `{"query": "self_attn.q_proj", ...}`.

    Example:
        >>> linear_names()["up"]
        'mlp.up_proj'
    """
    return dict(_LINEAR)


def _linear_shapes(config: DecoderConfig) -> dict[str, tuple[int, int, bool]]:
    """Inputs, outputs, and whether there is a bias."""
    hidden, inner = config.hidden_size, config.intermediate_size
    heads, kv_heads = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    return {
        "query": (hidden, heads, config.attention_bias),
        "key": (hidden, kv_heads, config.attention_bias),
        "value": (hidden, kv_heads, config.attention_bias),
        "output": (heads, hidden, config.output_bias),
        "gate": (hidden, inner, config.mlp_bias),
        "up": (hidden, inner, config.mlp_bias),
        "down": (inner, hidden, config.mlp_bias),
    }


def _norm_names(config: DecoderConfig) -> dict[str, tuple[str, int]]:
    """Our names of a block's norms; Hugging Face's, and widths."""
    names = {"attention_norm": ("input_layernorm", config.hidden_size)}
    if config.post_norms:
        names["post_attention_norm"] = ("post_attention_layernorm", config.hidden_size)
        names["mlp_norm"] = ("pre_feedforward_layernorm", config.hidden_size)
        names["post_mlp_norm"] = ("post_feedforward_layernorm", config.hidden_size)
    else:
        names["mlp_norm"] = ("post_attention_layernorm", config.hidden_size)
    if config.query_key_norm:
        names["query_norm"] = ("self_attn.q_norm", config.head_dim)
        names["key_norm"] = ("self_attn.k_norm", config.head_dim)
    return names


def tensor_places(config: DecoderConfig) -> dict[str, TensorPlace]:
    """Every tensor of a checkpoint by its Hugging Face name, in the order of the file's usual layout.

    Args:
        config: the decoder's shape.

    Returns:
        Names and places; `lm_head.weight` only if the embedding is not tied.

    Example:
        >>> config = decoder_config({"model_type": "llama", "num_hidden_layers": 2})
        >>> tensor_places(config)["model.layers.1.mlp.up_proj.weight"].path
        ('layers', 'up', 'kernel')
    """
    return dict(_places(config))


def _places(config: DecoderConfig) -> Iterator[tuple[str, TensorPlace]]:
    table = (config.vocab_size, config.hidden_size)
    yield "model.embed_tokens.weight", TensorPlace(("embedding",), None, table, False)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        for name, (inputs, outputs, has_bias) in _linear_shapes(config).items():
            path = ("layers", name)
            yield prefix + _LINEAR[name] + ".weight", TensorPlace((*path, "kernel"), layer, (outputs, inputs), True)
            if has_bias:
                yield prefix + _LINEAR[name] + ".bias", TensorPlace((*path, "bias"), layer, (outputs,), False)
        for name, (theirs, width) in _norm_names(config).items():
            yield prefix + theirs + ".weight", TensorPlace(("layers", name, "scale"), layer, (width,), False)
    yield "model.norm.weight", TensorPlace(("final_norm", "scale"), None, (config.hidden_size,), False)
    if not config.tied:
        yield "lm_head.weight", TensorPlace(("unembedding",), None, table, True)
