"""Writing a decoder's weights into safetensors files, in one file or in shards."""

import json
from pathlib import Path

from jaxtyping import PyTree

from jaxuq.language.config_json import model_type
from jaxuq.language.weights import named_weights, weight_sizes
from jaxuq.networks import DecoderConfig

_INDEX = "model.safetensors.index.json"
_SINGLE = "model.safetensors"


def write_weights(folder: Path, config: DecoderConfig, params: PyTree, *, shard_bytes: int = 2**31) -> None:
    """Write parameters as Hugging Face lays them out, bit by bit as they are.

    Holds the tensors of one shard.

    Args:
        folder: exists.
        config: the decoder's shape.
        params: stacked or not.
        shard_bytes: a file holds at most so much, or one tensor.
    """
    from safetensors.numpy import save_file

    shards: list[list[str]] = [[]]
    family = model_type(config)
    sizes, used = weight_sizes(config, params, family=family), 0
    for name, size in sizes.items():
        if shards[-1] and used + size > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    tensors = named_weights(config, params, family=family)
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = _SINGLE if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(dict(next(tensors) for _ in names), folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (folder / _INDEX).write_text(json.dumps(index, indent=2))
