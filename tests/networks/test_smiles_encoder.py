"""Encoders of SMILES: the published size, and outputs that do not depend on how a batch is padded or divided."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.networks import EncoderConfig, SmilesEncoder, TokenRows, apply_function

_CHEMBERTA = EncoderConfig(600, 384, 464, 3, 12, max_positions=515, type_vocab_size=1, dropout=0.144)


def test_chemberta_with_a_pooler_has_the_published_number_of_parameters():
    rows = TokenRows(jnp.zeros((1, 4), jnp.int32), jnp.array([4]))
    shapes = jax.eval_shape(SmilesEncoder(1, _CHEMBERTA).init, jax.random.key(0), rows)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 3_427_825


def test_groups_by_length_and_more_padding_change_nothing(rng):
    module = SmilesEncoder(2, EncoderConfig(20, 8, 12, 1, 2, max_positions=40))
    lengths = np.sort(rng.integers(2, 12, 24))[rng.permutation(24)]
    lengths[5] = 30
    tokens = jnp.asarray(rng.integers(0, 20, (24, 32)))
    rows = TokenRows(tokens, jnp.asarray(lengths))
    params = jax.jit(module.init)(jax.random.key(0), rows)["params"]
    apply_fn = jax.jit(apply_function(module))
    whole = apply_fn(params, rows)
    usual = tuple(int(np.ceil(length)) for length in np.percentile(lengths, np.arange(101)))
    for percentiles in (usual, (2,) * 101):  # the second has no room for these lengths, and falls back
        np.testing.assert_allclose(apply_fn(params, rows.replace(percentiles=percentiles)), whole, rtol=1e-4, atol=1e-5)
    one = apply_fn(params, TokenRows(tokens[:1, : lengths[0]], jnp.asarray(lengths[:1])))
    np.testing.assert_allclose(one, whole[:1], rtol=1e-4, atol=1e-5)
