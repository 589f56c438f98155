"""The confidence room: how likely is it that a language model's answer is right?"""

from jaxuq.confidence.attention_chain import (
    AttentionChain,
    aggregate_heads,
    attention_chain,
    backtrack,
    eligible_tokens,
)
from jaxuq.confidence.chain_confidence import (
    ChainConfidence,
    Substitutions,
    answer_approximation,
    chain_confidence,
    substituted_tokens,
    substitutions,
)
from jaxuq.confidence.recency import RECENCY_FACTORS, recency_factors, recency_profile, reweight_recent
from jaxuq.confidence.similarity_filter import SimilarityFilter, similarity_filter
from jaxuq.confidence.stop_tokens import stop_tokens

__all__ = [
    "RECENCY_FACTORS",
    "AttentionChain",
    "ChainConfidence",
    "SimilarityFilter",
    "Substitutions",
    "aggregate_heads",
    "answer_approximation",
    "attention_chain",
    "backtrack",
    "chain_confidence",
    "eligible_tokens",
    "recency_factors",
    "recency_profile",
    "reweight_recent",
    "similarity_filter",
    "stop_tokens",
    "substituted_tokens",
    "substitutions",
]
