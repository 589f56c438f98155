"""SNGP and variational Bayesian last layers: worked numbers, exact posteriors, and what theory says far from data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, log_softmax

from jaxuq._errors import ArrayError
from jaxuq.losses import mean_loss
from jaxuq.posterior import (
    VBLL,
    RandomFeatures,
    cosine_features,
    dense,
    gaussian,
    init_vbll,
    laplace,
    mean_field_forecast,
    mean_field_logits,
    output_variance,
    random_features,
    vbll_binary_loss,
    vbll_classification_loss,
    vbll_forecast,
    vbll_penalty,
    vbll_regression_loss,
    vbll_samples,
)

FIXED = RandomFeatures(jnp.array([[0.5, -1], [1, 0.3]]), jnp.array([0.2, 1.0]))
SEEN = jnp.array([[0.0, 0], [1, 0], [0, 1]])
NEW = jnp.array([[0.5, 0.5]])


def _precision_of(likelihood, beta, features, labels):
    method = laplace(likelihood, "columns", prior_precision=1.0, linearised=False)
    state = method.init(jax.random.key(0), {"kernel": beta})
    return method.update(jax.random.key(0), state, dense, features, labels)


def test_worked_features_variance_and_mean_field():
    """A layer whose logits at the three examples are those of p = .6, .3, .8 cannot be linear in two features: the
    curvature is given to Laplace by a likelihood whose information it is."""
    np.testing.assert_allclose(cosine_features(FIXED, NEW)[0], [0.581683, 0.796084], atol=1e-6)
    features = cosine_features(FIXED, SEEN)
    p = jnp.array([0.6, 0.3, 0.8])
    from jaxuq.posterior import likelihood_of

    bernoulli = likelihood_of("bernoulli")
    known = bernoulli._replace(curvature=lambda outputs: jnp.sqrt(p * (1 - p))[:, None, None])
    state = _precision_of(known, jnp.zeros((2, 1)), features, jnp.zeros((3, 1)))
    variance = output_variance(state, dense, cosine_features(FIXED, NEW))[0, 0]
    np.testing.assert_allclose(variance, 0.610297, atol=1e-5)
    logit = jnp.array(0.379586)
    np.testing.assert_allclose(mean_field_logits(logit, variance), 0.340925, atol=1e-5)
    np.testing.assert_allclose(
        expit(np.array([logit, mean_field_logits(logit, variance)])), [0.593773, 0.584415], atol=1e-5
    )
    state = _precision_of(gaussian(1.0), jnp.zeros((2, 1)), features, jnp.zeros((3, 1)))
    np.testing.assert_allclose(output_variance(state, dense, cosine_features(FIXED, NEW))[0, 0], 0.275022, atol=1e-5)


def test_the_precision_is_a_sum_over_minibatches_and_variance_grows_to_the_prior_far_away():
    rng = np.random.default_rng(0)
    fixed = random_features(jax.random.key(1), 2, 64, length_scale=0.7)
    inputs, labels = rng.normal(size=(60, 2)).astype(np.float32), (rng.random((60, 1)) < 0.5).astype(np.float32)
    features = cosine_features(fixed, jnp.asarray(inputs))
    beta = jnp.asarray(rng.normal(size=(64, 1)), jnp.float32)
    method = laplace("bernoulli", "columns", prior_precision=1.0, linearised=False)
    parts = method.init(jax.random.key(0), {"kernel": beta})
    for rows in (slice(0, 25), slice(25, 60)):
        parts = method.update(jax.random.key(0), parts, dense, features[rows], jnp.asarray(labels[rows]))
    whole = _precision_of("bernoulli", beta, features, jnp.asarray(labels))
    np.testing.assert_allclose(parts.curvature.blocks[0], whole.curvature.blocks[0], rtol=1e-4, atol=1e-5)
    p = expit(np.asarray(features @ beta))
    expected = (np.asarray(features) * p * (1 - p)).T @ np.asarray(features)
    np.testing.assert_allclose(whole.curvature.blocks[0][0], expected, rtol=1e-3, atol=1e-5)
    away = jnp.asarray([[r, 0.0] for r in (0.0, 1.5, 3.0, 5.0)], jnp.float32)
    phi = cosine_features(fixed, away)
    variance = output_variance(whole, dense, phi)[:, 0]
    assert np.all(np.diff(variance) > 0)
    assert np.all(variance <= jnp.sum(phi**2, axis=-1)) and variance[-1] > 0.85 * jnp.sum(phi[-1] ** 2)


def test_products_of_random_features_are_the_kernel():
    fixed = random_features(jax.random.key(0), 3, 40_000, length_scale=2.0)
    points = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
    phi = cosine_features(fixed, points)
    squared = np.sum((points[:, None] - points[None]) ** 2, axis=-1)
    np.testing.assert_allclose(phi @ phi.T, np.exp(-squared / 8), atol=0.03)


def test_mean_field_is_near_the_integral_and_its_entropy_parts_are_exact():
    rng = np.random.default_rng(0)
    logits, variance = np.array([0.4, 2.0, -1.0]), np.array([0.6, 3.0, 0.1])
    drawn = expit(logits + np.sqrt(variance) * rng.normal(size=(400_000, 3)))
    forecast = mean_field_forecast(jnp.asarray(logits), jnp.asarray(variance))
    np.testing.assert_allclose(forecast.probabilities, drawn.mean(0), atol=0.01)
    entropy = -(drawn * np.log(drawn) + (1 - drawn) * np.log1p(-drawn)).mean(0)
    np.testing.assert_allclose(forecast.aleatoric, entropy, atol=3e-3)


COVARIANCE = np.array([[0.04, 0.01], [0.01, 0.09]])


def _layer(mean, covariance, noise):
    lower = np.linalg.cholesky(covariance)
    raw = np.tril(lower, -1) + np.diag(np.log(np.diag(lower)))
    return VBLL(jnp.asarray(mean)[None], jnp.asarray(raw)[None], jnp.log(jnp.asarray([noise])))


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


def test_worked_numbers_of_regression(double):
    layer, phi, y = _layer([0.5, -0.2], COVARIANCE, 0.1), jnp.array([1.0, 2.0]), jnp.array([0.4])
    forecast = vbll_forecast(layer, phi)
    np.testing.assert_allclose([forecast.mean[0], forecast.total[0]], [0.1, 0.54], rtol=1e-6)
    likelihood = -0.5 * (np.log(2 * np.pi * 0.54) + 0.3**2 / 0.54)
    np.testing.assert_allclose(-likelihood, 0.694179, atol=1e-6)
    np.testing.assert_allclose(vbll_regression_loss(layer, phi, y), [2.417646], atol=1e-6)
    np.testing.assert_allclose(vbll_penalty(layer, 0.5, wishart_scale=0.0, dof=-2.0), 1.554349, atol=1e-6)
    wishart = 1.5 * np.log(0.1) + 0.01 / 2 / 0.1
    np.testing.assert_allclose(vbll_penalty(layer, 0.5, wishart_scale=0.01), 1.554349 + wishart, atol=1e-6)


def test_worked_bound_of_classes_lies_above_the_expected_loss(double):
    z, variance = np.array([1, 0.2, -0.5]), np.array([0.3, 0.1, 0.2])
    raw = jnp.asarray(np.log(np.sqrt(variance)))[:, None, None]
    layer = VBLL(jnp.asarray(z)[:, None], raw, jnp.full(3, -jnp.inf))
    loss = vbll_classification_loss(layer, jnp.ones(1), jnp.array(0))
    np.testing.assert_allclose(loss, 0.631696, atol=1e-6)
    drawn = z + np.sqrt(variance) * np.random.default_rng(0).normal(size=(400_000, 3))
    np.testing.assert_allclose(-log_softmax(drawn, axis=-1)[:, 0].mean(), 0.570562, atol=2e-3)
    # Binary: the same with a second class whose logit is always 0
    two = VBLL(jnp.array([[1.0], [0.0]]), jnp.array([[[np.log(0.5)]], [[-jnp.inf]]]), jnp.full(2, -jnp.inf))
    one = VBLL(*(part[:1] for part in two))
    for label in (0, 1):
        expected = vbll_classification_loss(two, jnp.ones(1), jnp.array(1 - label))
        np.testing.assert_allclose(vbll_binary_loss(one, jnp.ones(1), jnp.array([label]))[0], expected, rtol=1e-6)


def test_the_optimum_of_the_bound_is_the_conjugate_posterior(double):
    rng = np.random.default_rng(0)
    phi, noise, prior = rng.normal(size=(12, 3)), 0.3, 0.5
    y = phi @ [1.0, -0.5, 0.2] + rng.normal(size=12)
    covariance = np.linalg.inv(np.eye(3) / prior + phi.T @ phi / noise)
    layer = _layer(covariance @ phi.T @ y / noise, covariance, noise)

    def objective(mean, factor):
        one = VBLL(mean, factor, layer.log_noise)
        return jnp.sum(vbll_regression_loss(one, jnp.asarray(phi), jnp.asarray(y)[:, None])) + vbll_penalty(one, prior)

    best, slopes = jax.value_and_grad(objective, argnums=(0, 1))(layer.mean, layer.factor)
    assert all(np.abs(slope).max() < 1e-9 for slope in slopes)
    # The bound is tight there: it is minus the evidence, but for the constant prior of the noise
    evidence = np.linalg.slogdet(2 * np.pi * (noise * np.eye(12) + prior * phi @ phi.T))[1] / 2
    evidence += y @ np.linalg.solve(noise * np.eye(12) + prior * phi @ phi.T, y) / 2
    np.testing.assert_allclose(best - 1.5 * np.log(noise) - 0.5 / noise, evidence, rtol=1e-9)


def test_samples_have_the_mean_and_covariance():
    layer = init_vbll(jax.random.key(0), 2, 1)._replace(factor=_layer([0, 0], COVARIANCE, 1).factor.astype(jnp.float32))
    drawn = vbll_samples(jax.random.key(1), layer, 40_000)["kernel"][..., 0]
    np.testing.assert_allclose(drawn.mean(0), layer.mean[0], atol=5e-3)
    np.testing.assert_allclose(np.cov(drawn.T), COVARIANCE, atol=2e-3)


def test_missing_labels_are_left_out_of_the_mean():
    layer = init_vbll(jax.random.key(0), 2, 1)
    features, labels = jnp.ones((2, 2)), jnp.array([[1.0], [jnp.nan]])
    known = jnp.array([[True], [False]])

    def loss(layer):
        return mean_loss(vbll_regression_loss(layer, features, jnp.where(known, labels, 0.0)), where=known)

    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(jax.value_and_grad(loss)(layer)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_features_of_half_precision_inputs_are_those_of_the_same_numbers(dtype):
    inputs = (10 * jax.random.normal(jax.random.key(0), (4, 16))).astype(dtype)
    fixed = random_features(jax.random.key(1), 16, 256)
    expected = cosine_features(fixed, inputs.astype(jnp.float32))
    np.testing.assert_allclose(
        cosine_features(fixed, inputs).astype(jnp.float32), expected, atol=0.1 * jnp.finfo(dtype).eps
    )


@pytest.mark.parametrize("variance", [0.0, 1e-6, 4.0, 24.9, 25.1, 400.0, 1e6])
def test_expected_entropy_is_its_integral_at_any_variance(variance):
    means = np.array([-9.0, 0, 1, 30])

    def entropy(z):
        return np.log1p(np.exp(-abs(z))) + abs(z) * expit(-abs(z))

    z = np.linspace(-80, 80, 400_001)
    deviation = np.sqrt(variance)
    density = np.exp(-0.5 * ((z[None] - means[:, None]) / max(deviation, 1e-9)) ** 2) / np.sqrt(2 * np.pi)
    expected = (density * entropy(z)[None]).sum(axis=1) * (z[1] - z[0]) / deviation if variance >= 1 else entropy(means)
    forecast = mean_field_forecast(jnp.asarray(means, jnp.float32), jnp.full(4, variance))
    least = np.minimum(expected, np.asarray(forecast.total, np.float64))
    np.testing.assert_allclose(forecast.aleatoric, least, rtol=2e-4, atol=1e-6)
    slopes = jax.grad(lambda logits, v: mean_field_forecast(logits, v).aleatoric.sum(), argnums=(0, 1))
    assert all(np.isfinite(slope).all() for slope in slopes(forecast.logits, jnp.full(4, variance)))


def test_nothing_known_is_all_epistemic_and_variances_below_nothing_are_undefined():
    forecast = mean_field_forecast(jnp.ones(2), jnp.array([jnp.inf, -1.0]))
    np.testing.assert_allclose(forecast.epistemic, [np.log(2), np.nan], rtol=1e-6)
    np.testing.assert_allclose(forecast.aleatoric, [0, np.nan])


@pytest.mark.parametrize(
    ("field", "shape", "message"),
    [
        ("factor", (1, 4, 4), r"layer.factor has shape \(1, 4, 4\) where \[outputs, features, features\] is \(3, 4, 4"),
        ("log_noise", (1,), r"layer.log_noise has shape \(1,\)"),
        ("log_noise", (), r"layer.log_noise has shape \(\)"),
        ("mean", (4,), r"layer.mean has shape \(4,\)"),
    ],
)
def test_arrays_of_a_layer_never_broadcast(field, shape, message):
    layer = init_vbll(jax.random.key(0), 4, 3)._replace(**{field: jnp.zeros(shape)})
    features, labels = jnp.ones((5, 4)), jnp.ones((5, 3))
    for call in (
        lambda: vbll_forecast(layer, features),
        lambda: vbll_regression_loss(layer, features, labels),
        lambda: vbll_classification_loss(layer, features, jnp.zeros(5, int)),
        lambda: vbll_penalty(layer, 1.0),
        lambda: vbll_samples(jax.random.key(0), layer, 2),
    ):
        with pytest.raises(ArrayError, match=message):
            call()
    with pytest.raises(ArrayError, match="labels has shape"):
        vbll_regression_loss(init_vbll(jax.random.key(0), 4, 3), features, labels[:, :1])
    with pytest.raises(ArrayError, match=r"fixed\.phases has shape"):
        cosine_features(FIXED._replace(phases=jnp.zeros(1)), jnp.ones((2, 2)))
