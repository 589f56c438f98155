"""What the golden files of the molecular backbones hold, as parameters and inputs of jaxuq."""

import functools
import pathlib
import tempfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.checkpoints.backbones import LoadedBackbone, convert_backbone, load_backbone
from jaxuq.checkpoints.grover import grover_places
from jaxuq.checkpoints.places import Place, fill_places, linear
from jaxuq.checkpoints.safetensors import StoredTensor
from jaxuq.checkpoints.torchmdnet import torchmdnet_places
from jaxuq.checkpoints.unimol import unimol_places

GOLDEN = pathlib.Path(__file__).parent / "golden"


class Golden(NamedTuple):
    """One backbone: converted checkpoint, parameters with the head, arrays by name, and gradients as parameters."""

    loaded: LoadedBackbone
    params: Any
    arrays: dict[str, np.ndarray]
    gradients: Any


def _head_places(kind: str, arrays: dict[str, np.ndarray]) -> dict[str, Place]:
    """Where the tensors of MUBen's heads go."""
    if kind == "grover":
        width, inputs = arrays["head:mol_atom_from_atom_ffn.1.weight"].shape
        outputs = arrays["output:none"].shape[-1]
        places = {}
        for number, name in enumerate(("atom", "bond")):
            places |= linear(f"mol_atom_from_{name}_ffn.1", (f"heads_{number}", "hidden"), inputs, width)
            places[f"mol_atom_from_{name}_ffn.2.weight"] = Place((f"heads_{number}", "slope"), (1,))
            stacked: dict[str, Any] = {"index": (number,), "stack": (2,)}
            places |= linear(f"{name}_output_layer.output_layer", ("branches",), width, outputs, **stacked)
        return places
    hidden = {"unimol": "hidden_layer.1", "torchmdnet": "linear"}[kind]
    width, inputs = arrays[f"head:{hidden}.weight"].shape
    outputs = arrays["head:output_layer.output_layer.weight"].shape[0]
    return linear(hidden, ("hidden",), inputs, width) | linear("output_layer.output_layer", ("output",), width, outputs)


def _fill(places: dict[str, Place], tensors: dict[str, np.ndarray]) -> Any:
    path = GOLDEN / "golden.npz"
    stored = {
        name: StoredTensor(path, name, tuple(array.shape), "F32", lambda array=array: array)
        for name, array in tensors.items()
    }
    return fill_places(places, stored, ("readout.",), path)


def _join_branches(params: Any, *, gradient: bool) -> Any:
    """Two output layers as one on both halves, and the difference of their biases."""
    if "branches" not in params:
        return params
    branches = params.pop("branches")
    kernel, (first, second) = branches["kernel"], branches["bias"]
    share = 1.0 if gradient else 0.5
    output = {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": share * (first + second)}
    return params | {"output": output, "difference": share * (first - second)}


@functools.cache
def golden(kind: str) -> Golden:
    """Load one, through the converter and back."""
    with np.load(GOLDEN / f"{kind}.npz") as file:
        arrays = dict(file)
    changes = {"head_width": len(arrays["head:mol_atom_from_atom_ffn.1.bias"])} if kind == "grover" else {}
    with tempfile.TemporaryDirectory() as folder:
        convert_backbone(kind, GOLDEN / f"{kind}.pt", f"{folder}/converted")
        loaded = load_backbone(f"{folder}/converted", **changes)
    head = _head_places(kind, arrays)
    tensors = {name.removeprefix("head:"): array for name, array in arrays.items() if name.startswith("head:")}
    params = _join_branches(loaded.params | _fill(head, tensors), gradient=False)
    params = jax.tree.map(jnp.asarray, params)
    table = {"unimol": unimol_places, "torchmdnet": torchmdnet_places, "grover": grover_places}[kind]
    places = table(loaded.config) | head  # pyright: ignore[reportArgumentType]
    found = {name.removeprefix("gradient:"): array for name, array in arrays.items() if name.startswith("gradient:")}
    found = {name: found.get(name, np.zeros(place.shape, np.float32)) for name, place in places.items()}
    return Golden(loaded, params, arrays, _join_branches(_fill(places, found), gradient=True))
