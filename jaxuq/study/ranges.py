"""Between which numbers a score can lie: an interval does not go on where no score can be."""

import math

_NUMBER = (-math.inf, math.inf)
_ERROR = (0.0, math.inf)
_SHARE = (0.0, 1.0)
_RANGES = {
    **dict.fromkeys(
        ("rmse", "mae", "crps", "ence", "sharpness", "width", "conformal_width", "conformal_size", "aurc"),
        _ERROR,
    ),
    **dict.fromkeys(
        ("auroc", "average_precision", "precision", "recall", "f1", "accuracy", "coverage", "conformal_coverage",
         "ece", "mce", "ace", "smooth_ece", "rce", "brier", "correctness_auroc", "curve_accuracy",
         "auroc_all", "auprc"),
        _SHARE,
    ),
    "miscalibration_area": (0.0, 0.5),
    "spearman": (-1.0, 1.0),
    **dict.fromkeys(("r2", "prr"), (-math.inf, 1.0)),
}  # fmt: skip


def within_range(name: str, estimate: float, ends: tuple[float, float]) -> tuple[float, float]:
    """The part of an interval where the score can be; what it covers stays the same.

    A score at the end of its range that no resample has moved (none of 3 answers right) has no interval: resamples of
    equal examples know nothing of others.

    Args:
        name: the score's column; one that is not known here can be any number. So can one of a known name whose value
            lies outside: it is another score.
        estimate: the score.
        ends: lower and upper end; NaN stays.

    Returns:
        `(lower, upper)`.

    Example:
        >>> within_range("recall", 0.8, (0.4, 2.4))
        (0.4, 1.0)
        >>> within_range("accuracy", 0.0, (0.0, 0.0))
        (nan, nan)
        >>> within_range("points", 0.8, (0.4, 2.4))
        (0.4, 2.4)
    """
    low, high = _RANGES.get(name.removeprefix("partial_").removeprefix("full_"), _NUMBER)
    lower, upper = ends
    if not low <= estimate <= high:
        return lower, upper
    if lower == upper == estimate and estimate in (low, high):
        return math.nan, math.nan
    return (low if lower < low else lower), (high if upper > high else upper)
