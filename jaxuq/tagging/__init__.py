"""Labels for tokens from many unreliable labelling functions, and the hidden Markov engine behind it."""

from jaxuq.tagging.bayesian_dawid_skene import BayesianTokenParams, bayesian_dawid_skene
from jaxuq.tagging.buckets import length_buckets
from jaxuq.tagging.decoding import BestPaths, k_best_viterbi, viterbi
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.functions import apply_labelling_functions, gazetteer_function, heuristic_function, regex_function
from jaxuq.tagging.hmm import HMMParams, hmm
from jaxuq.tagging.inference import (
    ExpectedCounts,
    expected_counts,
    filtered_marginals,
    log_likelihood,
    pairwise_marginals,
    smoothed_marginals,
)
from jaxuq.tagging.label_model import Fitted, LabelForecast, LabelModel
from jaxuq.tagging.majority_vote import MajorityParams, best_consensus, majority_vote
from jaxuq.tagging.posterior_paths import path_entropy, posterior_sample
from jaxuq.tagging.reading import load_weak_labels, read_columns
from jaxuq.tagging.records import TaggingDataError, WeakLabels, bio_label_names, make_weak_labels, spans_to_labels
from jaxuq.tagging.token_models import TokenParams, dawid_skene, snorkel

__all__ = [
    "BayesianTokenParams",
    "BestPaths",
    "ExpectedCounts",
    "Fitted",
    "HMMParams",
    "LabelForecast",
    "LabelModel",
    "MajorityParams",
    "TaggingDataError",
    "TokenParams",
    "WeakLabels",
    "apply_labelling_functions",
    "bayesian_dawid_skene",
    "best_consensus",
    "bio_label_names",
    "dawid_skene",
    "expected_counts",
    "filtered_marginals",
    "gazetteer_function",
    "heuristic_function",
    "hmm",
    "k_best_viterbi",
    "length_buckets",
    "load_weak_labels",
    "log_likelihood",
    "majority_vote",
    "make_weak_labels",
    "observation_log_evidence",
    "pairwise_marginals",
    "path_entropy",
    "posterior_sample",
    "read_columns",
    "regex_function",
    "smoothed_marginals",
    "snorkel",
    "spans_to_labels",
    "viterbi",
]
