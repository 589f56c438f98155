"""Examples of the public functions of jaxuq.confidence for tests/test_protocol.py."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxuq import confidence
from tests.protocol import Example

_rng = np.random.default_rng(11)
TIME, CANDIDATES = 16, 4


def _float(*shape):
    return _rng.normal(size=shape).astype(np.float32)


POSITIONS = np.arange(TIME, dtype=np.int32)
ANSWER = np.arange(TIME) >= 14
RESPONSE = np.arange(TIME) >= 3
ELIGIBLE = RESPONSE & ~ANSWER & (POSITIONS % 5 != 0)
CHAIN = np.isin(POSITIONS, [4, 6, 7, 11])
ROWS = np.exp(2 * _float(8, TIME))
ROWS /= ROWS.sum(axis=1, keepdims=True)
ALPHA = np.tril(_rng.random((TIME, TIME)).astype(np.float32))
QUERIES, KEYS = 2 * _float(2, TIME, 4, 4), _float(2, 2, TIME, 4)
LOG_PROBS = -np.abs(_float(TIME))
ALTERNATIVES = _rng.integers(0, 50, (TIME, CANDIDATES)).astype(np.int32)
ALTERNATIVE_LOG_PROBS = -np.abs(_float(TIME, CANDIDATES))
CHANGES = confidence.Substitutions(
    np.array([4, 6], np.int32), np.array([1, 2], np.int32), LOG_PROBS[:2], np.array([True, False])
)
TOKENS = _rng.integers(0, 50, TIME).astype(np.int32)

_CONVENTIONS = ("text", "published")


def _reweight(attention, positions, *, convention):
    return confidence.reweight_recent(attention, jnp.asarray(12), positions, convention=convention)


def _backtrack(alpha, answer, eligible, *, convention):
    return confidence.backtrack(lambda source: alpha[source], answer, eligible, convention=convention)


def _approximation(log_probs, *, where, convention):
    return confidence.answer_approximation(
        log_probs, jnp.asarray(ANSWER), jnp.asarray(CHAIN), where=where, convention=convention
    )


EXAMPLES: dict[str, Any] = {
    "aggregate_heads": [
        Example(confidence.aggregate_heads, (ROWS,), {"num_heads": 3, "convention": name}, differentiable=(0,))
        for name in _CONVENTIONS
    ],
    "answer_approximation": [
        Example(
            _approximation,
            (-np.abs(_float(8, TIME)),),
            {"convention": name},
            where=np.arange(8) % 3 != 1,
            masked=(0,),
            differentiable=(0,),
        )
        for name in _CONVENTIONS
    ],
    "attention_chain": Example(
        confidence.attention_chain,
        (QUERIES, KEYS, POSITIONS, ANSWER, ELIGIBLE),
        {"scale": 0.5, "num_heads": 4},
        vmappable=False,
        shardable=False,
    ),
    "backtrack": [Example(_backtrack, (ALPHA, ANSWER, ELIGIBLE), {"convention": name}) for name in _CONVENTIONS],
    "chain_confidence": Example(
        confidence.chain_confidence, (LOG_PROBS, ANSWER, CHAIN, CHAIN & (POSITIONS > 5)), differentiable=(0,)
    ),
    "eligible_tokens": Example(confidence.eligible_tokens, (RESPONSE, ANSWER, POSITIONS % 4 == 0)),
    "recency_factors": Example(confidence.recency_factors, (1.0 / np.arange(1, 17, dtype=np.float32),), {"recent": 3}),
    "recency_profile": Example(
        confidence.recency_profile, (QUERIES, KEYS, POSITIONS, RESPONSE), {"scale": 0.5, "length": 3}, vmappable=False
    ),
    "reweight_recent": [
        Example(_reweight, (ROWS, POSITIONS), {"convention": name}, differentiable=(0,), vmappable=False)
        for name in _CONVENTIONS
    ],
    "similarity_filter": [
        Example(
            confidence.similarity_filter,
            (_float(TIME, 5), CHAIN, ANSWER),
            {"max_tokens": 3, "convention": name},
            differentiable=(0,),
        )
        for name in _CONVENTIONS
    ],
    "substituted_tokens": Example(confidence.substituted_tokens, (TOKENS, CHANGES), shardable=False),
    "substitutions": [
        Example(
            confidence.substitutions,
            (TOKENS, CHAIN, ALTERNATIVES, ALTERNATIVE_LOG_PROBS),
            {"size": 6, "convention": name},
        )
        for name in _CONVENTIONS
    ],
}
HOST: dict[str, str] = {
    "AttentionChain": "a result type",
    "ChainConfidence": "a result type",
    "RECENCY_FACTORS": "a constant",
    "SimilarityFilter": "a result type",
    "Substitutions": "a result type",
    "stop_tokens": "reads strings",
}
