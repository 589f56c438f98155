"""Conformal classification: hand examples, coverage by simulation, set sizes, binary tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.calibration import ConformalState, conformal_classification
from jaxuq.posterior import BernoulliForecast, CategoricalForecast


def _categorical(probabilities):
    probabilities = jnp.asarray(probabilities, jnp.float32)
    zeros = jnp.zeros(probabilities.shape[:-1])
    return CategoricalForecast(jnp.log(probabilities), zeros, zeros)


def _sets(method, thresholds, probabilities, **keywords):
    state = ConformalState(jnp.full((1,), thresholds))
    return method.prediction_set(state, _categorical(probabilities), **keywords)[0].tolist()


def test_lac_by_hand():
    method = conformal_classification("lac")
    forecast = _categorical([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]])
    state = method.fit(forecast, jnp.array([0, 1, 2, 1]), level=0.6)  # scores .3 .6 .6 .2, rank ceil(5 * .6) = 3
    np.testing.assert_allclose(state.thresholds, [0.6], rtol=1e-6)
    sets = method.prediction_set(ConformalState(jnp.array([0.65])), forecast)
    np.testing.assert_array_equal(sets, [[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0]])


def test_aps_and_raps_by_hand():
    probabilities = [[0.15, 0.5, 0.05, 0.3]]  # aps scores: .95 .5 1.0 .8; ranks 3 1 4 2
    aps = conformal_classification("aps")
    assert _sets(aps, 0.81, probabilities) == [False, True, False, True]
    assert _sets(aps, 0.79, probabilities) == [False, True, False, False]
    raps = conformal_classification("raps", penalty=0.1, free_rank=1)  # .95+.2 .5 1.0+.3 .8+.1
    assert _sets(raps, 0.89, probabilities) == [False, True, False, False]
    assert _sets(raps, 1.16, probabilities) == [True, True, False, True]


def test_raps_without_penalty_is_aps(categorical):
    forecast, labels = categorical
    states = [
        conformal_classification(score, penalty=0.0).fit(forecast, labels, level=0.9) for score in ("aps", "raps")
    ]
    np.testing.assert_array_equal(states[0].thresholds, states[1].thresholds)


@pytest.mark.long
@pytest.mark.parametrize(("score", "randomised"), [("lac", False), ("aps", True), ("raps", False)])
def test_marginal_coverage_is_exact_over_many_calibration_sets(score, randomised):
    method, n, repeats, level = conformal_classification(score, randomised=randomised), 20, 600, 0.9

    def draw(rng_key, size):
        key_logits, key_labels = jax.random.split(rng_key)
        logits = 2 * jax.random.normal(key_logits, (size, 5))
        zeros = jnp.zeros(size)  # the model is over-confident: labels come from the logits divided by two
        return CategoricalForecast(logits, zeros, zeros), jax.random.categorical(key_labels, logits / 2)

    def one(rng_key):
        keys = jax.random.split(rng_key, 4)
        random = [{"rng_key": key} if randomised else {} for key in keys[2:]]
        state = method.fit(*draw(keys[0], n), level=level, **random[0])
        forecast, labels = draw(keys[1], 20)
        sets = method.prediction_set(state, forecast, **random[1])
        return jnp.mean(jnp.take_along_axis(sets, labels[:, None], axis=1).astype(jnp.float32))

    coverage = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(11), repeats))
    error = float(coverage.std()) / np.sqrt(repeats)
    assert error < 0.005
    np.testing.assert_allclose(coverage.mean(), 19 / 21, atol=4 * error)


def test_set_sizes_compare_as_the_papers_say(rng_key):
    key_logits, key_labels = jax.random.split(rng_key)
    logits = 2 * jax.random.normal(key_logits, (3000, 20))
    labels = jax.random.categorical(key_labels, logits)
    forecast = CategoricalForecast(logits, jnp.zeros(3000), jnp.zeros(3000))
    sizes = {}
    for score in ("lac", "aps", "raps"):
        method = conformal_classification(score, penalty=0.05)
        sets = method.prediction_set(method.fit(forecast, labels, level=0.9), forecast)
        sizes[score] = float(sets.sum(-1).mean())
        np.testing.assert_allclose(jnp.take_along_axis(sets, labels[:, None], axis=1).mean(), 0.9, atol=0.005)
    assert sizes["lac"] < sizes["raps"] < sizes["aps"]


def test_binary_tasks_have_sets_over_two_classes():
    logits = jnp.array([[2.0, 0.0], [-2.0, 0.1]])
    forecast = BernoulliForecast(logits, jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    method = conformal_classification("lac")
    sets = method.prediction_set(ConformalState(jnp.array([[0.5, 0.6]])), forecast)
    np.testing.assert_array_equal(sets, [[[0, 1], [1, 1]], [[1, 0], [1, 1]]])
    labels = jnp.array([[1, 0], [1, 1]])
    two = CategoricalForecast(jnp.stack([jnp.zeros_like(logits), logits], -1), jnp.zeros((2, 2)), jnp.zeros((2, 2)))
    np.testing.assert_allclose(
        method.fit(forecast, labels, level=0.5).thresholds, method.fit(two, labels, level=0.5).thresholds, rtol=1e-6
    )


def test_too_few_labels_give_the_set_of_all_classes():
    method = conformal_classification("aps")
    forecast = _categorical([[0.7, 0.2, 0.1]] * 4)
    sets = method.prediction_set(method.fit(forecast, jnp.zeros(4, jnp.int32), level=0.9), forecast)
    assert sets.all()


def test_wrong_uses_are_refused():
    with pytest.raises(ValueError, match="'lac', which has no random form"):
        conformal_classification("lac", randomised=True)
    with pytest.raises(ValueError, match="penalty is -1"):
        conformal_classification("raps", penalty=-1.0)
    with pytest.raises(ValueError, match="rng_key is missing with randomised=True"):
        _sets(conformal_classification("aps", randomised=True), 0.5, [[0.5, 0.5]])
    with pytest.raises(ValueError, match="rng_key is given with randomised=False"):
        _sets(conformal_classification("aps"), 0.5, [[0.5, 0.5]], rng_key=jax.random.key(0))
