"""The families of language models that are read: what each computes, and which settings of `config.json` it reads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from jaxuq._entries import Entries

_WINDOWS = ("sliding_window", "layer_types")
_QWEN_WINDOWS = (*_WINDOWS, "use_sliding_window", "max_window_layers")
_CAPPED = (*_WINDOWS, "attention_bias", "query_pre_attn_scalar", "final_logit_softcapping")
_EXPERTS = ("num_experts", "num_local_experts", "num_experts_per_tok")
_QWEN_EXPERTS = (*_EXPERTS, "moe_intermediate_size", "norm_topk_prob")
_OF_TRAINING = frozenset(["router_aux_loss_coef", "output_router_logits", "router_jitter_noise"])

TENSOR_NAMES: Mapping[str, str] = MappingProxyType(  # ours within a block, and what Llama's files and most others say
    {
        "query": "self_attn.q_proj",
        "key": "self_attn.k_proj",
        "value": "self_attn.v_proj",
        "output": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
        "router": "mlp.gate",
        "experts/gate": "mlp.experts.{expert}.gate_proj",
        "experts/up": "mlp.experts.{expert}.up_proj",
        "experts/down": "mlp.experts.{expert}.down_proj",
        "shared_gate": "mlp.shared_expert.gate_proj",
        "shared_up": "mlp.shared_expert.up_proj",
        "shared_down": "mlp.shared_expert.down_proj",
        "shared_router": "mlp.shared_expert_gate",
    }
)


class Family(NamedTuple):
    """One architecture of Hugging Face's.

    Attributes:
        model_class: of transformers.
        reads: settings that it reads beside `COMMON_SETTINGS`; all others are nothing to it.
        activation: the setting that names its activation.
        windows: whether no layer has the sliding window, all have, or those that `layer_types` says.
        fixed_bias: whether query, key and value have a bias by nature.
        gemma: norms count from one, and embeddings are scaled by the root of the width.
        query_key_norm: heads of queries and keys are normalised, each on its own (`heads`) or all together (`whole`).
        post_norms: norms after attention and MLP too.
        silent: settings that its files carry and it does not read.
        nested_rotary: each kind of layer has rotary parameters of its own.
        partial_rotary: a part of each head may be turned alone (`partial_rotary_factor`).
        rotary_kinds: kinds of rotary embeddings that it may have; none: all that we have.
        experts: MLPs are mixtures of experts.
        names: what its files call the layers of a block, where it is not what `TENSOR_NAMES` says.
        fused: its tensors that hold several layers of ours, one under another: their name, and ours in order.
        like: the family whose defaults it has, where transformers knows none of its name.
    """

    model_class: str
    reads: tuple[str, ...] = ()
    activation: str = "hidden_act"
    windows: Literal["none", "all", "listed"] = "none"
    fixed_bias: bool = False
    gemma: bool = False
    query_key_norm: Literal["", "heads", "whole"] = ""
    post_norms: bool = False
    nested_rotary: bool = False
    silent: frozenset[str] = frozenset()
    partial_rotary: bool = False
    rotary_kinds: tuple[str, ...] = ()
    experts: bool = False
    names: Mapping[str, str] = MappingProxyType({})
    fused: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    like: str = ""


FAMILIES: Entries[Family] = Entries(
    "family of language models",
    "jaxuq.language_families",
    {
        "gemma": Family("GemmaForCausalLM", ("attention_bias",), gemma=True, silent=frozenset(["hidden_activation"])),
        "gemma2": Family(
            "Gemma2ForCausalLM",
            (*_CAPPED, "attn_logit_softcapping"),
            activation="hidden_activation",
            windows="listed",
            gemma=True,
            silent=frozenset(["hidden_act", "sliding_window_size"]),
            post_norms=True,
        ),
        "gemma3_text": Family(
            "Gemma3ForCausalLM",
            (*_CAPPED, "sliding_window_pattern", "rope_local_base_freq"),
            activation="hidden_activation",
            windows="listed",
            gemma=True,
            query_key_norm="heads",
            post_norms=True,
            nested_rotary=True,
            silent=frozenset(["hidden_act", "attn_logit_softcapping"]),
        ),
        "llama": Family("LlamaForCausalLM", ("attention_bias", "mlp_bias")),
        "mistral": Family("MistralForCausalLM", ("sliding_window",), windows="all"),
        "mixtral": Family(
            "MixtralForCausalLM",
            ("sliding_window", *_EXPERTS),
            windows="all",
            experts=True,
            silent=_OF_TRAINING,
            names={
                "router": "block_sparse_moe.gate",
                "experts/gate": "block_sparse_moe.experts.{expert}.w1",
                "experts/up": "block_sparse_moe.experts.{expert}.w3",
                "experts/down": "block_sparse_moe.experts.{expert}.w2",
            },
        ),
        "olmoe": Family(
            "OlmoeForCausalLM",
            ("attention_bias", "norm_topk_prob", *_EXPERTS),
            query_key_norm="whole",
            experts=True,
            silent=_OF_TRAINING,
        ),
        "phi3": Family(
            "Phi3ForCausalLM",
            ("sliding_window",),
            windows="all",
            partial_rotary=True,
            rotary_kinds=("default",),
            silent=frozenset(["resid_pdrop", "embd_pdrop"]),
            fused={"self_attn.qkv_proj": ("query", "key", "value"), "mlp.gate_up_proj": ("gate", "up")},
        ),
        "qwen2": Family("Qwen2ForCausalLM", _QWEN_WINDOWS, windows="listed", fixed_bias=True),
        "qwen2_moe": Family(
            "Qwen2MoeForCausalLM",
            (*_QWEN_WINDOWS, *_QWEN_EXPERTS, "shared_expert_intermediate_size", "qkv_bias"),
            windows="listed",
            fixed_bias=True,
            experts=True,
            silent=_OF_TRAINING,
        ),
        "qwen3": Family(
            "Qwen3ForCausalLM", (*_QWEN_WINDOWS, "attention_bias"), windows="listed", query_key_norm="heads"
        ),
        "qwen3_moe": Family(
            "Qwen3MoeForCausalLM",
            ("sliding_window", "use_sliding_window", "attention_bias", *_QWEN_EXPERTS),
            windows="all",
            query_key_norm="heads",
            experts=True,
            silent=_OF_TRAINING | {"max_window_layers"},
        ),
    },
)
"""Families by Hugging Face's name of them. A model that differs from Llama in what an entry can say is one more entry:
put yours in, or declare an entry point of the group."""

COMMON_SETTINGS: tuple[str, ...] = (
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_parameters",
    "rope_scaling",
    "rope_theta",
    "partial_rotary_factor",
    "original_max_position_embeddings",
)

# What changes the computation and is not implemented, with the values that ask for nothing.
REFUSED_SETTINGS: Mapping[str, tuple[str, tuple[object, ...]]] = MappingProxyType(
    {
        "quantization_config": ("the weights are quantised (use the unquantised checkpoint), which is", ({},)),
        "compression_config": ("the weights are compressed (use the uncompressed checkpoint), which is", ({},)),
        "use_bidirectional_attention": ("bidirectional attention is", (False,)),
        "is_causal": ("bidirectional attention is", (True,)),
        "per_layer_config": ("layers with settings of their own are", ({},)),
        "is_encoder_decoder": ("encoders with decoders are", (False,)),
        "add_cross_attention": ("cross-attention is", (False,)),
        "rope_interleaved": ("rotary embeddings of neighbouring pairs are", (False,)),
        "use_mrope": ("rotary embeddings of several axes are", (False,)),
        "use_qk_norm": ("another normalisation of queries and keys is", (False,)),
        "pruned_heads": ("pruned heads are", ({},)),
        "clip_qkv": ("clipped queries, keys and values are", ()),
        "decoder_sparse_step": ("layers without experts among those with are", (1,)),
        "mlp_only_layers": ("layers without experts among those with are", ([],)),
    }
)

# What concerns training, generation, storage or tasks: nothing of it reaches the logits.
IRRELEVANT_SETTINGS: frozenset[str] = frozenset((
    "_attn_implementation", "_name_or_path", "architectures", "attention_dropout", "attn_implementation",
    "auto_map", "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "cache_implementation",
    "chunk_size_feed_forward", "decoder_start_token_id", "diversity_penalty", "do_sample", "dtype",
    "early_stopping", "encoder_no_repeat_ngram_size", "eos_token_id", "exponential_decay_length_penalty",
    "finetuning_task", "forced_bos_token_id", "forced_eos_token_id", "id2label", "initializer_range", "is_decoder",
    "is_llama_config", "label2id", "length_penalty", "max_length", "min_length", "no_repeat_ngram_size",
    "num_beam_groups", "num_beams", "num_labels", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_scores", "pad_token_id", "prefix", "pretraining_tp", "problem_type",
    "remove_invalid_values", "repetition_penalty", "return_dict", "return_dict_in_generate", "sep_token_id",
    "suppress_tokens", "task_specific_params", "temperature", "tf_legacy_loss", "tie_encoder_decoder",
    "tie_last_hidden_states", "tokenizer_class", "top_k", "top_p", "torch_dtype", "torchscript",
    "transformers.js_config", "transformers_version", "typical_p", "unsloth_fixed", "unsloth_version",
    "use_bfloat16", "use_cache",
))  # fmt: skip
