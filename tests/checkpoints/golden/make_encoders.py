"""Make the golden files of the encoders: tiny random models of each family, and what transformers computes with them.

    python tests/checkpoints/golden/make_encoders.py

Needs PyTorch (`make parity` builds an environment with it). Each `<family>.npz` holds the configuration as JSON, every
tensor by its checkpoint name (float16-representable values, kept as float16), tokens, segment types, a mask, and the
hidden states and pooled vectors in float32. The second row is padded. Texts of MPNet are longer than the distance from
which on all distances are one.
"""

import json
import pathlib

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

TINY = {
    "vocab_size": 30,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 16,
    "initializer_range": 0.4,
}
FAMILIES = {
    "bert": {"model_type": "bert", "layer_norm_eps": 1e-3},
    "roberta": {"model_type": "roberta", "type_vocab_size": 1, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
    "mpnet": {"model_type": "mpnet", "layer_norm_eps": 1e-5, "max_position_embeddings": 192},
}


def make(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """A random model of a family and its outputs."""
    settings = TINY | FAMILIES[name]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(**settings)
    model = AutoModel.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too, so that none of them could be left out unnoticed
            parameter.add_(0.2 * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
        time = 180 if name == "mpnet" else 9
        tokens = torch.randint(3, 30, (2, time))
        types = torch.randint(0, getattr(config, "type_vocab_size", 1), (2, time))
        mask = torch.ones_like(tokens)
        mask[1, 6:] = 0
        tokens[1, 6:] = config.pad_token_id
        segments = {} if name == "mpnet" else {"token_type_ids": types}
        output = model(tokens, attention_mask=mask, **segments)
    return {
        "config": np.asarray(json.dumps(settings | {"pad_token_id": config.pad_token_id})),
        "tokens": tokens.numpy().astype(np.int32),
        "types": types.numpy().astype(np.int32),
        "mask": mask.numpy().astype(bool),
        "hidden": output.last_hidden_state.numpy(),
        "pooled": output.pooler_output.numpy(),
        **{f"tensor:{key}": value.numpy().astype(np.float16) for key, value in model.state_dict().items()},
    }


if __name__ == "__main__":
    for name in FAMILIES:
        np.savez_compressed(pathlib.Path(__file__).with_name(f"{name}.npz"), **make(name))
