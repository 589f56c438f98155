"""Adapters in PEFT's folder format, `adapter_config.json` and `adapter_model.safetensors`, both ways."""

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq.checkpoints import read_json
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
    "rank_pattern": "a rank for each module",
    "alpha_pattern": "an alpha for each module",
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

    Which layers are adapted follows from the tensors; they must be the same in every block. Settings that do not change
    what a trained adapter computes are ignored.

    Args:
        folder: with `adapter_config.json` and `adapter_model.safetensors`.
        decoder_config: of the model that it adapts.
        scan: whether layers are stacked, as in the decoder.

    Returns:
        The configuration, for `decoder.clone(lora=...)`, and the collection `lora`, float32.

    Raises:
        CheckpointError: names the file and what is wrong: another kind of adapter, a setting that is not supported
            (`rank_pattern`, `modules_to_save`, biases, ...), missing or unexpected tensors (all of them), wrong shapes,
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
    targets = {kernels[module][0] for module, _ in lora}
    config = _lora_config(folder / _CONFIG, settings, tuple(name for name in linear_names() if name in targets))
    parts = ("a", "b", "magnitude") if config.dora else ("a", "b")
    wanted = {(module, part) for module, (name, *_) in kernels.items() if name in targets for part in parts}
    if set(lora) != wanted:
        missing = [f"{module} ({part})" for module, part in sorted(wanted - set(lora))]
        extra = [f"{module} ({part})" for module, part in sorted(set(lora) - wanted)]
        raise CheckpointError(
            f"{file}: missing {', '.join(missing) or 'nothing'}; unexpected {', '.join(extra) or 'nothing'}. "
            "Every block needs the same adapters"
        )
    layers: dict[str, Any] = {f"layers_{layer}": {} for layer in range(decoder_config.num_layers)}
    for module, (name, layer, (outputs, inputs)) in kernels.items():
        if name in targets:
            shapes = {"a": (config.rank, inputs), "b": (outputs, config.rank), "magnitude": (outputs,)}
            adapter = layers[f"layers_{layer}"].setdefault(name, {})
            for part in parts:
                tensor = lora[module, part]
                if tensor.shape != shapes[part]:
                    raise CheckpointError(
                        f"{file}: {module} ({part}) has shape {tensor.shape}; this model needs {shapes[part]}"
                    )
                if not np.isfinite(tensor).all():
                    raise CheckpointError(f"{file}: {module} ({part}) holds numbers that are not finite")
                adapter[part] = jnp.asarray(tensor.T)
    return config, stack_layers(layers, decoder_config.num_layers) if scan else layers


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
    try:
        return LoraConfig(
            rank=int(settings.get("r", 8)),
            alpha=float(settings.get("lora_alpha", 8)),
            dropout=float(settings.get("lora_dropout", 0.0)),
            rslora=bool(settings.get("use_rslora", False)),
            dora=bool(settings.get("use_dora", False)),
            targets=targets,
        )
    except (TypeError, ValueError) as error:
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
