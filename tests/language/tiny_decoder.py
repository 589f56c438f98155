"""One tiny decoder for the tests of adapters and of tuning, with adapters that do something."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.language import init_adapters
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig

ALL_LAYERS = ("query", "key", "value", "output", "gate", "up", "down")
CONFIG = DecoderConfig(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_layers=2, num_heads=4, num_kv_heads=2, head_dim=4
)


@functools.cache
def base_params():
    """Random parameters whose activations have a useful size; stacked layers."""
    shapes = jax.eval_shape(Decoder(CONFIG).init, jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    rng = np.random.default_rng(0)

    def fill(path, leaf):
        spread = 0.2 if path[-1].key == "scale" else 0.4
        return jnp.asarray((path[-1].key == "scale") + spread * rng.normal(size=leaf.shape), jnp.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def decoder_with(scan=True, config=CONFIG, **options):
    return Decoder(config, scan=scan, lora=LoraConfig(**{"rank": 3, "alpha": 4.0, "targets": ALL_LAYERS} | options))


def moved_adapters(decoder, params, seed=1):
    """Adapters as after training: no factor is zero, DoRA's magnitudes are not the norms."""
    shapes = jax.eval_shape(lambda params: init_adapters(jax.random.key(seed), decoder, params), params)
    rng = np.random.default_rng(seed)
    centre = {"a": 0.0, "b": 0.0, "magnitude": 2.0}
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(centre[path[-1].key] + 0.25 * rng.normal(size=leaf.shape), jnp.float32), shapes
    )


@functools.partial(jax.jit, static_argnums=0)
def logits_of(decoder, params, lora, tokens, **kwargs):
    variables = {"params": params} if lora is None else {"params": params, "lora": lora}
    output = decoder.apply(variables, tokens, **kwargs)
    return decoder.apply(variables, output.hidden, method="logits")


TOKENS = jax.random.randint(jax.random.key(5), (2, 6), 0, CONFIG.vocab_size)
