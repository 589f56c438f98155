"""Venn-Abers prediction against isotonic refits by scikit-learn, and the numbers of a worked case."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from jaxuq.calibration import venn_abers
from jaxuq.posterior import BernoulliForecast

SCORES, LABELS = (0.1, 0.2, 0.35, 0.4, 0.6, 0.7, 0.85, 0.9), (0, 0, 1, 0, 1, 0, 1, 1)


def _forecast(probabilities):
    logits = jnp.log(jnp.asarray(probabilities, jnp.float32) / (1 - jnp.asarray(probabilities, jnp.float32)))
    logits = logits if logits.ndim == 2 else logits[:, None]
    return BernoulliForecast(logits, jnp.zeros_like(logits), jnp.zeros_like(logits))


def _refit(scores, labels, weights, score):
    """p0 and p1 as they are defined: the regression is made again with the new example in it."""
    found = []
    for label in (0, 1):
        model = IsotonicRegression(out_of_bounds="clip")
        model.fit([*scores, score], [*labels, label], sample_weight=[*weights, 1.0])
        found.append(float(model.predict([score])[0]))
    return found


def test_worked_numbers():
    method = venn_abers()
    state = method.fit(_forecast(SCORES), jnp.array(LABELS)[:, None])
    lower, upper = method.probabilities(state, _forecast([0.5, 0.95, 0.05, 0.4]))
    np.testing.assert_allclose(lower[:, 0], [1 / 3, 2 / 3, 0, 1 / 3], atol=1e-6)
    np.testing.assert_allclose(upper[:, 0], [2 / 3, 1, 1 / 3, 0.6], atol=1e-6)
    merged = method.apply(state, _forecast([0.5, 0.95, 0.05, 0.4])).probabilities[:, 0]
    np.testing.assert_allclose(merged, [0.5, 0.75, 0.25, 0.473684], atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_both_probabilities_are_isotonic_refits(seed):
    """Of two tasks, with ties between all scores, masked labels and weights."""
    rng = np.random.default_rng(seed)
    scores, labels = rng.integers(1, 15, (40, 2)) / 16, rng.random((40, 2))
    labels = (labels < scores).astype(int)
    weights, where = rng.integers(0, 4, (40, 2)), rng.random((40, 2)) < 0.8
    method, new = venn_abers(), rng.integers(0, 33, (25, 2)) / 33 * 0.98 + 0.01
    new[:10] = scores[:10]
    state = method.fit(_forecast(scores), jnp.asarray(labels), where=jnp.asarray(where), weights=jnp.asarray(weights))
    lower, upper = method.probabilities(state, _forecast(new))
    assert (np.asarray(lower) < np.asarray(upper)).all()
    logits = np.asarray(_forecast(scores).logits)
    for task in range(2):
        kept = where[:, task] & (weights[:, task] > 0)
        for row, score in enumerate(np.asarray(_forecast(new).logits)[:, task]):
            expected = _refit(logits[kept, task], labels[kept, task], weights[kept, task], score)
            np.testing.assert_allclose([lower[row, task], upper[row, task]], expected, atol=2e-6)


@pytest.mark.long
def test_one_of_the_two_is_calibrated():
    """The guarantee: of 4,000 worlds of 20 labels, the probability chosen by the true label is right on average."""
    rng = np.random.default_rng(0)
    worlds, n = 4000, 20
    scores = rng.random((n + 1, worlds))
    labels = (rng.random((n + 1, worlds)) < scores**3).astype(int)
    method = venn_abers()
    state = method.fit(_forecast(scores[:n]), jnp.asarray(labels[:n]))
    lower, upper = (np.asarray(x)[0] for x in method.probabilities(state, _forecast(scores[n:])))
    chosen = np.where(labels[n] == 1, upper, lower)
    np.testing.assert_allclose(chosen.mean(), labels[n].mean(), atol=4 * np.sqrt(0.25 / worlds))
