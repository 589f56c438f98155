"""Labels for tokens from many unreliable labelling functions, and the hidden Markov engine behind it."""

from jaxuq.tagging.inference import (
    ExpectedCounts,
    expected_counts,
    filtered_marginals,
    log_likelihood,
    pairwise_marginals,
    smoothed_marginals,
)

__all__ = [
    "ExpectedCounts",
    "expected_counts",
    "filtered_marginals",
    "log_likelihood",
    "pairwise_marginals",
    "smoothed_marginals",
]
