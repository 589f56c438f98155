"""Labels for tokens from many unreliable labelling functions, and the hidden Markov engine behind it."""

from jaxuq.tagging.decoding import BestPaths, k_best_viterbi, viterbi
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.inference import (
    ExpectedCounts,
    expected_counts,
    filtered_marginals,
    log_likelihood,
    pairwise_marginals,
    smoothed_marginals,
)
from jaxuq.tagging.posterior_paths import path_entropy, posterior_sample

__all__ = [
    "BestPaths",
    "ExpectedCounts",
    "expected_counts",
    "filtered_marginals",
    "k_best_viterbi",
    "log_likelihood",
    "observation_log_evidence",
    "pairwise_marginals",
    "path_entropy",
    "posterior_sample",
    "smoothed_marginals",
    "viterbi",
]
