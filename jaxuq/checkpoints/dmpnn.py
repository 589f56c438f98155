"""Chemprop 2's files: trained D-MPNNs (`.pt`, `.ckpt`) and message passing alone, as CheMeleon's `chemeleon_mp.pt`."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import PyTree

from jaxuq._errors import OptionError
from jaxuq.checkpoints.errors import CheckpointError
from jaxuq.checkpoints.places import Place, fill_places, linear
from jaxuq.checkpoints.settings import Settings
from jaxuq.checkpoints.torch_files import TorchFile
from jaxuq.checkpoints.torch_pickle import Name, Record
from jaxuq.networks.dmpnn import feature_widths
from jaxuq.networks.dmpnn_config import DMPNNConfig, DMPNNOutputs

# How losses and scores weigh tasks in training, and how many batches a normalisation has seen.
DMPNN_UNUSED = ("metrics.", "predictor.criterion.", "bn.num_batches_tracked")
_TRAINING = ("metrics", "warmup_epochs", "init_lr", "max_lr", "final_lr")
_OF_LOSS = ("task_weights", "threshold", "criterion")
_FEATURES = {feature_widths(atoms): atoms for atoms in ("v2", "v1", "organic", "rigr")}
_AGGREGATIONS = {"NormAggregation": "norm", "SumAggregation": "sum", "MeanAggregation": "mean"}
_PREDICTORS = {
    "RegressionFFN": "regression",
    "MveFFN": "regression-mve",
    "EvidentialFFN": "regression-evidential",
    "QuantileFFN": "regression-quantile",
    "BinaryClassificationFFN": "classification",
    "BinaryDirichletFFN": "classification-dirichlet",
    "MulticlassClassificationFFN": "multiclass",
    "MulticlassDirichletFFN": "multiclass-dirichlet",
}
_MODULES = {  # PyTorch's activations, and the attributes with which chemprop makes them
    "ReLU": ("relu", {}),
    "LeakyReLU": ("leakyrelu", {"negative_slope": 0.1}),
    "PReLU": ("prelu", {"num_parameters": 1}),
    "Tanh": ("tanh", {}),
    "ELU": ("elu", {"alpha": 1.0}),
    "SELU": ("selu", {}),
}
_LABELS, _DESCRIPTORS = "predictor.output_transform", "X_d_transform"
_MOST = 2**16  # layers, steps or tasks


def dmpnn_places(config: DMPNNConfig, scalers: tuple[str, ...] = (), *, foundation: bool = False) -> dict[str, Place]:
    """The table of a model's tensors.

    Args:
        config: the network.
        scalers: which there are: `"predictor.output_transform"` of labels, `"X_d_transform"` of descriptors.
        foundation: whether the file holds message passing alone.

    Returns:
        Places by tensor name; those of normalisation and scalers are no parameters, see `read_dmpnn`.

    Example:
        >>> dmpnn_places(DMPNNConfig())["message_passing.W_o.weight"].shape
        (300, 372)
    """
    width, (of_atoms, of_bonds) = config.width, feature_widths(config.atoms)
    base = "" if foundation else "message_passing."
    places = linear(f"{base}W_i", ("begin",), of_atoms + of_bonds, width, bias=config.bias)
    places |= linear(f"{base}W_h", ("step",), width, width, bias=config.bias)
    places |= linear(f"{base}W_o", ("end",), of_atoms + width, width)
    if config.activation == "prelu":
        places[f"{base}tau.weight"] = Place(("slope",), (1,))
    if config.batch_norm:
        for name in ("weight", "bias", "running_mean", "running_var"):
            places[f"bn.{name}"] = Place(("bn", name), (width,))
    if config.outputs is None:
        return places
    widths = [width + config.num_descriptors, *config.layers, config.outputs.width]
    for place, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        ours = "output" if place == len(widths) - 2 else f"hidden_{place}" if place else "hidden"
        places |= linear(f"predictor.ffn.{place}.{2 if place else 0}", (ours,), inputs, outputs)
    if config.layers and (config.head_activation or config.activation) == "prelu":
        places["predictor.ffn.1.0.weight"] = Place(("head_slope",), (1,))
    for name in scalers:
        count = config.num_descriptors if name == _DESCRIPTORS else len(config.outputs.tasks)
        places |= {f"{name}.{part}": Place((name, part), (1, count), kept=(count,)) for part in ("mean", "scale")}
    return places


def read_dmpnn(file: TorchFile) -> tuple[DMPNNConfig, PyTree]:
    """Network and parameters of a file of chemprop 2.

    A batch normalisation becomes the scale and shift that it is in a trained network; the scalers of descriptors and of
    labels go into the configuration. Message passing alone, which says of no aggregation, is averaged over atoms, as
    chemprop does.

    Args:
        file: the checkpoint.

    Returns:
        The network, and its parameters with those of the output layer, if there is one.

    Raises:
        CheckpointError: settings that are missing, unknown or of a variant that is not supported; as `fill_places`.
    """
    stored = file.tensors("state_dict")
    settings = Settings(file.settings("hyper_parameters"), f"the hyper_parameters of {file.path}")
    foundation = "W_i.weight" in stored
    try:
        config, scalers = (_foundation(settings), ()) if foundation else _model(settings, file)
    except OptionError as error:
        raise CheckpointError(f"{settings.source} do not fit together: {error}") from error
    shared = tuple(f"predictor.ffn.{place}.0.weight" for place in range(2, len(config.layers) + 1))
    ignored = (*DMPNN_UNUSED, *(shared if config.layers else ()))
    params: Any = fill_places(dmpnn_places(config, scalers, foundation=foundation), stored, ignored, file.path)
    if config.batch_norm:
        norm = {name: part.astype(np.float64) for name, part in params.pop("bn").items()}
        if (norm["running_var"] < 0).any():
            raise CheckpointError(f"bn.running_var in {file.path} has variances below zero")
        scale = norm["weight"] / np.sqrt(norm["running_var"] + 1e-5)
        shift = norm["bias"] - norm["running_mean"] * scale
        params |= {"scale": scale.astype(np.float32), "shift": shift.astype(np.float32)}
    return _scaled(config, params, file.path), params


def _scaled(config: DMPNNConfig, params: dict[str, Any], path: Path) -> DMPNNConfig:
    """The configuration with the numbers of its scalers, which are taken out of the parameters."""
    found = {
        name: {part: tuple(array.tolist()) for part, array in params.pop(name).items()}
        for name in (_LABELS, _DESCRIPTORS)
        if name in params
    }
    try:
        if _LABELS in found and config.outputs is not None:
            config = dataclasses.replace(config, outputs=dataclasses.replace(config.outputs, **found[_LABELS]))
        if _DESCRIPTORS in found:
            numbers = {f"descriptor_{part}": values for part, values in found[_DESCRIPTORS].items()}
            config = dataclasses.replace(config, **numbers)
    except OptionError as error:
        raise CheckpointError(f"the scalers of {path} do not fit: {error}") from error
    return config


def _model(settings: Settings, file: TorchFile) -> tuple[DMPNNConfig, tuple[str, ...]]:
    """The network of a trained model, and its scalers, whose numbers are not read yet."""
    message, gather, head = (_part(settings, name) for name in ("message_passing", "agg", "predictor"))
    fields = _message(message)
    aggregation = _class(gather, _AGGREGATIONS)
    fields |= {"aggregation": aggregation, "norm": gather.number("norm", 100.0, open_low=True)}
    gather.finish(irrelevant=("dim",), strict=("",))
    fields["batch_norm"] = settings.typed("batch_norm", bool, False)

    kind = _class(head, _PREDICTORS)
    width, tasks = fields["width"], _count(head, "n_tasks")
    descriptors = _count(head, "input_dim") - width
    if descriptors < 0:
        raise CheckpointError(f"{head.source} has an input_dim below d_h, {width}")
    fields["hidden"] = _hidden(head)
    fields |= {
        "head_dropout_rate": head.number("dropout", 0.0),
        "head_activation": _activation(head),
        "descriptor_mean": (0.0,) * descriptors,
        "descriptor_scale": (1.0,) * descriptors,
    }
    classes = _count(head, "n_classes") if kind.startswith("multiclass") else 0
    scalers = (_LABELS,) * _scaler(head, "output_transform", "UnscaleTransform")
    scalers += (_DESCRIPTORS,) * _scaler(settings, _DESCRIPTORS, "ScaleTransform")
    head.finish(irrelevant=_OF_LOSS, strict=("",))
    settings.finish(irrelevant=_TRAINING, strict=("",))
    return DMPNNConfig(**fields, outputs=DMPNNOutputs(kind, _tasks(file, tasks), classes)), scalers


def _foundation(settings: Settings) -> DMPNNConfig:
    return DMPNNConfig(**_message(settings), aggregation="mean", hidden=())


def _message(settings: Settings) -> dict[str, Any]:
    """What message passing says of itself."""
    if settings.get("cls", None) is not None:
        _class(settings, {"BondMessagePassing": ""})
    widths = (settings.count("d_v"), settings.count("d_e"))
    if widths not in _FEATURES:
        known = ", ".join(f"{name} {atoms} and {bonds}" for (atoms, bonds), name in _FEATURES.items())
        raise CheckpointError(
            f"{settings.source} has d_v {widths[0]} and d_e {widths[1]}, features of atoms and bonds; known are "
            f"{known}: reactions and features of one's own are not supported"
        )
    settings.refuse("d_vd", "descriptors of atoms are", 0)
    settings.refuse("V_d_transform", "descriptors of atoms are")
    transform = settings.get("graph_transform", None)
    if transform is not None and not _is_identity(transform):
        raise CheckpointError(f"{settings.source} has a graph_transform: features of one's own are not supported")
    fields = {
        "width": _count(settings, "d_h"),
        "depth": _count(settings, "depth"),
        "dropout_rate": settings.number("dropout", 0.0),
        "atoms": _FEATURES[widths],
        "activation": _activation(settings),
        "bias": settings.typed("bias", bool, False),
        "undirected": settings.typed("undirected", bool, False),
    }
    settings.finish(strict=("",))
    return fields


def _part(settings: Settings, name: str) -> Settings:
    """Settings in settings."""
    found = settings.get(name)
    found = found.state if isinstance(found, Record) else found
    if not isinstance(found, dict):
        raise CheckpointError(f"{settings.source} has a {type(found).__name__} as {name!r}, expected settings")
    return Settings(found, f"{name} in {settings.source}")


def _class(settings: Settings, known: dict[str, str]) -> str:
    """What the class in an entry `cls` is here."""
    found = settings.get("cls")
    name = found.name if isinstance(found, Name) else str(found)[:100]
    if not isinstance(found, Name) or name not in known:
        raise CheckpointError(f"{settings.source} is of the class {name}; supported are {', '.join(known)}")
    return known[name]


def _count(settings: Settings, name: str) -> int:
    count = settings.count(name)
    if count > _MOST:
        raise CheckpointError(f"{settings.source}: {name} is {count}, larger than any model's")
    return count


def _hidden(settings: Settings) -> tuple[int, ...]:
    """Widths of the head's layers before the last."""
    found, layers = settings.get("hidden_dim"), settings.count("n_layers", 1, minimum=0)
    if isinstance(found, list | tuple):
        return tuple(found)
    if layers > _MOST:
        raise CheckpointError(f"{settings.source}: n_layers is {layers}, larger than any model's")
    return (settings.count("hidden_dim"),) * layers


def _activation(settings: Settings) -> str:
    """An activation by chemprop's name: as text, as a member of its list, or as PyTorch's module."""
    found = settings.get("activation", "relu")
    if isinstance(found, Record) and found.name.name == "Activation":
        found = found.arguments[0] if isinstance(found.arguments, tuple) and found.arguments else None
    if isinstance(found, str):
        return found.lower()
    name = found.name.name if isinstance(found, Record) else type(found).__name__
    known, attributes = _MODULES.get(name, ("", {}))
    state = found.state if isinstance(found, Record) and isinstance(found.state, dict) else {}
    other = [f"{key} {state.get(key)}" for key, value in attributes.items() if state.get(key) != value]
    if not known or other:
        raise CheckpointError(
            f"{settings.source}: activation is {' with '.join([name, *other])}; supported are chemprop's own, "
            f"{', '.join(one for one, _ in _MODULES.values())}"
        )
    return known


def _scaler(settings: Settings, name: str, kind: str) -> bool:
    """Whether there is a scaler."""
    found = settings.get(name, None)
    if found is None or _is_identity(found):
        return False
    if not (isinstance(found, Record) and found.name.name == kind):
        what = found.name.name if isinstance(found, Record) else type(found).__name__
        raise CheckpointError(f"{settings.source}: {name} is {what}; supported is {kind}")
    return True


def _is_identity(found: Any) -> bool:
    """Whether a transform of features leaves them as they are."""
    if not isinstance(found, Record) or not isinstance(found.state, dict):
        return False
    parts = found.state.get("_modules", {})
    if found.name.name == "GraphTransform" and isinstance(parts, dict):
        return len(parts) > 0 and all(_is_identity(part) for part in parts.values())
    return found.name.name == "Identity"


def _tasks(file: TorchFile, count: int) -> tuple[str, ...]:
    """Names of tasks, where the file has them."""
    named = file.content.get("output_columns")
    if named is None:
        return tuple(f"task {number}" for number in range(1, count + 1))
    if not isinstance(named, list | tuple) or len(named) != count or not all(isinstance(one, str) for one in named):
        raise CheckpointError(f"{file.path} has output_columns that are not the names of its {count} tasks")
    return tuple(named)
