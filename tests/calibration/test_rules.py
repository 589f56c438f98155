"""The rules of `Calibrator` and of conformal methods, over all of them: certain forecasts, types, labels, meshes."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxuq import calibration
from jaxuq._errors import ArrayError
from jaxuq.calibration import Interval
from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast

CALIBRATORS = {
    "temperature": (calibration.temperature_scaling(), "binary"),
    "temperature-classes": (calibration.temperature_scaling(), "classes"),
    "platt": (calibration.platt_scaling(), "binary"),
    "platt-hard": (calibration.platt_scaling(smooth_targets=False), "binary"),
    "isotonic": (calibration.isotonic_calibration(), "binary"),
    "variance": (calibration.variance_scaling(), "gaussian"),
    "quantiles": (calibration.isotonic_quantiles(), "gaussian"),
    "vector": (calibration.vector_scaling(), "classes"),
    "matrix": (calibration.matrix_scaling(off_diagonal=0.1), "classes"),
    "dirichlet": (calibration.dirichlet_calibration(), "classes"),
    "venn-abers": (calibration.venn_abers(), "binary"),
    "beta": (calibration.beta_calibration(), "binary"),
    "classwise": (calibration.classwise_isotonic(), "classes"),
}
CONFORMAL = {
    "lac": (calibration.conformal_classification("lac"), "classes"),
    "aps": (calibration.conformal_classification("aps"), "binary"),
    "saps": (calibration.conformal_classification("saps"), "classes"),
    "by-class": (calibration.conformal_classification("lac", by_class=True), "classes"),
    "absolute": (calibration.conformal_regression("absolute"), "gaussian"),
    "normalised": (calibration.conformal_regression("normalised"), "gaussian"),
    "quantile": (calibration.conformal_regression("quantile"), "interval"),
}
SLOW = ("matrix", "dirichlet")  # of the same kind as "vector"
SETS = ("lac", "aps", "saps", "by-class")
_ON_HOST = ("isotonic", "classwise")
_BY_SCORE = ("isotonic", "venn-abers", "classwise")  # a certain forecast is a score like any other there
COMPILED = [name for name in CALIBRATORS if name not in _ON_HOST]  # whose `fit` runs on the host
N = 64


def _is_map(name):
    return name == "vector" or name in SLOW


def _task(name, leaf, task):
    """What belongs to a task: the tasks are the last axis, but for maps of classes and numbers of beta maps."""
    if name == "classwise":
        return leaf[:, task] if leaf.ndim > 1 else leaf[task]
    return leaf[task] if _is_map(name) or name == "beta" else leaf[..., task]


def _named(*names):
    return [pytest.param(name, marks=[pytest.mark.long] if name in SLOW else []) for name in names]


def _data(kind, n=N, seed=0):
    """A forecast of two tasks and its labels; in halves exactly, so that half precision holds the same numbers."""
    rng = np.random.default_rng(seed)
    third = jnp.full((n, 2), 0.25)
    if kind == "gaussian":
        mean, variance = np.round(rng.normal(0, 4, (n, 2))), 2.0 ** rng.integers(-2, 3, (n, 2))
        labels = mean + np.round(3 * np.sqrt(variance) * rng.normal(size=(n, 2)))
        variance = jnp.asarray(variance, jnp.float32) / 2
        return GaussianForecast(jnp.asarray(mean, jnp.float32), variance, variance), jnp.asarray(labels, jnp.float32)
    if kind == "interval":
        forecast, labels = _data("gaussian", n, seed)
        return Interval(forecast.mean - 1, forecast.mean + 1), labels
    if kind == "classes":
        logits = np.round(4 * rng.normal(0, 3, (n, 2, 5))) / 4
        labels = np.argmax(logits / 3 + rng.gumbel(size=logits.shape), axis=-1)
        return CategoricalForecast(jnp.asarray(logits, jnp.float32), third, third), jnp.asarray(labels, jnp.int32)
    logits = np.round(4 * rng.normal(0, 4, (n, 2))) / 4
    labels = rng.random((n, 2)) < 1 / (1 + np.exp(-logits / 2.5 - 0.4))
    return BernoulliForecast(jnp.asarray(logits, jnp.float32), third, third), jnp.asarray(labels, jnp.int32)


def _fit(name, *args, **keywords):
    return (_fit_here if name in _ON_HOST else _compiled_fit)(name, *args, **keywords)


def _fit_here(name, *args, **keywords):
    if name in CONFORMAL:
        return CONFORMAL[name][0].fit(*args, level=0.8, **keywords)
    return CALIBRATORS[name][0].fit(*args, **keywords)


def _apply_here(name, state, forecast):
    if name in CALIBRATORS:
        return CALIBRATORS[name][0].apply(state, forecast)
    method = CONFORMAL[name][0]
    return method.prediction_set(state, forecast) if name in SETS else method.interval(state, forecast)


_compiled_fit, _compiled_apply = (jax.jit(function, static_argnums=0) for function in (_fit_here, _apply_here))


def _apply(name, state, forecast):
    return _compiled_apply(name, state, forecast)


def _kind(name):
    return {**CALIBRATORS, **CONFORMAL}[name][1]


def _rows(forecast, labels, extra_forecast, extra_labels):
    join = lambda a, b: jnp.concatenate([a, jnp.broadcast_to(jnp.asarray(b, a.dtype), (len(b), *a.shape[1:]))])  # noqa: E731
    return jax.tree.map(join, forecast, extra_forecast), join(labels, extra_labels)


def _certain(kind):
    """Two rows that no correction changes, one right and one wrong, and their labels."""
    column = lambda *values: jnp.asarray(values)[:, None]  # noqa: E731
    if kind == "gaussian":
        return GaussianForecast(column(1.0, 1.0), column(0.0, 0.0), column(0.0, 0.0)), column(1.0, 4.0)
    zeros = column(0.0, 0.0)
    if kind == "classes":
        logits = jnp.full((2, 1, 5), 0.0).at[:, :, 2].set(jnp.inf)
        return CategoricalForecast(logits, zeros, zeros), column(2, 3)
    return BernoulliForecast(column(jnp.inf, -jnp.inf), zeros, zeros), column(1, 1)


@pytest.mark.parametrize("name", _named(*(name for name in CALIBRATORS if name not in _BY_SCORE)))
def test_certain_forecasts_move_no_fit_and_stay_as_they_are(name):
    forecast, labels = _data(_kind(name))
    certain, certain_labels = _certain(_kind(name))
    both, both_labels = _rows(forecast, labels, certain, certain_labels)
    expected, state = _fit(name, forecast, labels), _fit(name, both, both_labels)
    for field in state._fields:
        if field not in ("residuals", "levels"):
            rtol, atol = (1e-4, 1e-5) if _is_map(name) else (1e-6, 1e-7)  # where an optimum is no more certain
            np.testing.assert_allclose(getattr(state, field), getattr(expected, field), rtol=rtol, atol=atol)
    applied = _apply(name, state, both)
    if _kind(name) == "gaussian":
        np.testing.assert_array_equal(applied.mean[-2:], 1)
    else:
        np.testing.assert_array_equal(applied.probabilities[-2:], both.probabilities[-2:]) if (
            _kind(name) == "binary"
        ) else np.testing.assert_array_equal(jnp.exp(applied.logits[-2:]), jnp.isposinf(both.logits[-2:]))
    np.testing.assert_allclose(applied.total[-2:], 0, atol=1e-7)

    def total(floats):
        filled = jax.tree.map(lambda new, old: new if jnp.issubdtype(old.dtype, jnp.floating) else old, floats, both)
        fitted = _fit(name, filled, both_labels)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(fitted) if jnp.issubdtype(leaf.dtype, jnp.floating))

    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(both)))


@pytest.mark.parametrize("name", ["temperature", "temperature-classes", "platt"])
def test_gradients_of_applied_certain_forecasts_are_finite(name):
    forecast, labels = _data(_kind(name))
    state = _fit(name, forecast, labels)
    certain, _ = _certain(_kind(name))
    certain = jax.tree.map(lambda a: jnp.broadcast_to(a, (2, 2, *a.shape[2:])), certain)

    def uncertainty(floats, certain):
        applied = _apply(name, type(state)(*floats, state.identity), certain)
        return jnp.sum(applied.total) + (jnp.sum(applied.probabilities) if _kind(name) == "binary" else 0.0)

    gradients = jax.grad(uncertainty, argnums=(0, 1))(tuple(state)[:-1], certain)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_platt_turns_certain_logits_with_its_sign():
    forecast = BernoulliForecast(jnp.array([[jnp.inf] * 3]), jnp.zeros((1, 3)), jnp.zeros((1, 3)))
    state = calibration.PlattState(jnp.array([2.0, -2.0, 0.0]), jnp.full(3, 0.5), jnp.zeros(3, bool))
    logits = calibration.platt_scaling().apply(state, forecast).logits
    np.testing.assert_array_equal(logits, [[jnp.inf, -jnp.inf, 0.5]])


def test_impossible_classes_stay_impossible_and_the_others_are_scaled():
    forecast, labels = _data("classes")
    wide = forecast._replace(logits=jnp.concatenate([forecast.logits, jnp.full((N, 2, 2), -jnp.inf)], axis=-1))
    state = _fit("temperature-classes", forecast, labels)
    np.testing.assert_allclose(_fit("temperature-classes", wide, labels).temperature, state.temperature, rtol=1e-6)
    applied = _apply("temperature-classes", state, wide)
    expected = _apply("temperature-classes", state, forecast)
    np.testing.assert_allclose(applied.logits[..., :5], expected.logits, rtol=1e-6)
    np.testing.assert_allclose(applied.total, expected.total, rtol=1e-6)
    np.testing.assert_array_equal(applied.logits[..., 5:], -jnp.inf)


@pytest.mark.parametrize("score", ["absolute", "normalised"])
def test_a_certain_regression_scores_nothing_if_right_and_infinity_if_wrong(score):
    zeros = jnp.zeros((9, 1))
    forecast = GaussianForecast(zeros, zeros, zeros)
    method = calibration.conformal_regression(score)
    labels = zeros.at[0, 0].set(3.0)
    right = method.fit(forecast, labels, level=0.8).thresholds  # rank 8 of 9
    np.testing.assert_array_equal(right, [[0.0]])
    worst = method.fit(forecast, labels, level=0.9).thresholds  # rank 9 of 9
    np.testing.assert_array_equal(worst, [[3.0 if score == "absolute" else jnp.inf]])
    interval = method.interval(calibration.ConformalState(jnp.array([[jnp.inf]])), forecast)
    np.testing.assert_array_equal([interval.lower[0, 0], interval.upper[0, 0]], [-jnp.inf, jnp.inf])


def test_endless_predicted_intervals_stay_endless():
    ends = jnp.full((9, 1), jnp.inf)
    method = calibration.conformal_regression("quantile")
    state = method.fit(Interval(-ends, ends), jnp.zeros((9, 1)), level=0.5)
    interval = method.interval(state, Interval(-ends, ends))
    np.testing.assert_array_equal([interval.lower[0, 0], interval.upper[0, 0]], [-jnp.inf, jnp.inf])


@pytest.mark.parametrize("name", _named(*CALIBRATORS, *CONFORMAL))
@pytest.mark.parametrize("dtype", [jnp.bfloat16, pytest.param(jnp.float16, marks=pytest.mark.long)])
def test_half_precision_fits_what_single_precision_fits(name, dtype):
    forecast, labels = _data(_kind(name))
    expected = _fit(name, forecast, labels)
    half = jax.tree.map(lambda a: a.astype(dtype), forecast)
    state = _fit(name, half, labels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), state, expected)
    applied, full = _apply(name, state, half), _apply(name, expected, forecast)
    if name in CALIBRATORS:
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(applied))
    rtol = float(jnp.finfo(dtype).eps)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a.astype(b.dtype), b, rtol=rtol, atol=rtol), applied, full)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_class_numbers_are_not_rounded_to_the_type_of_the_logits(dtype):
    rng = np.random.default_rng(2)
    logits = np.round(4 * rng.normal(0, 3, (400, 1000))) / 4
    labels = np.argmax(logits / 3 + rng.gumbel(size=logits.shape), axis=-1)
    uncertain = jnp.full(400, 0.25, dtype)
    forecast = CategoricalForecast(jnp.asarray(logits, dtype), uncertain, uncertain)
    state = calibration.temperature_scaling().fit(forecast, jnp.asarray(labels, jnp.int32))
    np.testing.assert_allclose(state.temperature, 3.0, atol=0.15)
    few = calibration.temperature_scaling().fit(forecast, jnp.asarray(labels % 100, jnp.int8))
    same = calibration.temperature_scaling().fit(forecast, jnp.asarray(labels % 100, jnp.int32))
    np.testing.assert_array_equal(few.temperature, same.temperature)


def _seen(name, state, forecast):
    """The state; of linear maps of logits what a softmax sees of them.

    A common shift of a column changes no probability, and where few labels are separable the map grows without end, so
    that rounding decides where it stops.
    """
    if name not in ("matrix", "dirichlet"):
        return state
    return jax.nn.softmax(_apply(name, state, forecast).logits, axis=-1)


@pytest.mark.parametrize("name", _named(*CALIBRATORS, *CONFORMAL))
def test_double_precision_stays_double(name):
    with jax.enable_x64(True):
        forecast, labels = _data(_kind(name))
        single = _fit(name, forecast, labels)
        forecast = jax.tree.map(lambda a: a.astype(jnp.float64), forecast)
        state = _fit(name, forecast, labels)
        leaves = [leaf for leaf in jax.tree.leaves(state) if leaf.dtype != bool]
        assert all(leaf.dtype == jnp.float64 for leaf in leaves)
        pair = _seen(name, state, forecast), _seen(name, single, forecast)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *pair)
        for leaf in jax.tree.leaves(_apply(name, state, forecast)):
            assert leaf.dtype in (jnp.float64, jnp.bool_)


@pytest.mark.parametrize("name", _named(*CALIBRATORS, *CONFORMAL))
def test_a_label_out_of_range_makes_its_task_nan_unless_masked(name):
    forecast, labels = _data(_kind(name))
    where = jnp.ones(labels.shape, bool).at[3, 0].set(False)
    expected = _fit(name, forecast, labels, where=where)
    bad = [jnp.nan] if labels.dtype == jnp.float32 else [-1, -100, 2 if _kind(name) == "binary" else 5, 5000]
    for label in bad:
        state = _fit(name, forecast, labels.at[3, 0].set(label))
        for leaf in jax.tree.leaves(state):
            if leaf.dtype != bool:
                assert np.isnan(_task(name, leaf, 0)).all() and np.isfinite(_task(name, leaf, 1)).all()
        masked = _fit(name, forecast, labels.at[3, 0].set(label), where=where)
        jax.tree.map(np.testing.assert_array_equal, masked, expected)
    if name in SETS:
        assert bool(jnp.all(_apply(name, state, forecast)[:, 0]))  # nothing is known, so nothing is left out
    elif name in CALIBRATORS:
        applied = _apply(name, state, forecast)
        assert np.isnan(applied.total[:, 0]).all() and np.isfinite(applied.total[:, 1]).all()


@pytest.mark.parametrize("name", _named(*CALIBRATORS))
def test_a_nan_in_a_counted_forecast_makes_its_task_nan(name):
    forecast, labels = _data(_kind(name))
    spoilt = jax.tree.map(lambda a: a.at[3, 0].set(jnp.nan), forecast)
    state = _fit(name, spoilt, labels)
    for leaf in jax.tree.leaves(state):
        if leaf.dtype != bool:
            assert np.isnan(_task(name, leaf, 0)).all() and np.isfinite(_task(name, leaf, 1)).all()
    where = jnp.ones(labels.shape, bool).at[3, 0].set(False)
    expected = _fit(name, forecast, labels, where=where)
    jax.tree.map(np.testing.assert_array_equal, _fit(name, spoilt, labels, where=where), expected)


def _undetermined(name, forecast, labels):
    """Labels that do not determine the correction, by what is wrong with them."""
    nothing = jnp.zeros(labels.shape, bool)
    cases = {"none": (forecast, labels, {"where": nothing}), "weightless": (forecast, labels, {"weights": 0 * labels})}
    cases["empty"] = (*jax.tree.map(lambda a: a[:0], (forecast, labels)), {})
    if labels.dtype != jnp.float32:
        cases["one class"] = (forecast, jnp.ones_like(labels), {})
    return cases


@pytest.mark.parametrize("name", _named(*CALIBRATORS))
def test_what_labels_do_not_determine_is_the_identity_bit_by_bit(name):
    forecast, labels = _data(_kind(name))
    if _kind(name) == "binary":
        forecast = forecast._replace(logits=forecast.logits.at[0].set(20.0).at[1].set(jnp.inf))
    for case, (given, of, keywords) in _undetermined(name, forecast, labels).items():
        state = _fit(name, given, of, **keywords)
        assert np.asarray(state.identity).all(), case
        jax.tree.map(np.testing.assert_array_equal, _apply(name, state, forecast), forecast)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(state)), case
    assert not np.asarray(_fit(name, *_data(_kind(name))).identity).any()


def test_a_gaussian_without_labels_keeps_its_quantiles():
    zeros = jnp.zeros((3, 1))
    forecast = GaussianForecast(zeros, zeros + 1, zeros)
    method = calibration.isotonic_quantiles()
    for rows in (0, 1, 3):
        given, labels = jax.tree.map(lambda a, rows=rows: a[:rows], (forecast, zeros))
        state = method.fit(given, labels, where=jnp.zeros((rows, 1), bool))
        np.testing.assert_allclose(method.quantile(state, forecast, 0.975), 1.959964, rtol=1e-6)
        np.testing.assert_allclose(method.cdf(state, forecast, zeros - 1.959964), 0.025, rtol=1e-5)
    one = method.fit(forecast, zeros + 5, where=jnp.array([[True], [False], [False]]))
    jax.tree.map(np.testing.assert_array_equal, method.apply(one, forecast), forecast)


@pytest.mark.parametrize("name", CONFORMAL)
def test_without_labels_nothing_is_promised(name):
    forecast, labels = _data(_kind(name))
    for keywords in ({"where": jnp.zeros(labels.shape, bool)}, {"weights": jnp.zeros(labels.shape)}):
        np.testing.assert_array_equal(_fit(name, forecast, labels, **keywords).thresholds, jnp.inf)
    empty = _fit(name, *jax.tree.map(lambda a: a[:0], (forecast, labels)))
    np.testing.assert_array_equal(empty.thresholds, jnp.inf)
    applied = _apply(name, empty, forecast)
    if name in SETS:
        assert bool(jnp.all(applied))
    else:
        np.testing.assert_array_equal(applied.upper - applied.lower, jnp.inf)


@pytest.mark.parametrize("name", _named(*CALIBRATORS))
def test_a_weight_is_a_number_of_rows(name):
    forecast, labels = _data(_kind(name))
    times = np.random.default_rng(5).integers(0, 3, N)
    repeated = np.repeat(np.arange(N), times)
    expected = _fit(name, *jax.tree.map(lambda a: a[repeated], (forecast, labels)))
    weights = jnp.asarray(np.stack([times, times], axis=1))
    spoilt = jax.tree.map(lambda a: jnp.where((weights == 0).reshape(N, 2, *[1] * (a.ndim - 2)), jnp.nan, a), forecast)
    state = _fit(name, spoilt, labels, weights=weights)
    fields = [
        field
        for field in state._fields
        if field not in ("predicted", "observed", "residuals", "levels", "scores", "mass", "positive")
    ]
    for field in fields:
        np.testing.assert_allclose(getattr(state, field), getattr(expected, field), rtol=2e-4, atol=1e-4)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5),
        _apply(name, state, forecast),
        _apply(name, expected, forecast),
    )


@pytest.mark.parametrize("name", CONFORMAL)
def test_conformal_weights_are_in_units_of_the_new_example(name):
    forecast, labels = _data(_kind(name))
    ones = jnp.ones(labels.shape, jnp.int32)
    expected = _fit(name, forecast, labels).thresholds
    np.testing.assert_array_equal(_fit(name, forecast, labels, weights=ones).thresholds, expected)
    where = jnp.asarray(np.random.default_rng(4).random(labels.shape) < 0.7)
    expected = _fit(name, forecast, labels, where=where).thresholds
    np.testing.assert_array_equal(_fit(name, forecast, labels, weights=where.astype(int)).thresholds, expected)


def test_weighted_threshold_by_hand():
    scores, weights = jnp.array([3.0, 1.0, 2.0, 4.0]), jnp.array([2.0, 1.0, 4.0, 2.0])  # with the new one: 10
    levels = {0.05: 1.0, 0.1: 1.0, 0.5: 2.0, 0.6: 3.0, 0.71: 4.0, 0.9: 4.0, 0.91: np.inf}
    for level, expected in levels.items():
        assert calibration.conformal_threshold(scores, level=level, weights=weights)[0] == expected


@pytest.fixture
def without_type_checks():
    """As users run it: jaxtyping's own checks are for tests."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.usefixtures("without_type_checks")
@pytest.mark.parametrize("name", _named(*CALIBRATORS, *CONFORMAL))
def test_shapes_that_would_only_broadcast_are_one_named_error(name):
    forecast, labels = _data(_kind(name))
    one = jax.tree.map(lambda a: a[:, 0], forecast)
    with pytest.raises(ArrayError, match=r"labels has shape \(64, 1\) where .* has .*pass labels\[:, 0\]"):
        _fit(name, one, labels[:, :1])
    with pytest.raises(ArrayError, match=r"labels has shape \(64,\) where .* has"):
        _fit(name, forecast, labels[:, 0])
    with pytest.raises(ArrayError, match=r"where has shape \(64, 1\)"):
        _fit(name, forecast, labels, where=jnp.ones((N, 1), bool))
    with pytest.raises(ArrayError, match=r"weights has shape \(64,\)"):
        _fit(name, forecast, labels, weights=jnp.ones(N))
    state = _fit(name, forecast, labels)
    with pytest.raises(ArrayError, match="a row of the forecast"):
        _apply(name, state, one)


@pytest.mark.parametrize("name", _named(*COMPILED, *CONFORMAL))
def test_meshes_of_every_kind_give_the_same(name, mesh):
    forecast, labels = _data(_kind(name))
    expected = _fit(name, forecast, labels)
    applied = _apply(name, expected, forecast)
    explicit = jax.make_mesh((8,), ("data",))
    for chosen in (mesh, explicit):
        rows = NamedSharding(chosen, PartitionSpec("data"))
        forecast_there, labels_there = jax.tree.map(lambda a, rows=rows: jax.device_put(a, rows), (forecast, labels))
        state = _fit(name, forecast_there, labels_there)
        again = _apply(name, state, forecast_there)
        seen = _seen(name, state, forecast_there), _seen(name, expected, forecast)
        for new, old in (seen, (again, applied)):
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), new, old)

        def each(forecast, labels):
            state = _fit(name, forecast, labels)
            return jax.tree.map(lambda a: a[None], state), _apply(name, state, forecast)

        divided = jax.jit(
            jax.shard_map(each, mesh=chosen, in_specs=PartitionSpec("data"), out_specs=PartitionSpec("data"))
        )
        states, _ = divided(forecast_there, labels_there)
        second = jax.tree.map(lambda a: a[8:16], (forecast, labels))
        alone = _seen(name, _fit(name, *second), second[0])
        there = _seen(name, jax.tree.map(lambda a: np.asarray(a)[1], states), second[0])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), there, alone)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_and_batched_gradients_are_finite(name):
    forecast, labels = _data(_kind(name))
    floats = jax.tree.map(lambda a: jnp.stack([a, a[::-1]]), forecast)

    def total(forecast, labels):
        state = _fit(name, forecast, labels)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(_apply(name, state, forecast)))

    gradients = jax.jit(jax.vmap(jax.grad(total)))(floats, jnp.stack([labels, labels[::-1]]))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradients))


def test_isotonic_applies_on_meshes_of_every_kind(mesh):
    forecast, labels = _data("binary")
    state = _fit("isotonic", forecast, labels)
    expected = _apply("isotonic", state, forecast)
    for chosen in (mesh, jax.make_mesh((8,), ("data",))):
        there = jax.device_put(forecast, NamedSharding(chosen, PartitionSpec("data")))
        new = _apply("isotonic", state, there)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), new, expected)
