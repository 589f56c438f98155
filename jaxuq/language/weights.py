"""From the tensors of a checkpoint to the parameters of a decoder, one tensor at a time, and back."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq.checkpoints import CheckpointWarning, StoredTensor, compare_names
from jaxuq.checkpoints.places import Place
from jaxuq.language.places import stored_shape, tensor_places
from jaxuq.networks import DecoderConfig
from jaxuq.networks.sharding import leaf_sharding

_TABLE, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


def _ignored(name: str) -> bool:
    """Buffers that old files carry."""
    return name.endswith((".rotary_emb.inv_freq", ".self_attn.masked_bias"))


def settle_tie(
    config: DecoderConfig, stored: Mapping[str, StoredTensor], source: Path
) -> tuple[DecoderConfig, dict[str, StoredTensor]]:
    """What a checkpoint means that says its embedding is the output layer too, and holds an output layer.

    As in transformers: an output layer with the embedding's numbers is a copy; one with others is used, and the
    configuration is wrong; one without an embedding beside it is the embedding.

    Args:
        config: as the file has it.
        stored: tensors by their Hugging Face names; the two tables are read if both are there.
        source: named in the warning.

    Returns:
        The configuration that holds, and the tensors that it asks for.

    Warns:
        CheckpointWarning: the output layer is another than the embedding.
    """
    tensors = dict(stored)
    if not config.tied or _HEAD not in tensors:
        return config, tensors
    if _TABLE in tensors and not _equal(tensors[_TABLE], tensors[_HEAD]):
        warnings.warn(
            f"{source} says that the embedding is the output layer too (tie_word_embeddings), but holds a {_HEAD} of "
            "other numbers, which is used; set tie_word_embeddings to false to silence this",
            CheckpointWarning,
            stacklevel=3,
        )
        return dataclasses.replace(config, tied=False), tensors
    head = tensors.pop(_HEAD)
    return config, {_TABLE: head} | tensors


def _equal(one: StoredTensor, other: StoredTensor) -> bool:
    return one.shape == other.shape and np.array_equal(one.read(), other.read())


def check_tensors(config: DecoderConfig, stored: Mapping[str, StoredTensor], source: Path, *, family: str) -> None:
    """Compare names and shapes with what the configuration asks for.

    Args:
        config: the decoder's shape.
        stored: tensors by their Hugging Face names.
        source: named in the message.
        family: whose files they are, see `tensor_places`.

    Raises:
        CheckpointError: lists all missing and unexpected tensors, or all wrong shapes.
    """
    wanted = {name: stored_shape(places) for name, places in tensor_places(config, family).items()}
    compare_names(wanted, stored, [name for name in stored if _ignored(name)], source)


def load_weights(
    config: DecoderConfig,
    stored: Mapping[str, StoredTensor],
    source: Path,
    *,
    family: str,
    dtype: Any = jnp.float32,
    scan: bool = True,
    mesh: jax.sharding.Mesh | None = None,
) -> PyTree:
    """Parameters of a decoder from the tensors of a checkpoint.

    Besides the parameters this holds one tensor as stored and one parameter on the host: with `scan`, that is the
    stack of one tensor over all layers (and of an expert's over all experts). A tensor that holds several of ours is
    read once for each. On a mesh a process reads what lies on its devices alone, if the files are safetensors.

    Args:
        config: the decoder's shape.
        stored: tensors by their Hugging Face names.
        source: the file or folder, for messages.
        family: whose files they are, see `tensor_places`.
        dtype: of the parameters.
        scan: whether layers are stacked.
        mesh: devices to spread over, see `PARTITION_RULES`; None: the default device.

    Returns:
        `params` of `Decoder(config, dtype, scan)`.

    Raises:
        CheckpointError: tensors are missing, unexpected, of the wrong shape, damaged, or not finite.
    """
    check_tensors(config, stored, source, family=family)
    params: dict[str, Any] = {}
    for path, members in _leaves(config, family, scan).items():
        place = members[0][1]
        shape = place.shape[::-1] if place.transposed else place.shape
        whole = (*place.stack, *shape)
        read = functools.partial(_part, members, stored, whole, dtype)
        if mesh is None:
            leaf = jax.device_put(read(tuple((0, size) for size in whole)))
        else:
            leaf = _divided(whole, leaf_sharding(path, whole, mesh), read)
        _insert(params, path, leaf)
    return params


def _divided(whole: tuple[int, ...], sharding: Any, read: Callable[[Any], np.ndarray]) -> jax.Array:
    """A parameter of which this process reads what lies on its devices, each part once."""
    found: dict[Any, np.ndarray] = {}

    def of_device(index: Any) -> np.ndarray:
        bounds = tuple(part.indices(size)[:2] for part, size in zip(index, whole))
        if bounds not in found:
            found[bounds] = read(bounds)
        return found[bounds]

    return jax.make_array_from_callback(whole, sharding, of_device)


def _part(
    members: list[tuple[str, Place]],
    stored: Mapping[str, StoredTensor],
    whole: tuple[int, ...],
    dtype: Any,
    bounds: tuple[tuple[int, int], ...],
) -> np.ndarray:
    """The part of a parameter between bounds on each axis; tensors, and parts of them, beside it are not read."""
    array = np.empty([end - begin for begin, end in bounds], dtype)
    for name, place in members:
        depth = len(place.stack)
        if all(begin <= at < end for at, (begin, end) in zip(place.index, bounds)):
            cut = bounds[depth:] != tuple((0, size) for size in whole[depth:])
            own = tuple(slice(begin, end) for begin, end in bounds[depth:]) if cut else None
            place.fill(array[tuple(at - begin for at, (begin, _) in zip(place.index, bounds))], stored[name], own)
    return array


def _leaves(config: DecoderConfig, family: str, scan: bool) -> dict[tuple[str, ...], list[tuple[str, Place]]]:
    """Which tensors make up each parameter, stacked or not."""
    leaves: dict[tuple[str, ...], list[tuple[str, Place]]] = {}
    for name, places in tensor_places(config, family).items():
        for place in places:
            own = place if scan else _unstacked(place)
            leaves.setdefault(own.path, []).append((name, own))
    return leaves


def _unstacked(place: Place) -> Place:
    """The same place where each layer has parameters of its own."""
    if place.path[0] != "layers":
        return place
    path = (f"layers_{place.index[0]}", *place.path[1:])
    return place._replace(path=path, index=place.index[1:], stack=place.stack[1:])


def _insert(tree: dict[str, Any], path: tuple[str, ...], leaf: jax.Array) -> None:
    for key in path[:-1]:
        tree = tree.setdefault(key, {})
    tree[path[-1]] = leaf


def weight_sizes(config: DecoderConfig, params: PyTree, *, family: str) -> dict[str, int]:
    """Bytes of every tensor that `named_weights` gives, by name."""
    return {
        name: sum(_leaf(params, place)[0].dtype.itemsize * math.prod(place.shape) for place in places)
        for name, places in tensor_places(config, family).items()
    }


def named_weights(config: DecoderConfig, params: PyTree, *, family: str) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a checkpoint, made from parameters one at a time; the inverse of `load_weights`.

    Args:
        config: the decoder's shape.
        params: stacked or not.
        family: whose files they are to be, see `tensor_places`.

    Yields:
        Hugging Face names and arrays.
    """
    for name, places in tensor_places(config, family).items():
        parts = []
        for place in places:
            leaf, index = _leaf(params, place)
            for number in index:
                leaf = jax.lax.dynamic_index_in_dim(leaf, number, keepdims=False)
            parts.append(np.asarray(leaf).T if place.transposed else np.asarray(leaf))
        yield name, np.ascontiguousarray(parts[0] if len(parts) == 1 else np.concatenate(parts))


def _leaf(params: PyTree, place: Place) -> tuple[jax.Array, tuple[int, ...]]:
    """The parameter that a tensor is in, and where in it."""
    leaf, place = params, place if "layers" in params else _unstacked(place)
    for key in place.path:
        leaf = leaf[key]
    return leaf, place.index
