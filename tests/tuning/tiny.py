"""A tiny model with a tokenizer of words, digits and verdicts, and questions about letters and colours."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.language import LanguageModel
from jaxuq.networks import Decoder, DecoderConfig

_TEXT = """
    <unk> <s> <end> Q A : . ? what is a b c d e f g red green blue yes no sure unsure true false I do not know am able
    to answer this This beyond Are you that right , from Do confidence 0 1 2 3 4 5 6 7 8 9
"""
_WORDS = _TEXT.split()
LETTERS, COLOURS = "abcdefg", ("red", "green", "blue")
CONFIG = DecoderConfig(72, 16, 24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4, max_positions=64)


@functools.cache
def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="<end>")


@functools.cache
def word_model():
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(Decoder(CONFIG).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(
            np.ones(leaf.shape) if path[-1].key == "scale" else 0.4 * rng.normal(size=leaf.shape), jnp.float32
        ),
        shapes,
    )
    return LanguageModel(Decoder(CONFIG), params, word_tokenizer(), "tiny")


def write_questions(path, pairs=tuple((first, second) for first in LETTERS for second in LETTERS)):
    """A question a pair; its answer depends on the first letter alone."""
    rows = [
        {"question": f"what is {first} {second}", "answer": COLOURS[LETTERS.index(first) % 3], "category": "letters"}
        for first, second in pairs
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    return path
