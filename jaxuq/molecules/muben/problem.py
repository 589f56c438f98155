"""A data set made ready for training: features, standardised labels, masks."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, PyTree

from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.records import DataError, MoleculeDataset, Split, TaskType
from jaxuq.molecules.scaling import LabelScaler, fit_label_scaler, scale_labels

_LIKELIHOODS: dict[str, Literal["gaussian", "bernoulli", "categorical"]] = {
    "regression": "gaussian",
    "classification": "bernoulli",
    "multiclass": "categorical",
}


class Arrays(NamedTuple):
    """One part of the data on the device.

    Attributes:
        inputs: what the backbone reads.
        labels: as the loss wants them: 0 and 1, numbers of classes, or standardised.
        mask: which labels exist.
        weights: how much each molecule counts in losses; None: all alike.
        bounds: of the labels to learn from, see `MoleculeDataset`; None: all are exact.
    """

    inputs: PyTree
    labels: Float[Array, "molecules tasks"]
    mask: Bool[Array, "molecules tasks"]
    weights: Float[Array, " molecules"] | None = None
    bounds: Integer[Array, "molecules tasks"] | None = None


class Problem(NamedTuple):
    """What every method of a run is given.

    Attributes:
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        metric: what selects the best epoch on the validation part: `"roc-auc"`, `"rmse"`, `"mae"` or `"cross-entropy"`.
        task_names: one name per task.
        train: training part.
        valid: validation part.
        test: test part; its labels are read by the scores only.
        scaler: label standardisation, identity for classes.
        classes: of several classes, how many each task has.
        molecules: of a row.
    """

    task_type: TaskType
    metric: str
    task_names: tuple[str, ...]
    train: Arrays
    valid: Arrays
    test: Arrays
    scaler: LabelScaler
    classes: tuple[int, ...] = ()
    molecules: int = 1

    @property
    def likelihood(self) -> Literal["gaussian", "bernoulli", "categorical"]:
        """How network outputs are read; see `jaxuq.posterior.summarise`."""
        return _LIKELIHOODS[self.task_type]


def make_problem(
    split: Split,
    backbone: Backbone,
    progress: Callable[[int, int], None] | None = None,
) -> Problem:
    """Featurise the three parts and standardise regression labels by the training part's.

    Args:
        split: the data. Bounds of labels are learnt from, and count nowhere else.
        backbone: whose `featurise` is used.
        progress: called as `progress(done, total)` while features are computed.

    Returns:
        The arrays.

    Raises:
        DataError: a part is empty or has no label at all.
    """
    for name, part in zip(split._fields, split):
        if not len(part.smiles):
            sizes = ", ".join(f"{n} {len(p.smiles)}" for n, p in zip(split._fields, split))
            raise DataError(f"the {name} part of {part.name} is empty ({sizes}); the benchmark needs all three parts")
        if not part.exact().mask.any():
            only = " but bounds" if part.mask.any() else " at all"
            raise DataError(f"the {name} part of {part.name} has no label{only}; check the label columns")
    first = split.train
    inputs = backbone.featurise([row for part in split for row in part.rows], progress)
    borders = np.cumsum([0, *(len(part.smiles) for part in split)])
    if first.task_type != "regression":
        tasks = first.labels.shape[1]
        scaler = LabelScaler(np.zeros(tasks), np.ones(tasks))
    else:
        scaler = fit_label_scaler(first.labels, where=first.exact().mask)

    def arrays(part: MoleculeDataset, first: int, last: int) -> Arrays:
        labels = jnp.asarray(scale_labels(scaler, np.asarray(part.labels)), jnp.float32)
        rows = jax.tree.map(lambda leaf: jnp.asarray(leaf[first:last]), inputs)
        weights = None if part.weights is None else jnp.asarray(part.weights / part.weights.max(), jnp.float32)
        bounds = None if part.bounds is None else jnp.asarray(part.bounds)
        return Arrays(rows, labels, jnp.asarray(part.mask), weights, bounds)

    used = (first, *(part.exact() for part in split[1:]))  # bounds neither choose an epoch nor score
    train, valid, test = (arrays(*where) for where in zip(used, borders[:-1].tolist(), borders[1:].tolist()))
    return Problem(
        first.task_type,
        first.metric,
        tuple(first.task_names),
        train,
        valid,
        test,
        scaler,
        tuple(map(len, first.classes)),
        1 + len(first.beside),
    )


def check_label_range(part: MoleculeDataset) -> None:
    """Refuse labels that single precision cannot hold: a benchmark, whose scores are in label units, would end blank.

    Args:
        part: from which networks learn.

    Raises:
        DataError: names the task and the remedy.
    """
    if part.task_type != "regression":
        return
    scaler = fit_label_scaler(part.labels, where=part.mask)
    finest = np.finfo(np.float32)
    for task, mean, scale in zip(part.task_names, scaler.mean.tolist(), scaler.scale.tolist()):
        if not finest.tiny < scale**2 < finest.max:
            raise DataError(
                f"the labels {task!r} of {part.name} have a standard deviation of {scale:.3g}, whose square is beyond "
                "single precision, in which scores are computed; give them in other units, or take their logarithm"
            )
        if np.spacing(np.float32(abs(mean))) > 0.1 * scale:
            raise DataError(
                f"the labels {task!r} of {part.name} lie around {mean:.6g}, where single precision keeps steps of "
                f"{np.spacing(np.float32(abs(mean))):.3g}; subtract a constant, such as their mean"
            )


def pool_problem(
    split: Split, backbone: Backbone, features: PyTree[np.ndarray], rows: Integer[np.ndarray, " rows"]
) -> Problem:
    """Some of the training molecules to learn from, and all of them to be forecast: the problem of active learning.

    Args:
        split: the data.
        backbone: the features are its own.
        features: of the molecules of training, validation and test part, in that order.
        rows: the training molecules whose labels are known; labels are standardised by theirs.

    Returns:
        Arrays whose training part is those rows, and whose test part has the whole training part after it.
    """
    borders = np.cumsum([len(part.smiles) for part in split])
    train, valid, test = np.split(np.arange(borders[-1]), borders[:-1])
    wanted = np.concatenate([rows, valid, test, train])
    to_forecast = split.test._replace(
        smiles=[*split.test.smiles, *split.train.smiles],
        labels=np.concatenate([split.test.labels, split.train.labels]),
        mask=np.concatenate([split.test.mask, split.train.mask]),
    )
    known = backbone._replace(featurise=lambda smiles, progress: jax.tree.map(lambda leaf: leaf[wanted], features))
    return make_problem(Split(split.train.take(rows), split.valid, to_forecast), known)


def one_class_tasks(split: Split) -> list[str]:
    """Names of classification tasks whose test labels are all equal: AUROC and average precision do not exist there."""
    test = split.test
    if test.task_type != "classification":
        return []
    counts = [len(np.unique(test.labels[test.mask[:, task], task])) for task in range(test.labels.shape[1])]
    return [name for name, count in zip(test.task_names, counts) if count < 2]
