"""Uni-Mol's checkpoints: `mol_pre_no_h_220816.pt` and its all-hydrogen twin."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.places import Place, fill_places, linear, norm, refuse_heads
from jaxuq.checkpoints.safetensors import StoredTensor
from jaxuq.checkpoints.torch_files import TorchFile
from jaxuq.networks.unimol import UniMolConfig

# Heads of the pre-training tasks, and a normalisation of the pairs that only they read.
UNIMOL_UNUSED = ("lm_head.", "pair2coord_proj.", "dist_head.", "encoder.final_head_layer_norm.")
UNIMOL_HEADS = ("classification_head",)


def unimol_places(config: UniMolConfig) -> dict[str, Place]:
    """The table of Uni-Mol's tensors.

    Args:
        config: the shape.

    Returns:
        Places by tensor name.

    Example:
        >>> unimol_places(UniMolConfig())["encoder.layers.3.fc1.weight"].path
        ('layers', 'up', 'kernel')
    """
    width, inner, kinds = config.width, config.intermediate_size, config.vocab_size**2
    places = {"embed_tokens.weight": Place(("tokens", "embedding"), (config.vocab_size, width))}
    places |= norm("encoder.emb_layer_norm", ("embedding_norm",), width)
    places |= norm("encoder.final_layer_norm", ("final_norm",), width)
    for number in range(config.num_layers):
        stacked: dict[str, Any] = {"index": (number,), "stack": (config.num_layers,)}
        name = f"encoder.layers.{number}"
        places |= norm(f"{name}.self_attn_layer_norm", ("layers", "attention_norm"), width, **stacked)
        places |= norm(f"{name}.final_layer_norm", ("layers", "mlp_norm"), width, **stacked)
        places |= linear(f"{name}.self_attn.in_proj", ("layers", "query_key_value"), width, 3 * width, **stacked)
        places |= linear(f"{name}.self_attn.out_proj", ("layers", "attention_output"), width, width, **stacked)
        places |= linear(f"{name}.fc1", ("layers", "up"), width, inner, **stacked)
        places |= linear(f"{name}.fc2", ("layers", "down"), inner, width, **stacked)
    kernels = config.num_kernels
    for name, ours in (("means", "means"), ("stds", "deviations")):
        places[f"gbf.{name}.weight"] = Place(("pairs", ours), (1, kernels), kept=(kernels,))
    for name, ours in (("mul", "scale"), ("bias", "shift")):
        places[f"gbf.{name}.weight"] = Place(("pairs", ours), (kinds, 1), kept=(kinds,))
    places |= linear("gbf_proj.linear1", ("pairs", "hidden"), kernels, kernels)
    return places | linear("gbf_proj.linear2", ("pairs", "output"), kernels, config.num_heads)


def unimol_config(stored: Mapping[str, StoredTensor], source: Path) -> UniMolConfig:
    """The shape of Uni-Mol from those of its tensors.

    Args:
        stored: the checkpoint's tensors.
        source: named in messages.

    Returns:
        The shape.

    Raises:
        CheckpointError: a tensor that tells it is missing or has other axes.
    """
    names = {
        "vocabulary and width": "embed_tokens.weight",
        "MLP": "encoder.layers.0.fc1.weight",
        "heads": "gbf_proj.linear2.weight",
        "kernels": "gbf.means.weight",
    }
    for what, name in names.items():
        if name not in stored or len(stored[name].shape) != 2:
            raise CheckpointError(f"{source} has no matrix {name}, which tells {what}")
    vocab, width = stored["embed_tokens.weight"].shape
    numbers = [name.split(".")[2] for name in stored if name.startswith("encoder.layers.")]
    try:
        return UniMolConfig(
            vocab_size=vocab,
            width=width,
            intermediate_size=stored["encoder.layers.0.fc1.weight"].shape[0],
            num_layers=1 + max(int(number) for number in numbers),
            num_heads=stored["gbf_proj.linear2.weight"].shape[0],
            num_kernels=stored["gbf.means.weight"].shape[1],
        )
    except ValueError as error:
        raise CheckpointError(f"{source} is not of a shape that Uni-Mol can have: {error}") from error


def read_unimol(file: TorchFile) -> tuple[UniMolConfig, PyTree]:
    """Shape and parameters of a Uni-Mol checkpoint.

    Args:
        file: the checkpoint.

    Returns:
        The shape, and parameters of everything but the head.

    Raises:
        CheckpointError: as `refuse_heads` and `fill_places`.
    """
    stored = file.tensors("model")
    refuse_heads(stored, UNIMOL_HEADS, file.path)
    config = unimol_config(stored, file.path)
    return config, fill_places(unimol_places(config), stored, UNIMOL_UNUSED, file.path)
