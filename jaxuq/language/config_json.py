"""From our configuration to the `config.json` that Hugging Face libraries read; the inverse of `decoder_config`."""

import dataclasses
from typing import Any

from jaxuq._arguments import typed
from jaxuq.language.architectures import decoder_config
from jaxuq.language.errors import CheckpointError
from jaxuq.language.families import FAMILIES
from jaxuq.networks import DecoderConfig, Rotary

_ACTIVATIONS = {"silu": "silu", "gelu": "gelu_python", "gelu_tanh": "gelu_pytorch_tanh"}  # "gelu" is the tanh in Gemma


def model_type(config: DecoderConfig) -> str:
    """The family that a decoder belongs to; Hugging Face's name of it.

    Args:
        config: the decoder's shape.

    Returns:
        A name in `FAMILIES`; Mistral without a window is told apart from Llama by nothing, and is called so.

    Example:
        >>> from jaxuq.language import decoder_config
        >>> model_type(decoder_config({"model_type": "gemma2"}))
        'gemma2'
    """
    if config.experts is not None:
        if config.experts.shared_size:
            return "qwen2_moe"
        if config.query_key_norm:
            return "olmoe" if config.whole_query_key_norm else "qwen3_moe"
        return "mixtral"
    if any(rotary.partial != 1.0 for rotary in config.rotary):
        return "phi3"
    if config.post_norms:
        return "gemma3_text" if config.query_key_norm else "gemma2"
    if config.norm_offset:
        return "gemma"
    if config.query_key_norm:
        return "qwen3"
    if config.attention_bias and not config.output_bias:
        return "qwen2"
    windows = set(config.layer_windows)
    return "mistral" if windows and windows != {None} else "llama"


@typed()
def config_json(config: DecoderConfig) -> dict[str, Any]:
    """The contents of a `config.json` that `decoder_config` reads back as the same decoder.

    Args:
        config: the decoder's shape.

    Returns:
        What `json.dumps` takes.

    Raises:
        CheckpointError: no supported family has this combination of features.

    Example:
        >>> from jaxuq.networks import DecoderConfig
        >>> config_json(DecoderConfig(32, 16, 24, 2, 4, 2, 4))["model_type"]
        'llama'
    """
    kind = model_type(config)
    family = FAMILIES[kind]
    content: dict[str, Any] = {
        "architectures": [family.model_class],
        "model_type": kind,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
    }
    scalar = config.attention_scale**-2
    own = {
        "attention_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "query_pre_attn_scalar": round(scalar) if abs(scalar - round(scalar)) < 1e-6 * scalar else scalar,
        "attn_logit_softcapping": config.attention_softcap,
        "final_logit_softcapping": config.logit_softcap,
        "moe_intermediate_size": config.intermediate_size,
    }
    if config.experts is not None:
        own |= {
            "num_local_experts" if kind == "mixtral" else "num_experts": config.experts.count,
            "num_experts_per_tok": config.experts.per_token,
            "norm_topk_prob": config.experts.normalised,
            "shared_expert_intermediate_size": config.experts.shared_size,
            "qkv_bias": config.attention_bias,
        }
    content |= {name: value for name, value in own.items() if name in family.reads}
    content[family.activation] = _ACTIVATIONS.get(config.activation, config.activation)
    windows = [config.window(layer) for layer in range(config.num_layers)]
    window = next((window for window in windows if window is not None), None)
    if window is not None:
        content["sliding_window"] = window
    if family.windows == "listed":
        content["layer_types"] = ["full_attention" if window is None else "sliding_attention" for window in windows]
    if "use_sliding_window" in family.reads:
        content["use_sliding_window"] = window is not None
    rotary = [_rope_parameters(rotary, config.max_positions) for rotary in config.rotary]
    content["rope_parameters"] = (
        dict(zip(("full_attention", "sliding_attention"), rotary)) if family.nested_rotary else rotary[0]
    )
    try:
        same = _canonical(decoder_config(content)) == _canonical(config)
    except CheckpointError:
        same = False
    if not same:
        raise CheckpointError(
            f"this decoder is nearest to the family {kind} but has features that {kind} lacks, so no config.json that "
            "other libraries understand describes it"
        )
    return content


def _rope_parameters(rotary: Rotary, max_positions: int) -> dict[str, Any]:
    content: dict[str, Any] = {"rope_type": rotary.kind, "rope_theta": rotary.theta}
    if rotary.partial != 1.0:
        content["partial_rotary_factor"] = rotary.partial
    if rotary.kind != "default":
        content["factor"] = rotary.factor
    if rotary.kind in ("llama3", "yarn"):
        content["original_max_position_embeddings"] = rotary.original_context
    if rotary.kind == "llama3":
        content |= {"low_freq_factor": rotary.low_freq_factor, "high_freq_factor": rotary.high_freq_factor}
    if rotary.kind == "yarn":
        content |= {"beta_fast": rotary.beta_fast, "beta_slow": rotary.beta_slow, "truncate": rotary.truncate}
        if rotary.attention_factor is not None:
            content["attention_factor"] = rotary.attention_factor
    return content


def _canonical(config: DecoderConfig) -> DecoderConfig:
    """The same decoder without the numbers that have no effect."""
    rotary = []
    for one in config.rotary:
        kept = {"theta": one.theta, "kind": one.kind, "partial": one.partial}
        if one.kind != "default":
            kept["factor"] = one.factor
        if one.kind in ("llama3", "yarn"):
            kept["original_context"] = one.original_context
        if one.kind == "llama3":
            kept |= {"low_freq_factor": one.low_freq_factor, "high_freq_factor": one.high_freq_factor}
        if one.kind == "yarn":
            kept |= {name: getattr(one, name) for name in ("beta_fast", "beta_slow", "attention_factor", "truncate")}
        rotary.append(Rotary(**kept))
    layers = range(config.num_layers)
    return dataclasses.replace(
        config,
        rotary=tuple(rotary[: 1 + max(config.rotary_index(layer) for layer in layers)]),
        layer_rotary=tuple(config.rotary_index(layer) for layer in layers),
        layer_windows=tuple(config.window(layer) for layer in layers),
        query_scale=config.attention_scale,
    )
