"""Distances to the exact posterior, where both are known: linear models with Gaussian noise, and NUTS itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq._errors import ArrayError, OptionError
from jaxuq.posterior import dense, distance_to_truth, gaussian, laplace, nuts, predict, sliced_wasserstein

PHI = np.random.default_rng(0).normal(size=(15, 3)).astype(np.float32)
NEW = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
NOISE, PRIOR = 0.5, 1.0
LABELS = (PHI @ [1.0, -0.5, 0.3] + NOISE * np.random.default_rng(2).normal(size=15)).astype(np.float32)
COVARIANCE = np.linalg.inv(np.eye(3) / PRIOR**2 + PHI.T @ PHI / NOISE**2)
MEAN = COVARIANCE @ PHI.T @ LABELS / NOISE**2


def _draw(mean, covariance, count, seed):
    draws = np.random.default_rng(seed).multivariate_normal(mean, covariance, count)
    return jnp.asarray(draws @ NEW.T, jnp.float32)


def _distance(mean, covariance, other_mean, other_covariance):
    """The sliced distance of two Gaussians: along each direction one of means and one of deviations."""
    directions = np.random.default_rng(5).normal(size=(200_000, 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    moved = directions @ NEW
    deviations = [np.sqrt(np.einsum("ni,ij,nj->n", moved, c, moved)) for c in (covariance, other_covariance)]
    return np.sqrt(np.mean((moved @ (mean - other_mean)) ** 2 + (deviations[0] - deviations[1]) ** 2))


def test_sliced_wasserstein_of_gaussians_and_of_sets_of_different_size():
    first = _draw(MEAN, COVARIANCE, 20_000, 0)
    second = _draw(MEAN + 0.3, 4 * COVARIANCE, 15_000, 1)
    expected = _distance(MEAN, COVARIANCE, MEAN + 0.3, 4 * COVARIANCE)
    found = sliced_wasserstein(jax.random.key(0), first, second, num_slices=500)
    np.testing.assert_allclose(found, expected, rtol=0.05)
    # In one dimension by the quantile functions, of two and three samples: (0, 3) against (1, 1, 4)
    pair = sliced_wasserstein(jax.random.key(0), jnp.array([[0.0], [3]]), jnp.array([[1.0], [1], [4]]))
    np.testing.assert_allclose(pair, np.sqrt(1 / 2 + (3 - 1) ** 2 / 6 + 1 / 3), rtol=1e-6)


@pytest.fixture(scope="module")
def exact():
    """NUTS on the linear model."""
    model = lambda params, x: jnp.einsum("nd,d->n", x, params["w"])  # noqa: E731
    start = {"w": jnp.zeros(3)}
    args = (model, start, jnp.asarray(PHI), jnp.asarray(LABELS), gaussian(NOISE))
    samples = nuts(jax.random.key(0), *args, prior_scale=PRIOR, num_samples=1500, num_warmup=300)
    return predict(model, samples, jnp.asarray(NEW))


def test_the_exact_posterior_is_near_to_nuts_and_half_of_it_is_not(exact):
    """Laplace of a linear model is exact; with half the deviation, or another mean, all three say how far."""
    method = laplace(gaussian(NOISE), "full", prior_precision=1 / PRIOR**2)
    model = lambda params, x: dense(params, x)[:, 0]  # noqa: E731
    state = method.init(jax.random.key(0), {"kernel": jnp.asarray(MEAN, jnp.float32)[:, None]})
    state = method.update(jax.random.key(0), state, model, jnp.asarray(PHI), jnp.asarray(LABELS))
    ours = predict(model, method.sample(jax.random.key(1), state, 1500), jnp.asarray(NEW))

    def found(outputs):
        # sigma is the noise: raw variances whose softplus is its square
        raw = jnp.full_like(outputs, np.log(np.expm1(NOISE**2 - 1e-6)))
        both = [jnp.stack([one, raw[: one.shape[0]]], axis=-1) for one in (outputs, exact)]
        return distance_to_truth(jax.random.key(2), *both, "gaussian", num_slices=300)

    near, far = found(ours), found(_draw(MEAN, COVARIANCE / 4, 1500, 3))
    scale = float(jnp.std(exact, axis=0).mean())
    assert near.wasserstein < 0.12 * scale and near.divergence < 2e-3
    np.testing.assert_allclose(near.coverage, 0.9, atol=0.02)
    np.testing.assert_allclose(far.wasserstein, _distance(MEAN, COVARIANCE, MEAN, COVARIANCE / 4), rtol=0.1)
    variance = np.einsum("ni,ij,nj->n", NEW, COVARIANCE, NEW)
    ours, theirs = variance / 4 + NOISE**2, variance + NOISE**2
    np.testing.assert_allclose(far.divergence, np.mean(theirs / ours - 1 - np.log(theirs / ours)) / 2, rtol=0.15)
    np.testing.assert_allclose(far.coverage, 0.5893, atol=0.02)  # P(|z| < 1.645 / 2)


def test_divergence_of_class_probabilities_by_hand():
    rng = np.random.default_rng(0)
    outputs, truth = (rng.normal(0, 2, (count, 6, 3)) for count in (40, 30))
    p, q = (np.mean(np.exp(z) / np.exp(z).sum(-1, keepdims=True), axis=0) for z in (truth, outputs))
    arrays = jnp.asarray(outputs, jnp.float32), jnp.asarray(truth, jnp.float32)
    found = distance_to_truth(jax.random.key(0), *arrays, "categorical")
    np.testing.assert_allclose(found.divergence, np.mean(np.sum(p * np.log(p / q), axis=-1)), rtol=1e-4)
    two = [jnp.stack([jnp.zeros_like(one[..., 0]), one[..., 0]], axis=-1) for one in arrays]
    binary = distance_to_truth(jax.random.key(0), *(one[..., 0] for one in arrays), "bernoulli")
    np.testing.assert_allclose(
        binary.divergence, distance_to_truth(jax.random.key(0), *two, "categorical").divergence, rtol=1e-4
    )


def test_what_cannot_be_compared_is_said():
    with pytest.raises(OptionError, match="likelihood"):
        distance_to_truth(jax.random.key(0), jnp.ones((2, 3)), jnp.ones((2, 3)), "poisson")
    with pytest.raises(ArrayError, match="compare the same inputs"):
        distance_to_truth(jax.random.key(0), jnp.ones((2, 3, 1)), jnp.ones((2, 3, 4)), "bernoulli")
    with pytest.raises(ArrayError, match="each side needs"):
        distance_to_truth(jax.random.key(0), jnp.ones((0, 3)), jnp.ones((2, 3)), "bernoulli")


def test_many_samples_overflow_nothing():
    first, second = (
        scale * np.random.default_rng(seed).normal(size=(40_000, 1)) for seed, scale in ((0, 1.0), (1, 2.0))
    )
    found = sliced_wasserstein(
        jax.random.key(0), *(jnp.asarray(one, jnp.float32) for one in (first, second)), num_slices=2
    )
    np.testing.assert_allclose(found, np.sqrt(np.mean((np.sort(first, 0) - np.sort(second, 0)) ** 2)), rtol=1e-4)
    same = jnp.ones((3, 2))
    assert not np.isnan(jax.grad(lambda one: sliced_wasserstein(jax.random.key(0), one, same))(same)).any()


@pytest.mark.parametrize("side", [0, 1])
def test_a_sample_that_is_none_covers_nothing(side):
    both = [jnp.zeros((4, 2)), jnp.zeros((5, 2))]
    both[side] = both[side].at[1, 0].set(jnp.nan)
    assert np.isnan(jnp.stack(distance_to_truth(jax.random.key(0), *both, "bernoulli"))).all()
