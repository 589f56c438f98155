"""Which epoch is the best: the validation score of the benchmark, lower is better."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.losses import bernoulli_cross_entropy, categorical_cross_entropy, mean_loss
from jaxuq.metrics import area_under_roc, average_over_tasks, average_precision
from jaxuq.molecules.muben.problem import Arrays, Problem


def validation_score(
    problem: Problem, predictions: Float[Array, "molecules tasks ..."], valid: Arrays
) -> Float[Array, ""]:
    """The score by which early stopping picks parameters, as one number to minimise.

    RMSE and MAE are in label units, averaged over tasks. ROC-AUC and average precision are averaged over the tasks that
    have both classes in the validation part, with the sign turned; if no task has, the cross entropy takes their
    place, since an undefined score would keep the first parameters. Several classes are scored by their cross entropy.

    Args:
        problem: names the metric, holds the label scale.
        predictions: standardised means, or logits (of several classes on the last axis).
        valid: the validation part.

    Returns:
        The score.
    """
    if problem.task_type == "regression":
        error = jnp.where(valid.mask, predictions - valid.labels, 0.0) * problem.scaler.scale[None]
        count = jnp.maximum(valid.mask.sum(axis=0), 1).astype(error.dtype)
        squared = problem.metric == "rmse"
        mean = (error**2 if squared else jnp.abs(error)).sum(axis=0) / count
        per_task = jnp.sqrt(mean) if squared else mean
        return jnp.mean(per_task, where=valid.mask.any(axis=0))
    if problem.task_type == "multiclass":
        numbers = jnp.where(valid.mask, valid.labels, 0).astype(jnp.int32)
        return mean_loss(categorical_cross_entropy(predictions, numbers, where=valid.mask), where=valid.mask)
    metric = average_precision if problem.metric == "prc-auc" else area_under_roc
    ranked = average_over_tasks(metric, predictions, valid.labels.astype(jnp.int32), where=valid.mask).mean
    entropies = bernoulli_cross_entropy(predictions, valid.labels, where=valid.mask)
    return jnp.where(jnp.isnan(ranked), mean_loss(entropies, where=valid.mask), -ranked)
