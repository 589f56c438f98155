"""The shape of a decoder from the `config.json` of a family that is read; `config_json` is the way back."""

import copy
import math
from collections.abc import Mapping
from typing import Any

from jaxuq._arguments import typed
from jaxuq.checkpoints.settings import ACTIVATION_NAMES, Settings
from jaxuq.language.errors import CheckpointError
from jaxuq.language.families import COMMON_SETTINGS, FAMILIES, IRRELEVANT_SETTINGS, REFUSED_SETTINGS, Family
from jaxuq.networks import DecoderConfig, Experts, Rotary
from jaxuq.networks.rotary import ROTARY_KINDS

_ROTARY_OF_OTHER_KINDS = (
    "factor", "low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale",
    "mscale_all_dim", "truncate", "original_max_position_embeddings", "rope_theta", "type", "finetuned",
)  # fmt: skip


def _rotary(family: Family, parameters: Mapping[str, Any], source: str, max_positions: int) -> Rotary:
    settings = Settings(parameters, f"{source}: rope_parameters")
    kind = settings.typed("rope_type", str, "default")
    known = family.rotary_kinds or ROTARY_KINDS
    if kind not in known:
        raise CheckpointError(f"{source}: rotary embedding of type {kind!r}; supported are {', '.join(known)}")
    if not family.partial_rotary:
        settings.refuse("partial_rotary_factor", "rotary embeddings of a part of each head are", 1.0, 1)
    part = settings.number("partial_rotary_factor", 1.0, open_low=True)
    made: dict[str, Any] = {"theta": settings.number("rope_theta", open_low=True), "kind": kind, "partial": part}
    if kind == "yarn":
        original = settings.count("original_max_position_embeddings", max_positions)
        factor = settings.number("factor", max_positions / original, open_low=True)
        made |= {
            "factor": factor,
            "original_context": original,
            "beta_fast": settings.number("beta_fast", 0.0) or 32.0,
            "beta_slow": settings.number("beta_slow", 0.0) or 1.0,
            "attention_factor": _yarn_attention(settings, factor),
            # transformers looks for it beside the kinds of layers, never in one
            "truncate": True if family.nested_rotary else settings.typed("truncate", bool, True),
        }
    elif kind == "llama3":
        made |= {
            "factor": settings.number("factor", open_low=True),
            "original_context": settings.count("original_max_position_embeddings", max_positions),
            "low_freq_factor": settings.number("low_freq_factor", open_low=True),
            "high_freq_factor": settings.number("high_freq_factor", open_low=True),
        }
        if made["low_freq_factor"] == made["high_freq_factor"]:
            raise CheckpointError(f"{source}: low_freq_factor and high_freq_factor are both {made['low_freq_factor']}")
    elif kind == "linear":
        made["factor"] = settings.number("factor", open_low=True)
    settings.finish(irrelevant=_ROTARY_OF_OTHER_KINDS, strict=[""])
    return Rotary(**made)


def _yarn_attention(settings: Settings, factor: float) -> float | None:
    attention, *scales = (settings.number(key, None) for key in ("attention_factor", "mscale", "mscale_all_dim"))
    if attention is None and all(scales):
        above, below = (0.1 * scale * math.log(max(factor, 1.0)) + 1 for scale in scales)
        return above / below
    return attention


@typed()
def decoder_config(config: Mapping[str, Any], *, source: str = "config.json") -> DecoderConfig:
    """The shape of a decoder from the contents of a Hugging Face `config.json`.

    Older files (`rope_theta`, `rope_scaling`) and newer ones (`rope_parameters`) are read alike; what a file leaves out
    has its family's default. Every setting of the file is used, or refused by name, or known to have no effect on what
    this family computes (`jaxuq.language.families`); what none of them holds for is named in a `CheckpointWarning`.

    Args:
        config: the file's contents.
        source: the file's name, for messages.

    Returns:
        The configuration.

    Raises:
        CheckpointError: an unknown architecture, a value of the wrong type or out of range, or a feature that is not
            supported, by name.

    Example:
        >>> decoder_config({"model_type": "qwen2", "num_hidden_layers": 2}).attention_bias
        True
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise CheckpointError(f"{source}: architecture {kind!r} is not supported; supported are {', '.join(FAMILIES)}")
    family, settings = FAMILIES[kind], Settings(config, source)
    for key, (what, harmless) in REFUSED_SETTINGS.items():
        settings.refuse(key, what, *harmless)
    reads = (*COMMON_SETTINGS, family.activation, *family.reads)
    given = {key: config[key] for key in reads if settings.get(key, None) is not None or key in config}
    settings.finish(irrelevant=IRRELEVANT_SETTINGS | family.silent)
    full = Settings(vars(_with_defaults(given | {"model_type": family.like or kind}, source)), source)
    try:
        return _decoder_config(family, full, source)
    except (ValueError, OverflowError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{source}: {error}") from error


def _with_defaults(config: dict[str, Any], source: str) -> Any:
    """What transformers makes of these settings: defaults filled in, old names replaced."""
    from transformers import AutoConfig

    try:
        made = AutoConfig.for_model(**copy.deepcopy(config))
        made.standardize_rope_params()  # again, as the rotary embedding does: now all attributes are there
        return made
    except Exception as error:  # wrong values surface as many kinds, some of other libraries
        text = " ".join(str(error).split())
        raise CheckpointError(
            f"{source}: this configuration of {config['model_type']} cannot be read: {text}"
        ) from error


def _decoder_config(family: Family, full: Settings, source: str) -> DecoderConfig:
    activation = full.typed(family.activation, str)
    if activation not in ACTIVATION_NAMES or ACTIVATION_NAMES[activation] == "relu":
        known = [name for name, ours in ACTIVATION_NAMES.items() if ours != "relu"]
        raise CheckpointError(f"{source}: activation {activation!r} is not supported; supported are {', '.join(known)}")
    layers, max_positions = full.count("num_hidden_layers"), full.count("max_position_embeddings")
    hidden, heads = full.count("hidden_size"), full.count("num_attention_heads")
    head_dim = full.count("head_dim", None) or max(hidden // heads, 1)
    if family.query_key_norm == "whole" and heads * head_dim != hidden:
        raise CheckpointError(
            f"{source}: {heads} heads of {head_dim} are normalised together and make up no hidden_size of {hidden}"
        )
    kinds, windows = _windows(family, full, layers, source)
    rotary, layer_rotary = _rotaries(family, full, kinds, max_positions, source)
    bias = _attention_bias(family, full)
    scalar, cap, logit_cap = (
        full.number(key, None, open_low=True) if key in family.reads else None
        for key in ("query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping")
    )
    return DecoderConfig(
        vocab_size=full.count("vocab_size"),
        hidden_size=hidden,
        intermediate_size=full.count(_inner_width(family)),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=full.count("num_key_value_heads", heads),
        head_dim=head_dim,
        max_positions=max_positions,
        activation=ACTIVATION_NAMES[activation],
        norm_eps=full.number("rms_norm_eps"),
        norm_offset=1.0 if family.gemma else 0.0,
        rotary=rotary,
        layer_rotary=layer_rotary,
        layer_windows=windows,
        attention_bias=bias,
        output_bias=bias and not family.fixed_bias,
        mlp_bias="mlp_bias" in family.reads and full.typed("mlp_bias", bool, False),
        query_key_norm=bool(family.query_key_norm),
        whole_query_key_norm=family.query_key_norm == "whole",
        post_norms=family.post_norms,
        query_scale=scalar**-0.5 if scalar else None,
        attention_softcap=cap,
        logit_softcap=logit_cap,
        embedding_scale=hidden**0.5 if family.gemma else 1.0,
        tied=full.typed("tie_word_embeddings", bool, False),
        experts=_experts(family, full) if family.experts else None,
    )


def _attention_bias(family: Family, full: Settings) -> bool:
    if "attention_bias" in family.reads:
        return full.typed("attention_bias", bool, False)
    return family.fixed_bias and full.typed("qkv_bias", bool, True) if "qkv_bias" in family.reads else family.fixed_bias


def _inner_width(family: Family) -> str:
    return "moe_intermediate_size" if "moe_intermediate_size" in family.reads else "intermediate_size"


def _experts(family: Family, full: Settings) -> Experts:
    counts = [full.count(key, None) for key in ("num_experts", "num_local_experts")]  # one name is the other's alias
    shared = "shared_expert_intermediate_size"
    return Experts(
        next((count for count in counts if count is not None), None) or full.count("num_experts"),
        full.count("num_experts_per_tok"),
        full.typed("norm_topk_prob", bool, False) if "norm_topk_prob" in family.reads else True,
        full.count(shared, 0, minimum=0) if shared in family.reads else 0,
    )


def _windows(family: Family, full: Settings, layers: int, source: str) -> tuple[list[str], tuple[int | None, ...]]:
    """The kind of each layer, and its window; no windows if no layer has one."""
    kinds = ["sliding_attention" if family.windows == "all" else "full_attention"] * layers
    if family.windows == "none":
        return kinds, ()
    unused = "use_sliding_window" in family.reads and not full.typed("use_sliding_window", bool, False)
    window = None if unused else full.count("sliding_window", None)
    if family.windows == "listed":
        kinds = full.typed("layer_types", list)
        if len(kinds) != layers or not set(kinds) <= {"full_attention", "sliding_attention"}:
            raise CheckpointError(
                f"{source}: layer_types must say full_attention or sliding_attention for each of the {layers} layers"
            )
        if window is None and "sliding_attention" in kinds:
            raise CheckpointError(
                f"{source}: layer_types says sliding_attention, but there is no sliding_window in use"
            )
    if window is None:
        return kinds, ()
    windows = tuple(window if kind == "sliding_attention" else None for kind in kinds)
    return kinds, windows if any(windows) else ()


def _rotaries(
    family: Family, full: Settings, kinds: list[str], max_positions: int, source: str
) -> tuple[tuple[Rotary, ...], tuple[int, ...]]:
    """Rotary embeddings, and which of them each layer has."""
    parameters = full.typed("rope_parameters", dict)
    if not family.nested_rotary:
        return (_rotary(family, parameters, source, max_positions),), ()
    names = ("full_attention", "sliding_attention")
    outside = sorted(str(key) for key in parameters if key not in names)
    if outside:
        raise CheckpointError(
            f"{source}: rope_parameters says {', '.join(outside)} beside {' and '.join(names)}, where nothing reads it"
        )
    rotary = tuple(
        _rotary(family, Settings(parameters, source).typed(name, dict), f"{source}: {name}", max_positions)
        for name in names
    )
    return rotary, tuple(names.index(kind) for kind in kinds)
