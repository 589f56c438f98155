"""One tiny decoder for the tests of adapters and of tuning, with adapters that do something."""

import functools

import jax
import jax.numpy as jnp

from jaxuq.language import init_adapters
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig

ALL_LAYERS = ("query", "key", "value", "output", "gate", "up", "down")
CONFIG = DecoderConfig(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4
)


@functools.cache
def base_params(scan=True):
    decoder = Decoder(CONFIG, scan=scan)
    params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    return jax.tree.map(lambda leaf: leaf * 3.0 if leaf.ndim > 1 else leaf, params)  # activations of a useful size


def decoder_with(scan=True, config=CONFIG, **options):
    return Decoder(config, scan=scan, lora=LoraConfig(**{"rank": 3, "alpha": 4.0, "targets": ALL_LAYERS} | options))


def moved_adapters(decoder, params, seed=1):
    """Adapters as after training: no factor is zero, DoRA's magnitudes are not the norms."""
    lora = init_adapters(jax.random.key(seed), decoder, params)

    def move(path, leaf):
        key = jax.random.fold_in(jax.random.key(seed), sum(map(ord, jax.tree_util.keystr(path))))
        return leaf * 1.1 + 0.2 * jax.random.normal(key, leaf.shape)

    return jax.tree_util.tree_map_with_path(move, lora)


def logits_of(decoder, params, lora, tokens, **kwargs):
    variables = {"params": params} if lora is None else {"params": params, "lora": lora}
    output = decoder.apply(variables, tokens, **kwargs)
    return decoder.apply(variables, output.hidden, method="logits")


TOKENS = jax.random.randint(jax.random.key(5), (2, 6), 0, CONFIG.vocab_size)
