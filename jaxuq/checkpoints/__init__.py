"""The checkpoints room: a model's files, wherever they come from, and the encoders that they hold.

Safetensors and JSON; nothing that could run code is read. Domain rooms build on it: `jaxuq.language` reads decoders,
`jaxuq.tagging` makes word vectors, and whoever needs BERT or RoBERTa calls `load_encoder`. PyTorch files of molecular
backbones are converted (`convert_backbone`) by a reader that takes a pickle's instructions as data and calls nothing.
"""

from jaxuq.checkpoints.backbone_weights import BACKBONE_WEIGHTS
from jaxuq.checkpoints.backbones import LoadedBackbone, backbone_kinds, convert_backbone, load_backbone
from jaxuq.checkpoints.encoders import (
    LoadedEncoder,
    encoder_config,
    encoder_digest,
    encoder_names,
    find_encoder,
    load_encoder,
    save_encoder,
)
from jaxuq.checkpoints.errors import CheckpointError, CheckpointWarning
from jaxuq.checkpoints.packages import PackagedModel, Wheel, fetch_packaged, find_packaged
from jaxuq.checkpoints.plain_tokens import plain_tokens, steering_tokens
from jaxuq.checkpoints.safetensors import StoredTensor, compare_names, fill_array, read_json, stored_tensors
from jaxuq.checkpoints.smiles_tokens import SmilesTokenizer, load_smiles_tokenizer
from jaxuq.checkpoints.subwords import SubwordTokenizer, load_subwords
from jaxuq.checkpoints.torch_files import TorchFile, read_torch_file

__all__ = [
    "BACKBONE_WEIGHTS",
    "CheckpointError",
    "CheckpointWarning",
    "LoadedBackbone",
    "LoadedEncoder",
    "PackagedModel",
    "SmilesTokenizer",
    "StoredTensor",
    "SubwordTokenizer",
    "TorchFile",
    "Wheel",
    "backbone_kinds",
    "compare_names",
    "convert_backbone",
    "encoder_config",
    "encoder_digest",
    "encoder_names",
    "fetch_packaged",
    "fill_array",
    "find_encoder",
    "find_packaged",
    "load_backbone",
    "load_encoder",
    "load_smiles_tokenizer",
    "load_subwords",
    "plain_tokens",
    "read_json",
    "read_torch_file",
    "save_encoder",
    "steering_tokens",
    "stored_tensors",
]
