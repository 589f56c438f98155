"""A step of decoding writes the new keys and values and copies no cache, where layers are not stacked."""

import jax
import jax.numpy as jnp
import pytest

from jaxuq.language.generation import continue_generation, start_generation
from jaxuq.networks import Decoder, DecoderConfig
from jaxuq.parallel import read_compiled

CONFIG = DecoderConfig(512, 256, 256, num_layers=2, num_heads=4, num_kv_heads=4, head_dim=64, max_positions=4096)
ROWS, PROMPT, NEW = 4, 1021, 16


def step(scan):
    decoder, shape = Decoder(CONFIG, scan=scan), jax.ShapeDtypeStruct
    params = jax.eval_shape(decoder.init, jax.random.key(0), shape((1, 2), jnp.int32))
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), ROWS))
    prompts = shape((ROWS, PROMPT), jnp.int32), shape((ROWS,), jnp.int32)

    def start(params, prompts, lengths, keys):
        return start_generation(decoder, params, prompts, lengths, keys, capacity=NEW)

    state = jax.eval_shape(start, params, *prompts, keys)

    def advance(params, state):
        return continue_generation(decoder, params, state, until=NEW)

    return jax.jit(advance, donate_argnums=1).lower(params, state).compile()


def copies(compiled, layers):
    """Instructions that copy a cache of one layer or of all."""
    slots = PROMPT + NEW - 1
    shapes = (f"f32[{ROWS},4,{slots},64]", f"f32[{layers},{ROWS},4,{slots},64]")
    return [line for line in compiled.as_text().splitlines() if " copy(" in line and any(one in line for one in shapes)]


def test_unrolled_layers_write_their_caches_in_place():
    compiled = step(scan=False)
    cache = 2 * CONFIG.num_layers * ROWS * 4 * (PROMPT + NEW - 1) * 64 * 4
    program = read_compiled(compiled)
    assert copies(compiled, CONFIG.num_layers) == []
    assert program.aliased > cache
    assert program.temporaries < 0.05 * cache


@pytest.mark.long
def test_stacked_layers_hold_a_second_cache():
    """Which is why the other form is the one to decode long texts with; if this fails, the page may say better."""
    cache = 2 * CONFIG.num_layers * ROWS * 4 * (PROMPT + NEW - 1) * 64 * 4
    assert read_compiled(step(scan=True)).temporaries > 0.9 * cache
