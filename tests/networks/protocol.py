"""Examples of the public functions of jaxuq.networks for tests/test_protocol.py."""

from typing import Any

import jax

from jaxuq.networks import DNN, apply_function, keep_mask
from tests.protocol import Example

_DNN = DNN(num_outputs=2, width=8, depth=2)
_X = jax.random.normal(jax.random.key(0), (16, 5))
_PARAMS = _DNN.init(jax.random.key(1), _X)["params"]

EXAMPLES: dict[str, Any] = {
    "DNN": Example(lambda x: _DNN.apply({"params": _PARAMS}, x), (_X,), differentiable=(0,)),
    "apply_function": [
        Example(apply_function(_DNN), (_PARAMS, _X), differentiable=(0, 1)),
        Example(
            lambda params, x, key: apply_function(_DNN, method="features")(params, x, rng_key=key),
            (_PARAMS, _X, jax.random.key(2)),
            differentiable=(0, 1),
        ),
    ],
    "keep_mask": Example(lambda key: keep_mask(key, (16, 4), 0.3), (jax.random.key(3),)),
}
HOST: dict[str, str] = {"Dropout": "a layer; covered by DNN"}
