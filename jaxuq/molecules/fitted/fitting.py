"""Fit an ensemble of networks to molecules, calibrate it, and keep all that a forecast needs."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt8

from jaxuq._digest import digest
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq._options import check_count, check_number
from jaxuq.calibration import CALIBRATORS, Fitted, recalibrate
from jaxuq.calibration import CONFORMAL as CONFORMAL_METHODS
from jaxuq.molecules.fitted.batches import row_bits
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of, model_function
from jaxuq.molecules.fitted.parts import PartRows
from jaxuq.molecules.fitted.shift import Shift
from jaxuq.molecules.muben.backbones import Backbone, make_backbone
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.forecasting import told_epochs, told_features
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.problem import Problem, make_problem
from jaxuq.molecules.muben.setting import Setting
from jaxuq.molecules.muben.trainings import train_members
from jaxuq.molecules.records import DataError, MoleculeDataset, Split
from jaxuq.molecules.repeats import row_text
from jaxuq.molecules.scaling import LabelScaler
from jaxuq.posterior import predict_forecast
from jaxuq.study import Listener
from jaxuq.training import Training, TrainState, fit

CALIBRATOR = {"regression": "variance-scaling", "classification": "temperature", "multiclass": "temperature"}
CONFORMAL = {"regression": "normalised", "classification": "lac", "multiclass": "lac"}
_OF_TWO = "temperature", "platt", "beta", "isotonic", "venn-abers"
_OF_CLASSES = "temperature", "vector", "matrix", "dirichlet", "classwise-isotonic"
_SETS = "lac", "aps", "raps", "saps"
_APPLY = {
    "regression": (("variance-scaling", "isotonic-quantiles"), ("normalised", "absolute")),
    "classification": (_OF_TWO, _SETS),
    "multiclass": (_OF_CLASSES, _SETS),
}
_OF_NOTHING_HERE = {"quantile"}  # for networks that forecast quantiles
_CALLED = {"regression": "numbers", "classification": "two classes", "multiclass": "several classes"}


class MoleculeRecipe(NamedTuple):
    """What is fitted.

    Attributes:
        backbone: a name of `BACKBONES` that may start at random: dnn, morgan, gin, dmpnn.
        features: of the dnn: rdkit or morgan.
        members: networks of the ensemble.
        calibrator: a name of `jaxuq.calibration.CALIBRATORS` that applies to the labels; "auto": variance scaling or a
            temperature; None: none.
        conformal: a name of `jaxuq.calibration.CONFORMAL`, likewise; "auto": normalised residuals or lac; None: no
            promise.
        level: share of new labels that intervals and sets shall hold.
        learning_rate: None: the backbone's.
        batch_size: None: the backbone's.
        epochs: at most; None: the backbone's.
        patience: epochs without a better validation score; None: the backbone's.
        width: units of the network's layers; None: the backbone's.
        depth: layers; None: the backbone's.
        dropout: share of units that training leaves out; None: the backbone's.
        checkpoint: a folder of `jaxuq.checkpoints.convert_backbone` from which a dmpnn starts; None: at random.
        frozen_backbone: whether only the output layer is trained.
    """

    backbone: str = "dnn"
    features: Literal["rdkit", "morgan"] = "rdkit"
    members: int = 5
    calibrator: str | None = "auto"
    conformal: str | None = "auto"
    level: float = 0.9
    learning_rate: float | None = None
    batch_size: int | None = None
    epochs: int | None = None
    patience: int | None = None
    width: int | None = None
    depth: int | None = None
    dropout: float | None = None
    checkpoint: str | pathlib.Path | None = None
    frozen_backbone: bool = False

    @property
    def network(self) -> MoleculeNetwork:
        """The network that is fitted."""
        shape = None
        if (pretrained := self.pretrained) is not None:
            shape = json.dumps(dataclasses.asdict(pretrained.network(1).config))
        return MoleculeNetwork(self.backbone, self.features, self.width, self.depth, self.dropout, shape)

    @property
    def pretrained(self) -> Backbone | None:
        """The backbone of the checkpoint, with its weights.

        Raises:
            DataError: the backbone reads none, or one is needed for a frozen backbone and not there.
        """
        if self.checkpoint is None:
            if self.frozen_backbone:
                raise DataError("a frozen backbone that starts at random learns nothing; name a --checkpoint")
            return None
        if self.backbone != "dmpnn":
            raise DataError(f"models of the backbone {self.backbone} start from no checkpoint; use --backbone dmpnn")
        named = {"checkpoint": str(self.checkpoint), "frozen_backbone": self.frozen_backbone}
        return make_backbone("dmpnn", MubenConfiguration(backbone="dmpnn", **named))


class FittedMolecules(NamedTuple):
    """A model of molecules with all that its forecasts need, but for the code of its network.

    Attributes:
        forecaster: networks, likelihood, calibrator and intervals, on the scale on which networks were trained.
        network: which one.
        task_names: of the labels.
        task_type: `"classification"`, `"regression"` or `"multiclass"`.
        scaler: from that scale to the labels' own.
        fingerprints: Morgan bits of the training molecules, packed, for how near a new molecule is.
        usual: epistemic uncertainty of the calibration molecules, in ascending order: what is usual for this model.
        sizes: molecules of the four parts.
        data: digest of molecules, labels and parts.
        shift: how calibration counts for other molecules, if the promise is for those; see `promise_for`.
        classes: of several classes, their names for each task.
        molecule_columns: what the molecules of a row are called.
        label_range: the ends of what labels can be; None: any number.
        weights: digest of the checkpoint that the networks began from (`LoadedBackbone.digest`); None: of none.
    """

    forecaster: Fitted
    network: MoleculeNetwork
    task_names: tuple[str, ...]
    task_type: str
    scaler: LabelScaler
    fingerprints: UInt8[np.ndarray, "train bytes"]
    usual: Float[np.ndarray, "calibrate tasks"]
    sizes: tuple[int, ...]
    data: str
    shift: Shift | None = None
    classes: tuple[tuple[str, ...], ...] = ()
    molecule_columns: tuple[str, ...] = ("smiles",)
    label_range: tuple[float, float] | None = None
    weights: str | None = None


def fit_molecules(
    rng_key: Key[Array, ""],
    data: MoleculeDataset,
    rows: PartRows,
    recipe: MoleculeRecipe | None = None,
    *,
    label_range: tuple[float, float] | None = None,
    listener: Listener | None = None,
    strategy: str = "auto",
) -> FittedMolecules:
    """Train an ensemble, calibrate it, and fit its intervals, each on labels that nothing before has seen.

    Half of the calibration part fits the calibrator, the other half the intervals (`jaxuq.calibration.recalibrate`).
    For how many labels the level needs see `conformal_threshold`: with fewer than level / (1 - level) a task's
    intervals are endless.

    Args:
        rng_key: of all networks; each follows from its number alone.
        data: molecules with labels. Bounds of labels are learnt from (`censored_negative_log_likelihood`); they choose
            no epoch and calibrate nothing.
        rows: which train, choose the epoch, calibrate and test; see `divide_molecules`.
        recipe: what is fitted; None: `MoleculeRecipe()`.
        label_range: of regression, the ends of what labels can be, such as (0, 100): forecasts and intervals end there
            too, which costs no coverage.
        listener: is told how far it is.
        strategy: how members are mapped over devices, see `jaxuq.parallel.map_members`.

    Returns:
        The model; save it with `save_molecules`.

    Raises:
        DataError: a part without molecules or labels, a label out of its range, or a backbone that cannot be kept.
        OptionError: a number of the recipe out of its range, or an unknown name.
        DivergedError: the training diverged.
    """
    listener = Listener() if listener is None else listener
    recipe = MoleculeRecipe() if recipe is None else recipe
    check_recipe(recipe)
    network = recipe.network._replace(molecules=len(data.molecule_columns))
    backbone = backbone_of(network)
    check_applies(recipe, data.task_type)
    if label_range is not None:
        check_range(data, label_range)
    problem = problem_of(data, rows, backbone, listener)
    keys = jnp.stack([named_key(rng_key, "member", member) for member in range(recipe.members)])
    samples = train_recipe(keys, problem, recipe, listener=listener, strategy=strategy).best_params
    fitted = Fitted(
        samples,
        problem.likelihood,
        CALIBRATOR[problem.task_type] if recipe.calibrator == "auto" else recipe.calibrator,
        CONFORMAL[problem.task_type] if recipe.conformal == "auto" else recipe.conformal,
        recipe.level if recipe.conformal else None,
    )
    model = model_function(backbone, problem.task_type, len(problem.task_names), problem.classes)
    held, at_once = problem.test, backbone.molecules_at_once
    raw = predict_forecast(model, samples, held.inputs, problem.likelihood, batch_size=at_once)
    if fitted.calibrator or fitted.conformal:
        labels = held.labels if problem.task_type == "regression" else held.labels.astype(jnp.int32)
        fitted = recalibrate(fitted, model, held.inputs, labels, where=held.mask, batch_size=at_once)
    bits = row_bits(data.take(rows.train).rows, len(data.molecule_columns)).astype(bool)
    return FittedMolecules(
        forecaster=fitted,
        network=network,
        task_names=problem.task_names,
        task_type=problem.task_type,
        scaler=problem.scaler,
        fingerprints=np.packbits(bits, axis=1),
        usual=np.sort(np.asarray(raw.epistemic), axis=0),
        sizes=tuple(len(part) for part in rows),
        data=digest(*content_of(data), [part.tolist() for part in rows]),
        classes=data.classes,
        molecule_columns=data.molecule_columns,
        label_range=None if label_range is None else (float(label_range[0]), float(label_range[1])),
        weights=None if (pretrained := recipe.pretrained) is None else pretrained.weights,
    )


def check_recipe(recipe: MoleculeRecipe) -> None:
    """Refuse numbers with which nothing would be learnt, and names that nothing has.

    Args:
        recipe: any.

    Raises:
        OptionError: names the option, and what it may be.
    """
    check_count("members", recipe.members)
    check_number("level", recipe.level, 0.0, 1.0, open_low=True, open_high=True)
    for name in ("epochs", "patience", "batch_size"):
        if (count := getattr(recipe, name)) is not None:
            check_count(name, count)
    if recipe.learning_rate is not None:
        check_number("learning_rate", recipe.learning_rate, 0.0, open_low=True)
    named: tuple[tuple[str | None, Mapping[str, Any]], ...]
    named = ((recipe.calibrator, CALIBRATORS), (recipe.conformal, CONFORMAL_METHODS))
    for entry, table in named:
        if isinstance(entry, str) and entry != "auto":
            table[entry]  # which says what there is


def check_applies(recipe: MoleculeRecipe, task_type: str) -> None:
    """Refuse what comes with jaxuq and is for labels of another kind; what comes from elsewhere knows itself.

    Args:
        recipe: names a calibrator and a conformal method.
        task_type: of the labels.

    Raises:
        OptionError: names what there is.
    """
    for what, name, place in (("calibrator", recipe.calibrator, 0), ("conformal method", recipe.conformal, 1)):
        fits = _APPLY[task_type][place]
        packaged = _OF_NOTHING_HERE.union(*(both[place] for both in _APPLY.values()))
        if name in packaged and name not in fits:
            raise OptionError(
                f"the {what} {name} is not for labels of {_CALLED[task_type]}; for these there are {', '.join(fits)}"
            )


def check_range(data: MoleculeDataset, label_range: tuple[float, float]) -> None:
    """Refuse a range that is none, or that a label is out of.

    Args:
        data: of regression.
        label_range: both ends.

    Raises:
        OptionError: the ends are not in order, or labels are classes.
        DataError: names the first label out of the range.
    """
    low, high = label_range
    if data.task_type != "regression":
        raise OptionError(f"label_range is for labels that are numbers; these are {_CALLED[data.task_type]}")
    if not low < high:
        raise OptionError(f"label_range is {low:g} to {high:g}; expected its lower end first, such as 0 100")
    outside = np.argwhere(data.mask & ~((data.labels >= low) & (data.labels <= high)))
    if len(outside):
        row, task = outside[0]
        raise DataError(
            f"{len(outside)} labels are out of the range {low:g} to {high:g}, the first {data.labels[row, task]:g} for "
            f"{data.task_names[task]!r} of {row_text(data.rows[row])!r}"
        )


def content_of(data: MoleculeDataset) -> list[Any]:
    """What a model learns from, for digests: what only some tables have counts only there.

    Args:
        data: the molecules.

    Returns:
        Parts of the data; a table with one molecule a row and no classes by name has the same as ever.
    """
    further = [part for part in (data.beside, data.classes) if part]
    return [data.smiles, data.labels, data.mask, data.weights, data.bounds, *further]


def problem_of(data: MoleculeDataset, rows: PartRows, backbone: Backbone, listener: Listener) -> Problem:
    """The arrays of a model: what is learnt from, what chooses the epoch, and, in the third place, what calibrates.

    Args:
        data: molecules with labels.
        rows: the parts.
        backbone: whose features they are.
        listener: is told how far it is.

    Returns:
        The problem; nothing of its third part is read while networks are trained.
    """
    split = Split(data.take(rows.train), data.take(rows.valid), data.take(rows.calibrate))
    return make_problem(split, backbone, told_features(listener))


def train_recipe(
    keys: Key[Array, " networks"],
    problem: Problem,
    recipe: MoleculeRecipe,
    *,
    name: str = "ensemble",
    listener: Listener | None = None,
    strategy: str = "auto",
) -> TrainState:
    """Train networks of a recipe with early stopping.

    Args:
        keys: of the networks; each follows from its own.
        problem: from `problem_of`.
        recipe: which network, and how it is trained.
        name: for progress.
        listener: is told how far it is.
        strategy: see `jaxuq.parallel.map_members`.

    Returns:
        The states: `best_params`, and `best_score` on the validation part, lower is better: root mean squared error
        in standard deviations of the labels, minus the area under the ROC curve, or cross entropy of several classes.
    """
    told = Listener() if listener is None else listener
    check_recipe(recipe)

    def run(name: str, training: Training, state: TrainState, num_epochs: int) -> Any:
        return fit(
            training, state, problem.train, problem.valid, num_epochs=num_epochs, strategy=strategy,
            on_progress=lambda progress: told.progress(f"train {name}", *told_epochs(progress)),
        )  # fmt: skip

    # Epochs are compared in standard units: in those of the labels one task may outweigh, or overflow, the others.
    unit = LabelScaler(*(np.full_like(np.asarray(part), fill) for part, fill in zip(problem.scaler, (0.0, 1.0))))
    network, pretrained = recipe.network._replace(molecules=problem.molecules), recipe.pretrained
    backbone = backbone_of(network)
    if pretrained is not None:
        backbone = backbone._replace(pretrained=pretrained.pretrained)
    setting = _setting(problem._replace(scaler=unit), backbone, recipe, run)
    return train_members(setting, name, likelihood_head(problem.task_type, problem.classes), keys).state


def _setting(problem: Problem, backbone: Backbone, recipe: MoleculeRecipe, run: Any) -> Setting:
    chosen = {name: getattr(recipe, name) for name in ("learning_rate", "batch_size", "epochs", "patience")}
    return Setting(
        problem=problem,
        make_network=backbone.network,
        recipe=backbone.recipe._replace(**{name: value for name, value in chosen.items() if value is not None}),
        samples=1,
        frozen_backbone=recipe.frozen_backbone,
        pretrained=None if backbone.pretrained is None else backbone.pretrained(),
        muben=False,
        fit=run,
        molecules_at_once=backbone.molecules_at_once,
        branches=backbone.branches,
        members=recipe.members,
    )
