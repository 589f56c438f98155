"""The language room: decoder language models, to load, to generate with, to score given text, and to adapt.

The network itself is `jaxuq.networks.Decoder`; this room reads its checkpoints, runs it, and trains adapters for it.
"""

from jaxuq.language.answers import Answer, NewToken, generate, score
from jaxuq.language.architectures import decoder_config
from jaxuq.language.attention import Captured, attention_rows
from jaxuq.language.catalogue import fetch_model, model_names
from jaxuq.language.config_json import config_json
from jaxuq.language.errors import CheckpointError, PromptError
from jaxuq.language.generation import Generation, continue_generation, generate_tokens, start_generation
from jaxuq.language.model import CheckpointInfo, LanguageModel, inspect_model, load_model, save_model
from jaxuq.language.sampling import (
    GREEDY,
    PLAIN,
    Sampling,
    check_sampling,
    filter_logits,
    min_p_mask,
    sample_token,
    top_k_mask,
    top_p_mask,
)
from jaxuq.language.scoring import Alternatives, Scores, TokenScores, score_tokens, token_scores
from jaxuq.language.sharding import PARTITION_RULES, partition_specs, shard_params
from jaxuq.language.streaming import TextStream
from jaxuq.language.tokenization import decode_tokens, encode_prompt, stop_tokens

__all__ = [
    "GREEDY",
    "PARTITION_RULES",
    "PLAIN",
    "Alternatives",
    "Answer",
    "Captured",
    "CheckpointError",
    "CheckpointInfo",
    "Generation",
    "LanguageModel",
    "NewToken",
    "PromptError",
    "Sampling",
    "Scores",
    "TextStream",
    "TokenScores",
    "attention_rows",
    "check_sampling",
    "config_json",
    "continue_generation",
    "decode_tokens",
    "decoder_config",
    "encode_prompt",
    "fetch_model",
    "filter_logits",
    "generate",
    "generate_tokens",
    "inspect_model",
    "load_model",
    "min_p_mask",
    "model_names",
    "partition_specs",
    "sample_token",
    "save_model",
    "score",
    "score_tokens",
    "shard_params",
    "start_generation",
    "stop_tokens",
    "token_scores",
    "top_k_mask",
    "top_p_mask",
]
