"""DEUP and SDM: worked numbers, a misspecified model whose excess risk is known, and regions that refuse."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.optimize import minimize

from jaxuq._errors import ArrayError, OptionError
from jaxuq.calibration import (
    cross_fitted_errors,
    predicted_risk,
    rescaled_similarity,
    sdm_distance,
    sdm_logits,
    sdm_region,
    sdm_similarity,
)


@pytest.fixture
def as_users_run_it():
    """Without the run-time checks of types that the tests install."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def _line(rng_key, inputs, labels, where):
    """Least squares on one and x of the rows that count."""
    design = jnp.stack([jnp.ones_like(inputs), inputs], axis=1) * where[:, None].astype(inputs.dtype)
    return jnp.linalg.solve(design.T @ design, design.T @ jnp.where(where, labels, 0))


def _square(line, inputs, labels):
    return jnp.square(labels - line[0] - line[1] * inputs)


def test_errors_are_those_of_models_without_the_example():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=9), rng.normal(size=9)
    found = cross_fitted_errors(
        jax.random.key(0), _line, _square, jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32), folds=9
    )
    for i in range(9):
        slope, level = np.polyfit(np.delete(x, i), np.delete(y, i), 1)
        np.testing.assert_allclose(found[i], (y[i] - level - slope * x[i]) ** 2, rtol=2e-3)


def test_the_worked_risks():
    np.testing.assert_allclose(0.2 + (1.5 - 1) ** 2, 0.45)
    q, f = np.array([0.7, 0.2, 0.1]), np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose([-q @ np.log(f), -q @ np.log(q)], [0.886941, 0.801819], atol=1e-6)


def test_predicted_risk_is_the_optimum_and_its_mean_that_of_the_errors():
    rng = np.random.default_rng(0)
    features, errors = rng.normal(size=(80, 2)), rng.gamma(1.0, np.exp(0.5 * rng.normal(size=80)))
    method = predicted_risk(ridge=0.1)
    state = method.fit(jnp.asarray(features, jnp.float32), jnp.asarray(errors, jnp.float32))
    standard = (features - features.mean(0)) / features.std(0)
    # The library divides errors by their mean, which leaves the objective but for the weight of the ridge
    scaled = errors / errors.mean()

    def loss(numbers):
        logs = standard @ numbers[:2] + numbers[2]
        return np.mean(np.exp(logs) - scaled * logs) + 0.05 * np.sum(numbers[:2] ** 2)

    best = minimize(loss, np.zeros(3), tol=1e-10).x
    np.testing.assert_allclose(state.slopes, best[:2], atol=1e-4)
    predicted = method.score(state, jnp.asarray(features, jnp.float32))
    np.testing.assert_allclose(predicted, errors.mean() * np.exp(standard @ best[:2] + best[2]), rtol=1e-3)
    np.testing.assert_allclose(predicted.mean(), errors.mean(), rtol=1e-5)


def test_excess_risk_of_a_misspecified_model_is_found_where_members_agree():
    """A line through a parabola: every member is wrong in the same way, which their variance does not see."""
    rng = np.random.default_rng(0)
    noise = 0.3
    draw = lambda n: (x := rng.uniform(-2, 2, n), x**2 + noise * rng.normal(size=n))  # noqa: E731
    x, y = (jnp.asarray(a, jnp.float32) for a in draw(600))
    errors = cross_fitted_errors(jax.random.key(0), _line, _square, x, y, folds=5)
    features = jnp.stack([jnp.abs(x), x**2], axis=1)
    method = predicted_risk(ridge=0.0)
    state = method.fit(features, errors)
    new_x, new_y = (jnp.asarray(a, jnp.float32) for a in draw(4000))
    line = _line(None, x, y, jnp.ones(600, bool))
    excess = np.asarray(_square(line, new_x, new_y)) - noise**2
    found = np.asarray(method.score(state, jnp.stack([jnp.abs(new_x), new_x**2], axis=1))) - noise**2
    error = excess.std() * np.sqrt(1 / 600 + 1 / 4000)
    assert abs(found.mean() - excess.mean()) < 3 * error
    halves = [jnp.asarray(rng.random(600) < 0.5) for _ in range(20)]
    members = jnp.stack([_line(None, x, y, half) for half in halves])
    variance = np.var(np.asarray(members[:, :1] + members[:, 1:] * new_x[None]), axis=0)
    assert variance.mean() < 0.2 * excess.mean()


def test_what_cannot_be_is_said():
    with pytest.raises(ArrayError, match="errors are missing"):
        predicted_risk().fit(jnp.zeros((3, 1)))
    with pytest.raises(ArrayError, match="2 rows for 5 folds"):
        cross_fitted_errors(jax.random.key(0), _line, _square, jnp.zeros(2), jnp.zeros(2))
    assert np.isnan(predicted_risk().fit(jnp.zeros((2, 1)), jnp.array([-1.0, 1.0])).intercept)
    with pytest.raises(OptionError, match="level"):
        sdm_region(jnp.ones(1), jnp.ones((1, 1)), jnp.zeros(1, int), level=1.0)


def test_the_worked_activation():
    logits, q, d = jnp.array([2.0, 1.0]), jnp.array(3.0), jnp.array(0.8)
    p = jax.nn.softmax(sdm_logits(logits, q, d))
    np.testing.assert_allclose(p, [0.783732, 0.216268], atol=1e-6)
    np.testing.assert_allclose(-np.log(p[0]) / np.log(5), 0.151412, atol=1e-6)
    np.testing.assert_allclose(rescaled_similarity(q, p[0]), 3)


def test_it_is_a_softmax_at_e_less_two_and_uniform_far_away():
    logits = jnp.asarray(np.random.default_rng(0).normal(0, 5, (50, 4)), jnp.float32)
    one, nothing = jnp.ones(50), jnp.zeros(50)
    np.testing.assert_allclose(sdm_logits(logits, one * (np.e - 2), one), logits, rtol=1e-6)
    np.testing.assert_allclose(jax.nn.softmax(sdm_logits(logits, one * 7, nothing)), 0.25, rtol=1e-6)


def test_similarity_counts_the_first_matches_by_brute_force():
    rng = np.random.default_rng(0)
    references, queries = rng.normal(size=(40, 3)), rng.normal(size=(15, 3))
    predicted, labels, asked = rng.integers(0, 2, 40), rng.integers(0, 2, 40), rng.integers(0, 2, 15)
    arrays = [jnp.asarray(a) for a in (asked, references.astype(np.float32), predicted, labels)]
    q, nearest = sdm_similarity(jnp.asarray(queries, jnp.float32), *arrays)
    for i, query in enumerate(queries):
        distances = np.linalg.norm(references - query, axis=1)
        count = 0
        for j in np.argsort(distances):
            if predicted[j] != labels[j] or predicted[j] != asked[i]:
                break
            count += 1
        assert q[i] == count
        np.testing.assert_allclose(nearest[i], distances.min(), rtol=1e-5)
    own, apart = sdm_similarity(arrays[1], arrays[2], *arrays[1:], leave_own_out=True)
    among, _ = sdm_similarity(arrays[1], arrays[2], *arrays[1:])
    right = predicted == labels
    np.testing.assert_array_equal(among[right], own[right] + 1)
    assert np.all(apart > 0)


def test_distance_quantiles_take_the_least_class_and_leave_empty_ones_out():
    known, labels = jnp.array([0.2, 0.4, 0.5, 0.9, 0.1, 0.3]), jnp.array([0, 0, 0, 0, 1, 1])
    new = jnp.array([0.45, 0.0, 0.2, 2.0])
    np.testing.assert_allclose(sdm_distance(new, known, labels, 3), [0, 1, 0.5, 0])
    np.testing.assert_allclose(sdm_distance(new, known, labels, 3, where=labels == 0), [0.5, 1, 1, 0])
    np.testing.assert_allclose(sdm_distance(new, known, labels, 3, where=labels > 1), 0)


def test_the_band_of_fifty_examples():
    region = sdm_region(jnp.ones(120), jnp.full((120, 2), 0.99), jnp.arange(120) % 12 // 5 % 2)
    assert region.sizes.tolist() == [70, 50]
    np.testing.assert_allclose(region.band(0.95), 0.192065, atol=1e-6)


def test_a_region_is_the_first_at_which_every_class_is_sure_and_may_not_be_there():
    rng = np.random.default_rng(0)
    labels, q = rng.integers(0, 2, 200), np.round(rng.uniform(0, 9, 200), 1)
    sure = np.where(rng.random(200) < q / 6, 0.97, 0.6)
    p = np.stack([np.where(labels == 0, sure, 1 - sure), np.where(labels == 1, sure, 1 - sure)], axis=1)
    region = sdm_region(*(jnp.asarray(a) for a in (q.astype(np.float32), p.astype(np.float32), labels)), level=0.9)
    for least in np.unique(q[q > 0]):
        inside = q >= least
        lowest = [np.quantile(sure[inside & (labels == c)], 0.1, method="inverted_cdf") for c in (0, 1)]
        if min(lowest) >= 0.9:
            np.testing.assert_allclose(region.similarity, least, rtol=1e-6)
            np.testing.assert_allclose(region.thresholds, lowest, rtol=1e-6)
            break
    none = sdm_region(jnp.asarray(q, jnp.float32), jnp.full((200, 2), 0.5), jnp.asarray(labels))
    assert np.isposinf(none.similarity) and np.all(np.isposinf(none.thresholds)) and not none.sizes.any()
    np.testing.assert_allclose(none.band(), 1)


@pytest.mark.parametrize("size", [1e-25, 1e-3, 1e25])
def test_units_of_features_and_errors_do_not_matter(size):
    features, errors = jnp.array([[0.0, 0.1], [0.0, 0.1], [1.0, 0.1], [1.0, 0.1]]), jnp.array([0.5, 1.5, 3.0, 5.0])
    method = predicted_risk()
    expected = method.score(method.fit(features, errors), features)
    np.testing.assert_allclose(method.score(method.fit(size * features, errors), size * features), expected, rtol=1e-4)
    np.testing.assert_allclose(method.score(method.fit(features, size * errors), features), size * expected, rtol=1e-4)
    assert method.fit(size * features, errors).slopes[1] == 0  # a constant tells nothing, whatever its rounding


def test_endless_and_missing_numbers_leave_nothing_defined(as_users_run_it):
    features, errors = jnp.array([[0.0], [1.0], [2.0]]), jnp.array([0.5, 1.5, 3.0])
    for state in (
        predicted_risk().fit(features.at[0].set(-jnp.inf), errors),
        predicted_risk().fit(features, errors.at[1].set(jnp.inf)),
    ):
        assert np.isnan(state.intercept)
    kept = predicted_risk().fit(features.at[0].set(-jnp.inf), errors, where=jnp.array([False, True, True]))
    assert np.isfinite(kept.intercept)
    with pytest.raises(ArrayError, match="errors is a list that makes no array"):
        predicted_risk().fit(features, ["high", "low", "low"])


@pytest.mark.parametrize(
    ("inputs", "labels", "error", "message"),
    [
        ({}, jnp.zeros(6), _square, "inputs hold no array"),
        (jnp.zeros(6), None, _square, "labels hold no array"),
        ([0.0, 1.0], jnp.zeros(6), _square, "inputs have the leaf 0.0"),
        (jnp.zeros(6), jnp.zeros(()), _square, r"labels have a leaf of shape \(\)"),
        (jnp.zeros(6), jnp.zeros(5), _square, "inputs have 6 rows where labels have 5"),
        (jnp.zeros(6), jnp.zeros(6), lambda *_: jnp.zeros((6, 1)), r"error gives an array of shape \(6, 1\)"),
    ],
)
def test_rows_of_cross_fitted_errors_are_compared(as_users_run_it, inputs, labels, error, message):
    with pytest.raises(ArrayError, match=message):
        cross_fitted_errors(jax.random.key(0), _line, error, inputs, labels)
    with pytest.raises(OptionError, match="fit is 3; expected a function"):
        cross_fitted_errors(jax.random.key(0), 3, error, inputs, labels)


def test_what_is_missing_in_sdm_is_missing_in_what_follows():
    nan, references, right = jnp.nan, jnp.array([[0.1], [0.2]]), jnp.ones(2, int)
    q, distance = sdm_similarity(jnp.array([[nan], [0.0]]), right, references, right, right)
    np.testing.assert_allclose(np.stack([q, distance]), [[np.nan, 2], [np.nan, 0.1]], rtol=1e-6)
    q, distance = sdm_similarity(references, right, references.at[0].set(nan), right, right)
    assert np.isnan(np.stack([q, distance])).all()
    assert np.isnan(sdm_distance(jnp.array([nan, 0.3]), jnp.array([0.2, 0.4]), jnp.zeros(2, int), 1)).tolist() == [1, 0]
    assert np.isnan(sdm_distance(jnp.array([0.3]), jnp.array([0.2, nan]), jnp.zeros(2, int), 1))
    region = sdm_region(jnp.array([1.0, nan]), jnp.eye(2), jnp.array([0, 1]))
    assert np.isnan(region.similarity)
    far = sdm_logits(jnp.array([2.0, -jnp.inf]), jnp.array(3.0), jnp.array(0.0))
    assert far.tolist() == [0, 0]  # far from everything an impossible class is as likely as another


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_similarity_does_not_depend_on_units(size):
    rng = np.random.default_rng(0)
    references, queries = (jnp.asarray(rng.normal(size=(n, 3)), jnp.float32) for n in (20, 5))
    labels, predicted = jnp.asarray(rng.integers(0, 2, 20)), jnp.asarray(rng.integers(0, 2, 20))
    expected = sdm_similarity(queries, predicted[:5], references, predicted, labels)
    q, distance = sdm_similarity(size * queries, predicted[:5], size * references, predicted, labels)
    np.testing.assert_array_equal(q, expected[0])
    np.testing.assert_allclose(distance, size * expected[1], rtol=1e-5)
