"""Examples and host-side names of the language room."""

from typing import Any

EXAMPLES: dict[str, Any] = {}

_TYPE = "a type"
_FILES = "reads or writes files"
_TEXT = "works on strings"
HOST: dict[str, str] = {
    "CheckpointError": _TYPE,
    "CheckpointInfo": _TYPE,
    "LanguageModel": _TYPE,
    "PARTITION_RULES": "a table",
    "PromptError": _TYPE,
    "config_json": "configurations",
    "decode_tokens": _TEXT,
    "decoder_config": "configurations",
    "encode_prompt": _TEXT,
    "fetch_model": "downloads files",
    "inspect_model": _FILES,
    "load_model": _FILES,
    "model_names": "names",
    "partition_specs": "makes placements, no arrays",
    "save_model": _FILES,
    "shard_params": "places arrays on devices",
    "stop_tokens": _TEXT,
}
