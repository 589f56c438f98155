"""The metadata of a GGUF file as the `config.json` that Hugging Face would have."""

from typing import Any

import numpy as np

from jaxuq.language.errors import CheckpointError
from jaxuq.language.gguf import GGUFFile, stored_gguf_tensor
from jaxuq.networks import Rotary, rotary_frequencies

GGUF_ARCHITECTURES = {
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
}
_LARGE_GEMMA = {"gemma2": 46, "gemma3": 62}  # layers of the 27B models, which scale queries by the width over the heads
_REQUIRED = object()


def entry(file: GGUFFile, key: str, kind: type | tuple[type, ...], default: Any = _REQUIRED) -> Any:
    """A metadata entry of a known type.

    Args:
        file: from `read_gguf`.
        key: full name.
        kind: of the value.
        default: if there is no such entry.

    Returns:
        The value.

    Raises:
        CheckpointError: the entry is of another type, or missing and without default.
    """
    value = file.metadata.get(key, default)
    if value is _REQUIRED:
        raise CheckpointError(f"{file.path} lacks the metadata {key!r}")
    if value is not default and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
        raise CheckpointError(f"{file.path} has a {type(value).__name__} as metadata {key!r}")
    return value


def gguf_config(file: GGUFFile) -> dict[str, Any]:
    """What `decoder_config` reads, from metadata, the presence of tensors, and what llama.cpp knows by heart.

    Args:
        file: from `read_gguf`.

    Returns:
        Contents of a `config.json`.

    Raises:
        CheckpointError: an architecture or feature that is not supported, by name; missing metadata.
    """
    name = entry(file, "general.architecture", str)
    if name not in GGUF_ARCHITECTURES:
        raise CheckpointError(
            f"{file.path} holds the architecture {name!r}; supported are {', '.join(GGUF_ARCHITECTURES)}"
        )
    if entry(file, "split.count", int, 1) > 1:
        raise CheckpointError(f"{file.path} is one of several parts; merge them with llama-gguf-split --merge")
    if entry(file, f"{name}.expert_count", int, 0):
        raise CheckpointError(f"{file.path} is a mixture of experts, which is not supported")

    def number(key: str, default: Any = _REQUIRED) -> Any:
        value = file.metadata.get(f"{name}.{key}")
        if isinstance(value, list):  # one for each layer
            if len(set(value)) != 1:
                raise CheckpointError(f"{file.path} has layers that differ in {key}, which is not supported")
            return value[0]
        return entry(file, f"{name}.{key}", (int, float), default)

    table = file.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise CheckpointError(f"{file.path} has no table of embeddings (token_embd.weight)")
    hidden, heads = number("embedding_length"), number("attention.head_count")
    if not hidden or not heads:
        raise CheckpointError(f"{file.path} has embedding_length {hidden} and attention.head_count {heads}")
    head_dim = number("attention.key_length", hidden // heads)
    if number("rope.dimension_count", head_dim) != head_dim:
        raise CheckpointError(f"{file.path} rotates a part of each head only, which is not supported")
    layers = number("block_count")
    if layers > len(file.tensors):
        raise CheckpointError(f"{file.path} announces {layers} layers and has {len(file.tensors)} tensors")
    config = {
        "model_type": GGUF_ARCHITECTURES[name],
        "vocab_size": table.shape[0],
        "hidden_size": hidden,
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": _shortest(number("attention.layer_norm_rms_epsilon")),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "rope_parameters": _rope(file, name, number, head_dim),
    }
    if name in ("llama", "qwen3"):
        config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    if name == "llama":
        config["mlp_bias"] = "blk.0.ffn_up.bias" in file.tensors
    if name in _LARGE_GEMMA:
        config |= _gemma(file, name, number, layers)
        config["query_pre_attn_scalar"] = hidden // heads if layers == _LARGE_GEMMA[name] else head_dim
    return config


def _shortest(number: float) -> float:
    """A float32 read as the decimal number that someone once wrote."""
    return float(str(np.float32(number)))


def _gemma(file: GGUFFile, name: str, number: Any, layers: int) -> dict[str, Any]:
    pattern = file.metadata.get(f"{name}.attention.sliding_window_pattern", 2 if name == "gemma2" else 6)
    if not isinstance(pattern, list):
        pattern = [(layer + 1) % number("attention.sliding_window_pattern", pattern) != 0 for layer in range(layers)]
    config: dict[str, Any] = {
        "sliding_window": number("attention.sliding_window"),
        "layer_types": ["sliding_attention" if windowed else "full_attention" for windowed in pattern],
    }
    if name == "gemma2":
        config["attn_logit_softcapping"] = number("attn_logit_softcapping", 50.0)
        config["final_logit_softcapping"] = number("final_logit_softcapping", 30.0)
    return config


def _rope(file: GGUFFile, name: str, number: Any, head_dim: int) -> dict[str, Any]:
    theta = _shortest(number("rope.freq_base", 1e6 if name == "gemma3" else 1e4))
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    kind = entry(file, f"{name}.rope.scaling.type", str, "none")
    if kind in ("linear", "yarn"):
        rope |= {"rope_type": kind, "factor": _shortest(number("rope.scaling.factor"))}
        if kind == "yarn":
            rope["original_max_position_embeddings"] = number("rope.scaling.original_context_length")
    elif kind != "none":
        raise CheckpointError(f"{file.path} scales its rotary embedding by {kind!r}, which is not supported")
    if "rope_freqs.weight" in file.tensors:
        rope = _llama3(file, theta, head_dim)
    if name == "gemma3":
        local = _shortest(number("rope.freq_base_swa", 1e4))
        return {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": local}}
    return rope


def _llama3(file: GGUFFile, theta: float, head_dim: int) -> dict[str, Any]:
    """The parameters behind a table of frequency divisors, which is all that the file keeps of them."""
    divisors = stored_gguf_tensor(file, file.tensors["rope_freqs.weight"]).read()
    plain, _ = rotary_frequencies(Rotary(theta=theta), head_dim)
    factor = float(divisors.max())
    rotary = Rotary(theta=theta, kind="llama3", factor=factor, original_context=8192)
    if divisors.shape == plain.shape:
        scaled, _ = rotary_frequencies(rotary, head_dim)
        if np.allclose(plain / divisors, scaled, rtol=1e-4):
            return {
                "rope_type": "llama3",
                "rope_theta": theta,
                "factor": factor,
                "low_freq_factor": rotary.low_freq_factor,
                "high_freq_factor": rotary.high_freq_factor,
                "original_max_position_embeddings": rotary.original_context,
            }
    raise CheckpointError(f"{file.path} scales its rotary embedding by a table (rope_freqs.weight) unlike Llama 3's")
