"""An integer weight is the same as repeating the entry, in every metric that takes weights."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import metrics
from jaxuq._errors import OptionError
from tests.metrics.protocol import EXAMPLES
from tests.protocol import Example

WRAPPED = {
    "average_over_tasks",
    "bootstrap",
    "energy_score",
    "mixture_crps",
    "sample_crps",
}  # their examples hide the arguments
CASES = [
    pytest.param(example, id=f"{name}-{number}")
    for name, examples in EXAMPLES.items()
    if name not in WRAPPED and "weights" in inspect.signature(getattr(metrics, name)).parameters
    for number, example in enumerate([examples] if isinstance(examples, Example) else examples)
]


def takes_weights(example):
    return "equal_mass" not in example.kwargs.values()


@pytest.mark.parametrize("example", CASES)
def test_integer_weights_repeat_entries(example, rng):
    args = [np.asarray(arg) for arg in example.args]
    times = rng.integers(0, 4, len(args[0]))
    if not takes_weights(example):
        with pytest.raises(OptionError, match="weights with"):
            example.function(*map(jnp.asarray, args), weights=jnp.asarray(times), **example.kwargs)
        return
    repeated = [jnp.asarray(np.repeat(arg, times, axis=0)) for arg in args]
    spoilt = [np.array(arg) for arg in args]
    for arg in spoilt:
        if np.issubdtype(arg.dtype, np.floating):
            arg[times == 0] = np.nan  # a weight of 0 leaves out

    @jax.jit
    def both(args, times, repeated):
        weighted = example.function(*args, weights=times, **example.kwargs)
        return weighted, example.function(*repeated, **example.kwargs)

    weighted, expected = both([jnp.asarray(arg) for arg in spoilt], jnp.asarray(times), repeated)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6), weighted, expected)


def test_a_negative_weight_is_no_weight(run):
    one = jnp.ones(3)
    assert np.isnan(metrics.mean_absolute_error(one, one, weights=jnp.array([1.0, -1.0, 1.0])))


def test_weights_go_through_tasks(rng):
    scores, labels = (
        jnp.asarray(rng.normal(size=(12, 2)), jnp.float32),
        jnp.asarray(rng.normal(size=(12, 2)), jnp.float32),
    )
    weights = jnp.asarray(rng.integers(0, 3, (12, 2)))
    result = metrics.average_over_tasks(metrics.mean_absolute_error, scores, labels, weights=weights)
    expected = np.average(np.abs(scores - labels), axis=0, weights=weights)
    np.testing.assert_allclose(result.per_task, expected, rtol=1e-5)
