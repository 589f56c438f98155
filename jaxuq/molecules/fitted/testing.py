"""How good a kept model is on molecules whose labels nothing of it has seen."""

import jax.numpy as jnp
import numpy as np

from jaxuq import metrics
from jaxuq.molecules.fitted.predicting import MoleculeForecast
from jaxuq.molecules.records import MoleculeDataset


def score_forecast(forecast: MoleculeForecast, data: MoleculeDataset) -> dict[str, dict[str, float]]:
    """Scores of each task.

    Args:
        forecast: of the molecules of `data`, in their order.
        data: with labels.

    Returns:
        For each task: of regression `rmse`, `mae`, `nll`, `coverage` and `width`; of classification `auroc`, `brier`,
        `ece`, `coverage` and `size` (mean number of classes in a set). NaN where a score does not exist.
    """
    found = {}
    for task, name in enumerate(forecast.task_names):
        where = jnp.asarray(data.mask[:, task] & ~np.isnan(forecast.mean[:, task]))
        labels, mean = (jnp.asarray(x[:, task], jnp.float32) for x in (data.labels, forecast.mean))
        if data.task_type == "regression":
            total = jnp.asarray(forecast.aleatoric[:, task] + forecast.epistemic[:, task], jnp.float32)
            scores = {
                "rmse": metrics.root_mean_squared_error(mean, labels, where=where),
                "mae": metrics.mean_absolute_error(mean, labels, where=where),
                "nll": metrics.gaussian_negative_log_likelihood(mean, total, labels, where=where),
            }
            if forecast.lower is not None and forecast.upper is not None:
                ends = [jnp.asarray(x[:, task], jnp.float32) for x in (forecast.lower, forecast.upper)]
                scores["coverage"] = metrics.interval_coverage(*ends, labels, where=where)
                scores["width"] = metrics.interval_width(*ends, where=where)
        else:
            scores = {
                "auroc": metrics.area_under_roc(mean, labels, where=where),
                "brier": metrics.brier_score(mean, labels, where=where),
                "ece": metrics.binary_calibration_error(mean, labels, where=where),
            }
            if forecast.classes is not None:
                held = np.asarray(forecast.classes[:, task])
                rows = np.flatnonzero(np.asarray(where))
                kept = held[rows, data.labels[rows, task].astype(int)]
                scores["coverage"] = kept.mean() if len(rows) else np.nan
                scores["size"] = held[rows].sum(axis=1).mean() if len(rows) else np.nan
        found[name] = {key: float(value) for key, value in scores.items()}
    return found
