"""The metadata of a GGUF file as the `config.json` that Hugging Face would have."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxuq.checkpoints.settings import REQUIRED, Settings
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
_ROTARY_AND_ATTENTION = ("rope.", "attention.")  # an unknown key of these is refused
_IRRELEVANT = ("tensor_data_layout", "pooling_type", "rope.scaling.finetuned", "attention.layer_norm_epsilon")
_REFUSED = {  # with the values that ask for nothing
    "expert_count": ("mixtures of experts are", (0,)),
    "expert_used_count": ("mixtures of experts are", (0,)),
    "leading_dense_block_count": ("mixtures of experts are", (0,)),
    "nextn_predict_layers": ("layers that predict several tokens are", (0,)),
    "use_parallel_residual": ("parallel residuals are", (False,)),
    "logit_scale": ("scaled logits are", (1.0,)),
    "residual_scale": ("scaled residuals are", (1.0,)),
    "embedding_scale": ("an embedding scale of the file's own is", (1.0,)),
    "attention.causal": ("bidirectional attention is", (True,)),
    "attention.clamp_kqv": ("clamped attention is", (0.0,)),
    "attention.max_alibi_bias": ("ALiBi is", (0.0,)),
    "attention.shared_kv_layers": ("shared keys and values are", (0,)),
    "attention.output_scale": ("scaled attention is", (1.0,)),
    "attention.temperature_length": ("attention temperatures are", (0,)),
    "attention.temperature_scale": ("attention temperatures are", (0.0,)),
    "rope.scaling.alpha": ("this scaling of rotary embeddings is", (0.0,)),
    "rope.dimension_sections": ("rotary embeddings of several axes are", ([0, 0, 0, 0],)),
}


class _Metadata:
    """The keys of the architecture's own namespace."""

    def __init__(self, file: GGUFFile, name: str):
        self.name = name
        prefix = f"{name}."
        self.settings = Settings({k: v for k, v in file.metadata.items() if k.startswith(prefix)}, file.path)

    def scalar(self, key: str, read: Callable[..., Any], default: Any = REQUIRED, *args: Any, **bounds: Any) -> Any:
        """One value; a list of one for each layer must hold it throughout."""
        full = f"{self.name}.{key}"
        value = self.settings.get(full, None)
        if isinstance(value, list):
            if not value or any(type(one) is not type(value[0]) or one != value[0] for one in value):
                raise CheckpointError(f"{self.settings.source} has layers that differ in {key}, which is not supported")
            return read(Settings({full: value[0]}, self.settings.source), full, default, *args, **bounds)
        return read(self.settings, full, default, *args, **bounds)

    def count(self, key: str, default: Any = REQUIRED, *, minimum: int = 1) -> Any:
        """A whole number."""
        return self.scalar(key, Settings.count, default, minimum=minimum)

    def number(self, key: str, default: Any = REQUIRED, *, open_low: bool = True) -> Any:
        """A positive number, the shortest decimal that the file's float32 stands for."""
        value = self.scalar(key, Settings.number, default, open_low=open_low)
        return value if value is default else _shortest(value)


def gguf_config(file: GGUFFile) -> dict[str, Any]:
    """What `decoder_config` reads, from metadata, the presence of tensors, and what llama.cpp knows by heart.

    Every key of the architecture's namespace is used, refused by name, or known to have no effect; one that is not
    known is refused where it concerns attention or the rotary embedding, and named in a `CheckpointWarning` elsewhere.

    Args:
        file: from `read_gguf`.

    Returns:
        Contents of a `config.json`.

    Raises:
        CheckpointError: an architecture or feature that is not supported, by name; missing or impossible metadata.
    """
    general = Settings(file.metadata, file.path)
    name = general.typed("general.architecture", str)
    if name not in GGUF_ARCHITECTURES:
        raise CheckpointError(
            f"{file.path} holds the architecture {name!r}; supported are {', '.join(GGUF_ARCHITECTURES)}"
        )
    if general.count("split.count", 1, minimum=0) > 1:
        raise CheckpointError(f"{file.path} is one of several parts; merge them with llama-gguf-split --merge")
    metadata = _Metadata(file, name)
    for key, (what, harmless) in _REFUSED.items():
        metadata.settings.refuse(f"{name}.{key}", what, *harmless)

    table = file.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise CheckpointError(f"{file.path} has no table of embeddings (token_embd.weight)")
    if metadata.count("vocab_size", table.shape[0]) > table.shape[0]:
        raise CheckpointError(f"{file.path} has {table.shape[0]} embeddings, fewer than its vocab_size")
    hidden, heads = metadata.count("embedding_length"), metadata.count("attention.head_count")
    head_dim = metadata.count("attention.key_length", max(hidden // heads, 1))
    for key in ("rope.dimension_count", "rope.dimension_count_swa", "attention.key_length_swa"):
        if metadata.count(key, head_dim) != head_dim:
            raise CheckpointError(f"{file.path}: {key} rotates a part of each head only, which is not supported")
    for key in ("attention.value_length", "attention.value_length_swa"):
        if metadata.count(key, head_dim) != head_dim:
            raise CheckpointError(f"{file.path} has values of another width than keys ({key}), which is not supported")
    layers = metadata.count("block_count")
    if layers > len(file.tensors):
        raise CheckpointError(f"{file.path} announces {layers} layers and has {len(file.tensors)} tensors")
    config = {
        "model_type": GGUF_ARCHITECTURES[name],
        "vocab_size": table.shape[0],
        "hidden_size": hidden,
        "intermediate_size": metadata.count("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": metadata.count("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": metadata.count("context_length"),
        "rms_norm_eps": metadata.number("attention.layer_norm_rms_epsilon", open_low=False),
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "rope_parameters": _rope(file, metadata, head_dim),
    }
    if name in ("llama", "qwen3"):
        config["attention_bias"] = "blk.0.attn_q.bias" in file.tensors
    if name == "llama":
        config["mlp_bias"] = "blk.0.ffn_up.bias" in file.tensors
    if name in _LARGE_GEMMA:
        config |= _gemma(metadata, layers)
        config["query_pre_attn_scalar"] = hidden // heads if layers == _LARGE_GEMMA[name] else head_dim
    else:
        window = metadata.count("attention.sliding_window", None, minimum=0)
        if window and window < config["max_position_embeddings"]:
            raise CheckpointError(
                f"{file.path} has attention.sliding_window {window}, which llama.cpp's files of {name} are not read "
                "with; use the checkpoint as Hugging Face has it"
            )
    _check_scale(metadata, config)
    metadata.settings.finish(
        irrelevant=[f"{name}.{key}" for key in _IRRELEVANT], strict=[f"{name}.{part}" for part in _ROTARY_AND_ATTENTION]
    )
    return config


def _check_scale(metadata: _Metadata, config: dict[str, Any]) -> None:
    """A scale of attention in the file is the model's own, or else refused."""
    scale = metadata.number("attention.scale", None)
    own = config.get("query_pre_attn_scalar", config["head_dim"]) ** -0.5
    if scale is None or np.isclose(scale, own, rtol=1e-5):
        return
    if "query_pre_attn_scalar" not in config:
        raise CheckpointError(f"{metadata.settings.source} scales attention by {scale}, which is not supported")
    config["query_pre_attn_scalar"] = scale**-2


def _shortest(number: float) -> float:
    """A float32 read as the decimal number that someone once wrote."""
    return float(str(np.float32(number)))


def _gemma(metadata: _Metadata, layers: int) -> dict[str, Any]:
    name, key = metadata.name, "attention.sliding_window_pattern"
    pattern = metadata.settings.get(f"{name}.{key}", None)
    if isinstance(pattern, list):
        if len(pattern) < layers or not all(isinstance(windowed, bool | int) for windowed in pattern):
            raise CheckpointError(
                f"{metadata.settings.source}: {key} does not say for each layer whether it has a window"
            )
        windows = [bool(windowed) for windowed in pattern[:layers]]
    else:
        period = metadata.count(key, 2 if name == "gemma2" else 6)
        windows = [(layer + 1) % period != 0 for layer in range(layers)]
    config: dict[str, Any] = {
        "sliding_window": metadata.count("attention.sliding_window"),
        "layer_types": ["sliding_attention" if windowed else "full_attention" for windowed in windows],
        "final_logit_softcapping": metadata.number(
            "final_logit_softcapping", 30.0 if name == "gemma2" else None, open_low=False
        )
        or None,
    }
    attention = metadata.number("attn_logit_softcapping", 50.0 if name == "gemma2" else None, open_low=False)
    if name == "gemma2":  # llama.cpp and transformers read it for no other
        config["attn_logit_softcapping"] = attention or None
    return config


def _rope(file: GGUFFile, metadata: _Metadata, head_dim: int) -> dict[str, Any]:
    """The rotary parameters as llama.cpp reads them: a factor without a type is linear, under its old name too."""
    name = metadata.name
    theta = metadata.number("rope.freq_base", 1e6 if name == "gemma3" else 1e4)
    factor = metadata.number("rope.scaling.factor", None, open_low=False)
    old = metadata.number("rope.scale_linear", None, open_low=False)
    factor = (old if factor is None else factor) or 1.0
    kind = metadata.settings.typed(f"{name}.rope.scaling.type", str, "linear")
    if kind not in ("none", "linear", "yarn"):
        raise CheckpointError(f"{file.path} scales its rotary embedding by {kind!r}, which is not supported")
    original = metadata.count("rope.scaling.original_context_length", 0, minimum=0) or metadata.count("context_length")
    yarn = {
        key: metadata.number(f"rope.scaling.{key}", None, open_low=False)
        for key in ("attn_factor", "yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_ext_factor")
    }
    metadata.settings.refuse(f"{name}.rope.scaling.yarn_log_multiplier", "another attention factor of YaRN is", 0.0)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": theta}
    if kind == "linear" and factor != 1.0:
        rope |= {"rope_type": "linear", "factor": factor}
    attention = (yarn["attn_factor"] or 1.0) * (yarn["yarn_attn_factor"] or 1.0)
    if kind == "yarn":
        if yarn["yarn_ext_factor"] not in (None, 1.0):
            raise CheckpointError(
                f"{file.path}: rope.scaling.yarn_ext_factor is {yarn['yarn_ext_factor']}: a YaRN that mixes in part is "
                "not supported"
            )
        rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": original}
        rope |= {"beta_fast": yarn["yarn_beta_fast"], "beta_slow": yarn["yarn_beta_slow"]}
        if attention != 1.0:
            rope["attention_factor"] = attention * (1.0 + 0.1 * math.log(factor))
    elif attention != 1.0 or yarn["yarn_ext_factor"]:  # llama.cpp applies both whatever the type is
        said = "attn_factor" if attention != 1.0 else "yarn_ext_factor"
        value = attention if attention != 1.0 else yarn["yarn_ext_factor"]
        raise CheckpointError(f"{file.path}: rope.scaling.{said} is {value} without YaRN, which is not supported")
    if "rope_freqs.weight" in file.tensors:
        if kind != "none" and factor != 1.0:
            raise CheckpointError(
                f"{file.path} scales its rotary embedding twice, by a factor and by a table (rope_freqs.weight)"
            )
        rope = _llama3(file, theta, head_dim)
    if name == "gemma3":
        local = metadata.number("rope.freq_base_swa", 1e4)
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
