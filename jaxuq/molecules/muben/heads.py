"""How one loss reads the network's outputs: their number per task, the loss itself, and the point prediction."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxuq import losses


class Head(NamedTuple):
    """How one loss reads the network.

    Attributes:
        outputs_per_task: width of the head for each task.
        loss: `loss(outputs [n, tasks, k], labels, where, weights=None, bounds=None) -> scalar`, with a weight a
            molecule; bounds as in `MoleculeDataset`, for the likelihood of regression alone.
        point: `point(outputs) -> [n, tasks]`, the prediction that selects the best epoch; of several classes their
            logits, `[n, tasks, classes]`.
    """

    outputs_per_task: int
    loss: Callable[..., Float[Array, ""]]
    point: Callable[[Float[Array, "n tasks k"]], Float[Array, "n tasks ..."]]


def read_outputs(
    task_type: str, num_tasks: int, outputs: Float[Array, "n outputs"], classes: Sequence[int] = ()
) -> Float[Array, "n ..."]:
    """What a network of the likelihood's head gives, as `predict_forecast` reads it.

    Args:
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        num_tasks: of the head.
        outputs: task by task.
        classes: of several classes, how many each task has.

    Returns:
        `[n, tasks, 2]` for a Gaussian likelihood, `[n, tasks]` for a Bernoulli one, `[n, tasks, classes]` for a
        categorical one, minus infinity at classes that a task has not.
    """
    if task_type == "multiclass":
        return _possible(outputs.reshape(outputs.shape[0], num_tasks, max(classes)), classes)
    return outputs.reshape(outputs.shape[0], num_tasks, 2) if task_type == "regression" else outputs


def _possible(outputs: Float[Array, "n tasks classes"], classes: Sequence[int]) -> Float[Array, "n tasks classes"]:
    """Minus infinity at the classes that only other tasks have."""
    there = np.arange(outputs.shape[-1]) < np.array(classes)[:, None]
    return jnp.where(there[None], outputs, -jnp.inf)


def _mean_of(loss: Callable[..., Float[Array, "n tasks"]]) -> Callable[..., Float[Array, ""]]:
    """The mean over all known labels of all tasks, those of a molecule with its weight."""

    def mean(
        outputs: Array, labels: Array, where: Array, weights: Array | None = None, bounds: Array | None = None
    ) -> Float[Array, ""]:
        weights = None if weights is None else jnp.broadcast_to(weights[:, None], where.shape)
        values = loss(outputs, labels, where) if bounds is None else loss(outputs, labels, where, bounds)
        return losses.mean_loss(values, where=where, weights=weights)

    return mean


def likelihood_head(task_type: str, classes: Sequence[int] = ()) -> Head:
    """Gaussian likelihood (mean and softplus variance), one logit a task, or one for each class of a task.

    Args:
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        classes: of several classes, how many each task has.

    Returns:
        The head.
    """
    if task_type == "multiclass":

        def categorical(outputs: Array, labels: Array, where: Array) -> Array:
            numbers = jnp.where(where, labels, 0).astype(jnp.int32)
            return losses.categorical_cross_entropy(_possible(outputs, classes), numbers, where=where)

        return Head(max(classes), _mean_of(categorical), lambda outputs: _possible(outputs, classes))
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
