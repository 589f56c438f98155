"""Promises for molecules that come from elsewhere than those of calibration: likelihood ratios of features."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxuq.calibration import density_ratios, effective_sample_size, shifted_thresholds
from jaxuq.molecules.records import DataError

_FEWEST = 10  # molecules on each side, of which each classifier sees half


class Shift(NamedTuple):
    """How the molecules of calibration count for others, so that thresholds follow for each new molecule.

    Attributes:
        scores: nonconformity of the calibration molecules.
        mask: which of these are known.
        ratios: of the calibration molecules, by the classifier that has not seen them.
        centre: of the features.
        scale: of the features.
        coefficients: of the two classifiers, each fitted on one half of both sides; the last is the intercept.
        counts: molecules of calibration and new ones that each was fitted on.
        size: effective number of the calibration molecules.
    """

    scores: Float[np.ndarray, "calibrate tasks"]
    mask: Bool[np.ndarray, "calibrate tasks"]
    ratios: Float[np.ndarray, " calibrate"]
    centre: Float[np.ndarray, " features"]
    scale: Float[np.ndarray, " features"]
    coefficients: Float[np.ndarray, "2 weights"]
    counts: Float[np.ndarray, "2 2"]
    size: float


def fit_shift(
    features: Float[np.ndarray, "calibrate features"],
    new_features: Float[np.ndarray, "new features"],
    scores: Float[np.ndarray, "calibrate tasks"],
    mask: Bool[np.ndarray, "calibrate tasks"],
) -> Shift:
    r"""Learn how much more often a molecule comes among the new ones than in calibration.

    Two logistic regressions tell calibration from new molecules, each from one half of both; those of calibration are
    weighed by the one that has not seen them, $w = \frac{n_c}{n_n} \frac{\pi}{1 - \pi}$.

    Args:
        features: few numbers that say what kind of molecule each is; with many, classifiers of few molecules tell
            them apart by chance.
        new_features: of molecules for which the promise is to hold; their labels are not needed.
        scores: nonconformity of the calibration molecules.
        mask: which of these are known.

    Returns:
        The shift. Its effective size says how many calibration molecules are left to rely on.

    Raises:
        DataError: fewer than ten molecules on a side.

    References:
        R. J. Tibshirani, R. Foygel Barber, E. Candès, A. Ramdas, "Conformal Prediction Under Covariate Shift", NeurIPS
        2019, section 2.3.
    """
    from sklearn.linear_model import LogisticRegression

    for name, count in (("calibration", len(features)), ("new", len(new_features))):
        if count < _FEWEST:
            raise DataError(
                f"{count} {name} molecules are too few to tell how they differ; it takes {_FEWEST} at least"
            )
    both = np.concatenate([features, new_features])
    centre, scale = both.mean(axis=0), np.where(both.std(axis=0) > 0, both.std(axis=0), 1.0)
    halves = [np.arange(len(part)) % 2 for part in (features, new_features)]
    coefficients, counts = [], []
    for half in (0, 1):
        old, new = (part[which == half] for part, which in zip((features, new_features), halves))
        sides = np.repeat([0, 1], [len(old), len(new)])
        fitted = LogisticRegression(C=100.0, max_iter=1000).fit((np.concatenate([old, new]) - centre) / scale, sides)
        coefficients.append([*fitted.coef_[0], *fitted.intercept_])
        counts.append([len(old), len(new)])
    unweighed = Shift(
        scores, mask, np.ones(len(features)), centre, scale, np.array(coefficients), np.array(counts, float), np.nan
    )
    each = np.stack([_ratios(unweighed, features, half) for half in (0, 1)])
    ratios = each[1 - halves[0], np.arange(len(features))]
    return unweighed._replace(ratios=ratios, size=float(effective_sample_size(jnp.asarray(ratios, jnp.float32))))


def thresholds_under(
    shift: Shift, features: Float[np.ndarray, "new features"], level: float
) -> Float[np.ndarray, "new tasks"]:
    """The conformal threshold of each new molecule; infinite where calibration has too few like it.

    Args:
        shift: of `fit_shift`.
        features: of the new molecules.
        level: wanted coverage.

    Returns:
        Thresholds.
    """
    ratios = np.stack([_ratios(shift, features, half) for half in (0, 1)]).mean(axis=0)
    arrays = (jnp.asarray(part, jnp.float32) for part in (shift.scores, shift.ratios, ratios))
    return np.asarray(shifted_thresholds(*arrays, level=level, where=jnp.asarray(shift.mask)), np.float64)


def _ratios(shift: Shift, features: np.ndarray, half: int) -> np.ndarray:
    *slopes, intercept = shift.coefficients[half]
    logits = (features - shift.centre) / shift.scale @ np.array(slopes) + intercept
    old, new = (int(count) for count in shift.counts[half])
    probabilities = jnp.asarray(1 / (1 + np.exp(-np.clip(logits, -30, 15))), jnp.float32)
    return np.asarray(density_ratios(probabilities, num_calibration=old, num_new=new), np.float64)
