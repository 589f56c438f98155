"""What transformers makes of a changed setting: tiny models of every family, one setting changed at a time.

    python tests/language/golden/make_settings.py

Needs PyTorch (`make parity` builds an environment with it). `settings.npz` holds for each case the logits of the last
tokens, float32, under `<family>:<case>`; a case that transformers refuses has an empty array. Weights follow from each
tensor's name and shape (`weights`), so that the tests can make them again.
"""

import hashlib
import json
import pathlib

import numpy as np

TINY = {
    "vocab_size": 24, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "max_position_embeddings": 64, "head_dim": 6,
}  # fmt: skip
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"]}
FAMILIES = {
    "llama": {"hidden_act": "silu"},
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "gemma": {},
    "gemma2": {"sliding_window": 4, "query_pre_attn_scalar": 6},
    "gemma3_text": {"sliding_window": 4, "query_pre_attn_scalar": 6, **LAYERS},
    "phi3": {"pad_token_id": 0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": EXPERTS | {"head_dim": 4},  # its norms are as wide as the model
    "qwen2_moe": EXPERTS | {"moe_intermediate_size": 5, "shared_expert_intermediate_size": 3},
    "qwen3_moe": EXPERTS | {"moe_intermediate_size": 5},
}
ROTARY = {"rope_theta": 50.0}
LLAMA3 = ROTARY | {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
YARN = ROTARY | {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
ANY = [  # settings that any family may be given, whether it reads them or not
    {"vocab_size": 30}, {"hidden_size": 12}, {"intermediate_size": 20}, {"num_hidden_layers": 3},
    {"num_attention_heads": 4}, {"num_key_value_heads": 2}, {"num_key_value_heads": None}, {"head_dim": 4},
    {"head_dim": None}, {"rms_norm_eps": 0.1}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False},
    {"hidden_act": "gelu"}, {"hidden_act": "gelu_new"}, {"hidden_activation": "gelu"}, {"hidden_act": "silu"},
    {"hidden_activation": "silu"}, {"attention_bias": True}, {"mlp_bias": True}, {"rope_theta": 50.0},
    {"rope_scaling": {"type": "linear", "factor": 2.0}}, {"rope_scaling": {"type": "linear"}},
    {"rope_parameters": ROTARY}, {"rope_parameters": ROTARY | {"factor": 3.0}},
    {"rope_parameters": ROTARY | {"rope_type": "linear", "factor": 3.0}}, {"rope_parameters": LLAMA3},
    {"rope_parameters": YARN}, {"rope_parameters": YARN | {"beta_fast": 4.0, "beta_slow": 2.0}},
    {"rope_parameters": YARN | {"attention_factor": 1.5}}, {"rope_parameters": YARN | {"truncate": False}},
    {"rope_parameters": YARN | {"mscale": 2.0, "mscale_all_dim": 0.5}},
    {"rope_parameters": YARN | {"factor": None}}, {"rope_parameters": YARN, "original_max_position_embeddings": 32},
    {"partial_rotary_factor": 0.5}, {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
    {"sliding_window": 3}, {"sliding_window": None}, {"sliding_window": 3, **LAYERS}, LAYERS,
    {"use_sliding_window": False}, {"max_window_layers": 0}, {"sliding_window_pattern": 1, "layer_types": None},
    {"query_pre_attn_scalar": 3}, {"attn_logit_softcapping": 0.5}, {"attn_logit_softcapping": None},
    {"final_logit_softcapping": 0.5}, {"final_logit_softcapping": None}, {"rope_local_base_freq": 5.0},
    {"use_bidirectional_attention": True}, {"attention_dropout": 0.5}, {"pretraining_tp": 2}, {"pad_token_id": 3},
    {"use_cache": False}, {"initializer_range": 0.5}, {"is_decoder": True}, {"a_new_setting": 3.0},
]  # fmt: skip
MIXTURES = [  # settings that any family with experts may be given
    {"num_experts": 3}, {"num_local_experts": 3}, {"num_experts_per_tok": 1}, {"norm_topk_prob": True},
    {"norm_topk_prob": False}, {"moe_intermediate_size": 6}, {"shared_expert_intermediate_size": 4},
    {"qkv_bias": False}, {"decoder_sparse_step": 2}, {"mlp_only_layers": [0]}, {"clip_qkv": 0.3},
    {"output_router_logits": True}, {"router_aux_loss_coef": 0.5}, {"router_jitter_noise": 0.5},
]  # fmt: skip
PARTIAL = [
    {"rope_parameters": ROTARY | {"partial_rotary_factor": 0.67}}, {"partial_rotary_factor": 0.34},
    {"rope_parameters": YARN, "partial_rotary_factor": 0.67}, {"resid_pdrop": 0.5}, {"embd_pdrop": 0.5},
]  # fmt: skip
NESTED = [
    {"rope_parameters": {"full_attention": changed, "sliding_attention": {"rope_type": "default", "rope_theta": 9.0}}}
    for changed in (ROTARY | {"rope_type": "default"}, LLAMA3, YARN, YARN | {"truncate": False})
]


def cases() -> dict[str, dict]:
    """Configurations by `family:change`."""
    listed = {}
    for family, own in FAMILIES.items():
        base = TINY | own | {"model_type": family}
        further = {"gemma3_text": NESTED, "phi3": PARTIAL}.get(family, MIXTURES if "num_experts_per_tok" in own else [])
        for change in [{}, *ANY, *further]:
            changed = base | change
            if "layer_types" in changed and changed.get("num_hidden_layers") == 3:
                changed["layer_types"] = ["sliding_attention", "full_attention", "sliding_attention"]
            listed[f"{family}:{json.dumps(change)}"] = changed
    return listed


def weights(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that follow from a tensor's name and shape."""
    seed = int.from_bytes(hashlib.sha256(f"{name}{list(shape)}".encode()).digest()[:4], "little")
    return np.random.default_rng(seed).normal(0.0, 0.7, shape).astype(np.float32)


def in_memory(kind: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same for a parameter of transformers' model, which may hold several tensors of a file."""
    if ".mlp.experts." not in name:
        return weights(name.replace(".mlp.gate.", ".block_sparse_moe.gate.") if kind == "mixtral" else name, shape)
    prefix, _, which = name.partition(".mlp.experts.")
    pattern, parts = f"{prefix}.mlp.experts.{{}}.{{}}_proj.weight", ("gate", "up") if "gate" in which else ("down",)
    if kind == "mixtral":
        pattern = f"{prefix}.block_sparse_moe.experts.{{}}.{{}}.weight"
        parts = ("w1", "w3") if "gate" in which else ("w2",)
    one = (shape[1] // len(parts), shape[2])
    return np.stack(
        [np.concatenate([weights(pattern.format(e, part), one) for part in parts]) for e in range(shape[0])]
    )


def tokens(config: dict) -> np.ndarray:
    """Eleven tokens, longer than the windows."""
    return np.asarray([[1, 5, 3, 2, 7, 11, 4, 9, 6, 13, 8]], np.int32) % config["vocab_size"]


def run(config: dict) -> np.ndarray:
    """The logits of the last three tokens; an empty array for what transformers refuses."""
    import copy

    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        made = AutoConfig.for_model(**copy.deepcopy(config))
        plain = {"attn_implementation": "eager"}
        plain |= {"experts_implementation": "eager"} if "num_experts_per_tok" in config else {}
        model = AutoModelForCausalLM.from_config(made, **plain).float().eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(torch.from_numpy(in_memory(config["model_type"], name, tuple(parameter.shape))))
            return model(torch.from_numpy(tokens(config)).long()).logits[0, -3:].numpy()
    except Exception as error:
        print(type(error).__name__, str(error)[:80].replace("\n", " "))
        return np.zeros((0, 0), np.float32)


if __name__ == "__main__":
    results = {}
    for name, config in cases().items():
        results[name] = run(config)
        if not results[name].size:
            print("refused:", name)
    np.savez_compressed(pathlib.Path(__file__).with_name("settings.npz"), **results)
