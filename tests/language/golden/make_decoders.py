"""Make the golden files of the decoder: tiny random models of every family, and what transformers computes with them.

    python tests/language/golden/make_decoders.py [FAMILY ...]

Needs PyTorch (`make parity` builds an environment with it). Each `<family>.npz` holds the configuration as JSON, every
tensor by its checkpoint name (float16-representable values, kept as float16), tokens, an attention mask, and logits in
float32. The second row is padded on the left, and both rows are longer than the sliding windows.
"""

import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForCausalLM

TINY = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "initializer_range": 0.4,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 100.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
FAMILIES = {
    "llama": {"model_type": "llama", "tie_word_embeddings": True},
    "llama3": {"model_type": "llama", "rope_parameters": LLAMA3, "attention_bias": True, "mlp_bias": True},
    "mistral": {"model_type": "mistral", "sliding_window": 4, "head_dim": 6},
    "qwen2": {
        "model_type": "qwen2",
        "use_sliding_window": True,
        "sliding_window": 4,
        "max_window_layers": 1,
        "rope_parameters": YARN,
    },
    "qwen3": {"model_type": "qwen3", "head_dim": 8},
    "phi3": {
        "model_type": "phi3",
        "sliding_window": 4,
        "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.75},
    },
    "mixtral": {"model_type": "mixtral", "num_local_experts": 3, "num_experts_per_tok": 2, "intermediate_size": 10},
    "olmoe": {"model_type": "olmoe", "num_experts": 5, "num_experts_per_tok": 3, "intermediate_size": 10},
    "qwen2_moe": {
        "model_type": "qwen2_moe",
        "num_experts": 5,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
        "shared_expert_intermediate_size": 10,
    },
    "qwen3_moe": {
        "model_type": "qwen3_moe",
        "head_dim": 8,
        "num_experts": 6,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 8,
        "norm_topk_prob": True,
    },
    "gemma": {"model_type": "gemma", "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh"},
    "gemma2": {"model_type": "gemma2", "head_dim": 8, "sliding_window": 4, "query_pre_attn_scalar": 6},
    "gemma3": {
        "model_type": "gemma3_text",
        "head_dim": 8,
        "sliding_window": 4,
        "query_pre_attn_scalar": 6,
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            "full_attention": {"rope_type": "linear", "rope_theta": 1000.0, "factor": 8.0},
        },
    },
}


def as_saved(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """The tensors under the names that a checkpoint has for them, which are not those in memory."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(pathlib.Path(folder, "model.safetensors"))


def make(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """A random model of a family and its outputs."""
    settings = TINY | FAMILIES[name]
    torch.manual_seed(seed)
    config = AutoConfig.for_model(**settings)
    plain = {"attn_implementation": "eager"} | (
        {"experts_implementation": "eager"} if "num_experts_per_tok" in settings else {}
    )
    model = AutoModelForCausalLM.from_config(config, **plain).float().eval()
    with torch.no_grad():
        for parameter in model.parameters():  # norms and biases too, so that none of them could be left out unnoticed
            parameter.add_(0.2 * torch.randn_like(parameter))
            parameter.copy_(parameter.half().float())
        tokens = torch.randint(1, 40, (2, 11))
        mask = torch.ones_like(tokens)
        mask[1, :3] = 0
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        output = model(tokens, attention_mask=mask, position_ids=positions, output_attentions=True)
    arrays = {key: value.astype(np.float16) for key, value in as_saved(model).items()}
    if settings.get("tie_word_embeddings", config.tie_word_embeddings):
        arrays.pop("lm_head.weight", None)
    return {
        "config": np.asarray(json.dumps(settings)),
        "tokens": tokens.numpy().astype(np.int32),
        "mask": mask.numpy().astype(bool),
        "logits": output.logits.numpy(),
        "attentions": np.stack([layer.numpy() for layer in output.attentions]),
        **{f"tensor:{key}": value for key, value in arrays.items()},
    }


if __name__ == "__main__":
    for name in sys.argv[1:] or FAMILIES:
        np.savez_compressed(pathlib.Path(__file__).with_name(f"{name}.npz"), **make(name))
