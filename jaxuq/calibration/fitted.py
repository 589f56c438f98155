"""A forecaster of one's own: parameter samples, a likelihood, a calibrator and conformal thresholds in one value.

    fitted = Fitted(samples, "gaussian", calibrator="variance-scaling", conformal="normalised", level=0.9)
    fitted = recalibrate(fitted, apply_fn, validation_inputs, validation_labels)
    save_fitted("solubility", fitted)
    forecast = predict_fitted(load_fitted("solubility"), apply_fn, inputs)

The model itself, `apply_fn`, is code and stays in yours.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Integer, PyTree, Real, Shaped

from jaxuq._arrays import check_shapes
from jaxuq._entries import Entries
from jaxuq._errors import ArrayError, OptionError
from jaxuq._options import check_number
from jaxuq.calibration.base import Calibrator
from jaxuq.calibration.beta import beta_calibration
from jaxuq.calibration.by_group import GroupCalibrator
from jaxuq.calibration.classwise_isotonic import classwise_isotonic
from jaxuq.calibration.conformal_classification import ConformalClassification, conformal_classification
from jaxuq.calibration.conformal_regression import ConformalRegression, Interval, conformal_regression
from jaxuq.calibration.isotonic import isotonic_calibration
from jaxuq.calibration.isotonic_quantiles import QuantileCalibrator, isotonic_quantiles
from jaxuq.calibration.linear_scaling import dirichlet_calibration, matrix_scaling, vector_scaling
from jaxuq.calibration.platt import platt_scaling
from jaxuq.calibration.temperature import temperature_scaling
from jaxuq.calibration.variance import variance_scaling
from jaxuq.calibration.venn_abers import venn_abers
from jaxuq.posterior import Likelihood, predict_forecast

CALIBRATORS: Entries[Any] = Entries(
    "calibrator",
    "jaxuq.calibrators",
    {
        "temperature": temperature_scaling(),
        "platt": platt_scaling(),
        "beta": beta_calibration(),
        "isotonic": isotonic_calibration(),
        "classwise-isotonic": classwise_isotonic(),
        "isotonic-quantiles": isotonic_quantiles(),
        "variance-scaling": variance_scaling(),
        "vector": vector_scaling(),
        "matrix": matrix_scaling(),
        "dirichlet": dirichlet_calibration(),
        "venn-abers": venn_abers(),
    },
)
"""Calibrators with a name; put your own in, or declare an entry point of the group `jaxuq.calibrators`."""

CONFORMAL: Entries[Any] = Entries(
    "conformal method",
    "jaxuq.conformal",
    {
        **{score: conformal_regression(score) for score in ("absolute", "normalised", "quantile")},
        **{score: conformal_classification(score) for score in ("lac", "aps", "raps", "saps")},
    },
)
"""Conformal methods by the name of their score; put your own in, or declare an entry point of `jaxuq.conformal`."""


class Fitted(NamedTuple):
    """What makes forecasts of a model's outputs, and of which only the model's code is missing.

    Attributes:
        samples: what `method.sample` returns, or parameters with a leading sample axis on every array.
        likelihood: how outputs are read, a name of `LIKELIHOODS` or a record.
        calibrator: a name of `CALIBRATORS`, a record (`calibration_by_group`, say), or None for none.
        conformal: a name of `CONFORMAL`, a record (one with groups, say), or None for none.
        level: coverage of the conformal intervals or sets, in (0, 1); needed with `conformal`.
        calibrator_state: as `recalibrate` fits it; None until then.
        conformal_state: likewise.
        about: what else belongs to it, such as units or a scaler: numbers, text and arrays in dictionaries,
            lists and tuples.
    """

    samples: Any
    likelihood: str | Likelihood
    calibrator: str | Calibrator | QuantileCalibrator | GroupCalibrator | None = None
    conformal: str | ConformalRegression | ConformalClassification | None = None
    level: float | None = None
    calibrator_state: Any = None
    conformal_state: Any = None
    about: Any = None


def predict_fitted(
    fitted: Fitted,
    apply_fn: Any,
    inputs: PyTree[Shaped[Array, "n ..."]],
    *,
    groups: Integer[Array, " n"] | None = None,
    batch_size: int | None = None,
    sample_chunk: int = 1,
) -> Any:
    r"""The forecast of all samples, calibrated: $\mathrm{apply}(\mathrm{state}, \mathrm{predict\_forecast}(\dots))$.

    Args:
        fitted: what was fitted.
        apply_fn: the model, `apply_fn(params, inputs) -> outputs`, the same code that the samples belong to.
        inputs: any pytree of arrays whose leading axis is the examples.
        groups: the group of each example, for a calibrator by group.
        batch_size: inputs at a time; see `predict_forecast`.
        sample_chunk: samples side by side; see `predict_forecast`.

    Returns:
        The likelihood's forecast of `n` examples.

    Raises:
        OptionError: an unknown name, a calibrator that `recalibrate` has not fitted yet, or groups where the
            calibrator has none, or none where it needs them.

    Example:
        >>> import jax.numpy as jnp
        >>> fitted = Fitted(jnp.array([1.0, 3.0]), "bernoulli")  # two samples of one parameter
        >>> forecast = predict_fitted(fitted, lambda slope, x: x * slope, jnp.array([[0.0], [1.0]]))
        >>> [round(float(p), 3) for p in forecast.probabilities[:, 0]]
        [0.5, 0.842]
    """
    forecast = predict_forecast(
        apply_fn, fitted.samples, inputs, fitted.likelihood, batch_size=batch_size, sample_chunk=sample_chunk
    )
    calibrator = None if fitted.calibrator is None else record_of(CALIBRATORS, fitted.calibrator)
    by_group = _needs_groups(calibrator)
    _check_groups(groups, {"calibrator": by_group})
    if calibrator is None:
        return forecast
    _expect_state(fitted.calibrator_state, "calibrator")
    return calibrator.apply(fitted.calibrator_state, forecast, *([groups] if by_group else []))


def conformal_prediction(fitted: Fitted, forecast: Any, **options: Any) -> Interval | Bool[Array, "n *tasks classes"]:
    """The intervals or sets of classes that cover the label with probability `fitted.level`.

    Args:
        fitted: with a conformal method that `recalibrate` has fitted.
        forecast: of `predict_fitted`.
        **options: `groups` or `rng_key`, of methods that have them.

    Returns:
        An `Interval`, or True at the classes of each set.

    Raises:
        OptionError: there is no conformal method, or it is not fitted.

    Example:
        >>> import jax.numpy as jnp
        >>> fitted = Fitted(jnp.ones((1, 1, 2)), "gaussian", conformal="absolute", level=0.8)
        >>> model = lambda w, x: (x * w)[:, None, :]
        >>> fitted = recalibrate(fitted, model, jnp.zeros((9, 1)), jnp.arange(1.0, 10.0)[:, None])
        >>> float(conformal_prediction(fitted, predict_fitted(fitted, model, jnp.zeros((1, 1)))).upper[0, 0])
        8.0
    """
    if fitted.conformal is None:
        raise OptionError("this Fitted has no conformal method; set conformal= and level=, then recalibrate")
    _expect_state(fitted.conformal_state, "conformal method")
    method = record_of(CONFORMAL, fitted.conformal)
    predict = method.interval if isinstance(method, ConformalRegression) else method.prediction_set
    return predict(fitted.conformal_state, forecast, **options)


def recalibrate(
    fitted: Fitted,
    apply_fn: Any,
    inputs: PyTree[Shaped[Array, "n ..."]],
    labels: Real[Array, "n *tasks"],
    *,
    where: Bool[Array, "n *tasks"] | None = None,
    weights: Real[Array, "n *tasks"] | None = None,
    conformal_rows: Bool[Array, " n"] | None = None,
    groups: Integer[Array, " n"] | None = None,
    batch_size: int | None = None,
    sample_chunk: int = 1,
    **options: Any,
) -> Fitted:
    """Fit the calibrator, then the conformal thresholds, to labels that training has not seen; the samples stay.

    It starts from the uncalibrated forecast each time, so recalibrating twice is recalibrating once. Thresholds keep
    their guarantee only on labels that the calibrator has not seen: where there are both, each gets rows of its own.

    Args:
        fitted: what is calibrated anew.
        apply_fn: the model; see `predict_fitted`.
        inputs: of the labels.
        labels: `[n, *tasks]`.
        where: True at the labels that are known.
        weights: >= 0, of each label.
        conformal_rows: True at the rows for the thresholds, the others are the calibrator's; None: every second row.
            Ignored unless there are both.
        groups: the group of each example, for the calibrator, the conformal method, or both: for those that have them.
        batch_size: see `predict_forecast`.
        sample_chunk: see `predict_forecast`.
        **options: `rng_key`, of conformal methods that have one.

    Returns:
        The same with new states.

    Raises:
        OptionError: there is nothing to fit, no level, groups that nothing here takes, or none where they are needed.
        ArrayError: shapes that do not belong together.

    Example:
        >>> import jax.numpy as jnp
        >>> fitted = Fitted(jnp.array([1.0]), "bernoulli", calibrator="temperature")
        >>> logits, labels = jnp.full((4, 1), 4.0), jnp.array([[1], [1], [0], [1]])  # says 98 %, right in 3 of 4
        >>> fitted = recalibrate(fitted, lambda slope, x: x * slope, logits, labels)
        >>> round(float(predict_fitted(fitted, lambda slope, x: x * slope, logits).probabilities[0, 0]), 3)
        0.75
    """
    if fitted.calibrator is None and fitted.conformal is None:
        raise OptionError("this Fitted has neither a calibrator nor a conformal method; set one of them first")
    calibrator = None if fitted.calibrator is None else record_of(CALIBRATORS, fitted.calibrator)
    conformal = None if fitted.conformal is None else record_of(CONFORMAL, fitted.conformal)
    if conformal is not None:
        if fitted.level is None:
            raise OptionError("this Fitted has a conformal method and no level; set level=, such as 0.9")
        check_number("level", fitted.level, 0.0, 1.0, open_low=True, open_high=True)
    by_group, grouped_sets = _needs_groups(calibrator), _needs_groups(conformal)
    _check_groups(groups, {"calibrator": by_group, "conformal method": grouped_sets})
    check_shapes(labels=labels, where=where, weights=weights)
    mine = theirs = where
    if calibrator is not None and conformal is not None:
        mine, theirs = _divided(labels, where, conformal_rows)
    forecast = predict_forecast(
        apply_fn, fitted.samples, inputs, fitted.likelihood, batch_size=batch_size, sample_chunk=sample_chunk
    )
    if calibrator is not None:
        mine_by_group = [groups] if by_group else []
        state = calibrator.fit(forecast, labels, *mine_by_group, where=mine, weights=weights)
        fitted, forecast = fitted._replace(calibrator_state=state), calibrator.apply(state, forecast, *mine_by_group)
    if conformal is not None:
        options |= {"groups": groups} if grouped_sets else {}
        state = conformal.fit(forecast, labels, level=fitted.level, where=theirs, weights=weights, **options)
        fitted = fitted._replace(conformal_state=state)
    return fitted


def _divided(labels: Array, where: Array | None, rows: Array | None) -> tuple[Array, Array]:
    """Masks of the calibrator's labels and of the conformal method's."""
    n = labels.shape[0]
    rows = jnp.arange(n) % 2 == 1 if rows is None else jnp.asarray(rows)
    if rows.shape != (n,) or rows.dtype != bool:
        raise ArrayError(f"conformal_rows has shape {rows.shape} and type {rows.dtype}; expected booleans ({n},)")
    known = jnp.ones(labels.shape, bool) if where is None else jnp.asarray(where)
    rows = rows.reshape((n,) + (1,) * (labels.ndim - 1))
    return known & ~rows, known & rows


def _needs_groups(record: Any) -> bool:
    return isinstance(record, GroupCalibrator) or getattr(record, "num_groups", 1) > 1


def _check_groups(groups: Any, needed: dict[str, bool]) -> None:
    parts = " or ".join(f"a {part}" for part in needed)
    if groups is not None and not any(needed.values()):
        raise OptionError(f"groups are given, and this Fitted has no {parts[2:]} with groups; leave them out")
    for part, needs in needed.items():
        if needs and groups is None:
            raise OptionError(f"the {part} of this Fitted has groups; give groups=, the number of each example's")


def record_of(table: Entries[Any], value: Any) -> Any:
    """The record of a name, or the record itself."""
    return table[value] if isinstance(value, str) else value


def _expect_state(state: Any, what: str) -> None:
    if state is None:
        raise OptionError(f"the {what} of this Fitted is not fitted yet; call recalibrate with labels first")
