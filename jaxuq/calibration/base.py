"""What all calibrators have in common: two pure functions and a state that is saved with the model."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Calibrator(NamedTuple):
    """A method that corrects forecasts after training, with labels that training has not seen.

    The state is a NamedTuple of arrays, one entry a task: save it beside the parameters, as it belongs to them. `apply`
    works under `jit`, `vmap` and `grad` and keeps the type and shape of the forecast. Fit on validation data, never on
    the data that trained the network (on those it is over-confident already) and never on the test data.

    A task whose labels do not determine the correction (no label, or one class only) keeps its forecast as it is.

    Attributes:
        fit: `(forecast, labels, *, where=None) -> state`; arrays of shape `[n, tasks]` (categorical logits have a
            further axis of classes), `where` True at the known labels.
        apply: `(state, forecast) -> forecast`.
    """

    fit: Callable[..., Any]
    apply: Callable[[Any, Any], Any]
