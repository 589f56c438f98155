"""A value that does not exist is NaN: nothing to count, or a NaN among what counts."""

import jax
import numpy as np
import pytest

from tests.metrics.protocol import EXAMPLES
from tests.protocol import Example

# Missing ranks, tasks and resamples are what these are for.
EXEMPT = {
    "average_over_tasks", "mean_rank", "mean_reciprocal_rank", "bootstrap", "interval_of_resamples", "rank_methods",
}  # fmt: skip
CASES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, examples in EXAMPLES.items()
    if name not in EXEMPT
    for number, example in enumerate([examples] if isinstance(examples, Example) else examples)
]


@pytest.mark.parametrize("example", CASES)
def test_nothing_counted_or_a_counted_nan_is_nan(example):
    function = jax.jit(lambda mask, *args: example.function(*args, where=mask, **example.kwargs))
    args = [np.asarray(arg) for arg in example.args]

    def undefined(result):
        # A curve keeps its nominal levels; what was observed is undefined.
        return all(np.isnan(np.asarray(leaf)).all() for leaf in jax.tree.leaves(getattr(result, "observed", result)))

    assert undefined(function(np.zeros_like(example.where), *args))
    counted = int(np.flatnonzero(example.where)[2])
    for index, arg in enumerate(args):
        if np.issubdtype(arg.dtype, np.floating):
            spoilt = [np.array(other) for other in args]
            spoilt[index][counted] = np.nan
            assert undefined(function(np.asarray(example.where), *spoilt)), f"argument {index}"
