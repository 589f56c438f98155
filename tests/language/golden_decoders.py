"""Tiny random models of every family, as transformers made them (see golden/make_decoders.py)."""

import json
import pathlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxuq.language.architectures import decoder_config, tensor_places
from jaxuq.networks import DecoderConfig

FAMILIES = ("gemma", "gemma2", "gemma3", "llama", "llama3", "mistral", "qwen2", "qwen3")


class Golden(NamedTuple):
    config: DecoderConfig
    params: dict  # stacked
    tokens: np.ndarray
    mask: np.ndarray
    logits: np.ndarray
    attentions: np.ndarray


def load(family: str) -> Golden:
    """One family's model and outputs, from its file."""
    with np.load(pathlib.Path(__file__).parent / "golden" / f"{family}.npz") as file:
        return read(dict(file))


def read(arrays: dict[str, np.ndarray]) -> Golden:
    """A model and outputs from the arrays that the maker returns."""
    tensors = {name[7:]: value.astype(np.float32) for name, value in arrays.items() if name.startswith("tensor:")}
    config = decoder_config(json.loads(str(arrays["config"])))
    places = tensor_places(config)
    assert set(tensors) == set(places)
    leaves: dict[tuple[str, ...], list[np.ndarray]] = {}
    for name, place in places.items():
        assert tensors[name].shape == place.shape
        leaves.setdefault(place.path, []).append(tensors[name].T if place.transposed else tensors[name])
    params: dict = {}
    for path, parts in leaves.items():
        at = params
        for key in path[:-1]:
            at = at.setdefault(key, {})
        at[path[-1]] = jnp.asarray(np.stack(parts) if path[0] == "layers" else parts[0])
    return Golden(config, params, arrays["tokens"], arrays["mask"], arrays["logits"], arrays["attentions"])
