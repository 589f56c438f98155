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


_EVERYTHING = jax.jit(_everything)
_SOME = jax.jit(lambda *chain: (log_likelihood(*chain), smoothed_marginals(*chain)))


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


# At scale 60 whole paths lie hundreds of nats apart, so that with hard zeros the underflow of scaled passes must be
# seen.
@pytest.mark.parametrize("per_token", [False, True])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-10), pytest.param(np.float32, 1e-4, marks=pytest.mark.long)]
)
def test_sums_over_all_paths(per_token, dtype, tolerance):
    with jax.enable_x64(dtype == np.float64):
        for seed, (hard, scale) in enumerate([(False, 1.0), (True, 1.0), (True, 60.0), (False, 300.0)]):
            chain = random_chain(seed, 4, 5, 3, per_token=per_token, hard=hard, scale=scale)
            chain = chain._replace(**{f: getattr(chain, f).astype(np.float32) for f in chain._fields[:3]})
            truth = brute_force(RandomChain(*(a.astype(np.float64) for a in chain[:3]), chain.lengths), 1)
            _compare(_EVERYTHING(*_cast(chain, dtype)), truth, tolerance)


def test_padding_may_hold_anything():
    chain = random_chain(5, 4, 6, 3, per_token=True, hard=True, dtype=np.float32)
    padding = np.arange(6)[None] >= chain.lengths[:, None]
    evidence, transition = chain.evidence.copy(), chain.transition.copy()
    evidence[padding], transition[padding], transition[:, 0] = np.nan, np.nan, np.nan
    spoiled = _EVERYTHING(*_cast(chain._replace(evidence=evidence, transition=transition), np.float32))
    jax.tree.map(np.testing.assert_array_equal, spoiled, _EVERYTHING(*_cast(chain, np.float32)))


def test_a_padded_batch_equals_its_sequences_one_by_one():
    chain = random_chain(6, 3, 6, 3, dtype=np.float32)
    together = _SOME(*_cast(chain, np.float32))
    for b, length in enumerate(chain.lengths):
        one = slice(b, b + 1)
        alone = (chain.initial[one], chain.transition, chain.evidence[one, :length], chain.lengths[one])
        likelihood, marginals = _SOME(*_cast(RandomChain(*alone), np.float32))
        np.testing.assert_allclose(likelihood, together[0][one], rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(marginals, together[1][one, :length], rtol=1e-6, atol=1e-6)


def test_ten_thousand_steps_in_float32():
    time, states = 10_000, 4
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.ones(states), states)
    transition[0, 1] = 0.0
    transition /= transition.sum(1, keepdims=True)
    evidence = rng.normal(size=(1, time, states)).astype(np.float32) * 5
    with np.errstate(divide="ignore"):
        log_transition = np.log(transition).astype(np.float32)
    arrays = (np.zeros(states, np.float32), log_transition, evidence)

    @jax.jit
    def run(*chain):
        gradient = jax.grad(lambda e: jnp.sum(log_likelihood(chain[0], chain[1], e, checkpoint=True)))(chain[2])
        return log_likelihood(*chain), smoothed_marginals(*chain), gradient, expected_counts(*chain).transitions

    single = run(*map(jnp.asarray, arrays))
    with jax.enable_x64(True):
        double = run(*(jnp.asarray(a.astype(np.float64)) for a in arrays))
    assert float(double[0][0]) > 20_000  # the likelihood itself has a resolution of only 0.002 here
    np.testing.assert_allclose(single[0], double[0], rtol=1e-6)
    for actual, expected in zip(single[1:3], double[1:3]):
        np.testing.assert_allclose(actual, expected, atol=1e-4)
    np.testing.assert_allclose(single[3], double[3], rtol=1e-4)


def test_checkpointing_keeps_the_gradient_in_the_root_of_the_length():
    def temporary(time, checkpoint):
        def total(log_transition, evidence):
            return jnp.sum(log_likelihood(jnp.zeros(8), log_transition, evidence, checkpoint=checkpoint))

        arrays = (jax.ShapeDtypeStruct((8, 8), jnp.float32), jax.ShapeDtypeStruct((16, time, 8), jnp.float32))
        return jax.jit(jax.grad(total)).lower(*arrays).compile().memory_analysis().temp_size_in_bytes

    input_size = 16 * 4096 * 8 * 4  # a copy of the evidence, time first, is made in any case
    kept, recomputed = temporary(4096, False), temporary(4096, True)
    assert recomputed < kept / 2
    assert recomputed < 1.2 * input_size + 24 * 64 * 16 * 8 * 4
