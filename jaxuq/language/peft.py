"""Adapters in PEFT's folder format, `adapter_config.json` and `adapter_model.safetensors`, both ways."""

import dataclasses
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq.checkpoints import read_json
from jaxuq.checkpoints.settings import Settings
from jaxuq.language.architectures import linear_names, tensor_places
from jaxuq.language.errors import CheckpointError
from jaxuq.networks import DecoderConfig, LoraConfig, stack_layers, unstack_layers

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KEY = re.compile(
    r"(?:model\.)*(?:language_model\.)?(?:model\.)?(layers\.\d+\.\w+\.\w+)\.(lora_A|lora_B|lora_magnitude_vector)"
    r"(?:\.default)?(?:\.weight)?"
)
_PARTS = {"lora_A": "a", "lora_B": "b", "lora_magnitude_vector": "magnitude"}
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


def load_peft(
    folder: str | os.PathLike, decoder_config: DecoderConfig, *, scan: bool = True
) -> tuple[LoraConfig, PyTree]:
    """Read a LoRA or DoRA adapter that PEFT (or `save_peft`) wrote.

    Modules may differ in rank and alpha (`rank_pattern`, `alpha_pattern`), and blocks may be left out
    (`layers_to_transform`, `exclude_modules`): smaller ranks are padded with zeros, the scale goes into B, and a module
    without an adapter has one of zeros, so the numbers are PEFT's. What the settings adapt and the tensors lack is an
    error. Settings that do not change what a trained adapter computes are ignored.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        decoder_config: of the model that it adapts.
        scan: whether layers are stacked, as in the decoder.

    Returns:
        The configuration, for `decoder.clone(lora=...)`, and the collection `lora`, float32.

    Raises:
        CheckpointError: names the file and what is wrong: another kind of adapter, a setting that is not supported
            (`modules_to_save`, biases, ...), missing or unexpected tensors (all of them), wrong shapes,
            numbers that are not finite, a damaged file.

    References:
        S. Mangrulkar et al. PEFT: state-of-the-art parameter-efficient fine-tuning methods. 2022 (the format).
    """
    folder = Path(folder).expanduser()
    settings = _read_settings(folder / _CONFIG)
    file = folder / _WEIGHTS
    tensors = _read_tensors(file)
    lora, unexpected = {}, []
    for name, tensor in tensors.items():
        found = _KEY.fullmatch(name.removeprefix(_PREFIX))
        if found is None:
            unexpected.append(name)
        else:
            lora[found[1], _PARTS[found[2]]] = tensor
    kernels = {
        name.removeprefix("model.").removesuffix(".weight"): (place.path[1], place.layer, place.shape)
        for name, place in tensor_places(decoder_config).items()
        if place.path[-1] == "kernel"
    }
    unexpected += [f"{module}.{part}" for module, part in lora if module not in kernels]
    if unexpected:
        raise CheckpointError(
            f"{file} holds tensors that are no adapters of this model's linear layers: {', '.join(sorted(unexpected))}"
        )
    if not lora:
        raise CheckpointError(f"{file} holds no adapters")
    adapted = {module for module, _ in lora}
    targets = {kernels[module][0] for module in adapted}
    source = folder / _CONFIG
    config = _lora_config(source, settings, tuple(name for name in linear_names() if name in targets))
    parts = ("a", "b", "magnitude") if config.dora else ("a", "b")
    chosen = _chosen(source, settings, {module for module, (name, *_) in kernels.items() if name in targets})
    wanted = {(module, part) for module in chosen for part in parts}
    if set(lora) != wanted:
        missing = [f"{module} ({part})" for module, part in sorted(wanted - set(lora))]
        extra = [f"{module} ({part})" for module, part in sorted(set(lora) - wanted)]
        raise CheckpointError(
            f"{file}: missing {', '.join(missing) or 'nothing'}; unexpected {', '.join(extra) or 'nothing'}, by what "
            f"{_CONFIG} says is adapted"
        )
    scales = {module: _module_config(source, settings, config, module) for module in chosen}
    if scales:
        rank = max(one.rank for one in scales.values())
        config = dataclasses.replace(config, rank=rank, alpha=config.alpha or 1.0)  # B holds a scale of zero
    layers: dict[str, Any] = {f"layers_{layer}": {} for layer in range(decoder_config.num_layers)}
    for module, (name, layer, (outputs, inputs)) in kernels.items():
        if name not in targets:
            continue
        adapter = layers[f"layers_{layer}"].setdefault(name, {})
        if module not in chosen:  # an adapter of zeros changes nothing
            if config.dora:
                raise CheckpointError(f"{file}: DoRA in a part of the blocks only ({module} has none) is not supported")
            adapter |= {"a": jnp.zeros((inputs, config.rank)), "b": jnp.zeros((config.rank, outputs))}
            continue
        own = scales[module]
        shapes = {"a": (own.rank, inputs), "b": (outputs, own.rank), "magnitude": (outputs,)}
        for part in parts:
            tensor = lora[module, part]
            if tensor.shape != shapes[part]:
                raise CheckpointError(
                    f"{file}: {module} ({part}) has shape {tensor.shape}; this model needs {shapes[part]}"
                )
            if not np.isfinite(tensor).all():
                raise CheckpointError(f"{file}: {module} ({part}) holds numbers that are not finite")
            adapter[part] = jnp.asarray(_padded(tensor.T, part, own, config))
    return config, stack_layers(layers, decoder_config.num_layers) if scan else layers


def _padded(tensor: np.ndarray, part: str, own: LoraConfig, config: LoraConfig) -> np.ndarray:
    """A module's factor at the common rank and scale: more columns of zeros, and its own scale within B."""
    if part == "magnitude":
        return tensor
    more = config.rank - own.rank
    if part == "a":
        return np.pad(tensor, ((0, 0), (0, more)))
    factor = own.scale / config.scale if own.scale != config.scale else 1.0
    return np.pad(tensor * np.float32(factor), ((0, more), (0, 0)))


def _chosen(source: Path, settings: dict[str, Any], modules: set[str]) -> set[str]:
    """The modules that the settings of PEFT adapt, by its rules, among those of the adapted kinds."""
    said = Settings(settings, source)
    excluded, layers = said.get("exclude_modules", []), said.get("layers_to_transform", None)
    targets = said.get("target_modules", "all-linear")
    layers = [layers] if isinstance(layers, int) else layers
    if layers is not None and not (isinstance(layers, list) and all(isinstance(layer, int) for layer in layers)):
        raise CheckpointError(f"{source}: layers_to_transform is {layers!r}, expected numbers of layers")
    if said.get("layers_pattern", "layers") not in ("layers", ["layers"], []):
        raise CheckpointError(f"{source}: layers_pattern is {settings['layers_pattern']!r}; expected 'layers'")
    return {
        module
        for module in modules
        if not _matches(source, "exclude_modules", excluded, module)
        and (targets == "all-linear" or _matches(source, "target_modules", targets, module))
        and (layers is None or int(module.split(".")[1]) in layers)
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
    except re.error as error:
        raise CheckpointError(f"{source}: {key} is no pattern: {error}") from error


def _module_config(source: Path, settings: dict[str, Any], config: LoraConfig, module: str) -> LoraConfig:
    """Rank and alpha of one module: of the first pattern that its name ends with, or else the common ones."""
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


def save_peft(
    folder: str | os.PathLike, lora_config: LoraConfig, lora: PyTree, *, base_model: str | None = None
) -> None:
    """Write adapters as a folder that PEFT (`PeftModel.from_pretrained`) and `load_peft` read.

    Args:
        folder: made if needed; an adapter in it is replaced.
        lora_config: the adapters' configuration.
        lora: the collection, layers stacked or not, without an expert axis.
        base_model: name or path of the model, for other libraries to find.

    Raises:
        ValueError: the collection has an expert axis.
    """
    from safetensors.numpy import save_file

    folder = Path(folder).expanduser()
    if "layers" in lora:
        first = next(iter(lora["layers"].values()))["a"]
        if first.ndim != 3:
            raise ValueError(f"factors have {first.ndim} axes, expected layers, inputs, rank: save experts one by one")
        lora = unstack_layers(lora, first.shape[0])
    names, tensors = linear_names(), {}
    for layer, adapters in lora.items():
        for name, adapter in adapters.items():
            module = f"{_PREFIX}model.layers.{layer.removeprefix('layers_')}.{names[name]}"
            tensors[f"{module}.lora_A.weight"] = _contiguous(adapter["a"])
            tensors[f"{module}.lora_B.weight"] = _contiguous(adapter["b"])
            if lora_config.dora:
                tensors[f"{module}.lora_magnitude_vector"] = _contiguous(adapter["magnitude"])
    alpha = lora_config.alpha
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": lora_config.rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "lora_dropout": lora_config.dropout,
        "target_modules": [names[name].rpartition(".")[2] for name in lora_config.targets],
        "use_rslora": lora_config.rslora,
        "use_dora": lora_config.dora,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as unfinished:
        save_file(tensors, Path(unfinished, _WEIGHTS), metadata={"format": "pt"})
        Path(unfinished, _CONFIG).write_text(json.dumps(settings, indent=2) + "\n")
        for name in (_WEIGHTS, _CONFIG):
            os.replace(Path(unfinished, name), folder / name)


def _contiguous(leaf: Any) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(leaf).T)


def _read_settings(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing: this is no adapter folder")
    settings = read_json(file)
    if settings.get("peft_type") != "LORA":
        raise CheckpointError(f"{file}: adapters of type {settings.get('peft_type')!r} are not supported, only 'LORA'")
    if settings.get("bias", "none") != "none":
        raise CheckpointError(f"{file}: bias is {settings['bias']!r}: trained biases are not supported, only 'none'")
    start = str(settings.get("init_lora_weights"))
    if start.startswith(("pissa", "olora", "loftq", "corda", "lora_ga")):
        raise CheckpointError(
            f"{file}: init_lora_weights is {start!r}, which changes the base model too; "
            "save it as a plain LoRA with PEFT"
        )
    for name, what in _REFUSED.items():
        if settings.get(name):
            raise CheckpointError(f"{file}: {name} is {settings[name]!r}: {what} are not supported")
    return settings


def _lora_config(file: Path, settings: dict[str, Any], targets: tuple[str, ...]) -> LoraConfig:
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


def _read_tensors(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not file.is_file():
        if file.with_suffix(".bin").is_file():
            raise CheckpointError(
                f"{file.with_suffix('.bin')} is pickled and not read, because unpickling can run any code; "
                "if you trust it, load it with PEFT and save it again"
            )
        raise CheckpointError(f"{file} is missing")
    try:
        return {name: np.asarray(tensor, np.float32) for name, tensor in load_file(file).items()}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{file} is damaged or incomplete: {error}") from error
