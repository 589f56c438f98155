"""The checkpoints room: a model's files, wherever they come from, and the encoders that they hold.

Safetensors and JSON only; nothing that could run code is read. Domain rooms build on it: `jaxuq.language` reads
decoders, `jaxuq.tagging` makes word vectors, and whoever needs BERT or RoBERTa calls `load_encoder`.
"""

from jaxuq.checkpoints.encoders import (
    LoadedEncoder,
    encoder_config,
    encoder_digest,
    encoder_names,
    find_encoder,
    load_encoder,
)
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.packages import PackagedModel, fetch_packaged, find_packaged
from jaxuq.checkpoints.safetensors import StoredTensor, compare_names, fill_array, read_json, stored_tensors
from jaxuq.checkpoints.subwords import SubwordTokenizer, load_subwords

__all__ = [
    "CheckpointError",
    "LoadedEncoder",
    "PackagedModel",
    "StoredTensor",
    "SubwordTokenizer",
    "compare_names",
    "encoder_config",
    "encoder_digest",
    "encoder_names",
    "fetch_packaged",
    "fill_array",
    "find_encoder",
    "find_packaged",
    "load_encoder",
    "load_subwords",
    "read_json",
    "stored_tensors",
]
