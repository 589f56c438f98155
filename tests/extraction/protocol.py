"""The extraction room works on text, on the host, but for what harmonises sources."""

import jax
import numpy as np

import jaxuq.extraction as extraction
from tests.protocol import Example

_RNG = np.random.default_rng(3)
_LOSSES, _SHARES = _RNG.random((8, 3)).astype(np.float32), np.full(3, 0.25, np.float32)
_VECTORS, _VOTES = _RNG.normal(size=(8, 4)).astype(np.float32), _RNG.integers(-1, 3, (8, 2)).astype(np.int32)
_TAUGHT = extraction.Harmoniser(
    _RNG.normal(size=(4, 3)).astype(np.float32),
    np.zeros(3, np.float32),
    np.zeros(4, np.float32),
    np.ones(4, np.float32),
)
_KEPT = _RNG.random((8, 3)) < 0.7
_CONSTANTS = {name for name in extraction.__all__ if name.isupper()}


def _taught(vectors, votes, examples):
    return extraction.fit_harmoniser(vectors, votes, examples, 3, num_examples=8, num_steps=2)


EXAMPLES: dict = {
    "fit_harmoniser": Example(jax.jit(_taught), (_VECTORS, _VOTES, np.arange(8, dtype=np.int32)), rows=None),
    "harmonised": Example(extraction.harmonised, (_TAUGHT, _VECTORS), whole=(0,), differentiable=(0, 1), rows=1),
    "pareto_loss": [
        Example(extraction.pareto_loss, (_LOSSES,), {"kind": kind}, where=_KEPT, masked=(0,), differentiable=(0,))
        for kind in ("linear", "square", "norm", "max")
    ],
    "span_risk": Example(
        extraction.span_risk, (_RNG.random((8, 3, 4)).astype(np.float32), _RNG.integers(0, 4, (8, 3)).astype(np.int32)),
        where=_KEPT, masked=(0, 1), differentiable=(0,),
    ),
}  # fmt: skip
LABELS = {"span_risk": 1}
HOST: dict[str, str] = {
    name: "a constant"
    if name in _CONSTANTS
    else "a type"
    if isinstance(getattr(extraction, name), type)
    else "works on text, counts or files on the host"
    for name in extraction.__all__
    if name not in EXAMPLES
}
