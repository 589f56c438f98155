"""Tiny random models of every family, as transformers made them (see golden/make_decoders.py)."""

import json
import pathlib
from typing import NamedTuple

import numpy as np

from jaxuq.checkpoints import StoredTensor
from jaxuq.language.architectures import decoder_config
from jaxuq.language.weights import load_weights
from jaxuq.networks import DecoderConfig

FAMILIES = (
    *("gemma", "gemma2", "gemma3", "llama", "llama3", "mistral", "mixtral", "olmoe", "phi3", "qwen2", "qwen2_moe"),
    *("qwen3", "qwen3_moe"),
)


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


def stored(tensors: dict[str, np.ndarray]) -> dict[str, StoredTensor]:
    """Arrays by their checkpoint names, as a reader of files gives them."""
    return {
        name: StoredTensor(pathlib.Path("memory"), name, array.shape, "F32", lambda array=array: array)
        for name, array in tensors.items()
    }


def read(arrays: dict[str, np.ndarray]) -> Golden:
    """A model and outputs from the arrays that the maker returns."""
    settings = json.loads(str(arrays["config"]))
    config = decoder_config(settings)
    tensors = {name[7:]: value.astype(np.float32) for name, value in arrays.items() if name.startswith("tensor:")}
    params = load_weights(config, stored(tensors), pathlib.Path("golden"), family=settings["model_type"])
    return Golden(config, params, arrays["tokens"], arrays["mask"], arrays["logits"], arrays["attentions"])
