"""The function of a kept model's parameters, made again from the names that its folder holds."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, PyTree

from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.molecules.muben.backbones import BACKBONES, Backbone, make_backbone
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.heads import likelihood_head, read_outputs
from jaxuq.molecules.muben.pretrained import dmpnn_backbone
from jaxuq.molecules.records import DataError
from jaxuq.networks import SeveralMolecules, apply_function, dmpnn_config


class MoleculeNetwork(NamedTuple):
    """Which network a model has: all that its folder says of it beside the parameters.

    Attributes:
        backbone: a name of `BACKBONES` that starts at random.
        features: of the dnn: `"rdkit"` or `"morgan"`.
        width: units of its layers; None: the backbone's.
        depth: layers; None: the backbone's.
        dropout: in [0, 1); None: the backbone's.
        shape: of a D-MPNN that began from a checkpoint, its `DMPNNConfig` as JSON.
        molecules: of a row; several are read by one network with the same parameters (`SeveralMolecules`).
    """

    backbone: str = "dnn"
    features: str = "rdkit"
    width: int | None = None
    depth: int | None = None
    dropout: float | None = None
    shape: str | None = None
    molecules: int = 1


def backbone_of(network: MoleculeNetwork) -> Backbone:
    """A backbone with parameters at random.

    Args:
        network: which one.

    Returns:
        The backbone.

    Raises:
        DataError: it needs pretrained weights, which a kept model does not carry yet.
        OptionError: a width, depth or dropout out of its range, or a backbone that has none.
    """
    name, features, width, depth, dropout, shape, molecules = network
    if "weights" in BACKBONES[name].needs:
        plain = ", ".join(entry for entry in BACKBONES if "weights" not in BACKBONES[entry].needs)
        raise DataError(
            f"the backbone {name} starts from pretrained weights, and models of it are not kept yet: `jaxuq muben` "
            f"scores it, and kept models are of {plain}"
        )
    if features not in ("rdkit", "morgan"):
        raise DataError(f"features are {features!r}; expected 'rdkit' or 'morgan'")
    changes: dict[str, Any] = {}
    if width is not None:
        changes["width"] = check_count("width", width)
    if depth is not None:
        changes["depth"] = check_count("depth", depth)
    if dropout is not None:
        changes["dropout_rate"] = check_number("dropout", dropout, 0.0, 1.0, open_high=True)
    if shape is None:
        backbone = make_backbone(name, MubenConfiguration(backbone=name, features=features))
    elif changes.keys() & {"width", "depth"}:
        raise OptionError("width and depth of a pretrained network are those of its checkpoint; leave them out")
    else:
        backbone = dmpnn_backbone(dmpnn_config(**json.loads(shape)))
    make = backbone.network
    config = getattr(make(1), "config", None)
    if absent := [field for field in changes if not hasattr(make(1) if config is None else config, field)]:
        raise OptionError(f"the backbone {name} has no {absent[0]}; leave it out")
    if config is not None:
        changes = {"config": dataclasses.replace(config, **changes)}
    changed = backbone._replace(network=lambda num_outputs: make(num_outputs).clone(**changes))
    if molecules == 1:
        return changed
    if shape is not None:
        raise DataError(
            f"a pretrained {name} reads one molecule, and the rows have {molecules}; leave the checkpoint out"
        )
    return _of_several(changed, molecules)


def _of_several(backbone: Backbone, molecules: int) -> Backbone:
    """A backbone that reads several molecules a row, each as it would read one."""

    def featurise(rows: Sequence[Any], progress: Any) -> PyTree:
        features = backbone.featurise([text for row in rows for text in row], progress)
        return jax.tree.map(lambda leaf: leaf.reshape(len(rows), -1, *leaf.shape[1:]), features)

    def network(num_outputs: int) -> SeveralMolecules:
        body = backbone.network(num_outputs)
        shape = getattr(body, "config", body)
        sizes = {field: getattr(shape, field) for field in ("width", "dropout_rate") if hasattr(shape, field)}
        return SeveralMolecules(body, num_outputs, **sizes)

    at_once = max(backbone.molecules_at_once // molecules, 1)
    return backbone._replace(featurise=featurise, network=network, molecules_at_once=at_once)


def model_function(
    backbone: Backbone, task_type: str, num_tasks: int, classes: Sequence[int] = ()
) -> Callable[..., Array]:
    """`apply_fn(params, inputs, *, rng_key=None) -> outputs`, as forecasts read them.

    Args:
        backbone: the network.
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        num_tasks: of the labels.
        classes: of several classes, how many each task has.

    Returns:
        The function.
    """
    apply_fn = apply_function(backbone.network(num_tasks * likelihood_head(task_type, classes).outputs_per_task))

    def outputs(params: PyTree, inputs: PyTree, *, rng_key: Array | None = None) -> Array:
        return read_outputs(task_type, num_tasks, apply_fn(params, inputs, rng_key=rng_key), classes)

    return outputs
