"""A forecaster of one's own: what recalibrating changes, and that its guarantee holds."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from jaxuq import calibration
from jaxuq._errors import ArrayError, OptionError
from jaxuq.calibration import Fitted, conformal_prediction, load_fitted, predict_fitted, recalibrate, save_fitted
from jaxuq.posterior import predict_forecast


def model(weight, x):
    """Mean and raw variance of one task, [n, 1, 2]."""
    return jnp.stack([x @ weight, jnp.zeros_like(x @ weight)], -1)


def noisy(key, n):
    inputs, noise = jax.random.split(key)
    x = jax.random.normal(inputs, (n, 3))
    return x, x @ jnp.ones((3, 1)) + 2 * jax.random.normal(noise, (n, 1))


KEY = jax.random.key(0)
SAMPLES = 1 + 0.1 * jax.random.normal(jax.random.key(9), (4, 3, 1))
BOTH = Fitted(SAMPLES, "gaussian", "variance-scaling", "normalised", 0.8)


def test_it_is_the_protocol_by_hand():
    x, y = noisy(KEY, 60)
    fitted = recalibrate(BOTH, model, x, y)
    raw = predict_forecast(model, SAMPLES, x, "gaussian")
    rows = np.arange(60) % 2 == 1
    method, conformal = calibration.variance_scaling(), calibration.conformal_regression("normalised")
    state = method.fit(jax.tree.map(lambda a: a[~rows], raw), y[~rows])
    np.testing.assert_allclose(fitted.calibrator_state.factor, state.factor, rtol=1e-5)
    forecast = method.apply(state, raw)
    thresholds = conformal.fit(jax.tree.map(lambda a: a[rows], forecast), y[rows], level=0.8)
    np.testing.assert_allclose(fitted.conformal_state.thresholds, thresholds.thresholds, rtol=1e-5)
    np.testing.assert_allclose(predict_fitted(fitted, model, x).total, forecast.total, rtol=1e-5)
    interval = conformal_prediction(fitted, forecast)
    np.testing.assert_allclose(interval.upper, conformal.interval(thresholds, forecast).upper, rtol=1e-5, atol=1e-5)


def test_recalibrating_changes_states_alone_and_twice_is_once():
    x, y = noisy(KEY, 60)
    once = recalibrate(BOTH, model, x, y)
    twice = recalibrate(once, model, x, y)
    assert once.samples is twice.samples is SAMPLES
    assert once._replace(calibrator_state=None, conformal_state=None) == BOTH
    jax.tree.map(np.testing.assert_array_equal, once[5:7], twice[5:7])
    other = recalibrate(once, model, x, 3 * y)
    assert float(other.calibrator_state.factor[0]) > 2 * float(once.calibrator_state.factor[0])


def test_intervals_cover_on_new_labels():
    def coverage(key):
        x, y = noisy(key, 58)  # 29 rows for the thresholds: coverage is 24 / 30 on average
        fitted = recalibrate(BOTH, model, x, y)
        x, y = noisy(jax.random.fold_in(key, 1), 200)
        interval = conformal_prediction(fitted, predict_fitted(fitted, model, x))
        return jnp.mean((interval.lower <= y) & (y <= interval.upper))

    covered = jax.jit(lambda keys: jax.lax.map(coverage, keys))(jax.random.split(jax.random.key(5), 300))
    assert abs(jnp.mean(covered) - 0.8) < 4 * jnp.std(covered) / np.sqrt(300) < 0.025


def test_where_and_conformal_rows_choose_labels():
    x, y = noisy(KEY, 40)
    where = jnp.arange(40)[:, None] < 30
    spoilt = jnp.where(where, y, jnp.nan)
    rows = jnp.arange(40) % 3 == 0
    fitted = recalibrate(BOTH, model, x, spoilt, where=where, conformal_rows=rows)
    kept = recalibrate(BOTH, model, x[:30], y[:30], conformal_rows=rows[:30], weights=jnp.ones((30, 1)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), fitted[5:7], kept[5:7])


def test_groups_and_sets_of_classes():
    logits = jax.random.normal(jax.random.key(3), (80, 5))
    labels = jnp.argmax(logits + jax.random.gumbel(jax.random.key(4), (80, 5)), -1)
    method = calibration.conformal_classification("aps", num_groups=2)
    fitted = Fitted(jnp.ones((1, 1, 1)), "categorical", "temperature", method, 0.9)
    groups = jnp.arange(80) % 4 // 2
    scaled = lambda scale, x: x * scale  # noqa: E731
    fitted = recalibrate(fitted, scaled, logits, labels, groups=groups)
    sets = conformal_prediction(fitted, predict_fitted(fitted, scaled, logits), groups=groups)
    assert fitted.conformal_state.thresholds.shape == (2,) and sets.shape == (80, 5)
    assert float(jnp.mean(jnp.take_along_axis(sets, labels[:, None], 1))) > 0.85


@pytest.mark.parametrize("conformal", [None, "absolute", calibration.conformal_regression("absolute", num_groups=2)])
def test_a_calibrator_by_group_is_part_of_it(conformal, tmp_path):
    x, y = noisy(jax.random.key(8), 200)
    groups = jnp.arange(200) % 4 // 2
    method = calibration.calibration_by_group(calibration.variance_scaling(), 2, fewest=20)
    plain = Fitted(BOTH.samples, BOTH.likelihood, method, conformal, None if conformal is None else 0.8)
    fitted = recalibrate(plain, model, x, y, groups=groups)
    raw = predict_forecast(model, BOTH.samples, x, BOTH.likelihood)
    kept = jnp.ones_like(y, bool) if conformal is None else (jnp.arange(200) % 2 == 0)[:, None]
    for group in (0, 1):  # each alone
        mine = np.flatnonzero(groups == group)
        state = calibration.variance_scaling().fit(raw, y, where=kept & (groups == group)[:, None])
        expected = calibration.variance_scaling().apply(state, raw).aleatoric[mine]
        found = predict_fitted(fitted, model, x, groups=groups).aleatoric[mine]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    table = calibration.CALIBRATORS
    table["by-half"] = method
    try:
        save_fitted(tmp_path, fitted._replace(calibrator="by-half", conformal=None, conformal_state=None))
        again = load_fitted(tmp_path)
        jax.tree.map(
            np.testing.assert_array_equal,
            predict_fitted(again, model, x, groups=groups),
            predict_fitted(fitted, model, x, groups=groups),
        )
    finally:
        del table["by-half"]
    with pytest.raises(OptionError, match="calibrator of this Fitted has groups; give groups="):
        predict_fitted(fitted, model, x)
    with pytest.raises(OptionError, match="calibrator of this Fitted has groups; give groups="):
        recalibrate(plain, model, x, y)
    with pytest.raises(OptionError, match="no calibrator or a conformal method with groups; leave them out"):
        recalibrate(BOTH, model, x, y, groups=groups)
    with pytest.raises(OptionError, match="no calibrator with groups; leave them out"):
        predict_fitted(recalibrate(BOTH, model, x, y), model, x, groups=groups)


_OF_CLASSES = ("vector", "matrix", "dirichlet", "classwise-isotonic")


@pytest.mark.parametrize("name", calibration.CALIBRATORS)
def test_every_named_calibrator_is_fitted_and_kept_by_name(name, request, tmp_path):
    kind = "gaussian" if name in ("variance-scaling", "isotonic-quantiles") else "bernoulli"
    forecast, labels, where = request.getfixturevalue("gaussian" if kind == "gaussian" else "binary")
    outputs = forecast.logits if kind == "bernoulli" else jnp.stack([forecast.mean, forecast.mean], -1)
    if name in _OF_CLASSES:
        kind, outputs = "categorical", jnp.stack([outputs, 0.5 * outputs**2, 0.0 * outputs], -1)
    read = lambda scale, x: x * scale  # noqa: E731
    fitted = recalibrate(Fitted(jnp.ones(1), kind, name), read, outputs, labels, where=where)
    raw = predict_forecast(read, jnp.ones(1), outputs, kind)
    method = calibration.CALIBRATORS[name]
    expected = method.apply(method.fit(raw, labels, where=where), raw)
    jax.tree.map(np.testing.assert_array_equal, predict_fitted(fitted, read, outputs), expected)
    save_fitted(tmp_path / "kept", fitted)
    kept = load_fitted(tmp_path / "kept")
    assert type(kept.calibrator_state) is type(fitted.calibrator_state)
    jax.tree.map(np.testing.assert_array_equal, predict_fitted(kept, read, outputs), expected)


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        (Fitted(SAMPLES, "gaussian"), "neither a calibrator nor"),
        (BOTH._replace(level=None), "set level="),
        (BOTH._replace(level=1.5), "level is 1.5"),
        (BOTH._replace(calibrator="temprature"), "did you mean 'temperature'"),
        (BOTH._replace(conformal="norm"), "there is no conformal method 'norm'"),
        (BOTH._replace(likelihood="normal"), "there is no likelihood 'normal'"),
    ],
)
def test_what_cannot_be_fitted_is_named(fitted, message):
    with pytest.raises(OptionError, match=message):
        recalibrate(fitted, model, *noisy(KEY, 10))


def test_what_is_not_fitted_yet_or_misshapen_is_named():
    x, y = noisy(KEY, 10)
    with pytest.raises(OptionError, match="calibrator of this Fitted is not fitted yet; call recalibrate"):
        predict_fitted(BOTH, model, x)
    raw = predict_fitted(Fitted(SAMPLES, "gaussian"), model, x)
    with pytest.raises(OptionError, match="conformal method of this Fitted is not fitted yet"):
        conformal_prediction(BOTH, raw)
    with pytest.raises(OptionError, match="has no conformal method"):
        conformal_prediction(Fitted(SAMPLES, "gaussian"), raw)
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ArrayError, match="conformal_rows has shape"):
            recalibrate(BOTH, model, x, y, conformal_rows=jnp.ones(9, bool))
        with pytest.raises(ArrayError):
            recalibrate(BOTH, model, x, y[:, 0])
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
