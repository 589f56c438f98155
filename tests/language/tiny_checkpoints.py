"""Tiny checkpoints on disk: the golden models as Hugging Face folders and as GGUF files made by the gguf package."""

import functools
import json
import pathlib

import numpy as np
import tokenizers
from safetensors.numpy import save_file
from tokenizers import decoders, models, pre_tokenizers
from transformers import AutoConfig, PreTrainedTokenizerFast

GOLDEN = pathlib.Path(__file__).parent / "golden"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MERGES = (("t", "h"), ("th", "e"))
TOKENS = (*SPECIAL, *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", "<", ">", "|", "_", ".", "?", ",", "th", "the")
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@functools.cache
def golden_arrays(family):
    """Configuration and float32 tensors, by Hugging Face's names."""
    with np.load(GOLDEN / f"{family}.npz") as file:
        tensors = {name[7:]: file[name].astype(np.float32) for name in file if name.startswith("tensor:")}
        return json.loads(str(file["config"])), tensors


def tiny_tokenizer():
    """Forty tokens: the letters, a few signs, two merges, three special tokens, and a chat template."""
    vocabulary = {token: index for index, token in enumerate(TOKENS)}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, list(MERGES)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=SPECIAL[1], eos_token=SPECIAL[2], chat_template=TEMPLATE
    )


def write_folder(folder, family="llama", *, config=None, tensors=None, tokenizer=True, shards=1):
    """A golden model as a folder; its configuration and tensors may be changed."""
    content, arrays = golden_arrays(family)
    arrays = {name: array.astype(np.float16) for name, array in arrays.items()} if tensors is None else tensors
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content | (config or {})))
    if tokenizer:
        tiny_tokenizer().save_pretrained(folder)
    names = list(arrays)
    if shards == 1:
        save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        mine = names[shard::shards]
        save_file({name: arrays[name] for name in mine}, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(mine, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


_BLOCK = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_OUTER = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output"}


def gguf_name(name, architecture):
    """llama.cpp's name of a tensor."""
    if name in _OUTER:
        return _OUTER[name] + ".weight"
    _, _, layer, rest = name.split(".", 3)
    part, end = rest.rsplit(".", 1)
    after = "post_attention_norm" if architecture in ("gemma2", "gemma3") else "ffn_norm"
    return f"blk.{layer}.{(_BLOCK | {'post_attention_layernorm': after})[part]}.{end}"


def _interleave(array, heads):
    """As llama.cpp's converter stores Llama's queries and keys: row i of each half of a head, in turns."""
    half = array.shape[0] // heads // 2
    order = [head * 2 * half + index // 2 + (index % 2) * half for head in range(heads) for index in range(2 * half)]
    return array[order]


def write_gguf(path, family="llama", *, metadata=None, tensors=None, version=3, extra=None, tokenizer=True):
    """A golden model as a GGUF file in float32, as llama.cpp's converter would write it."""
    import gguf

    content, arrays = golden_arrays(family)
    content = AutoConfig.for_model(**content).to_dict()
    arrays = arrays if tensors is None else tensors
    architecture = {"gemma3": "gemma3", "llama3": "llama", "mistral": "llama"}.get(family, family)
    writer = gguf.GGUFWriter(path, architecture)
    heads, kv_heads = content["num_attention_heads"], content["num_key_value_heads"]
    writer.add_block_count(content["num_hidden_layers"])
    writer.add_context_length(content["max_position_embeddings"])
    writer.add_embedding_length(content["hidden_size"])
    writer.add_feed_forward_length(content["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(content["rms_norm_eps"])
    rope = content["rope_parameters"]
    if content.get("head_dim"):
        writer.add_key_length(content["head_dim"])
    if architecture == "gemma3":
        writer.add_sliding_window_pattern(2)
        writer.add_float32("gemma3.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(rope["rope_type"]))
        writer.add_rope_scaling_factor(rope["factor"])
        if rope["rope_type"] == "yarn":
            writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
    if architecture in ("gemma2", "gemma3"):
        writer.add_sliding_window(content["sliding_window"])
    if architecture == "gemma2":
        writer.add_attn_logit_softcapping(content["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(content["final_logit_softcapping"])
    if tokenizer:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(list(TOKENS))
        writer.add_token_types([3] * len(SPECIAL) + [1] * (len(TOKENS) - len(SPECIAL)))
        writer.add_token_merges([" ".join(merge) for merge in MERGES])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_chat_template(TEMPLATE)
    for key, value in (metadata or {}).items():
        add = {str: writer.add_string, bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32}
        add.get(type(value), writer.add_array)(key, value)
    for name, array in arrays.items():
        if architecture == "llama" and ".q_proj." in name:
            array = _interleave(array, heads)
        elif architecture == "llama" and ".k_proj." in name:
            array = _interleave(array, kv_heads)
        elif architecture.startswith("gemma") and name.endswith("norm.weight"):
            array = array + np.float32(1)
        writer.add_tensor(gguf_name(name, architecture), np.ascontiguousarray(array))
    for name, array in (extra or {}).items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if version != 3:
        raw = bytearray(path.read_bytes())
        raw[4:8] = version.to_bytes(4, "little")
        path.write_bytes(raw)
    return path
