"""Beta calibration, isotonic maps of classes, calibration by group, and ensembles' temperatures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from jaxuq.calibration import (
    beta_calibration,
    calibration_by_group,
    classwise_isotonic,
    ensemble_temperature,
    isotonic_calibration,
    temperature_scaling,
)
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, predict, summarise


def _scores(a, b, c, n=400, seed=0):
    """Logits and labels of which a beta map with these numbers is true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, n)
    log_p, log_q = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    return logits, (rng.random(n) < 1 / (1 + np.exp(-(a * log_p - b * log_q + c)))).astype(int)


def _forecast(logits):
    return BernoulliForecast(jnp.asarray(logits, jnp.float32)[:, None])


@pytest.mark.parametrize(
    "true", [(0.3, 1.5, 0.4), (1.2, 0.2, -0.5), (-0.8, 1.0, 0.0), (1.0, -1.5, 0.3), (-1.0, -1.0, 0.5)]
)
def test_beta_calibration_is_the_constrained_optimum(true):
    """Against SciPy's bounded minimiser, also where a slope ends at its bound; weights count as repetitions."""
    logits, labels = _scores(*true)
    weights = np.random.default_rng(1).integers(0, 3, 400)
    state = beta_calibration().fit(
        _forecast(logits), jnp.asarray(labels)[:, None], weights=jnp.asarray(weights)[:, None]
    )
    log_p, log_q = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)

    def loss(numbers):
        scores = numbers[0] * log_p - numbers[1] * log_q + numbers[2]
        return np.sum(weights * (np.logaddexp(0, scores) - labels * scores)) / weights.sum()

    best = minimize(loss, [1, 1, 0], bounds=[(0, None), (0, None), (None, None)], tol=1e-12).x
    np.testing.assert_allclose(state.numbers[0], best, atol=5e-3)
    assert loss(np.asarray(state.numbers[0], float)) <= loss(best) + 1e-6


def test_equal_slopes_are_platts_line_and_the_identity_is_in_the_family():
    calibrator = beta_calibration()
    logits = jnp.array([[-3.0], [0.5], [40.0], [jnp.inf]])
    for a, b, expected in ((1.0, 1.0, logits), (0.5, 0.5, logits / 2)):
        state = calibrator.fit(_forecast(np.array([0.0, 0])), jnp.array([[0], [1]]))._replace(
            numbers=jnp.array([[a, b, 0.0]])
        )
        np.testing.assert_allclose(calibrator.apply(state, BernoulliForecast(logits)).logits, expected, rtol=1e-5)


P = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4], [0.5, 0.2, 0.3], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6]])
LABELS = np.array([0, 1, 2, 1, 1, 2])


def test_the_worked_rows_of_classes_and_their_floor():
    """Row 4 has maps (0, 1/4, 0): certainty from nothing, but for the floor of 1/8."""
    calibrator, forecast = classwise_isotonic(), CategoricalForecast(jnp.log(jnp.asarray(P, jnp.float32)))
    state = calibrator.fit(forecast, jnp.asarray(LABELS))
    maps = [IsotonicRegression().fit_transform(P[:, k], k == LABELS) for k in range(3)]
    np.testing.assert_allclose([m[3] for m in maps], [0, 0.25, 0])
    raised = np.maximum(np.stack(maps, axis=1), 1 / 8)
    found = calibrator.apply(state, forecast).probabilities
    np.testing.assert_allclose(found, raised / raised.sum(axis=1, keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(found[3], [0.25, 0.5, 0.25], rtol=1e-5)


def test_isotonic_maps_of_two_classes_are_the_binary_one():
    logits, labels = _scores(0.4, 1.5, 0.2)
    two = CategoricalForecast(jnp.stack([jnp.zeros(400), jnp.asarray(logits, jnp.float32)], axis=-1))
    binary = isotonic_calibration(min_probability=1 / 402)
    expected = binary.apply(binary.fit(_forecast(logits), jnp.asarray(labels)[:, None]), _forecast(logits))
    found = classwise_isotonic().apply(classwise_isotonic().fit(two, jnp.asarray(labels)), two)
    floored = np.clip(expected.probabilities[:, 0], 1 / 402, 1 - 1 / 402)
    np.testing.assert_allclose(found.probabilities[:, 1], floored, atol=4e-3)


def test_each_group_has_the_state_of_its_own_labels_and_small_ones_that_of_all():
    calibrator = temperature_scaling()
    first, second = _scores(0.5, 0.5, 0.0, 300), _scores(2.0, 2.0, 0.0, 300, seed=1)
    logits, labels = (np.concatenate(both) for both in zip(first, second, _scores(1, 1, 0, 20, seed=2)))
    groups = jnp.asarray([0] * 300 + [1] * 300 + [2] * 20)
    labels = jnp.asarray(labels)[:, None]
    method = calibration_by_group(calibrator, 3, fewest=50)
    state = method.fit(_forecast(logits), labels, groups)
    found = method.apply(state, _forecast(logits), groups)
    for rows, fitted in (
        (slice(0, 300), slice(0, 300)),
        (slice(300, 600), slice(300, 600)),
        (slice(600, 620), slice(0, 620)),
    ):
        alone = calibrator.fit(_forecast(logits[fitted]), labels[fitted])
        expected = calibrator.apply(alone, _forecast(logits[rows]))
        jax.tree.map(
            lambda a, b, rows=rows: np.testing.assert_allclose(a[rows], b, rtol=1e-4, atol=1e-6), found, expected
        )
    unseen = method.apply(state, _forecast(logits), jnp.full(620, 7))
    of_all = calibrator.apply(calibrator.fit(_forecast(logits), labels), _forecast(logits))
    np.testing.assert_allclose(unseen.logits, of_all.logits, rtol=1e-5)


def test_groups_of_what_is_fitted_on_the_host():
    logits, labels = _scores(0.5, 0.5, 0.0, 100)
    method = calibration_by_group(isotonic_calibration(), 2, fewest=10)
    groups, labels = jnp.arange(100) % 2, jnp.asarray(labels)[:, None]
    found = method.apply(method.fit(_forecast(logits), labels, groups), _forecast(logits), groups)
    odd = _forecast(logits[1::2])
    expected = isotonic_calibration().apply(isotonic_calibration().fit(odd, labels[1::2]), odd)
    np.testing.assert_allclose(found.logits[1::2], expected.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical"])
def test_one_member_has_no_order(likelihood):
    rng = np.random.default_rng(0)
    outputs = jnp.asarray(rng.normal(0, 3, (1, 200) if likelihood == "bernoulli" else (1, 200, 3)), jnp.float32)
    labels = jnp.asarray(rng.integers(0, 2 if likelihood == "bernoulli" else 3, 200))
    both = [ensemble_temperature(likelihood, order) for order in ("after", "before")]
    after, before = (method.apply(method.fit(outputs, labels), outputs) for method in both)
    np.testing.assert_allclose(after.logits, before.logits, rtol=1e-3, atol=1e-4)


def test_members_scaled_before_are_each_calibrated_alone():
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, 500)
    labels = jnp.asarray((rng.random(500) < 1 / (1 + np.exp(-truth))).astype(int))
    outputs = jnp.asarray(3 * (truth + rng.normal(0, 1.5, (4, 500))), jnp.float32)
    method = ensemble_temperature("bernoulli", "before")
    state = method.fit(outputs, labels)
    single = temperature_scaling()
    alone = [single.fit(BernoulliForecast(one), labels) for one in outputs]
    np.testing.assert_allclose(state.temperature, [one.temperature for one in alone], rtol=1e-5)
    scaled = outputs / state.temperature[:, None]
    expected = summarise(predict(lambda shift, x: x, jnp.zeros(1), scaled[0]), "bernoulli")
    assert expected.logits.shape == (500,)
    pooled = jax.nn.sigmoid(scaled).mean(axis=0)
    np.testing.assert_allclose(method.apply(state, outputs).probabilities, pooled, rtol=1e-4)


def test_labels_that_weigh_nothing_do_not_count_in_a_group():
    method = calibration_by_group(temperature_scaling(), num_groups=2, fewest=5)
    logits, labels = jnp.linspace(-2, 2, 12), jnp.arange(12) % 2
    forecast, groups = BernoulliForecast(logits, jnp.zeros(12), jnp.zeros(12)), jnp.arange(12) // 6
    kept = jnp.arange(12) % 6 < 3
    weighed = method.fit(forecast, labels, groups, weights=kept.astype(jnp.float32))
    left_out = method.fit(forecast, labels, groups, where=kept)
    assert weighed.enough.tolist() == left_out.enough.tolist() == [False, False]
    assert method.fit(forecast, labels, groups).enough.tolist() == [True, True]
