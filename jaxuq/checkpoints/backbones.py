"""Pretrained molecular backbones: from public checkpoints to a folder of safetensors, and from there to parameters."""

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq.checkpoints.dmpnn import read_dmpnn
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.grover import read_grover
from jaxuq.checkpoints.safetensors import fill_array, read_json, stored_tensors
from jaxuq.checkpoints.torch_files import TorchFile, read_torch_file
from jaxuq.checkpoints.torchmdnet import read_torchmdnet
from jaxuq.checkpoints.unimol import read_unimol
from jaxuq.networks.dmpnn_config import DMPNNConfig, dmpnn_config
from jaxuq.networks.grover_layers import GroverConfig
from jaxuq.networks.torchmdnet_layers import TorchMDNetConfig
from jaxuq.networks.unimol import UniMolConfig

BackboneConfig = UniMolConfig | TorchMDNetConfig | GroverConfig | DMPNNConfig


class _Kind(NamedTuple):
    """An architecture whose checkpoints can be converted."""

    read: Callable[[TorchFile], tuple[Any, PyTree]]
    config: Callable[..., Any]
    entry: str
    signs: tuple[str, ...]


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "unimol": _Kind(read_unimol, UniMolConfig, "model", ("gbf.means.weight",)),
        "torchmdnet": _Kind(
            read_torchmdnet, TorchMDNetConfig, "state_dict", ("representation_model.distance_expansion.means",)
        ),
        "grover": _Kind(read_grover, GroverConfig, "state_dict", ("grover.encoders.node_blocks.0.W_i.weight",)),
        "dmpnn": _Kind(read_dmpnn, dmpnn_config, "state_dict", ("message_passing.W_i.weight", "W_i.weight")),
    }
)
_STRANGERS: Mapping[str, str] = MappingProxyType(
    {
        "encoder.encoder.0.W_i.weight": "a model of chemprop 1, which `chemprop convert` turns into one of chemprop 2",
        "message_passing.blocks.0.W_i.weight": "a model of chemprop for several molecules, which is not supported",
    }
)
"""Tensors by which files are known that cannot be converted."""


class LoadedBackbone(NamedTuple):
    """A pretrained backbone.

    Attributes:
        path: the folder it came from.
        kind: `"unimol"`, `"torchmdnet"`, `"grover"` or `"dmpnn"`.
        config: its shape.
        params: its parameters, without the head that fine-tuning adds; NumPy arrays. A D-MPNN has all of its layers,
            and `config.outputs` says what the last are of.
        digest: identifies weights and shape.
        source: name of the file that was converted.
        source_sha256: of that file.
    """

    path: Path
    kind: str
    config: BackboneConfig
    params: PyTree
    digest: str
    source: str
    source_sha256: str


def backbone_kinds() -> tuple[str, ...]:
    """The architectures whose public checkpoints can be converted.

    Returns:
        Names for `convert_backbone`.

    Example:
        >>> backbone_kinds()
        ('unimol', 'torchmdnet', 'grover', 'dmpnn')
    """
    return tuple(_KINDS)


def _names(found: Any) -> set[str]:
    """Names of tensors in a dictionary, without the beginning that a wrapper adds."""
    return {str(name).removeprefix("model.") for name in found} if isinstance(found, dict) else set()


def _check_kind(kind: str, file: TorchFile) -> None:
    """Refuse a file of another architecture, and say of which it is and what to do."""
    content = file.content if isinstance(file.content, dict) else {}
    known = _KINDS[kind]
    for name, other in _KINDS.items():
        if _names(content.get(other.entry)).intersection(other.signs):
            if name == kind:
                return
            hint = f"it looks like one of {name}: use --kind {name}"
            raise CheckpointError(f"{file.path} is no checkpoint of {kind} ({known.signs[0]} is not in it); {hint}")
        if name == kind and _names(content).intersection(other.signs):
            raise CheckpointError(
                f"{file.path} holds the tensors of {kind} themselves, and has no entry {other.entry!r}, in which such "
                "a checkpoint keeps them"
            )
    tensors = _names(content) | _names(content.get("state_dict")) | _names(content.get("model"))
    hint = next((what for name, what in _STRANGERS.items() if name in tensors), "of an unknown architecture")
    raise CheckpointError(f"{file.path} is no checkpoint of {kind} ({known.signs[0]} is not in it); it is {hint}")


@typed()
def convert_backbone(kind: str, source: str | Path, target: str | Path) -> LoadedBackbone:
    """Write a public checkpoint as a folder of `model.safetensors` and `config.json`.

    Every tensor of the checkpoint is either converted or on a list of those that fine-tuning does not use; any other is
    an error. The hash of the file is recorded. PyTorch is not needed, and nothing in the file is run.

    Args:
        kind: one of `backbone_kinds()`.
        source: `mol_pre_no_h_220816.pt`, `denoised-pcqm4mv2.ckpt`, `grover_base.pt` or one of their layout; for a
            D-MPNN any file of chemprop 2, or `chemeleon_mp.pt`.
        target: a folder that does not exist yet; it appears when it is complete.

    Returns:
        What was converted, as `load_backbone` reads it.

    Raises:
        CheckpointError: an unknown kind, an existing target, a file that is cut short, damaged, of another
            architecture, or of a variant that is not supported.

    Example:
        >>> convert_backbone("unimol", "no such file.pt", "folder")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: there is no file no such file.pt
    """
    if kind not in _KINDS:
        raise CheckpointError(f"kind is {kind!r}; expected one of {', '.join(_KINDS)}")
    target = Path(target).expanduser()
    if target.exists():
        raise CheckpointError(f"{target} exists already; name a new folder")
    file = read_torch_file(source)
    _check_kind(kind, file)
    config, params = _KINDS[kind].read(file)
    _write(target, kind, config, params, file)
    return load_backbone(target)


def _write(target: Path, kind: str, config: Any, params: PyTree, file: TorchFile) -> None:
    from safetensors.numpy import save_file

    tensors = traverse_util.flatten_dict(params, sep=".")
    arrays = {str(name): np.ascontiguousarray(array, np.float32) for name, array in tensors.items()}
    said = {
        "architecture": kind,
        "config": dataclasses.asdict(config),
        "source": {"file": file.path.name, "sha256": file.sha256},
    }
    content = json.loads(json.dumps(said))  # as it will be read
    content["digest"] = _digest(content, arrays)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")
        save_file(arrays, folder / "model.safetensors")
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@typed()
def load_backbone(folder: str | Path, **changes: Any) -> LoadedBackbone:
    """Read what `convert_backbone` wrote.

    Args:
        folder: with `config.json` and `model.safetensors`.
        **changes: fields of the configuration to be changed, such as `vector_norm="published"` or
            `padding_row="batch"`; they must not change the parameters' shapes.

    Returns:
        `LoadedBackbone`.

    Raises:
        CheckpointError: no such folder, another content, tensors that are damaged or not finite, or others than were
            written.

    Example:
        >>> load_backbone("no such folder")
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: there is no folder no such folder; make one from a public ...
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        state = f"{folder} is a file, not a folder" if folder.is_file() else f"there is no folder {folder}"
        command = f"jaxuq models convert --kind {'|'.join(_KINDS)} FILE FOLDER"
        raise CheckpointError(f"{state}; make one from a public checkpoint: {command}")
    content = read_json(folder / "config.json")
    kind = content.get("architecture")
    if not isinstance(kind, str) or kind not in _KINDS:
        raise CheckpointError(
            f"{folder} is not a converted backbone: its architecture is {kind!r}, expected one of {', '.join(_KINDS)}"
        )
    try:
        config = _KINDS[kind].config(**content["config"] | changes)
        source, source_sha256 = str(content["source"]["file"]), str(content["source"]["sha256"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(f"{folder / 'config.json'} does not describe {kind}: {error}") from error
    arrays = {}
    for name, tensor in stored_tensors(folder).items():
        arrays[name] = np.empty(tensor.shape, np.float32)
        fill_array(arrays[name], tensor)
    recorded = content.pop("digest", None)
    if recorded != (digest := _digest(content, arrays)):
        said = "does not say what was written" if recorded is None else "does not hold what was written"
        raise CheckpointError(
            f"{folder} {said} when {source} was converted (damaged, changed by hand, or of an early jaxuq): convert it "
            f"again, `jaxuq models convert --kind {kind} {source} NEW_FOLDER`"
        )
    params = traverse_util.unflatten_dict(arrays, sep=".")
    return LoadedBackbone(folder, kind, config, params, digest, source, source_sha256)


def _digest(content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """What identifies weights and shape."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()
