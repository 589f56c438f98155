"""What a metric column of a result file means: its title, which way is better, how many digits to print."""

import math
from typing import Literal, NamedTuple

Direction = Literal["higher", "lower", "nominal", "none"]

QUESTIONS = {
    "prediction": "How far off are the predictions?",
    "distribution": "Is the whole predictive distribution right?",
    "calibration": "Does confidence mean what it says?",
    "sets": "Do intervals and prediction sets hold what they promise?",
    "selection": "Does it know when it fails?",
    "other": "Other columns",
    "cost": "What does it cost?",
}
"""The questions that columns are grouped by, in the order in which a report asks them."""


class MetricName(NamedTuple):
    """How one metric is shown.

    Attributes:
        title: short heading.
        direction: which way is better; `"nominal"` is better the closer to the stated coverage; `"none"` has no better.
        digits: digits after the point, or significant digits where `significant`.
        question: the key of `QUESTIONS` it answers.
        has_unit: whether the metric is in the units of the labels.
        significant: whether the size of the values decides where `digits` start to count.
    """

    title: str
    direction: Direction
    digits: int
    question: str
    has_unit: bool = False
    significant: bool = False

    @property
    def arrow(self) -> str:
        """A sign for the direction, to stand after the title."""
        return {"higher": "↑", "lower": "↓", "nominal": "→ nominal", "none": ""}[self.direction]


METRICS = {
    "rmse": MetricName("RMSE", "lower", 4, "prediction", has_unit=True, significant=True),
    "mae": MetricName("MAE", "lower", 4, "prediction", has_unit=True, significant=True),
    "r2": MetricName("R²", "higher", 3, "prediction"),
    "auroc": MetricName("AUROC", "higher", 4, "prediction"),
    "average_precision": MetricName("Average precision", "higher", 4, "prediction"),
    "precision": MetricName("Precision", "higher", 4, "prediction"),
    "recall": MetricName("Recall", "higher", 4, "prediction"),
    "f1": MetricName("F1", "higher", 4, "prediction"),
    "accuracy": MetricName("Accuracy", "higher", 4, "prediction"),
    "nll": MetricName("NLL", "lower", 4, "distribution", significant=True),
    "crps": MetricName("CRPS", "lower", 4, "distribution", has_unit=True, significant=True),
    "brier": MetricName("Brier score", "lower", 4, "distribution"),
    "rce": MetricName("RCE", "lower", 4, "calibration"),
    "miscalibration_area": MetricName("Miscalibration area", "lower", 4, "calibration"),
    "ence": MetricName("ENCE", "lower", 3, "calibration"),
    "ece": MetricName("ECE", "lower", 4, "calibration"),
    "mce": MetricName("MCE", "lower", 4, "calibration"),
    "ace": MetricName("ACE", "lower", 4, "calibration"),
    "smooth_ece": MetricName("Smooth ECE", "lower", 4, "calibration"),
    "sharpness": MetricName("Sharpness", "none", 4, "calibration", has_unit=True, significant=True),
    "coverage": MetricName("Coverage", "nominal", 3, "sets"),
    "width": MetricName("Interval width", "none", 4, "sets", has_unit=True, significant=True),
    "conformal_coverage": MetricName("Conformal coverage", "nominal", 3, "sets"),
    "conformal_width": MetricName("Conformal width", "lower", 4, "sets", has_unit=True, significant=True),
    "conformal_size": MetricName("Conformal set size", "lower", 3, "sets"),
    "spearman": MetricName("Spearman", "higher", 3, "selection"),
    "aurc": MetricName("AURC", "lower", 4, "selection", significant=True),
    "correctness_auroc": MetricName("AUROC of being right", "higher", 3, "selection"),
    "curve_accuracy": MetricName("Accuracy, mean of rounds", "higher", 4, "prediction"),
    "curve_nll": MetricName("NLL, mean of rounds", "lower", 4, "distribution", significant=True),
    "accuracy_gain": MetricName("Accuracy gained over chance", "higher", 4, "prediction"),
    "nll_gain": MetricName("NLL saved over chance", "higher", 4, "distribution"),
    "aleatoric": MetricName("Aleatoric (nats)", "none", 3, "distribution"),
    "epistemic": MetricName("Epistemic (nats)", "none", 3, "distribution", significant=True),
    "text_nll": MetricName("NLL of other texts", "lower", 4, "other"),
    "forgetting": MetricName("Forgetting (nats)", "lower", 3, "other"),
    "fit_seconds": MetricName("Posterior (s)", "none", 3, "cost", significant=True),
    "train_seconds": MetricName("Training (s)", "none", 3, "cost", significant=True),
    "predict_seconds": MetricName("Prediction (s)", "none", 3, "cost", significant=True),
}
"""Columns and how they are shown."""

RUN_COLUMNS = ("dataset", "split", "backbone", "method", "seed")
"""The columns of `results.csv` that say which run a row belongs to; all others are metrics."""


def metric_name(column: str) -> MetricName:
    """How the metric of a result column is shown.

    Args:
        column: the column's name, such as `"smooth_ece"`. An unknown one keeps its name and gets no direction.

    Returns:
        `MetricName`.

    Example:
        >>> metric_name("auroc").title, metric_name("auroc").direction
        ('AUROC', 'higher')
        >>> metric_name("my_score").title, metric_name("my_score").direction
        ('my score', 'none')
    """
    return METRICS.get(column, MetricName(column.replace("_", " "), "none", 4, "other", significant=True))


def primary_metric(dataset: str, columns: list[str]) -> str | None:
    """The metric by which a data set's predictions are customarily judged.

    AUROC for classification; for regression RMSE, but the mean absolute error for the quantum mechanics sets.

    Args:
        dataset: name of the data set.
        columns: metric columns that exist.

    Returns:
        A member of `columns`, or None if it has none of the three.

    Example:
        >>> primary_metric("qm9", ["rmse", "mae", "nll"]), primary_metric("esol", ["rmse", "mae", "nll"])
        ('mae', 'rmse')

    References:
        Wu et al., MoleculeNet: A Benchmark for Molecular Machine Learning, Chemical Science 9, 2018 (Table 3).
    """
    order = ("auroc", "mae", "rmse") if dataset.lower().startswith("qm") else ("auroc", "rmse", "mae")
    return next((name for name in order if name in columns), None)


def decimals(values: list[float], name: MetricName) -> int:
    """How many digits after the point a column needs; its median size decides, so that one outlier does not.

    Args:
        values: the column's numbers; NaN and infinities are passed over.
        name: the column's metric.

    Returns:
        A number of digits from 0 to 8.

    Example:
        >>> decimals([95.7, 84.7, 1e6], metric_name("mae")), decimals([0.0151, 0.0148], metric_name("mae"))
        (2, 5)
    """
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value != 0)
    if not name.significant or not sizes:
        return name.digits
    magnitude = math.floor(math.log10(sizes[len(sizes) // 2]))
    return min(max(name.digits - 1 - min(magnitude, name.digits), 0), 8)


def format_number(value: float, digits: int) -> str:
    """Print a number with a fixed number of decimals; huge ones as powers of ten, missing ones as a dash.

    Args:
        value: the number.
        digits: digits after the point.

    Returns:
        Text.

    Example:
        >>> format_number(0.73862, 4), format_number(float("nan"), 4), format_number(2.5e7, 1)
        ('0.7386', '–', '2.50e+07')
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.2e}" if abs(value) >= 1e5 else f"{value:.{digits}f}"
    return text.replace("-", "−") if value < 0 else text
