"""Likelihoods against scipy and quadrature, and one from outside that is used everywhere without an edit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxuq.losses import normal_inverse_gamma_parameters
from jaxuq.metrics import gaussian_crps
from jaxuq.posterior import (
    BernoulliForecast,
    CategoricalForecast,
    GaussianForecast,
    Likelihood,
    Moments,
    PoissonForecast,
    gaussian,
    laplace,
    likelihood_of,
    nuts,
    output_variance,
    predict,
    predict_forecast,
    student_t,
    summarise,
)

close = functools.partial(np.testing.assert_allclose, rtol=2e-5, atol=2e-6)


def _softplus(x):
    return np.logaddexp(0, x)


def test_log_probabilities_are_those_of_scipy(rng):
    outputs = jnp.asarray(rng.normal(size=(5, 3, 2)), jnp.float32)
    labels = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    mean, variance = outputs[..., 0], _softplus(outputs[..., 1]) + 1e-6
    close(likelihood_of("gaussian").log_prob(outputs, labels), stats.norm(mean, np.sqrt(variance)).logpdf(labels))
    close(gaussian(0.7).log_prob(mean, labels), stats.norm(mean, 0.7).logpdf(labels))
    close(student_t(3.5).log_prob(outputs, labels), stats.t(3.5, mean, np.sqrt(variance)).logpdf(labels))
    counts = jnp.asarray(rng.poisson(2.0, size=(5, 3)))
    close(likelihood_of("poisson").log_prob(mean, counts), stats.poisson(np.exp(mean)).logpmf(counts))
    coins = jnp.asarray(rng.integers(0, 2, size=(5, 3)))
    close(likelihood_of("bernoulli").log_prob(mean, coins), stats.bernoulli(1 / (1 + np.exp(-mean))).logpmf(coins))
    four = jnp.asarray(rng.normal(size=(5, 3, 4)), jnp.float32)
    p = normal_inverse_gamma_parameters(four)
    scale = np.sqrt(p.beta * (1 + p.nu) / (p.nu * p.alpha))
    close(likelihood_of("evidential").log_prob(four, labels), stats.t(2 * p.alpha, p.gamma, scale).logpdf(labels))


GRIDS = {
    "gaussian": np.linspace(-40, 40, 20001),
    "poisson": np.arange(60.0),
    "bernoulli": np.arange(2.0),
    "categorical": np.arange(4),
    "student": np.linspace(-3000, 3000, 600001),
    "evidential": np.linspace(-3000, 3000, 600001),
}


@pytest.mark.parametrize("name", GRIDS)
def test_curvature_is_the_expected_squared_score(rng, name):
    """The Fisher information by sums over all labels: E[grad log p, grad log p^T]."""
    likelihood = student_t(5.0) if name == "student" else likelihood_of(name)
    shape = {"gaussian": (2,), "student": (2,), "categorical": (4,), "evidential": (4,)}.get(name, ())
    outputs = jnp.asarray(rng.normal(size=shape), jnp.float32)
    grid = GRIDS[name]
    labels = jnp.asarray(grid, jnp.int32 if name == "categorical" else jnp.float32)

    @jax.jit
    def all_labels(labels):
        one = jax.value_and_grad(lambda o, label: likelihood.log_prob(o[None], label[None])[0])
        return jax.lax.map(lambda label: one(outputs, label), labels, batch_size=10_000)

    log_prob, score = (np.asarray(part, np.float64) for part in all_labels(labels))
    weights = np.exp(log_prob) * (grid[1] - grid[0])
    score = score.reshape(len(grid), -1)
    root = np.asarray(likelihood.curvature(outputs)).reshape(score.shape[1], -1)
    if name == "evidential":  # that of the location alone
        assert not root[1:].any()
        score, root = score[:, :1], root[:1]
    assert weights.sum() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(root @ root.T, (score * weights[:, None]).T @ score, rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "outputs", "labels"),
    [
        ("categorical", np.zeros((5, 3)), [-1, 3, -100, 5000, 0]),
        ("bernoulli", np.zeros(5), [-1.0, 2.0, -100.0, np.nan, 1.0]),
        ("poisson", np.zeros(5), [-1, -2, -100, -5000, 3]),
    ],
)
def test_labels_that_cannot_be_are_nan_and_never_another_class(name, outputs, labels):
    found = likelihood_of(name).log_prob(jnp.asarray(outputs, jnp.float32), jnp.asarray(labels))
    np.testing.assert_array_equal(np.isnan(found), [True] * 4 + [False])


@pytest.mark.parametrize(
    ("name", "outputs", "labels"),
    [
        ("categorical", [[[jnp.inf, 0.0, 1.0], [0.0, -jnp.inf, 2.0]], [[0.5, 0.0, 1.0], [jnp.inf, 0.0, 0.0]]], [0, 2]),
        ("bernoulli", [[jnp.inf, -jnp.inf, 0.3], [jnp.inf, 1.0, -jnp.inf]], [1.0, 0.0, 1.0]),
        ("categorical", [[[80.0, 0.0], [-200.0, 90.0]], [[80.0, 0.0], [-200.0, 90.0]]], [0, 1]),
        ("bernoulli", [[20.0, -200.0], [40.0, -200.0]], [1.0, 0.0]),
    ],
)
def test_infinite_logits_have_finite_summaries_and_gradients(name, outputs, labels):
    outputs = jnp.asarray(outputs)

    @jax.jit
    def both(outputs):

        def ours(outputs):
            forecast = summarise(outputs, name)
            return jnp.sum(forecast.total)

        def fit(outputs):
            return jnp.sum(likelihood_of(name).log_prob(outputs[0], jnp.asarray(labels)))

        return summarise(outputs, name), jax.grad(ours)(outputs), jax.grad(fit)(outputs)

    forecast, of_summary, of_fit = both(outputs)
    for part in (forecast.aleatoric, forecast.epistemic, forecast.probabilities, of_summary, of_fit):
        assert np.isfinite(part).all()
    entropy = np.asarray(forecast.total)
    p = np.asarray(forecast.probabilities, np.float64)
    p = p if name == "categorical" else np.stack([p, 1 - p], axis=-1)
    np.testing.assert_allclose(entropy, np.sum(stats.entropy(p, axis=-1)[None], axis=0), atol=1e-5)


def test_forecasts_can_be_made_from_one_prediction():
    logits = jnp.array([[2.0, 0.0, -jnp.inf], [0.0, 0.0, 0.0]], jnp.float32)
    forecast = CategoricalForecast(logits)
    close(forecast.aleatoric, stats.entropy(np.asarray(forecast.probabilities), axis=-1))
    np.testing.assert_array_equal(forecast.epistemic, [0.0, 0.0])
    coins = BernoulliForecast(jnp.array([0.0, jnp.inf, -3.0]))
    close(coins.total, [np.log(2), 0.0, stats.bernoulli(1 / (1 + np.exp(3.0))).entropy()], atol=1e-6)
    close(GaussianForecast(jnp.ones(2), jnp.full(2, 4.0)).total, [4.0, 4.0])
    close(PoissonForecast(jnp.array([3.0])).total, [3.0])
    jax.jit(jax.vmap(jax.grad(lambda row: CategoricalForecast(row).total)))(logits)
    half = CategoricalForecast(jnp.zeros((2, 3), jnp.bfloat16))
    assert half.aleatoric.dtype == jnp.float32
    doubled = jax.tree.map(lambda leaf: 2 * leaf, forecast)
    assert isinstance(doubled, CategoricalForecast)
    assert all(part is None for part in CategoricalForecast(None, None, None))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: likelihood_of("gaussian").log_prob(jnp.zeros((4, 2)), jnp.zeros((4, 1))), r"pass labels\[:, 0\]"),
        (lambda: likelihood_of("bernoulli").log_prob(jnp.zeros((4, 1)), jnp.zeros(4)), "labels has shape"),
        (lambda: likelihood_of("categorical").log_prob(jnp.zeros((4, 3)), jnp.zeros((4, 1), int)), "pass labels"),
        (lambda: summarise(jnp.zeros((3, 4)), "gaussian"), "the last axis must hold 2 numbers a label: mean and raw"),
        (lambda: gaussian(0.0), "noise_scale is 0"),
        (lambda: student_t(2.0), "degrees_of_freedom is 2"),
    ],
)
def test_errors_name_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def _laplace_noise(scale):
    """A stranger's likelihood, by the public names alone: y = f(x) + noise with density exp(-|e| / b) / 2b."""

    def log_prob(outputs, labels):
        return -jnp.abs(labels - outputs) / scale - jnp.log(2 * scale)

    def moments(outputs):
        return Moments(average=jnp.full_like(outputs, 2 * scale**2), spread=outputs)

    def predictive(moments):
        return GaussianForecast(moments.spread.mean, moments.average, moments.spread.variance)

    def curvature(outputs):
        return jnp.full_like(outputs, 1 / scale)[..., None]

    return Likelihood(log_prob, moments, predictive, curvature)


def test_a_strangers_likelihood_is_used_everywhere_without_an_edit(rng, rng_key):
    scale, tau = 0.5, 2.0
    mine = _laplace_noise(scale)
    x = jnp.asarray(rng.normal(size=(30, 2)), jnp.float32)
    y = x @ jnp.array([1.0, -1.0]) + jnp.asarray(rng.laplace(scale=scale, size=30), jnp.float32)

    def model(weights, x, *, rng_key=None):
        return x @ weights

    samples = jnp.asarray(rng.normal(size=(7, 2)), jnp.float32)
    outputs = predict(model, samples, x)
    whole = summarise(outputs, mine)
    running = jax.jit(lambda s, x: predict_forecast(model, s, x, mine, batch_size=8, sample_chunk=2))(samples, x)
    jax.tree.map(close, running, whole)
    close(whole.epistemic, np.asarray(outputs).var(0))
    close(whole.total, np.asarray(outputs).var(0) + 2 * scale**2)

    method = laplace(mine, "full", prior_precision=tau)
    state = method.update(rng_key, method.init(rng_key, jnp.array([1.0, -1.0])), model, x, y)
    precision = np.asarray(x).T @ np.asarray(x) / scale**2 + tau * np.eye(2)
    expected = np.einsum("ni,ij,nj->n", x, np.linalg.inv(precision), x)
    np.testing.assert_allclose(output_variance(state, model, x), expected, rtol=1e-4)
    forecast = predict_forecast(model, method.sample(rng_key, state, 20), x, mine)
    assert np.isfinite(gaussian_crps(forecast.mean, forecast.total, y))  # scored as any other

    drawn = nuts(rng_key, model, jnp.zeros(2), x, y, mine, num_samples=200, num_warmup=200)
    assert np.abs(np.asarray(drawn).mean(0) - [1.0, -1.0]).max() < 5 * np.sqrt(np.linalg.inv(precision).max())
