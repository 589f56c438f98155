"""A kept model as a folder: `jaxuq.calibration.save_fitted` with the molecules' part in its `about`."""

import pathlib
from typing import Any

import numpy as np

from jaxuq._errors import JaxuqError
from jaxuq.calibration import Fitted, FittedError, load_fitted, save_fitted
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of
from jaxuq.molecules.fitted.shift import Shift
from jaxuq.molecules.scaling import LabelScaler

_KIND, _VERSION = "jaxuq.molecules", 2  # 1 had no several classes, and one molecule a row


def save_molecules(folder: str | pathlib.Path, fitted: FittedMolecules) -> None:
    """Write a model as a folder of JSON and safetensors that `load_molecules_model` reads anywhere.

    Args:
        folder: made if needed; a model that is there is replaced.
        fitted: from `fit_molecules`.

    Raises:
        FittedError: the folder holds something else.
        OSError: the disk refuses; what was there stays.
    """
    about = {
        "kind": _KIND,
        "version": _VERSION,
        "network": fitted.network._asdict(),
        "task_names": list(fitted.task_names),
        "task_type": fitted.task_type,
        "mean": np.asarray(fitted.scaler.mean, np.float64),
        "scale": np.asarray(fitted.scaler.scale, np.float64),
        "fingerprints": fitted.fingerprints,
        "usual": np.asarray(fitted.usual),
        "sizes": list(fitted.sizes),
        "data": fitted.data,
        "shift": None if fitted.shift is None else fitted.shift._asdict(),
        "classes": [list(names) for names in fitted.classes],
        "molecule_columns": list(fitted.molecule_columns),
        "label_range": None if fitted.label_range is None else list(fitted.label_range),
        "weights": fitted.weights,
    }
    save_fitted(folder, fitted.forecaster._replace(about=about))


def load_molecules_model(folder: str | pathlib.Path) -> FittedMolecules:
    """Read a model; nothing in the folder is executed.

    Args:
        folder: as given to `save_molecules`.

    Returns:
        The model, with the same forecasts.

    Raises:
        FittedError: no such folder, a damaged file, a newer version, or a folder of another kind.
    """
    if not pathlib.Path(folder, "fitted.json").is_file():
        raise FittedError(
            f"{folder}/fitted.json is missing; {folder} holds no model. Name a folder of jaxuq molecules fit"
        )
    fitted = load_fitted(folder)
    about: Any = fitted.about
    if not isinstance(about, dict) or about.get("kind") != _KIND:
        raise FittedError(f"{folder} holds a fitted model, but none of molecules; name a folder of jaxuq molecules fit")
    if (version := about.get("version")) not in (1, _VERSION):
        raise FittedError(f"{folder} has version {version} of a model of molecules; this jaxuq reads 1 and {_VERSION}")
    try:
        network = MoleculeNetwork(**about["network"])
        backbone_of(network)
    except (JaxuqError, TypeError, KeyError, ValueError) as error:
        raise FittedError(f"{folder} needs what is not here: {error}") from error
    try:
        found = _model(fitted, about, network)
    except (TypeError, KeyError, ValueError) as error:
        raise FittedError(f"{folder} is damaged: {type(error).__name__} {error}; save the model again") from error
    if wrong := _wrong(found):
        raise FittedError(f"{folder} is damaged: its {wrong}; save the model again")
    return found


def _model(fitted: Fitted, about: Any, network: MoleculeNetwork) -> FittedMolecules:
    return FittedMolecules(
        forecaster=fitted._replace(about=None),
        network=network,
        task_names=tuple(about["task_names"]),
        task_type=about["task_type"],
        scaler=LabelScaler(np.asarray(about["mean"]), np.asarray(about["scale"])),
        fingerprints=np.asarray(about["fingerprints"]),
        usual=np.asarray(about["usual"]),
        sizes=tuple(about["sizes"]),
        data=about["data"],
        shift=None if about.get("shift") is None else Shift(**about["shift"]),
        classes=tuple(tuple(names) for names in about.get("classes", ())),
        molecule_columns=tuple(about.get("molecule_columns", ("smiles",))),
        label_range=None if about.get("label_range") is None else tuple(about["label_range"]),
        weights=about.get("weights"),
    )


def _wrong(found: FittedMolecules) -> str:
    """What of a model does not fit the rest of it, or nothing."""
    tasks, columns, bits = len(found.task_names), len(found.molecule_columns), found.fingerprints
    scaler = [np.asarray(part) for part in found.scaler]
    ends = found.label_range
    fits = {
        "tasks have no name": tasks > 0 and all(isinstance(name, str) for name in found.task_names),
        "labels are of no known kind": found.task_type in ("classification", "regression", "multiclass"),
        "scaler is not one of its tasks": all(
            part.shape == (tasks,) and part.dtype.kind == "f" and np.isfinite(part).all() for part in scaler
        )
        and bool((scaler[1] > 0).all()),
        "fingerprints are not those of molecules": bits.dtype == np.uint8 and bits.ndim == 2 and len(bits) > 0,
        "uncertainties are not those of its tasks": found.usual.ndim == 2 and found.usual.shape[1] == tasks,
        "classes are not those of its tasks": len(found.classes) == tasks * (found.task_type == "multiclass"),
        "molecules a row are not those of its network": columns == found.network.molecules,
        "range of labels is none": ends is None or (len(ends) == 2 and ends[0] < ends[1]),
    }
    return next((what for what, good in fits.items() if not good), "")
