"""What all calibrators have in common: two pure functions and a state that is saved with the model."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Calibrator(NamedTuple):
    """A method that corrects forecasts after training, with labels that training has not seen.

    The state is a NamedTuple of arrays, one entry a task: save it beside the parameters, as it belongs to them. `apply`
    works under `jit`, `vmap` and `grad` and keeps the type and shape of the forecast. Fit on validation data, never on
    the data that trained the network (on those it is over-confident already) and never on the test data.

    Rules that all keep:

    - A task whose labels do not determine the correction (no label, or one class only) has `state.identity` True, and
      `apply` returns its forecast bit by bit.
    - What no correction can change takes no part in the fit: a certain forecast (an infinite logit, a variance of 0 or
      infinity), right or wrong, stays as it is.
    - A label that is out of range, or a NaN that is not masked, makes its task's state NaN.
    - Sums are taken in at least single precision; a forecast in half precision comes back in half precision.

    Attributes:
        fit: `(forecast, labels, *, where=None, weights=None) -> state`; arrays of shape `[n, tasks]` (categorical
            logits have a further axis of classes), `where` True at the known labels, `weights` >= 0 of each label (2
            counts as two rows, 0 as none).
        apply: `(state, forecast) -> forecast`.
    """

    fit: Callable[..., Any]
    apply: Callable[[Any, Any], Any]
