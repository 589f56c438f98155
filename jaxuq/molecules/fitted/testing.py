"""How good a kept model is on molecules whose labels nothing of it has seen."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq import metrics
from jaxuq.molecules.fitted.predicting import MoleculeForecast
from jaxuq.molecules.records import MoleculeDataset
from jaxuq.molecules.scaling import fit_label_scaler


def score_forecast(forecast: MoleculeForecast, data: MoleculeDataset) -> dict[str, dict[str, float]]:
    """Scores of each task, computed in standard units and given in those of the labels, whatever their size.

    Args:
        forecast: of the molecules of `data`, in their order.
        data: with labels; bounds of labels do not score.

    Returns:
        For each task: of regression `rmse`, `mae`, `nll`, `coverage` and `width`; of two classes `auroc`, `brier`, of
        several `accuracy`, `nll`, `brier` (the sum over classes), and of both `ece`, `coverage` and `size` (mean number
        of classes in a set). NaN where a score does not exist.
    """
    found, data = {}, data.exact()
    for task, name in enumerate(forecast.task_names):
        where = jnp.asarray(data.mask[:, task] & ~np.isnan(forecast.mean[:, task]))
        if data.task_type == "regression":
            unit = fit_label_scaler(data.labels[:, task : task + 1], where=data.mask[:, task : task + 1])
            shift, size = float(unit.mean[0]), float(unit.scale[0])
            labels, mean = (jnp.asarray((x[:, task] - shift) / size, jnp.float32) for x in (data.labels, forecast.mean))
            variance = (forecast.aleatoric[:, task] + forecast.epistemic[:, task]) / size / size
            total = jnp.asarray(variance, jnp.float32)
            nll = metrics.gaussian_negative_log_likelihood(mean, total, labels, where=where)
            scores: dict[str, Any] = {
                "rmse": size * float(metrics.root_mean_squared_error(mean, labels, where=where)),
                "mae": size * float(metrics.mean_absolute_error(mean, labels, where=where)),
                "nll": float(nll) + np.log(size),
            }
            if forecast.lower is not None and forecast.upper is not None:
                lower, upper = (
                    jnp.asarray((x[:, task] - shift) / size, jnp.float32) for x in (forecast.lower, forecast.upper)
                )
                scores["coverage"] = metrics.interval_coverage(lower, upper, labels, where=where)
                scores["width"] = size * float(metrics.interval_width(lower, upper, where=where))
        else:
            several = data.task_type == "multiclass" and forecast.probabilities is not None
            told: Any = forecast.probabilities if several else forecast.mean
            labels, given = (jnp.asarray(x[:, task], jnp.float32) for x in (data.labels, told))
            scores = _of_classes(given, labels.astype(jnp.int32), where) if several else _of_two(given, labels, where)
            if forecast.classes is not None:
                held = np.asarray(forecast.classes[:, task])
                rows = np.flatnonzero(np.asarray(where))
                kept = held[rows, data.labels[rows, task].astype(int)]
                scores["coverage"] = kept.mean() if len(rows) else np.nan
                scores["size"] = held[rows].sum(axis=1).mean() if len(rows) else np.nan
        found[name] = {key: float(value) for key, value in scores.items()}
    return found


def _of_two(probability: Array, labels: Array, where: Array) -> dict[str, Any]:
    return {
        "auroc": metrics.area_under_roc(probability, labels, where=where),
        "brier": metrics.brier_score(probability, labels, where=where),
        "ece": metrics.binary_calibration_error(probability, labels, where=where),
    }


def _of_classes(probabilities: Array, labels: Array, where: Array) -> dict[str, Any]:
    likeliest = jnp.argmax(probabilities, axis=-1).astype(labels.dtype)
    certainty = jnp.max(probabilities, axis=-1)
    return {
        "accuracy": metrics.accuracy(likeliest, labels, where=where),
        "nll": metrics.categorical_negative_log_likelihood(jnp.log(probabilities), labels, where=where),
        "brier": metrics.multiclass_brier_score(probabilities, labels, where=where),
        "ece": metrics.expected_calibration_error(certainty, likeliest == labels, where=where),
    }
