"""What is fitted on one half of the questions and used on the other: combinations, probes, calibration."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq._keys import named_key
from jaxuq.confidence.measures import MeasureFacts
from jaxuq.confidence.score_calibration import calibrate_scores, fit_logistic, logistic_confidence
from jaxuq.confidence.study.lines import unpacked
from jaxuq.metrics import expected_calibration_error

CALIBRATED_BINS = 10
"""Bins of the calibration error on half of the questions: with twenty, noise alone would be read as error."""
_SPLITS = 25  # six sets of five gave 0.074 to 0.108 for one and the same measure
_FEWEST = 20  # answers, and both kinds among each half


@functools.lru_cache(maxsize=1)  # the same halves for all measures
def _halves(count: int, seed: int) -> np.ndarray:
    """True for one half, `[splits, count]`."""
    keys = [named_key(jax.random.key(seed), "halves", number) for number in range(_SPLITS)]
    return np.stack([np.asarray(jax.random.permutation(key, count)) < count // 2 for key in keys])


_fit = jax.jit(fit_logistic, static_argnames=("ridge", "iterations"))


def _crossed(features: np.ndarray, correct: np.ndarray, seed: int, ridge: float) -> np.ndarray | None:
    """Each half's probabilities by a logistic regression on the other."""
    first = _halves(len(correct), seed)[0]
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
    about: Mapping[str, MeasureFacts],
) -> dict[str, np.ndarray]:
    """Logistic regressions of being right: on the measures of one answer, on all, and on the question's hidden state.

    Those that `about` has, as far as there are measures for them. Fitted on one half of the answers and applied to the
    other, both ways; none with fewer than twenty answers.
    """
    found: dict[str, np.ndarray] = {}
    if common.sum() < _FEWEST:
        return found
    usual = [name for name, values in scores.items() if np.isfinite(values[common]).all()]
    single = [name for name in usual if about[name].group in ("uqac", "answer", "response")]
    chosen: dict[str, np.ndarray] = {}
    if single and "logistic_single" in about:
        chosen["logistic_single"] = np.stack([scores[name] for name in single], axis=1)
    if len(usual) > len(single) and "logistic_all" in about:
        chosen["logistic_all"] = np.stack([scores[name] for name in usual], axis=1)
    if "p_ik" in about:
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


def _error(probabilities: Array, correct: Array, where: Array) -> Array:
    return expected_calibration_error(probabilities, correct, bins=CALIBRATED_BINS, where=where)


@jax.jit
def _platt_errors(scores: Array, correct: Array, fitted: Array, rest: Array) -> Float[Array, " splits"]:
    def one(fitted: Array, rest: Array) -> Array:
        calibrator = calibrate_scores("platt")
        return _error(calibrator.apply(calibrator.fit(scores, correct, where=fitted), scores), correct, rest)

    return jax.vmap(one)(fitted, rest)


@jax.jit
def _isotonic_errors(
    states: PyTree, scores: Array, correct: Array, rest: Array, drawn: Array
) -> tuple[Float[Array, " splits"], Float[Array, " splits"]]:
    """Errors, and what they would be if outcomes followed the probabilities."""

    def one(state: PyTree, rest: Array, drawn: Array) -> tuple[Array, Array]:
        probabilities = calibrate_scores("isotonic").apply(state, scores)
        truth = (drawn < probabilities).astype(correct.dtype)
        return _error(probabilities, correct, rest), _error(probabilities, truth, rest)

    return jax.vmap(one)(states, rest, drawn)


def calibrated_halves(scores: np.ndarray, correct: np.ndarray, where: np.ndarray, seed: int) -> dict[str, float]:
    """Calibration error of a measure on one half after Platt and isotonic calibration on the other.

    Mean over twenty-five random splits, both ways. `ece_floor` is what this error would be of the isotonic
    probabilities if they were exactly true: with some hundred answers in bins, chance alone makes a gap. Splits with
    right or with wrong answers alone in a half are left out.
    """
    unknown = {"ece_platt": np.nan, "ece_isotonic": np.nan, "ece_floor": np.nan}
    if where.sum() < _FEWEST:
        return unknown
    first = _halves(len(scores), seed)
    fitted = np.concatenate([first, ~first]) & where
    fitted = fitted[[len(set(correct[half])) == 2 for half in fitted]]
    if not len(fitted):
        return unknown
    values, labels, rest = jnp.asarray(scores), jnp.asarray(correct, jnp.float32), jnp.asarray(where & ~fitted)
    calibrator = calibrate_scores("isotonic")
    states = [calibrator.fit(values, labels, where=jnp.asarray(half)) for half in fitted]
    drawn = jax.random.uniform(named_key(jax.random.key(seed), "floor", 0), fitted.shape)
    isotonic, floor = _isotonic_errors(
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *states), values, labels, rest, drawn
    )
    platt = _platt_errors(values, labels, jnp.asarray(fitted), rest)
    return {name: float(np.mean(errors)) for name, errors in zip(unknown, (platt, isotonic, floor))}
