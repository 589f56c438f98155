"""How one loss reads the network's outputs: their number per task, the loss itself, and the point prediction."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq import losses


class Head(NamedTuple):
    """How one loss reads the network.

    Attributes:
        outputs_per_task: width of the head for each task.
        loss: `loss(outputs [n, tasks, k], labels, where, weights=None, bounds=None) -> scalar`, with a weight a
            molecule; bounds as in `MoleculeDataset`, for the likelihood of regression alone.
        point: `point(outputs) -> [n, tasks]`, the prediction that selects the best epoch.
    """

    outputs_per_task: int
    loss: Callable[..., Float[Array, ""]]
    point: Callable[[Float[Array, "n tasks k"]], Float[Array, "n tasks"]]


def read_outputs(task_type: str, num_tasks: int, outputs: Float[Array, "n outputs"]) -> Float[Array, "n ..."]:
    """What a network of the likelihood's head gives, as `predict_forecast` reads it.

    Args:
        task_type: `"classification"` or `"regression"`.
        num_tasks: of the head.
        outputs: task by task.

    Returns:
        `[n, tasks, 2]` for a Gaussian likelihood, `[n, tasks]` for a Bernoulli one.
    """
    return outputs.reshape(outputs.shape[0], num_tasks, 2) if task_type == "regression" else outputs


def _mean_of(loss: Callable[..., Float[Array, "n tasks"]]) -> Callable[..., Float[Array, ""]]:
    """The mean over all known labels of all tasks, those of a molecule with its weight."""

    def mean(
        outputs: Array, labels: Array, where: Array, weights: Array | None = None, bounds: Array | None = None
    ) -> Float[Array, ""]:
        weights = None if weights is None else jnp.broadcast_to(weights[:, None], where.shape)
        values = loss(outputs, labels, where) if bounds is None else loss(outputs, labels, where, bounds)
        return losses.mean_loss(values, where=where, weights=weights)

    return mean


def likelihood_head(task_type: str) -> Head:
    """Gaussian likelihood (mean and softplus variance), or one logit a task."""
    if task_type == "regression":

        def gaussian(outputs: Array, labels: Array, where: Array, bounds: Array | None = None) -> Array:
            mean, variance = outputs[..., 0], losses.softplus_variance(outputs[..., 1])
            if bounds is None:
                return losses.gaussian_negative_log_likelihood(mean, variance, labels, where=where)
            return losses.censored_negative_log_likelihood(mean, variance, labels, bounds, where=where)

        return Head(2, _mean_of(gaussian), lambda outputs: outputs[..., 0])
    return Head(
        1,
        _mean_of(lambda outputs, labels, where: losses.bernoulli_cross_entropy(outputs[..., 0], labels, where=where)),
        lambda outputs: outputs[..., 0],
    )


def focal_head() -> Head:
    """The focal loss with torchvision's defaults, as the publication uses it."""
    return Head(
        1,
        _mean_of(lambda outputs, labels, where: losses.focal_loss(outputs[..., 0], labels, where=where)),
        lambda outputs: outputs[..., 0],
    )


def evidential_head(task_type: str) -> Head:
    """Normal-inverse-gamma outputs for regression, a Dirichlet over two classes for classification."""
    if task_type == "regression":
        return Head(
            4,
            _mean_of(lambda outputs, labels, where: losses.evidential_regression_loss(outputs, labels, where=where)),
            lambda outputs: outputs[..., 0],
        )

    def log_odds(outputs: Float[Array, "n tasks 2"]) -> Float[Array, "n tasks"]:
        concentrations = losses.dirichlet_concentrations(outputs)
        return jnp.log(concentrations[..., 1]) - jnp.log(concentrations[..., 0])

    return Head(
        2,
        _mean_of(
            lambda outputs, labels, where: losses.evidential_classification_loss(
                outputs, labels.astype(jnp.int32), where=where
            )
        ),
        log_odds,
    )
