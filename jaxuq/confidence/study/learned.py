"""What is fitted on one half of the questions and used on the other: combinations, probes, calibration."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq._keys import named_key
from jaxuq.confidence.score_calibration import calibrate_scores, fit_logistic, logistic_confidence
from jaxuq.confidence.study.catalogue import SCORED
from jaxuq.confidence.study.lines import unpacked
from jaxuq.metrics import expected_calibration_error

CALIBRATED_BINS = 10
"""Bins of the calibration error on half of the questions: with twenty, noise alone would be read as error."""
_SPLITS = 5
_FEWEST = 20  # answers, and both kinds among each half


def _halves(count: int, seed: int, number: int) -> np.ndarray:
    """True for one half."""
    key = named_key(jax.random.key(seed), "halves", number)
    return np.asarray(jax.random.permutation(key, count)) < count // 2


_fit = jax.jit(fit_logistic, static_argnames=("ridge", "iterations"))


def _crossed(features: np.ndarray, correct: np.ndarray, seed: int, ridge: float) -> np.ndarray | None:
    """Each half's probabilities by a logistic regression on the other."""
    first = _halves(len(correct), seed, 0)
    predicted = np.full(len(correct), np.nan, np.float32)
    for half in (first, ~first):
        if len(set(correct[half])) < 2:
            return None
        state = _fit(jnp.asarray(features), jnp.asarray(correct), ridge=ridge, where=jnp.asarray(half))
        predicted[~half] = np.asarray(logistic_confidence(state, jnp.asarray(features)))[~half]
    return predicted


def learned_measures(
    lines: Sequence[Mapping[str, Any]],
    correct: np.ndarray,
    scores: Mapping[str, np.ndarray],
    common: np.ndarray,
    seed: int,
) -> dict[str, np.ndarray]:
    """Logistic regressions of being right: on the measures of one answer, on all, and on the question's hidden state.

    Fitted on one half of the answers and applied to the other, both ways; none with fewer than twenty answers.
    """
    found: dict[str, np.ndarray] = {}
    if common.sum() < _FEWEST:
        return found
    usual = [name for name, values in scores.items() if np.isfinite(values[common]).all()]
    single = [name for name in usual if SCORED[name].group in ("uqac", "answer", "response")]
    chosen: dict[str, np.ndarray] = {"logistic_single": np.stack([scores[name] for name in single], axis=1)}
    if len(usual) > len(single):
        chosen["logistic_all"] = np.stack([scores[name] for name in usual], axis=1)
    states = np.stack([unpacked(line["state"]) for line in lines])
    spread = states.std(axis=0)
    chosen["p_ik"] = (states - states.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    for name, features in chosen.items():
        ridge = 100.0 if name == "p_ik" else 1.0
        predicted = _crossed(features[common].astype(np.float32), correct[common], seed, ridge)
        if predicted is not None:
            found[name] = np.full(len(correct), np.nan, np.float32)
            found[name][common] = predicted
    return found


@functools.partial(jax.jit, static_argnames=("method",))
def _calibrated_error(state: Any, scores: Array, correct: Array, where: Array, method: Any) -> tuple[Array, Array]:
    probabilities = calibrate_scores(method).apply(state, scores)
    return expected_calibration_error(probabilities, correct, bins=CALIBRATED_BINS, where=where), probabilities


@jax.jit
def _platt(scores: Array, correct: Array, where: Array) -> Any:
    return calibrate_scores("platt").fit(scores, correct, where=where)


@jax.jit
def _floor(probabilities: Array, drawn: Array, where: Array) -> Array:
    truth = (drawn < probabilities).astype(jnp.float32)
    return expected_calibration_error(probabilities, truth, bins=CALIBRATED_BINS, where=where)


def calibrated_halves(scores: np.ndarray, correct: np.ndarray, where: np.ndarray, seed: int) -> dict[str, float]:
    """Calibration error of a measure on one half after Platt and isotonic calibration on the other.

    Mean over five random splits, both ways. `ece_floor` is what this error would be of the isotonic probabilities if
    they were exactly true: with some hundred answers in bins, chance alone makes a gap.
    """
    named = {"ece_platt": np.nan, "ece_isotonic": np.nan, "ece_floor": np.nan}
    if where.sum() < _FEWEST:
        return named
    errors: dict[str, list[float]] = {name: [] for name in named}
    values, labels = jnp.asarray(scores), jnp.asarray(correct)
    for number in range(_SPLITS):
        first = _halves(len(scores), seed, number)
        drawn = jax.random.uniform(named_key(jax.random.key(seed), "floor", number), values.shape)
        for half in (first & where, ~first & where):
            if len(set(correct[half])) < 2:
                continue
            fitted, rest = jnp.asarray(half), jnp.asarray(where & ~half)  # masks: everything compiles once
            error, _ = _calibrated_error(_platt(values, labels, fitted), values, labels, rest, "platt")
            errors["ece_platt"].append(float(error))
            state = calibrate_scores("isotonic").fit(values, labels, where=fitted)
            error, probabilities = _calibrated_error(state, values, labels, rest, "isotonic")
            errors["ece_isotonic"].append(float(error))
            errors["ece_floor"].append(float(_floor(probabilities, drawn, rest)))
    return {name: float(np.mean(found)) if found else np.nan for name, found in errors.items()}
