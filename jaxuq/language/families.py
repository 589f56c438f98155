"""The families of language models that are read: what each computes, and which settings of `config.json` it reads."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

_WINDOWS = ("sliding_window", "layer_types")
_QWEN_WINDOWS = (*_WINDOWS, "use_sliding_window", "max_window_layers")
_CAPPED = (*_WINDOWS, "attention_bias", "query_pre_attn_scalar", "final_logit_softcapping")


class Family(NamedTuple):
    """One architecture of Hugging Face's.

    Attributes:
        model_class: of transformers.
        reads: settings that it reads beside `COMMON_SETTINGS`; all others are nothing to it.
        activation: the setting that names its activation.
        windows: whether no layer has the sliding window, all have, or those that `layer_types` says.
        fixed_bias: whether query, key and value have a bias by nature.
        gemma: norms count from one, and embeddings are scaled by the root of the width.
        query_key_norm: heads of queries and keys are normalised.
        post_norms: norms after attention and MLP too.
        silent: settings that its files carry and it does not read.
        nested_rotary: each kind of layer has rotary parameters of its own.
    """

    model_class: str
    reads: tuple[str, ...] = ()
    activation: str = "hidden_act"
    windows: Literal["none", "all", "listed"] = "none"
    fixed_bias: bool = False
    gemma: bool = False
    query_key_norm: bool = False
    post_norms: bool = False
    nested_rotary: bool = False
    silent: frozenset[str] = frozenset()


FAMILIES: Mapping[str, Family] = MappingProxyType(
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
            query_key_norm=True,
            post_norms=True,
            nested_rotary=True,
            silent=frozenset(["hidden_act", "attn_logit_softcapping"]),
        ),
        "llama": Family("LlamaForCausalLM", ("attention_bias", "mlp_bias")),
        "mistral": Family("MistralForCausalLM", ("sliding_window",), windows="all"),
        "qwen2": Family("Qwen2ForCausalLM", _QWEN_WINDOWS, windows="listed", fixed_bias=True),
        "qwen3": Family("Qwen3ForCausalLM", (*_QWEN_WINDOWS, "attention_bias"), windows="listed", query_key_norm=True),
    }
)

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
