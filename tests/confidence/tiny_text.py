"""One tiny random model with a tokenizer of letters, and prompts and responses for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.language import LanguageModel
from jaxuq.networks import Decoder, DecoderConfig
from tests.language.tiny_checkpoints import tiny_tokenizer

CONFIG = DecoderConfig(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_layers=3, num_heads=8, num_kv_heads=4, head_dim=4,
    max_positions=256, tied=True,
)  # fmt: skip
PROMPTS = ("what is a fish, a cat or the bird", "is the sea red", "name a tree")
RESPONSES = (
    "a cat eats the fish that swims. the answer is bird. so it is",
    "the sea has no red. the answer is green",
    "the answer is oak.",
)


@functools.cache
def model(scan=True):
    """Random weights of a useful size: predictions differ, and some alternatives are likely."""
    decoder = Decoder(CONFIG, scan=scan)
    shapes = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    rng = np.random.default_rng(1)

    def fill(path, leaf):
        scale = path[-1].key == "scale"
        return jnp.asarray(scale + (0.2 if scale else 0.5) * rng.normal(size=leaf.shape), jnp.float32)

    return LanguageModel(decoder, jax.tree_util.tree_map_with_path(fill, shapes), tiny_tokenizer(), "tiny")
