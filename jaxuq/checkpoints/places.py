"""A table from a checkpoint's tensors to parameters: by which a network is filled, and nothing is left out."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PyTree

from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.safetensors import StoredTensor, compare_names, fill_array


class Place(NamedTuple):
    """Where a stored tensor goes.

    Attributes:
        path: names of the parameter from the outside in.
        shape: of the stored tensor.
        transposed: whether it is stored the other way round.
        index: position on the axes on which several tensors are stacked.
        stack: lengths of those axes, which come first; the parameter's shape is `stack + kept`.
        kept: shape of one tensor as a parameter; None: that of the tensor (transposed, if so).
        start: the first row that is taken, of a stored tensor that holds several of ours one under another, of which
            `shape` is one; None: the stored tensor is this one alone.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    transposed: bool = False
    index: tuple[int, ...] = ()
    stack: tuple[int, ...] = ()
    kept: tuple[int, ...] | None = None
    start: int | None = None

    def fill(self, target: np.ndarray, stored: StoredTensor, own: tuple[slice, ...] | None = None) -> None:
        """Read the stored tensor, or its rows, into an array of the parameter's shape, see `fill_array`.

        With `own`, a slice for each axis of one tensor as a parameter, the array has that part's shape.
        """
        if own is None and self.start is None:
            return fill_array(target, stored, transposed=self.transposed)
        part = list(own[::-1] if self.transposed else own) if own is not None else [slice(0, n) for n in self.shape]
        if self.start is not None:
            part[0] = slice(self.start + part[0].start, self.start + part[0].stop)
        return fill_array(target, stored, transposed=self.transposed, part=tuple(part))


def linear(name: str, path: tuple[str, ...], inputs: int, outputs: int, *, bias: bool = True, **stacked: Any) -> dict:
    """Places of PyTorch's `Linear`: a kernel, stored transposed, and a bias.

    Args:
        name: of the layer in the checkpoint.
        path: of ours.
        inputs: width of what it reads.
        outputs: width of what it gives.
        bias: whether it has one.
        **stacked: `index` and `stack` of `Place`.

    Returns:
        Places by tensor name.
    """
    places = {f"{name}.weight": Place((*path, "kernel"), (outputs, inputs), True, **stacked)}
    if bias:
        places[f"{name}.bias"] = Place((*path, "bias"), (outputs,), **stacked)
    return places


def norm(name: str, path: tuple[str, ...], width: int, **stacked: Any) -> dict:
    """Places of PyTorch's `LayerNorm`.

    Args:
        name: of the layer in the checkpoint.
        path: of ours.
        width: of what is normalised.
        **stacked: `index` and `stack` of `Place`.

    Returns:
        Places by tensor name.
    """
    return {
        f"{name}.weight": Place((*path, "scale"), (width,), **stacked),
        f"{name}.bias": Place((*path, "bias"), (width,), **stacked),
    }


def fill_places(
    places: Mapping[str, Place], stored: Mapping[str, StoredTensor], ignored: tuple[str, ...], source: Path
) -> PyTree:
    """Read every tensor of the table into its parameter.

    Args:
        places: the table.
        stored: the checkpoint's tensors.
        ignored: beginnings of names that may be stored besides.
        source: named in messages.

    Returns:
        Parameters, float32, as nested dictionaries of NumPy arrays.

    Raises:
        CheckpointError: tensors that are missing, unexpected (all are named together), of another shape, damaged, or
            not finite.
    """
    besides = [name for name in stored if name.startswith(ignored)] if ignored else []
    compare_names({name: place.shape for name, place in places.items()}, stored, besides, source)
    arrays: dict[tuple[str, ...], np.ndarray] = {}
    for name, place in places.items():
        shape = place.shape[::-1] if place.transposed else place.shape
        if place.path not in arrays:
            kept = shape if place.kept is None else place.kept
            arrays[place.path] = np.empty((*place.stack, *kept), np.float32)
        rows = arrays[place.path].reshape(math.prod(place.stack), -1)
        row = int(np.ravel_multi_index(place.index, place.stack)) if place.stack else 0
        place.fill(rows[row].reshape(shape), stored[name])
    params: dict[str, Any] = {}
    for path, array in arrays.items():
        tree = params
        for key in path[:-1]:
            tree = tree.setdefault(key, {})
        tree[path[-1]] = array
    return params


def refuse_heads(stored: Mapping[str, StoredTensor], heads: tuple[str, ...], source: Path) -> None:
    """Refuse a file whose trained heads would be left out.

    Args:
        stored: the checkpoint's tensors.
        heads: beginnings of the names of a fine-tuned model's heads.
        source: named in the message.

    Raises:
        CheckpointError: there is one.
    """
    found = [name for name in stored if name.startswith(heads)]
    if found:
        raise CheckpointError(
            f"{source} is of a fine-tuned model: its trained heads ({', '.join(found)[:400]}) have no place in a "
            "backbone, and without them the model would forecast what it was trained for no more. Convert the "
            "pretrained checkpoint that it started from"
        )
