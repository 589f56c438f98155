"""Calibration by group: a calibrator of each group of examples, and of all together where a group has few labels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Integer, PyTree, Real

from jaxuq._arrays import check_shapes
from jaxuq._options import check_count
from jaxuq.calibration.base import Calibrator


class GroupState(NamedTuple):
    """Fitted calibrators.

    Attributes:
        states: of each group and, last, of all examples, along a leading axis.
        enough: whether a group has labels enough for its own.
    """

    states: PyTree
    enough: Bool[Array, " groups"]


class GroupCalibrator(NamedTuple):
    """The two functions of a `Calibrator`, each with the groups of the rows as one more array.

    Attributes:
        fit: `(forecast, labels, groups, *, where=None, weights=None) -> GroupState`.
        apply: `(state, forecast, groups) -> forecast`.
    """

    fit: Callable[..., GroupState]
    apply: Callable[[GroupState, Any, Array], Any]


def calibration_by_group(calibrator: Calibrator, num_groups: int, *, fewest: int = 50) -> GroupCalibrator:
    r"""Any calibrator, fitted for each group of examples alone.

    Use it where a calibration that holds on average hides groups for which it does not: kinds of molecules, scaffolds,
    languages, clusters of features. A group has to be known when predicting. Each group's labels serve it alone, so
    that its correction is as noisy as they are few: below `fewest` labels it takes the one of all examples, and so does
    a group number outside [0, groups), such as one that calibration has not seen.

    Args:
        calibrator: such as `temperature_scaling()`; its `fit` is called once a group, and once for all.
        num_groups: how many, numbered from 0.
        fewest: labels of a group, of all tasks together, below which it has no state of its own.

    Returns:
        A `GroupCalibrator`.

    Raises:
        OptionError: a number is out of range.
        ArrayError: by `fit` and `apply`, if there is not one group a row; and as the calibrator's.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxuq.calibration import temperature_scaling
        >>> from jaxuq.posterior import BernoulliForecast
        >>> forecast = BernoulliForecast(jnp.full((8, 1), 2.0))  # says 88 %, is right in 3 of 4 and in 2 of 4
        >>> labels, groups = jnp.array([1, 1, 0, 1, 1, 0, 1, 0])[:, None], jnp.array([0, 0, 0, 0, 1, 1, 1, 1])
        >>> method = calibration_by_group(temperature_scaling(), 2, fewest=4)
        >>> state = method.fit(forecast, labels, groups)
        >>> print(method.apply(state, forecast, groups).probabilities[::4, 0].round(2))
        [0.75 0.5 ]

    References:
        U. Hébert-Johnson, M. P. Kim, O. Reingold, G. N. Rothblum, "Multicalibration: Calibration for the
        (Computationally-Identifiable) Masses", ICML 2018, section 2 (for groups that may overlap).
    """
    check_count("num_groups", num_groups)
    check_count("fewest", fewest, 0)

    def fit(
        forecast: Any,
        labels: Real[Array, "n *tasks"],
        groups: Integer[Array, " n"],
        *,
        where: Bool[Array, "n *tasks"] | None = None,
        weights: Real[Array, "n *tasks"] | None = None,
    ) -> GroupState:
        check_shapes(labels=labels, where=where, weights=weights)
        check_shapes(**{"labels of a task": jax.ShapeDtypeStruct(labels.shape[:1], bool), "groups": groups})
        counts = jnp.ones(labels.shape, bool) if where is None else where
        mine = [counts & _over(groups == number, counts) for number in range(num_groups)]
        fitted = [calibrator.fit(forecast, labels, where=some, weights=weights) for some in (*mine, counts)]
        states = jax.tree.map(lambda *leaves: jnp.stack(leaves), *fitted)
        heavy = jnp.ones(labels.shape, bool) if weights is None else weights != 0  # what weighs nothing is not there
        return GroupState(states, jnp.stack([jnp.sum(some & heavy) for some in mine]) >= fewest)

    def apply(state: GroupState, forecast: Any, groups: Integer[Array, " n"]) -> Any:
        rows = jax.tree.leaves(forecast)[0].shape[:1]
        check_shapes(**{"a column of the forecast": jax.ShapeDtypeStruct(rows, bool), "groups": groups})
        result = calibrator.apply(jax.tree.map(lambda leaf: leaf[-1], state.states), forecast)
        for number in range(num_groups):
            own = calibrator.apply(jax.tree.map(lambda leaf, i=number: leaf[i], state.states), forecast)
            mine = (groups == number) & state.enough[number]
            result = jax.tree.map(lambda new, old, mine=mine: jnp.where(_over(mine, old), new, old), own, result)
        return result

    return GroupCalibrator(fit, apply)


def _over(rows: Array, like: Array) -> Array:
    """One truth value a row, in the shape of an array of rows."""
    return jnp.broadcast_to(rows.reshape(rows.shape + (1,) * (like.ndim - 1)), like.shape)
