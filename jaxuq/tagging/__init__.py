"""Labels for tokens from many unreliable labelling functions, and the hidden Markov engine behind it."""

from jaxuq.tagging.acquisition import normalised_log_probability, sequence_bald
from jaxuq.tagging.annotations import (
    AnnotatedText,
    annotated_labels,
    label_studio_task,
    prodigy_record,
    read_annotations,
)
from jaxuq.tagging.bayesian_combination import CombinationParams, ebcc, ibcc
from jaxuq.tagging.bayesian_dawid_skene import BayesianTokenParams, bayesian_dawid_skene
from jaxuq.tagging.chmm import CHMMParams, chmm, chmm_fixed_emissions, true_emissions
from jaxuq.tagging.columns import read_columns
from jaxuq.tagging.connet import ConNetParams, connet
from jaxuq.tagging.decoding import BestPaths, k_best_viterbi, viterbi
from jaxuq.tagging.embeddings import embed_text, embed_words
from jaxuq.tagging.emission_prior import (
    emission_addon_prior,
    emission_base_prior,
    emission_concentration,
    log_dirichlet_mean,
    log_dirichlet_sample,
    scale_reliability,
    silence_probability,
)
from jaxuq.tagging.evidence import observation_log_evidence
from jaxuq.tagging.finetuning import EncoderTuning, FinetunedParams, finetune_tagger
from jaxuq.tagging.flying_squid import FlyingSquidParams, flying_squid
from jaxuq.tagging.function_files import FunctionFile, read_functions, with_functions
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
from jaxuq.tagging.neural_layers import Linear
from jaxuq.tagging.neural_model import EmbeddedText, NeuralFitted, NeuralLabelModel, TrainOptions
from jaxuq.tagging.posterior_paths import path_entropy, posterior_sample
from jaxuq.tagging.reading import load_weak_labels
from jaxuq.tagging.records import TaggingDataError, WeakLabels, bio_label_names, make_weak_labels, spans_to_labels
from jaxuq.tagging.span_guarantees import (
    SpanThresholds,
    candidate_spans,
    keep_spans,
    promise_precision,
    promise_recall,
)
from jaxuq.tagging.span_promises import SpanPromise, calibrating_half, wanted_promise
from jaxuq.tagging.sparse_chmm import sparse_chmm
from jaxuq.tagging.sparse_parameters import SparseCHMMParams, SparseOptions
from jaxuq.tagging.sparse_reliability import sparse_reliabilities
from jaxuq.tagging.statistics import initial_emission, initial_transition
from jaxuq.tagging.tagger import Tagger, TaggerParams, crf_loss, crf_tagger, hard_targets
from jaxuq.tagging.token_models import TokenParams, dawid_skene, snorkel
from jaxuq.tagging.wxor import WXORCounts, wxor_counts, wxor_scores

__all__ = [
    "AnnotatedText",
    "BayesianTokenParams",
    "BestPaths",
    "CHMMParams",
    "CombinationParams",
    "ConNetParams",
    "EmbeddedText",
    "EncoderTuning",
    "ExpectedCounts",
    "FinetunedParams",
    "Fitted",
    "FlyingSquidParams",
    "FunctionFile",
    "HMMParams",
    "LabelForecast",
    "LabelModel",
    "Linear",
    "MajorityParams",
    "NeuralFitted",
    "NeuralLabelModel",
    "SpanPromise",
    "SpanThresholds",
    "SparseCHMMParams",
    "SparseOptions",
    "Tagger",
    "TaggerParams",
    "TaggingDataError",
    "TokenParams",
    "TrainOptions",
    "WXORCounts",
    "WeakLabels",
    "annotated_labels",
    "apply_labelling_functions",
    "bayesian_dawid_skene",
    "best_consensus",
    "bio_label_names",
    "calibrating_half",
    "candidate_spans",
    "chmm",
    "chmm_fixed_emissions",
    "connet",
    "crf_loss",
    "crf_tagger",
    "dawid_skene",
    "ebcc",
    "embed_text",
    "embed_words",
    "emission_addon_prior",
    "emission_base_prior",
    "emission_concentration",
    "expected_counts",
    "filtered_marginals",
    "finetune_tagger",
    "flying_squid",
    "gazetteer_function",
    "hard_targets",
    "heuristic_function",
    "hmm",
    "ibcc",
    "initial_emission",
    "initial_transition",
    "k_best_viterbi",
    "keep_spans",
    "label_studio_task",
    "load_weak_labels",
    "log_dirichlet_mean",
    "log_dirichlet_sample",
    "log_likelihood",
    "majority_vote",
    "make_weak_labels",
    "normalised_log_probability",
    "observation_log_evidence",
    "pairwise_marginals",
    "path_entropy",
    "posterior_sample",
    "prodigy_record",
    "promise_precision",
    "promise_recall",
    "read_annotations",
    "read_columns",
    "read_functions",
    "regex_function",
    "scale_reliability",
    "sequence_bald",
    "silence_probability",
    "smoothed_marginals",
    "snorkel",
    "spans_to_labels",
    "sparse_chmm",
    "sparse_reliabilities",
    "true_emissions",
    "viterbi",
    "wanted_promise",
    "with_functions",
    "wxor_counts",
    "wxor_scores",
]
