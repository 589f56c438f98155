"""Calibration of scores, guarantees, cascades and evaluation: worked numbers, scikit-learn, and simulations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import confidence as c
from jaxuq import metrics
from tests.confidence.calling import call
from tests.confidence.fixtures import CONFIDENCE, LOGS, RIGHT, UNCERTAINTY


def close(actual, expected, atol=3e-6):
    np.testing.assert_allclose(np.asarray(actual), expected, atol=atol)


def fitted(method, scores, correct, new, **options):
    calibrator = c.calibrate_scores(method, **options)
    scores, correct, new = (jnp.asarray(x, jnp.float32) for x in (scores, correct, new))

    def fit_and_apply(scores, correct, new):
        return calibrator.apply(calibrator.fit(scores, correct), new)

    return (fit_and_apply if method == "isotonic" else jax.jit(fit_and_apply))(scores, correct, new)


def test_calibrated_scores():
    scores = -np.array([0.2, 0.9, 0.5, 0.7])
    close(fitted("minimum_maximum", scores, np.zeros(4), scores), [1, 0, 0.571429, 0.285714])
    close(fitted("quantile", scores, np.zeros(4), scores), [1, 0.25, 0.75, 0.5])
    isotonic = fitted("isotonic", CONFIDENCE, RIGHT, CONFIDENCE[::-1])
    close(isotonic, [0, 0.5, 0.5, 2 / 3, 2 / 3, 2 / 3, 1, 1], atol=1e-5)
    close(fitted("histogram", -UNCERTAINTY, RIGHT, -UNCERTAINTY, bins=2), np.repeat([0.75, 0.5], 4))
    # Platt's targets: a = 2.384779, b = -0.915908
    close(fitted("platt", CONFIDENCE, RIGHT, np.array([0.8])), [0.729466], atol=2e-4)
    huge = fitted("isotonic", 1e6 * CONFIDENCE - 3e5, RIGHT, 1e6 * CONFIDENCE[::-1] - 3e5)
    close(huge, isotonic, atol=1e-4)  # the unit of a score does not matter


@pytest.mark.parametrize("method", ["platt", "isotonic", "histogram"])
def test_calibrated_unbounded_scores_are_probabilities(method):
    """Half of the questions calibrate, the other half have a small calibration error."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=4000) * 30 - 200
    correct = rng.random(4000) < 1 / (1 + np.exp(-(scores + 195) / 20))
    probabilities = fitted(method, scores[:2000], correct[:2000], scores[2000:])
    assert call(metrics.expected_calibration_error, np.asarray(probabilities), correct[2000:]) < 0.05


def test_logistic_regression_equals_scikit_learn(rng):
    from sklearn.linear_model import LogisticRegression

    features = rng.normal(size=(60, 3)) * [1, 10, 0.1] + [0, 5, 0]
    correct = rng.random(60) < 1 / (1 + np.exp(-features[:, 0]))
    scaled = (features - features.mean(0)) / features.std(0)
    theirs = LogisticRegression(C=0.5, tol=1e-8).fit(scaled, correct).predict_proba(scaled)[:, 1]
    padded, where = np.vstack([features, np.full((2, 3), np.nan)]), np.arange(62) < 60

    def ours(features, correct, new, *, where):
        return c.logistic_confidence(c.fit_logistic(features, correct, ridge=2.0, where=where), new)

    close(call(ours, padded, np.r_[correct, [0, 1]], features, where=where), theirs, atol=1e-4)
    state = c.LogisticState(jnp.array([0.5, -1.0]), jnp.array(0.2))
    close(c.logistic_confidence(state, jnp.array([[2.0, 0.4]])), [0.689974])


def test_evaluation_of_the_worked_example():
    uncertainty, confidence, right = UNCERTAINTY, CONFIDENCE, RIGHT
    close(call(metrics.area_under_roc, -uncertainty, right), 0.733333)
    close(call(metrics.average_precision, -uncertainty, right), 0.852857)
    close(call(metrics.average_precision, uncertainty, 1 - right), 0.722222)
    close(call(metrics.prediction_rejection_ratio, uncertainty, 1 - right, convention="lm_polygraph"), 0.562740)
    close(call(metrics.area_under_risk_coverage, uncertainty, 1 - right), 0.222173)
    close(call(metrics.area_under_generalised_risk_coverage, uncertainty, 1 - right), 0.132812)
    close(call(metrics.expected_calibration_error, confidence, right, bins=5), 0.175)
    close(call(metrics.maximum_calibration_error, confidence, right, bins=5), 0.65)
    close(call(metrics.adaptive_calibration_error, confidence, right, bins=4), 0.1375)
    close(call(metrics.brier_score, confidence, right), 0.195)
    close(call(c.selective_accuracy, confidence, right, coverage=0.375), 2 / 3)


def test_balanced_scores():
    rng = np.random.default_rng(1)
    confidence, correct = rng.random(200).round(2), rng.random(200) < 0.8
    confidence[:3] = 1.0, 1.0, np.nan
    where = np.arange(200) != 2

    def scores(confidence, correct, *, where, convention):
        key = jax.random.key(0)
        return c.balanced_scores(key, confidence, correct, repeats=400, where=where, convention=convention)

    result = call(scores, confidence, correct, where=where, convention="published")
    assert int(result.per_class) == np.sum(~correct & where)
    kept = (confidence[correct & where], confidence[~correct & where])
    pairs = kept[0][:, None] - kept[1][None]
    expected = np.mean((pairs > 0) + 0.5 * (pairs == 0))  # balanced AUROC is unbiased for this
    assert np.mean(np.asarray(result.auroc)) == pytest.approx(
        expected, abs=float(4 * np.std(np.asarray(result.auroc)) / 20)
    )

    def once(generator):
        some = np.r_[generator.choice(kept[0], len(kept[1]), replace=False), kept[1]]
        labels = np.repeat([1, 0], len(kept[1]))
        bins = np.clip(np.digitize(some, np.linspace(0, 1, 21)) - 1, 0, 19)
        gaps = [abs(np.sum(labels[bins == b]) - np.sum(some[bins == b])) for b in range(20)]
        return np.sum(gaps) / len(some)

    published = [once(np.random.default_rng(seed)) for seed in range(400)]
    spread = np.std(published) / 20
    assert np.mean(np.asarray(result.calibration_error)) == pytest.approx(np.mean(published), abs=6 * spread)
    alone = call(scores, confidence, np.ones(200, bool), where=where, convention="text")
    assert int(alone.per_class) == 0 and np.all(np.isnan(alone.auroc)) and np.all(np.isnan(alone.calibration_error))


def test_cascades():
    logs = np.log([0.9, 0.2, 0.6, 0.95])
    for quantile, expected in ((0.0, -1.609438), (0.25, -0.785479), (0.5, -0.308093)):
        close(call(c.log_probability_quantile, logs, quantile=quantile), expected)
    close(call(c.sequence_log_probability, logs), -2.276917)
    close(call(c.mean_log_probability, logs), -0.569229)
    padded = call(c.log_probability_quantile, np.r_[np.nan, LOGS], quantile=1.0, where=np.arange(4) > 0)
    close(padded, np.log(0.9))
    small, large = np.array([1, 1, 0, 0]), np.array([1, 1, 1, 0])
    curve = call(c.deferral_curve, np.array([0.9, 0.8, 0.4, 0.3]), small, large)
    close(curve.quality, [0.5, 0.5, 0.75, 0.75, 0.75])
    close([curve.area, curve.random_area, curve.cost[1]], [0.65625, 0.625, 3.5])
    blind = call(c.deferral_curve, np.zeros(4), small, large)
    close(blind.area, blind.random_area)  # a constant confidence buys nothing
