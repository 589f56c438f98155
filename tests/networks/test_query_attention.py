"""Attention of one query, plain and in its kernel, against loops over keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.networks import query_attention


def _arrays(keys, dtype=np.float32):
    rng = np.random.default_rng(0)
    query, key, value = (
        rng.normal(size=shape).astype(dtype) for shape in ((2, 4, 8), (2, 2, keys, 8), (2, 2, keys, 8))
    )
    where = rng.random((2, keys)) < 0.7
    where[1] = keys > 3  # sees all, or nothing
    return tuple(map(jnp.asarray, (query, 3 * key, value, where)))


@pytest.mark.parametrize("kernel", [False, True])
@pytest.mark.parametrize(("keys", "softcap"), [(300, None), pytest.param(300, 5.0, marks=pytest.mark.long), (3, None)])
def test_the_mixture_and_the_log_of_the_sum_are_those_of_loops(kernel, keys, softcap):
    query, key, value, where = _arrays(keys)
    mixed, total = jax.jit(lambda *arrays: query_attention(*arrays, scale=0.4, softcap=softcap, kernel=kernel))(
        query, key, value, where
    )
    for row in range(2):
        for head in range(4):
            scores = key[row, head // 2].astype(np.float64) @ query[row, head] * 0.4
            scores = scores if softcap is None else softcap * np.tanh(scores / softcap)
            scores = np.exp(scores[where[row]])
            if not scores.size:
                assert total[row, head] == -np.inf and not mixed[row, head].any()
                continue
            np.testing.assert_allclose(total[row, head], np.log(scores.sum()), rtol=1e-5)
            expected = scores @ value[row, head // 2][where[row]] / scores.sum()
            np.testing.assert_allclose(mixed[row, head], expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [False, True])
def test_parts_of_a_cache_are_put_together_by_their_logs(kernel):
    query, key, value, where = _arrays(20)
    parts = [
        query_attention(query, key[:, :, own], value[:, :, own], where[:, own], scale=0.4, kernel=kernel)
        for own in (slice(0, 5), slice(5, 20))
    ]
    mixed, total = query_attention(query, key, value, where, scale=0.4)
    np.testing.assert_allclose(jnp.logaddexp(parts[0][1], parts[1][1]), total, rtol=1e-5)
    together = sum(np.exp(part[1] - total)[..., None] * part[0] for part in parts)
    np.testing.assert_allclose(together, mixed, atol=1e-5)


def test_half_precision_is_summed_in_single():
    arrays = _arrays(300)
    half = query_attention(*(jnp.asarray(one, jnp.bfloat16) for one in arrays[:3]), arrays[3], scale=0.4, kernel=True)
    plain = query_attention(*(jnp.asarray(one, jnp.bfloat16) for one in arrays[:3]), arrays[3], scale=0.4)
    assert half[0].dtype == jnp.bfloat16 and half[1].dtype == jnp.float32
    np.testing.assert_allclose(half[1], plain[1], rtol=1e-4)
