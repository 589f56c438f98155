"""Ask a kept model about new molecules: the label, how sure, the interval, and whether the molecule is of its kind."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from jaxuq.calibration import Interval, conformal_prediction, predict_fitted
from jaxuq.molecules.fitted.batches import input_batches, readable_rows, row_bits
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of, model_function
from jaxuq.molecules.fitted.shift import fit_shift, thresholds_under
from jaxuq.molecules.records import DataError, MoleculeDataset, Row
from jaxuq.molecules.rows import clean_rows
from jaxuq.molecules.scaling import unscale_mean, unscale_variance
from jaxuq.molecules.similarity import nearest_tanimoto
from jaxuq.posterior import CategoricalForecast, predict_forecast
from jaxuq.study import Listener


class MoleculeForecast(NamedTuple):
    """Forecasts of molecules, in the labels' own units; rows of unreadable molecules are NaN.

    Attributes:
        smiles: as given; of several molecules a row, tuples.
        task_names: of the labels.
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        mean: expected label; of two classes the probability of 1, of several that of the most probable class.
        aleatoric: variance of the label that more data would not take away; of classes entropy, in nats.
        epistemic: variance that comes from what the networks disagree about; of classes, mutual information.
        lower: of the interval that holds the label with the model's level; None for classes or without a level.
        upper: likewise.
        classes: which classes are in the set that holds the label with the model's level; None for regression or
            without a level.
        similarity: Tanimoto similarity to the nearest training molecule, in [0, 1].
        familiarity: share of the calibration molecules of which the networks were at least as unsure, in (0, 1]: small
            numbers say that this molecule is unlike those on which the promises were made.
        errors: why there is no forecast; empty where there is one.
        probabilities: of all classes; 0 at those that a task has not; None for regression.
        class_names: of each task; empty for regression.
        molecule_columns: what the molecules of a row are called.
    """

    smiles: list[Row]
    task_names: tuple[str, ...]
    task_type: str
    mean: Float[np.ndarray, "molecules tasks"]
    aleatoric: Float[np.ndarray, "molecules tasks"]
    epistemic: Float[np.ndarray, "molecules tasks"]
    lower: Float[np.ndarray, "molecules tasks"] | None
    upper: Float[np.ndarray, "molecules tasks"] | None
    classes: Bool[np.ndarray, "molecules tasks classes"] | None
    similarity: Float[np.ndarray, " molecules"]
    familiarity: Float[np.ndarray, "molecules tasks"]
    errors: list[str]
    probabilities: Float[np.ndarray, "molecules tasks classes"] | None = None
    class_names: tuple[tuple[str, ...], ...] = ()
    molecule_columns: tuple[str, ...] = ("smiles",)


def predict_molecules(
    fitted: FittedMolecules, smiles: Sequence[Row | float | None], *, listener: Listener | None = None
) -> MoleculeForecast:
    """Forecast molecules, 8,192 at a time; a molecule that RDKit cannot read costs itself alone.

    Args:
        fitted: from `fit_molecules` or `load_molecules_model`.
        smiles: any number of molecules; of several a row, tuples in the order of `fitted.molecule_columns`. None and
            NaN, as frames of pandas have them, are rows without a molecule.
        listener: is told how far it is.

    Returns:
        A forecast for each row.

    Raises:
        DataError: a row has another number of molecules than the model reads.
    """
    listener = Listener() if listener is None else listener
    molecules = fitted.molecule_columns
    smiles = clean_rows(smiles, molecules)
    tasks, regression = len(fitted.task_names), fitted.task_type == "regression"
    class_names = () if regression else fitted.classes or (("0", "1"),) * tasks
    sizes = tuple(map(len, class_names))
    backbone = backbone_of(fitted.network)
    forecast = _compiled(fitted.network, fitted.task_type, tasks, sizes, fitted.forecaster.likelihood)
    references = jnp.asarray(np.unpackbits(fitted.fingerprints, axis=1), jnp.float32)
    readable, errors = readable_rows(smiles, molecules)
    found: list[dict[str, np.ndarray]] = []
    for texts, padded, inputs in input_batches(backbone, smiles, readable, listener, "forecast"):
        bits = jnp.asarray(row_bits(texts, len(molecules), cache=False)[padded], jnp.float32)
        parts = forecast(fitted.forecaster, inputs)
        raw, calibrated, promise = jax.tree.map(operator.itemgetter(slice(len(texts))), parts)
        similarity = np.asarray(_nearest(bits, references))[: len(texts)]
        if fitted.shift is not None:
            promise = _shifted(fitted, calibrated, similarity)
        found.append(_units(fitted, raw, calibrated, promise) | {"similarity": similarity})

    def column(name: str, *shape: int, fill: Any = np.nan) -> np.ndarray:
        whole = np.full((len(smiles), *shape), fill)
        if found:
            whole[readable] = np.concatenate([part[name] for part in found])
        return whole

    promised = fitted.forecaster.conformal is not None
    there = np.arange(max(sizes, default=0)) < np.array(sizes, int)[:, None]  # classes that each task has
    return MoleculeForecast(
        smiles,
        fitted.task_names,
        fitted.task_type,
        column("mean", tasks),
        column("aleatoric", tasks),
        column("epistemic", tasks),
        column("lower", tasks) if promised and regression else None,
        column("upper", tasks) if promised and regression else None,
        column("classes", *there.shape, fill=False) & there if promised and not regression else None,
        column("similarity"),
        column("familiarity", tasks),
        errors,
        None if regression else column("probabilities", *there.shape),
        class_names,
        molecules,
    )


def promise_for(
    fitted: FittedMolecules,
    calibrate: MoleculeDataset,
    new: Sequence[Row],
    *,
    listener: Listener | None = None,
) -> FittedMolecules:
    """The same model with intervals or sets for molecules that come from elsewhere than those of calibration.

    What kind a molecule is, is told by its forecast (how sure, and the label itself) and by its similarity to the
    training molecules; calibration molecules count as often as their kind comes among the new ones (`fit_shift`). The
    promise holds on average over such new molecules, as far as these ratios are right and labels follow molecules as
    before; look at `shift.size` and at the share of endless intervals before you believe it.

    Args:
        fitted: with a conformal method, `"normalised"` or `"lac"`.
        calibrate: the calibration part on which it was fitted, in its order.
        new: molecules like those for which the promise is to hold; labels are not needed.
        listener: is told how far it is.

    Returns:
        The model with a shift.

    Raises:
        DataError: another conformal method, or too few molecules that RDKit can read.
    """
    forecaster = fitted.forecaster
    if forecaster.conformal not in ("normalised", "lac"):
        raise DataError(f"weighted promises are for the scores normalised and lac, not {forecaster.conformal!r}")
    plain = fitted._replace(shift=None)
    found = [predict_molecules(plain, smiles, listener=listener) for smiles in (calibrate.rows, new)]
    old, other = (_kind(one, fitted) for one in found)
    # Every second row calibrated, if anything did: thresholds are for the others.
    mine = np.arange(len(calibrate.smiles)) % 2 == 1 if forecaster.calibrator else np.ones(len(calibrate.smiles), bool)
    mine &= ~np.isnan(old).any(axis=1)
    forecast = found[0]
    if forecast.probabilities is None:
        scores = np.abs(calibrate.labels - forecast.mean) / np.sqrt(forecast.aleatoric + forecast.epistemic)
    else:
        own = calibrate.labels.astype(int)[..., None]
        scores = 1 - np.take_along_axis(forecast.probabilities, own, axis=-1)[..., 0]
    mask = calibrate.exact().mask[mine]
    readable = ~np.isnan(other).any(axis=1)
    shift = fit_shift(old[mine], other[readable], np.where(mask, scores[mine], 0.0), mask)
    return fitted._replace(shift=shift)


def _kind(forecast: MoleculeForecast, fitted: FittedMolecules) -> Float[np.ndarray, "molecules features"]:
    """Few numbers that say what kind of molecule each is."""
    if fitted.task_type == "regression":
        scale = np.asarray(fitted.scaler.scale)
        mean = (forecast.mean - np.asarray(fitted.scaler.mean)) / scale
        variances = (forecast.aleatoric / scale / scale, forecast.epistemic / scale / scale)
    else:
        mean, variances = forecast.mean, (forecast.aleatoric, forecast.epistemic)
    return _kind_features(mean, *variances, forecast.similarity)


def _kind_features(
    mean: np.ndarray, aleatoric: np.ndarray, epistemic: np.ndarray, similarity: np.ndarray
) -> Float[np.ndarray, "molecules features"]:
    """On the scale of the networks: the label, both uncertainties as logarithms, the similarity to training."""
    logs = [np.log(np.maximum(part, 1e-12)) for part in (aleatoric, epistemic)]
    return np.concatenate([mean, *logs, similarity[:, None]], axis=1)


def _shifted(fitted: FittedMolecules, forecast: Any, similarity: np.ndarray) -> Any:
    """The intervals or sets of molecules under the shift, on the scale of the networks."""
    assert fitted.shift is not None and fitted.forecaster.level is not None  # the caller knows
    aleatoric, epistemic = (np.asarray(part, np.float64) for part in (forecast.aleatoric, forecast.epistemic))
    regression = fitted.task_type == "regression"
    shares = None if regression else _shares(forecast)
    mean = np.asarray(forecast.mean, np.float64) if shares is None else _main_share(shares, fitted)
    features = _kind_features(mean, aleatoric, epistemic, similarity)
    thresholds = thresholds_under(fitted.shift, features, fitted.forecaster.level)
    if shares is None:
        half = thresholds * np.sqrt(aleatoric + epistemic)
        ends: Any = (mean - half, mean + half)  # of double precision
        return Interval(*ends)
    return 1 - shares <= thresholds[..., None]


def _shares(forecast: Any) -> Float[np.ndarray, "molecules tasks classes"]:
    """Probabilities of all classes, of a forecast of two or of several."""
    found = np.asarray(forecast.probabilities, np.float64)
    return found if isinstance(forecast, CategoricalForecast) else np.stack([1 - found, found], axis=-1)


def _main_share(shares: np.ndarray, fitted: FittedMolecules) -> Float[np.ndarray, "molecules tasks"]:
    """The probability of 1 of two classes, of the most probable of several."""
    return shares.max(axis=-1) if fitted.task_type == "multiclass" else shares[..., 1]


_nearest = jax.jit(nearest_tanimoto)


@functools.cache
def _compiled(network: MoleculeNetwork, task_type: str, tasks: int, classes: tuple[int, ...], likelihood: Any) -> Any:
    """A forecast before and after calibration, by one function a network, so that its programs are compiled once."""
    backbone = backbone_of(network)
    model = model_function(backbone, task_type, tasks, classes)

    def forecasts(fitted: Any, inputs: Any) -> tuple[Any, Any, Any]:
        at_once = backbone.molecules_at_once
        raw = predict_forecast(model, fitted.samples, inputs, likelihood, batch_size=at_once)
        calibrated = predict_fitted(fitted, model, inputs, batch_size=at_once)
        return raw, calibrated, conformal_prediction(fitted, calibrated) if fitted.conformal else None

    return forecasts


def _units(fitted: FittedMolecules, raw: Any, forecast: Any, promise: Any) -> dict[str, np.ndarray]:
    """The arrays of some molecules in the labels' own units."""
    # A hair less, so that a molecule of calibration is as familiar as it is whatever the rounding of its batch.
    usual, doubt = fitted.usual, np.asarray(raw.epistemic, np.float64) * (1 - 1e-5)
    below = [np.searchsorted(usual[:, task], doubt[:, task], side="left") for task in range(usual.shape[1])]
    found = {"familiarity": (len(usual) - np.stack(below, axis=1) + 1) / (len(usual) + 1)}
    parts = {name: np.asarray(getattr(forecast, name), np.float64) for name in ("aleatoric", "epistemic")}
    if fitted.task_type != "regression":
        shares = _shares(forecast)
        found |= parts | {"probabilities": shares, "mean": _main_share(shares, fitted)}
        return found if promise is None else found | {"classes": np.asarray(promise)}
    found |= {name: np.asarray(unscale_variance(fitted.scaler, part)) for name, part in parts.items()}
    ends = {} if promise is None else {"lower": promise.lower, "upper": promise.upper}
    for name, part in {"mean": forecast.mean, **ends}.items():
        values = np.asarray(unscale_mean(fitted.scaler, np.asarray(part, np.float64)))
        found[name] = values if fitted.label_range is None else np.clip(values, *fitted.label_range)
    return found
