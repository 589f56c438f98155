"""Adapters in PEFT's folder format, `adapter_config.json` and `adapter_model.safetensors`, both ways."""

import dataclasses
import json
import math
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.checkpoints.places import Place
from jaxuq.language.errors import CheckpointError
from jaxuq.language.families import FAMILIES, Family
from jaxuq.language.peft_settings import chosen_modules, lora_config, module_config, read_settings
from jaxuq.language.places import linear_names, stored_shape, tensor_places
from jaxuq.networks import DecoderConfig, LoraConfig, stack_layers, unstack_layers

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KEY = re.compile(
    r"(?:model\.)*(?:language_model\.)?(?:model\.)?(layers\.\d+\.\w+\.\w+)\.(lora_A|lora_B|lora_magnitude_vector)"
    r"(?:\.default)?(?:\.weight)?"
)
_PARTS = {"lora_A": "a", "lora_B": "b", "lora_magnitude_vector": "magnitude"}


@typed()
def load_peft(
    folder: str | os.PathLike, decoder_config: DecoderConfig, *, scan: bool = True
) -> tuple[LoraConfig, PyTree]:
    """Read a LoRA or DoRA adapter that PEFT (or `save_peft`) wrote.

    Modules may differ in rank and alpha (`rank_pattern`, `alpha_pattern`), and blocks may be left out
    (`layers_to_transform`, `exclude_modules`): smaller ranks are padded with zeros, the scale goes into B, and a module
    without an adapter has one of zeros, so the numbers are PEFT's. An adapter of a fused projection becomes one of each
    of its parts, with the same A. What the settings adapt and the tensors lack is an error. Settings that do not change
    what a trained adapter computes are ignored; unknown ones that say something are named in a `CheckpointWarning`.

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
    source, file = folder / _CONFIG, folder / _WEIGHTS
    settings = read_settings(source)
    lora, unexpected = {}, []
    for name, tensor in _read_tensors(file).items():
        found = _KEY.fullmatch(name.removeprefix(_PREFIX))
        if found is None:
            unexpected.append(name)
        else:
            lora[found[1], _PARTS[found[2]]] = tensor
    modules = _modules(decoder_config)
    unexpected += [f"{module}.{part}" for module, part in lora if module not in modules]
    if unexpected:
        raise CheckpointError(
            f"{file} holds tensors that are no adapters of this model's linear layers: {', '.join(sorted(unexpected))}"
        )
    if not lora:
        raise CheckpointError(f"{file} holds no adapters")
    targets = {place.path[1] for module, _ in lora for place in modules[module]}
    kinds = {module.split(".", 2)[2] for module, _ in lora}  # of the same name in all blocks
    names = tuple(name for name in linear_names() if name in targets)
    config = lora_config(source, settings, names)
    parts = ("a", "b", "magnitude") if config.dora else ("a", "b")
    chosen = chosen_modules(source, settings, {module for module in modules if module.split(".", 2)[2] in kinds})
    wanted = {(module, part) for module in chosen for part in parts}
    if set(lora) != wanted:
        missing = [f"{module} ({part})" for module, part in sorted(wanted - set(lora))]
        extra = [f"{module} ({part})" for module, part in sorted(set(lora) - wanted)]
        raise CheckpointError(
            f"{file}: missing {', '.join(missing) or 'nothing'}; unexpected {', '.join(extra) or 'nothing'}, by what "
            f"{_CONFIG} says is adapted"
        )
    scales = {module: module_config(source, settings, config, module) for module in chosen}
    for module in filter(scales.__contains__, modules):  # before any is padded to the largest rank of the settings
        own, (outputs, inputs) = scales[module], stored_shape(modules[module])
        shapes = {"a": (own.rank, inputs), "b": (outputs, own.rank), "magnitude": (outputs,)}
        for part in parts:
            _check(file, module, part, lora[module, part], shapes[part])
    if scales:
        rank = max(one.rank for one in scales.values())
        config = dataclasses.replace(config, rank=rank, alpha=config.alpha or 1.0)  # B holds a scale of zero
    layers: dict[str, Any] = {f"layers_{layer}": {} for layer in range(decoder_config.num_layers)}
    for module, places in modules.items():
        if module.split(".", 2)[2] not in kinds:
            continue
        adapter = None
        if module in chosen:
            adapter = {part: _padded(lora[module, part].T, part, scales[module], config) for part in parts}
        elif config.dora:
            raise CheckpointError(f"{file}: DoRA in a part of the blocks only ({module} has none) is not supported")
        for place in places:
            layers[f"layers_{place.index[0]}"][place.path[1]] = _of_place(adapter, place, config)
    return config, stack_layers(layers, decoder_config.num_layers) if scan else layers


def _modules(decoder_config: DecoderConfig) -> dict[str, tuple[Place, ...]]:
    """The linear layers of a decoder that can have adapters, by the names of every family's files for them."""
    return {
        name.removeprefix("model.").removesuffix(".weight"): places
        for family in FAMILIES.values()
        for name, places in tensor_places(decoder_config, family).items()
        if places[0].path[-1] == "kernel" and places[0].path[1] in decoder_config.linear_layers
    }


def _check(file: Path, module: str, part: str, tensor: np.ndarray, shape: tuple[int, ...]) -> None:
    if tensor.shape != shape:
        raise CheckpointError(f"{file}: {module} ({part}) has shape {tensor.shape}; this model needs {shape}")
    if not np.isfinite(tensor).all():
        raise CheckpointError(f"{file}: {module} ({part}) holds numbers that are not finite")


def _of_place(adapter: dict[str, np.ndarray] | None, place: Place, config: LoraConfig) -> dict[str, jax.Array]:
    """The part of a module's adapter that is ours: of a fused one the same A, and some columns of B."""
    outputs, inputs = place.shape
    if adapter is None:  # one of zeros changes nothing
        return {"a": jnp.zeros((inputs, config.rank)), "b": jnp.zeros((config.rank, outputs))}
    columns = slice(place.start or 0, (place.start or 0) + outputs)
    return {part: jnp.asarray(one if part == "a" else one[..., columns]) for part, one in adapter.items()}


def _padded(tensor: np.ndarray, part: str, own: LoraConfig, config: LoraConfig) -> np.ndarray:
    """A module's factor at the common rank and scale: more columns of zeros, and its own scale within B."""
    if part == "magnitude":
        return tensor
    more = config.rank - own.rank
    if part == "a":
        return np.pad(tensor, ((0, 0), (0, more)))
    factor = own.scale / config.scale if own.scale != config.scale else 1.0
    return np.pad(tensor * np.float32(factor), ((0, more), (0, 0)))


@typed()
def save_peft(
    folder: str | os.PathLike,
    lora_config: LoraConfig,
    lora: PyTree,
    *,
    base_model: str | None = None,
    family: Family | str = "llama",
) -> None:
    """Write adapters as a folder that PEFT (`PeftModel.from_pretrained`) and `load_peft` read.

    Modules have the names of `family`'s files. Where these fuse projections, the adapters of the parts become one: with
    the same A if they share it, else with one A under another, of as many times the rank.

    Args:
        folder: made if needed; an adapter in it is replaced.
        lora_config: the adapters' configuration.
        lora: the collection, layers stacked or not, without an expert axis.
        base_model: name or path of the model, for other libraries to find.
        family: of the base model's files, such as `"phi3"`; most have Llama's names.

    Raises:
        ValueError: the collection has an expert axis, or lacks a part of a fused projection.
    """
    from safetensors.numpy import save_file

    folder = Path(folder).expanduser()
    if "layers" in lora:
        first = next(iter(lora["layers"].values()))["a"]
        if first.ndim != 3:
            raise OptionError(f"factors have {first.ndim} axes, expected layers, inputs, rank: save experts one by one")
        lora = unstack_layers(lora, first.shape[0])
    names, tensors, ranks = linear_names(family), {}, {}
    modules = {theirs: [name for name in names if names[name] == theirs] for theirs in names.values()}
    for layer, adapters in lora.items():
        for theirs in dict.fromkeys(names[name] for name in adapters):
            missing = [name for name in modules[theirs] if name not in adapters]
            if missing:
                raise OptionError(f"{theirs} is one module, and there is no adapter of {', '.join(missing)}")
            fused = _fused([adapters[name] for name in modules[theirs]])
            module = f"{_PREFIX}model.layers.{layer.removeprefix('layers_')}.{theirs}"
            tensors[f"{module}.lora_A.weight"] = _contiguous(fused["a"])
            tensors[f"{module}.lora_B.weight"] = _contiguous(fused["b"])
            if lora_config.dora:
                tensors[f"{module}.lora_magnitude_vector"] = _contiguous(fused["magnitude"])
            if fused["a"].shape[1] != lora_config.rank:
                ranks[module.removeprefix(_PREFIX)] = fused["a"].shape[1]
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": lora_config.rank,
        "lora_alpha": _whole(lora_config.alpha),
        "lora_dropout": lora_config.dropout,
        "target_modules": list(dict.fromkeys(names[name].rpartition(".")[2] for name in lora_config.targets)),
        "rank_pattern": ranks,
        "alpha_pattern": {module: _whole(_alpha_of(lora_config, rank)) for module, rank in ranks.items()},
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


def _fused(parts: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Adapters of layers that read the same input as one of the layer with all their outputs."""
    a, b = ([np.asarray(part[name]) for part in parts] for name in ("a", "b"))
    fused = (
        {"magnitude": np.concatenate([np.asarray(part["magnitude"]) for part in parts])}
        if "magnitude" in parts[0]
        else {}
    )
    if all(np.array_equal(one, a[0]) for one in a):
        return fused | {"a": a[0], "b": np.concatenate(b, axis=1)}
    ends = np.cumsum([0, *(one.shape[1] for one in b)])
    outer = np.concatenate(
        [np.pad(one, ((0, 0), (start, ends[-1] - start - one.shape[1]))) for one, start in zip(b, ends)]
    )
    return fused | {"a": np.concatenate(a, axis=1), "b": outer}


def _alpha_of(config: LoraConfig, rank: int) -> float:
    """That gives a module of another rank the same scale."""
    return config.scale * (math.sqrt(rank) if config.rslora else rank)


def _whole(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value


def _contiguous(leaf: Any) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(leaf).T)


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
