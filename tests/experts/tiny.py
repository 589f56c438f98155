"""One tiny model with adapters that do something, its optimiser's state, and a few questions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.experts import AdapterCheckpoint
from jaxuq.language import Instruction, LanguageModel, TokenBatch
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig
from tests.language.tiny_decoder import moved_adapters

CONFIG = DecoderConfig(23, 8, 12, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4, max_positions=64)
DECODER = Decoder(CONFIG, lora=LoraConfig(rank=2, alpha=4.0, targets=("query", "value", "down")))


@functools.cache
def params():
    """Random parameters whose activations have a useful size."""
    shapes = jax.eval_shape(Decoder(CONFIG).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    rng = np.random.default_rng(0)
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray((path[-1].key == "scale") + 0.4 * rng.normal(size=leaf.shape), jnp.float32),
        shapes,
    )


@functools.cache
def lora(seed=1):
    return moved_adapters(DECODER, params(), seed)


@functools.cache
def checkpoint(seed):
    """A state as after a few steps."""
    adapters, rng = lora(seed), np.random.default_rng(seed)
    first = jax.tree.map(lambda leaf: jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32), adapters)
    second = jax.tree.map(lambda leaf: jnp.asarray(0.01 + 0.02 * rng.random(leaf.shape), jnp.float32), adapters)
    return AdapterCheckpoint(adapters, first, second, count=jnp.int32(9 * seed), learning_rate=1e-3 / seed)


def model():
    return LanguageModel(DECODER, params(), tokenizer=None, name="tiny", lora=lora(1))  # pyright: ignore


def questions(count=11, seed=0):
    """Instructions of 2 to 9 tokens, and responses of 3."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        length = int(rng.integers(2, 10))
        tokens = rng.integers(0, CONFIG.vocab_size, length + 3).astype(np.int32)
        made.append(Instruction(tokens, np.arange(length + 3) >= length))
    return made


_TOKENS = jax.random.randint(jax.random.key(1), (8, 6), 0, CONFIG.vocab_size)
_POSITIONS = jnp.where(jnp.arange(6)[None] < jnp.array([6, 5, 3, 6, 2, 4, 1, 6])[:, None], jnp.arange(6)[None], -1)
BATCH = TokenBatch(
    _TOKENS,
    jnp.broadcast_to(_POSITIONS, (8, 6)).astype(jnp.int32),
    jnp.broadcast_to(jnp.arange(8)[:, None], (8, 6)).astype(jnp.int32),
    (_TOKENS % 4 > 0) & (_POSITIONS >= 0),
)
"""Rows of 6 to 1 tokens, padded at the end; some tokens do not count."""
