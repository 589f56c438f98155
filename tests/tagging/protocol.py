"""Examples of the public functions of jaxuq.tagging for tests/test_protocol.py."""

from functools import partial
from typing import Any

import jax
import numpy as np

from jaxuq import tagging
from tests.protocol import Example

_RNG = np.random.default_rng(11)
_KEY = jax.random.key(11)


def _normal(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32)


_LENGTHS = np.array([4, 3, 1, 2, 4, 4, 0, 3], np.int32)
_SHARED = (_normal(3), _normal(3, 3), _normal(8, 4, 3), _LENGTHS)
_OWN = (_normal(8, 3), _normal(8, 4, 3, 3), _normal(8, 4, 3), _LENGTHS)


def _both(function, **keywords):
    return [Example(partial(function, **keywords), chain, differentiable=(0, 1, 2)) for chain in (_SHARED, _OWN)]


EXAMPLES: dict[str, Any] = {
    "expected_counts": _both(tagging.expected_counts),
    "filtered_marginals": _both(tagging.filtered_marginals),
    "k_best_viterbi": Example(
        lambda *chain: tagging.k_best_viterbi(*chain, num_paths=2).paths, _SHARED, differentiable=()
    ),
    "log_likelihood": [
        *_both(tagging.log_likelihood),
        Example(partial(tagging.log_likelihood, associative=True), _SHARED, differentiable=(0, 1, 2)),
        Example(partial(tagging.log_likelihood, checkpoint=True), _SHARED, differentiable=(0, 1, 2)),
    ],
    "observation_log_evidence": Example(
        tagging.observation_log_evidence, (_normal(2, 3, 3), _RNG.integers(-1, 3, size=(8, 4, 2))), differentiable=(0,)
    ),
    "pairwise_marginals": Example(tagging.pairwise_marginals, _OWN, differentiable=(0, 1, 2)),
    "path_entropy": Example(tagging.path_entropy, _SHARED, differentiable=(0, 1, 2)),
    "posterior_sample": Example(partial(tagging.posterior_sample, num_samples=2), (_KEY, *_OWN)),
    "smoothed_marginals": _both(tagging.smoothed_marginals),
    "viterbi": Example(lambda *chain: tagging.viterbi(*chain).scores, _OWN, differentiable=(0, 1, 2)),
}
HOST: dict[str, str] = {
    "BestPaths": "a type",
    "ExpectedCounts": "a type",
}
