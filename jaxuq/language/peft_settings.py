"""The settings of an adapter in PEFT's format: which modules have one, and of what rank, scale and kind."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

from jaxuq.checkpoints import read_json
from jaxuq.checkpoints.settings import Settings
from jaxuq.language.errors import CheckpointError
from jaxuq.networks import LoraConfig

_REFUSED = {  # settings that change what the adapter computes, and are not implemented
    "modules_to_save": "whole modules beside the adapters",
    "fan_in_fan_out": "transposed kernels",
    "lora_bias": "biases of adapters",
    "trainable_token_indices": "trained embeddings",
    "target_parameters": "adapters of bare parameters",
    "layer_replication": "replicated layers",
    "alora_invocation_tokens": "adapters that act after an invocation",
    "use_qalora": "quantisation-aware adapters",
    "use_bdlora": "block-diagonal adapters",
    "arrow_config": "routed adapters",
    "kasa_config": "adapters with singular values",
    "monteclora_config": "Bayesian adapters",
    "velora_config": "compressed adapters",
}
_READ = (
    "peft_type", "bias", "init_lora_weights", "exclude_modules", "layers_to_transform", "target_modules",
    "layers_pattern", "rank_pattern", "alpha_pattern", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora",
)  # fmt: skip
_IRRELEVANT = (  # how an adapter was begun, trained or stored: nothing of it reaches what a trained one computes
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "megatron_config", "megatron_core", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
    "qalora_group_size", "ensure_weight_tying", "runtime_config", "use_loraplus", "loraplus_lr_ratio",
)  # fmt: skip


def read_settings(file: Path) -> dict[str, Any]:
    """An adapter's settings, of which every one is read, refused, or known to have no effect.

    Args:
        file: `adapter_config.json`.

    Returns:
        Its contents.

    Raises:
        CheckpointError: it is missing, of another kind of adapter, or asks for what is not supported.

    Warns:
        CheckpointWarning: names settings that are none of these, and say something.
    """
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: this is no adapter folder")
    settings = read_json(file)
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(f"{file}: adapters of type {settings.get('peft_type')!r} are not supported, only 'LORA'")
    if settings.get("bias", "none") != "none":
        raise CheckpointError(f"{file}: bias is {settings['bias']!r}: trained biases are not supported, only 'none'")
    start = str(settings.get("init_lora_weights")).lower()
    if start.startswith(("pissa", "olora", "loftq", "corda", "lora_ga")):
        raise CheckpointError(
            f"{file}: init_lora_weights is {settings['init_lora_weights']!r}, which changes the base model too; "
            "save it as a plain LoRA with PEFT"
        )
    for name, what in _REFUSED.items():
        if settings.get(name):
            raise CheckpointError(f"{file}: {name} is {settings[name]!r}: {what} are not supported")
    said = {name: value for name, value in settings.items() if value or name in _READ}  # what is off says nothing
    Settings(said, file).finish(irrelevant=(*_READ, *_IRRELEVANT, *_REFUSED))
    return settings


def lora_config(file: Path, settings: dict[str, Any], targets: tuple[str, ...]) -> LoraConfig:
    """The configuration that all modules share.

    Args:
        file: named in messages.
        settings: of `read_settings`.
        targets: our names of the adapted layers.

    Returns:
        The configuration; single modules may have another rank and scale, see `module_config`.

    Raises:
        CheckpointError: a value of the wrong type or out of range.
    """
    said = Settings(settings, file)
    try:
        return LoraConfig(
            rank=said.count("r", 8),
            alpha=said.number("lora_alpha", 8.0, -math.inf),
            dropout=said.number("lora_dropout", 0.0),
            rslora=said.typed("use_rslora", bool, False),
            dora=said.typed("use_dora", bool, False),
            targets=targets,
        )
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(f"{file}: {error}") from error


def chosen_modules(source: Path, settings: dict[str, Any], modules: set[str]) -> set[str]:
    """The modules that the settings of PEFT adapt, by its rules.

    Args:
        source: named in messages.
        settings: of `read_settings`.
        modules: those of the adapted kinds, such as `layers.0.self_attn.q_proj`.

    Returns:
        Some of them.

    Raises:
        CheckpointError: names, numbers or patterns that are none.
    """
    said = Settings(settings, source)
    excluded, layers = said.get("exclude_modules", []), said.get("layers_to_transform", None)
    targets = said.get("target_modules", "all-linear")
    layers = layers if isinstance(layers, list) else [] if layers is None else [layers]  # none named: all
    if any(isinstance(layer, bool) or not isinstance(layer, int) for layer in layers):
        raise CheckpointError(f"{source}: layers_to_transform is {layers!r}, expected numbers of layers")
    every = isinstance(targets, str) and targets.lower() == "all-linear"
    if said.get("layers_pattern", "layers") not in ("layers", ["layers"], []):
        raise CheckpointError(f"{source}: layers_pattern is {settings['layers_pattern']!r}; expected 'layers'")
    return {
        module
        for module in modules
        if not _matches(source, "exclude_modules", excluded, module)
        and (every or _matches(source, "target_modules", targets, module))
        and (not layers or int(module.split(".")[1]) in layers)
    }


def _matches(source: Path, key: str, names: Any, module: str) -> bool:
    full = f"model.{module}"
    if isinstance(names, str):
        return _found(source, key, names, full)
    if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise CheckpointError(f"{source}: {key} is {names!r}, expected names or a pattern")
    return any(full == name or full.endswith(f".{name}") for name in names)


def _found(source: Path, key: str, pattern: str, text: str) -> bool:
    """Whether a pattern of the settings holds for a whole name; patterns that could search for ever are refused."""
    if len(pattern) > 500 or len(re.findall(r"[*+{]", pattern)) > 4 or re.search(r"[*+})][*+{]|\\[1-9]", pattern):
        raise CheckpointError(f"{source}: {key} has a pattern that is not supported: {pattern[:100]!r}")
    try:
        return re.fullmatch(pattern, text) is not None
    except (re.error, OverflowError) as error:
        raise CheckpointError(f"{source}: {key} is no pattern: {error}") from error


def module_config(source: Path, settings: dict[str, Any], config: LoraConfig, module: str) -> LoraConfig:
    """Rank and alpha of one module: of the first pattern that its name ends with, or else the common ones.

    Args:
        source: named in messages.
        settings: of `read_settings`.
        config: the common ones.
        module: its name.

    Returns:
        The configuration of this module.

    Raises:
        CheckpointError: no numbers, or no patterns.
    """
    said, full = Settings(settings, source), f"model.{module}"
    ranks, alphas = (Settings(said.typed(f"{key}_pattern", dict, {}), source) for key in ("rank", "alpha"))

    def first(key: str) -> str:
        patterns = said.typed(key, dict, {})
        found = (one for one in patterns if _found(source, key, rf"(.*\.)?({one})", full))
        return next(found, full)

    return dataclasses.replace(
        config,
        rank=ranks.count(first("rank_pattern"), config.rank),
        alpha=alphas.number(first("alpha_pattern"), config.alpha, -math.inf),
    )
