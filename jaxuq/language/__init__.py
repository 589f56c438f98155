"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.architectures import decoder_config
from jaxuq.language.catalogue import fetch_model, model_names
from jaxuq.language.config_json import config_json
from jaxuq.language.errors import CheckpointError, PromptError
from jaxuq.language.model import CheckpointInfo, LanguageModel, inspect_model, load_model, save_model
from jaxuq.language.sharding import PARTITION_RULES, partition_specs, shard_params
from jaxuq.language.tokenization import decode_tokens, encode_prompt, stop_tokens

__all__ = [
    "PARTITION_RULES",
    "CheckpointError",
    "CheckpointInfo",
    "LanguageModel",
    "PromptError",
    "config_json",
    "decode_tokens",
    "decoder_config",
    "encode_prompt",
    "fetch_model",
    "inspect_model",
    "load_model",
    "model_names",
    "partition_specs",
    "save_model",
    "shard_params",
    "stop_tokens",
]
