"""Programs of large models compiled from shapes for pretended devices, and what must not be in them."""

import jax

from jaxuq.language import score_tokens
from jaxuq.parallel import mesh_of, read_compiled
from jaxuq.planning import MODEL_SHAPES, abstract_decoder, rows_on


def scored(model, mesh_text, rows, time, **changes):
    """`score_tokens` with all that may be kept; `changes` of the shape make a program of their own."""
    mesh = mesh_of(mesh_text)
    config = MODEL_SHAPES[model].__class__(**{**vars(MODEL_SHAPES[model]), **changes})
    decoder, params, _ = abstract_decoder(config, mesh)
    tokens = rows_on(mesh, (rows, time))

    @jax.jit
    def score(params, tokens):
        return score_tokens(
            decoder, {"params": params}, tokens, keep_hidden=True, keep_queries=True, keep_cache=True
        )  # fmt: skip

    return read_compiled(score.lower(params, tokens).compile())


def layer_numbers(config):
    """Numbers of the kernels of all layers."""
    heads = (config.num_heads + config.num_kv_heads) * config.head_dim
    return config.num_layers * config.hidden_size * (2 * heads + 3 * config.intermediate_size)


def kept_bytes(config, rows, time):
    """Queries, keys, values twice over (captured and cache share the keys), hidden states and scores, in two bytes."""
    heads = config.num_heads + 3 * config.num_kv_heads
    return rows * time * (2 * config.num_layers * heads * config.head_dim + 2 * config.hidden_size + 8)
