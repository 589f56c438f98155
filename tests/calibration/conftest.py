"""Forecasts with known faults, for calibrators to correct."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.posterior import BernoulliForecast, CategoricalForecast, GaussianForecast


@pytest.fixture
def binary(rng):
    """Two over-confident tasks with wrong base rates: `(forecast, labels, mask)`, 300 rows."""
    logits = rng.normal(0, 3, (300, 2))
    odds = logits * np.array([0.4, 0.7]) + np.array([0.5, -1.0])
    labels = (rng.random((300, 2)) < 1 / (1 + np.exp(-odds))).astype(np.int32)
    ones = jnp.ones((300, 2))
    forecast = BernoulliForecast(jnp.asarray(logits, jnp.float32), 0.3 * ones, 0.1 * ones)
    return forecast, jnp.asarray(labels), jnp.asarray(rng.random((300, 2)) < 0.8)


@pytest.fixture
def categorical(rng):
    """An over-confident task of four classes: `(forecast, labels)`, 400 rows."""
    logits = rng.normal(0, 3, (400, 4))
    labels = np.argmax(logits / 2.5 + rng.gumbel(size=logits.shape), axis=-1)
    forecast = CategoricalForecast(jnp.asarray(logits, jnp.float32), jnp.full(400, 0.2), jnp.full(400, 0.1))
    return forecast, jnp.asarray(labels, jnp.int32)


@pytest.fixture
def gaussian(rng):
    """Two regression tasks, variances too small and too large: `(forecast, labels, mask)`, 250 rows."""
    mean = rng.normal(size=(250, 2))
    variance = rng.uniform(0.2, 2.0, (250, 2))
    labels = mean + np.sqrt(variance) * (rng.gamma(2.0, 1.0, (250, 2)) - 1.0) * np.array([2.0, 0.3])
    arrays = [jnp.asarray(a, jnp.float32) for a in (mean, 0.75 * variance, 0.25 * variance, labels)]
    return GaussianForecast(*arrays[:3]), arrays[3], jnp.asarray(rng.random((250, 2)) < 0.8)
