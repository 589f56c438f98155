"""The engine against enumeration of all label paths, and its promises about padding, length and memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.tagging import (
    expected_counts,
    filtered_marginals,
    log_likelihood,
    pairwise_marginals,
    smoothed_marginals,
)
from tests.tagging.chains import RandomChain, brute_force, random_chain


def _everything(initial, transition, evidence, lengths):
    def total(evidence, transition, **options):
        return jnp.sum(log_likelihood(initial, transition, evidence, lengths, **options))

    chain = (initial, transition, evidence, lengths)
    gradient, counts = jax.grad(total, argnums=(0, 1))(evidence, transition)
    return {
        "log_likelihood": log_likelihood(*chain),
        "filtered": filtered_marginals(*chain),
        "smoothed": smoothed_marginals(*chain),
        "pairwise": pairwise_marginals(*chain),
        "counts": expected_counts(*chain),
        "gradient": gradient,
        "transition gradient": counts,
        "checkpointed gradient": jax.grad(total)(evidence, transition, checkpoint=True),
    }


def _associative(initial, transition, evidence, lengths):
    chain = (initial, transition, evidence, lengths)

    def total(evidence):
        return jnp.sum(log_likelihood(initial, transition, evidence, lengths, associative=True))

    return {
        "log_likelihood": log_likelihood(*chain, associative=True),
        "filtered": filtered_marginals(*chain, associative=True),
        "smoothed": smoothed_marginals(*chain, associative=True),
        "gradient": jax.grad(total)(evidence),
    }


_EVERYTHING, _ASSOCIATIVE = jax.jit(_everything), jax.jit(_associative)


def _cast(chain: RandomChain, dtype):
    return [jnp.asarray(array.astype(dtype)) for array in chain[:3]] + [jnp.asarray(chain.lengths)]


def _compare(actual, truth, tolerance):
    expected = {
        "log_likelihood": truth.log_likelihood,
        "filtered": truth.filtered,
        "smoothed": truth.smoothed,
        "pairwise": truth.pairwise,
        "gradient": truth.smoothed,
        "checkpointed gradient": truth.smoothed,
    }
    for name, value in expected.items():
        if name in actual:
            np.testing.assert_allclose(actual[name], value, rtol=tolerance, atol=tolerance, err_msg=name)
    if "counts" in actual:
        counts, states = actual["counts"], truth.smoothed.shape[-1]
        transitions = truth.pairwise.sum((0, 1))
        np.testing.assert_allclose(counts.log_likelihood, truth.log_likelihood, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(counts.marginals, truth.smoothed, rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(counts.initial, truth.smoothed[:, 0].sum(0), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(counts.transitions, transitions, rtol=tolerance, atol=tolerance)
        summed = actual["transition gradient"].reshape(-1, states, states).sum(0)
        np.testing.assert_allclose(summed, transitions, rtol=tolerance, atol=tolerance)


# At scale 60 whole paths lie hundreds of nats apart, so that with hard zeros the underflow of scaled passes must be seen.
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_sums_over_all_paths(per_token, dtype, tolerance):
    with jax.enable_x64(dtype == np.float64):
        for seed, (hard, scale) in enumerate([(False, 1.0), (True, 1.0), (True, 60.0), (False, 300.0)]):
            chain = random_chain(seed, 4, 5, 3, per_token=per_token, hard=hard, scale=scale)
            chain = chain._replace(**{f: getattr(chain, f).astype(np.float32) for f in chain._fields[:3]})
            truth = brute_force(RandomChain(*(a.astype(np.float64) for a in chain[:3]), chain.lengths), 1)
            _compare(_EVERYTHING(*_cast(chain, dtype)), truth, tolerance)


def test_the_parallel_scan_gives_the_same():
    with jax.enable_x64(True):
        for seed, per_token, hard in ((0, False, True), (1, True, False)):
            chain = random_chain(seed, 4, 5, 3, per_token=per_token, hard=hard)
            _compare(_ASSOCIATIVE(*_cast(chain, np.float64)), brute_force(chain, 1), 1e-10)
