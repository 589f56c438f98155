"""Make the golden adapters: LoRA and DoRA of golden models, written by PEFT, and the logits it computes with them.

    python tests/language/golden/make_adapters.py [KIND ...]

Needs PyTorch and PEFT. Each folder `peft-<kind>` is what `save_pretrained` writes (without its README), and
`logits.npz` holds tokens and logits. The factors are random: none of them is zero, no magnitude is the norm.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
KINDS = {
    "lora": {"target_modules": ["q_proj", "v_proj", "down_proj"], "lora_alpha": 5},
    "rslora": {"target_modules": ["k_proj"], "use_rslora": True, "lora_alpha": 2},
    "dora": {"target_modules": "all-linear", "use_dora": True, "lora_alpha": 4, "lora_dropout": 0.1},
    "patterns": {
        "target_modules": ["q_proj", "v_proj", "up_proj"],
        "lora_alpha": 5,
        "rank_pattern": {"v_proj": 5, "layers.1.self_attn.q_proj": 2},
        "alpha_pattern": {"up_proj": 9, r"layers\.0\.self_attn.*": 2},
    },
    "layers": {
        "target_modules": ["q_proj", "down_proj"],
        "lora_alpha": 4,
        "layers_to_transform": [1],
        "exclude_modules": r".*\.1\.mlp\.down_proj",
    },
    "dora-patterns": {
        "target_modules": ["o_proj", "up_proj"],
        "use_dora": True,
        "rank_pattern": {"o_proj": 2},
        "alpha_pattern": {"o_proj": 7},
        "lora_alpha": 4,
    },
    "fused": {"target_modules": ["qkv_proj", "down_proj", "gate_up_proj"], "lora_alpha": 5},
    "fused-dora": {"target_modules": ["qkv_proj"], "use_dora": True, "lora_alpha": 4},
}


def base_model(family: str) -> torch.nn.Module:
    """A golden model."""
    with np.load(HERE / f"{family}.npz") as file:
        arrays = dict(file)
    config = AutoConfig.for_model(**json.loads(str(arrays["config"])))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    tensors = {name[7:]: torch.tensor(value).float() for name, value in arrays.items() if name.startswith("tensor:")}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    assert set(missing) <= {"lm_head.weight"} and not unexpected
    model.tie_weights()
    return model


def make(kind: str) -> None:
    """One adapter and its logits."""
    torch.manual_seed(3)
    model = get_peft_model(
        base_model("phi3" if "fused" in kind else "llama"), LoraConfig(task_type="CAUSAL_LM", r=3, **KINDS[kind])
    ).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        tokens = torch.randint(1, 40, (2, 9))
        logits = model(tokens).logits
    folder = HERE / f"peft-{kind}"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    np.savez_compressed(folder / "logits.npz", tokens=tokens.numpy().astype(np.int32), logits=logits.numpy())


if __name__ == "__main__":
    for kind in sys.argv[1:] or KINDS:
        make(kind)
