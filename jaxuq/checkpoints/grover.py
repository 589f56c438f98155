"""GROVER's checkpoints: `grover_base.pt` and `grover_large.pt`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.places import Place, fill_places, linear, norm, refuse_heads
from jaxuq.checkpoints.torch_files import TorchFile
from jaxuq.networks.grover_graph import ATOM_FEATURES, BOND_FEATURES
from jaxuq.networks.grover_layers import GroverConfig

# Heads of the pre-training tasks.
GROVER_UNUSED = ("av_task_", "bv_task_", "fg_task_")
GROVER_HEADS = ("mol_atom_from_", "readout.", "atom_output_layer.", "bond_output_layer.")
_REQUIRED = {
    "bias": False,
    "activation": "PReLU",
    "undirected": False,
    "dense": False,
    "num_mt_block": 1,
}
_SIZES = {"hidden_size": "width", "num_attn_head": "num_heads", "depth": "depth"}
_READOUTS = {
    ("atom", "atom"): "atom_from_atom",
    ("atom", "bond"): "atom_from_edge",
    ("bond", "atom"): "edge_from_atom",
    ("bond", "bond"): "edge_from_edge",
}


def grover_places(config: GroverConfig) -> dict[str, Place]:
    """The table of GROVER's tensors; those of `bond_views` are in it only if the configuration has them.

    Args:
        config: the shape.

    Returns:
        Places by tensor name.

    Example:
        >>> places = grover_places(GroverConfig())
        >>> places["grover.encoders.node_blocks.0.heads.2.mpn_k.W_h.weight"].index
        (1, 2)
    """
    width, heads = config.width, config.num_heads
    places: dict[str, Place] = {}
    for view, ours, inputs in (
        ("node", "atom_view", ATOM_FEATURES),
        ("edge", "edge_view", ATOM_FEATURES + BOND_FEATURES),
    ):
        name = f"grover.encoders.{view}_blocks.0"
        places |= linear(f"{name}.W_i", (ours, "input"), inputs, width, bias=False)
        places[f"{name}.act_func.weight"] = Place((ours, "input_slope"), (1,))
        places |= norm(f"{name}.layernorm", (ours, "input_norm"), width)
        for role, letter in enumerate("qkv"):
            for head in range(heads):
                net = f"{name}.heads.{head}.mpn_{letter}"
                stacked: dict[str, Any] = {"index": (role, head), "stack": (3, heads)}
                places |= {
                    f"{net}.W_h.weight": Place((ours, "messages", "kernel"), (width, width), True, **stacked),
                    f"{net}.act_func.weight": Place((ours, "messages", "slope"), (1,), kept=(), **stacked),
                }
        for number, role in enumerate(("query", "key", "value")):
            places |= linear(f"{name}.attn.linear_layers.{number}", (ours, role), width, width)
        places |= linear(f"{name}.attn.output_linear", (ours, "attention_output"), width, width, bias=False)
        places |= linear(f"{name}.W_o", (ours, "output"), heads * width, width, bias=False)
        places |= norm(f"{name}.sublayer.norm", (ours, "norm"), width)
    for (to, source), ours in _READOUTS.items():
        if to == "bond" and not config.bond_views:
            continue
        inputs = width + ATOM_FEATURES + (BOND_FEATURES if to == "bond" else 0)
        name = f"grover.encoders.ffn_{to}_from_{source}"
        places |= linear(f"{name}.W_1", (ours, "up"), inputs, 4 * width)
        places |= linear(f"{name}.W_2", (ours, "down"), 4 * width, width)
        places[f"{name}.act_func.weight"] = Place((ours, "slope"), (1,))
        places |= norm(f"grover.encoders.{to}_from_{source}_sublayer.norm", (ours, "norm"), width)
    if config.bond_views:
        for number, view in enumerate(("node", "edge")):
            places[f"grover.encoders.act_func_{view}.weight"] = Place(
                ("unused_slopes",), (1,), index=(number,), stack=(2,), kept=()
            )
    return places


def grover_config(settings: Mapping[str, Any], source: Path) -> GroverConfig:
    """The shape from the checkpoint's arguments; `depth` is nowhere else.

    Args:
        settings: attributes of the stored `args`.
        source: named in messages.

    Returns:
        The shape.

    Raises:
        CheckpointError: an argument is missing, or of a variant that is not supported.

    Example:
        >>> grover_config({"hidden_size": 800}, Path("x.pt"))
        Traceback (most recent call last):
        jaxuq.checkpoints.errors.CheckpointError: the args of x.pt lack num_attn_head, depth, bias, ...
    """
    missing = [name for name in (*_SIZES, *_REQUIRED) if name not in settings]
    if missing:
        raise CheckpointError(f"the args of {source} lack {', '.join(missing)}")
    for name, value in _REQUIRED.items():
        if settings[name] != value:
            raise CheckpointError(f"{source} has {name} {settings[name]!r}; supported is {value!r}")
    try:
        return GroverConfig(**{ours: settings[theirs] for theirs, ours in _SIZES.items()})
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the args of {source} do not fit together: {error}") from error


def read_grover(file: TorchFile) -> tuple[GroverConfig, PyTree]:
    """Shape and parameters of a GROVER checkpoint.

    Args:
        file: the checkpoint.

    Returns:
        The shape, and parameters of everything but the heads.

    Raises:
        CheckpointError: as `grover_config`, `refuse_heads` and `fill_places`.
    """
    config, stored = grover_config(file.settings("args"), file.path), file.tensors("state_dict")
    refuse_heads(stored, GROVER_HEADS, file.path)
    return config, fill_places(grover_places(config), stored, GROVER_UNUSED, file.path)
