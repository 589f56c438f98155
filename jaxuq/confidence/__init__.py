"""The confidence room: how likely is it that a language model's answer is right?

For a language model of `jaxuq.language` begin with `uqac`: it answers (or takes a response), and gives every measure of
the answer and the tokens that it rests on, which `explain` draws; `run_study` compares measures over many questions.

Every measure is a function of arrays; `MEASURES` says of each what it needs, what it costs, and which way it points.

| you have | begin with |
|---|---|
| one answer and its token probabilities | `mean_log_probability`, `greedy_negative_log_likelihood` |
| ... and the distributions over the vocabulary | `predictive_entropy`, `self_certainty` |
| ... and attention and hidden states | UQAC: `attention_chain`, `similarity_filter`, `chain_confidence`, |
| | and for the marginal `substitutions`, `answer_approximation` |
| several answers | `self_consistency`, `greedy_clusters` and `semantic_entropy`, `degree_uncertainty` |
| no probabilities at all | `parse_confidence`, `read_hedges`, `p_true`, `relative_confidence` |
| several right answers to a question | `iterated_mutual_information`, `pair_prediction`: of what is not known alone |
| long reasoning, or several traces of it | `trace_confidence`, `weighted_vote`; at any prefix `backward_integration` |
| ... and a question on which to stop early | `think_in_traces`: stops unsure traces while they are written, and votes |
| a conversation | `turn_calibration_error`, `turn_monotonicity` of a confidence after each turn |
| examples in the prompt | `order_average` over their orders |
| labelled answers too | `calibrate_scores` (any score to a probability), `fit_logistic` (several scores to one) |

Guarantees are in `jaxuq.calibration`: `answer_set`, `learn_then_test`, `abstention_threshold`. Cascades:
`deferral_curve`. Truth: `find_answer`, `grade_answers`. Evaluation as in the dissertation: `balanced_scores`.
"""

from jaxuq.confidence._measure import NEEDS, Seen, measure
from jaxuq.confidence.asking import StatedConfidences, p_true, parse_confidence, relative_confidence
from jaxuq.confidence.attention_chain import (
    AttentionChain,
    aggregate_heads,
    attention_chain,
    backtrack,
    eligible_tokens,
)
from jaxuq.confidence.attention_measures import attention_score, contextualised_sequence_likelihood, focus, rauq
from jaxuq.confidence.cascade import DeferralCurve, deferral_curve, log_probability_quantile
from jaxuq.confidence.chain_confidence import (
    ChainConfidence,
    Substitutions,
    answer_approximation,
    chain_confidence,
    substituted_tokens,
    substitutions,
)
from jaxuq.confidence.ensembles import (
    EnsembleUncertainty,
    MahalanobisState,
    ensemble_sequence_uncertainty,
    ensemble_uncertainty,
    fit_mahalanobis,
    mahalanobis_distance,
)
from jaxuq.confidence.evaluation import BalancedScores, balanced_scores, selective_accuracy
from jaxuq.confidence.group_confidence import (
    Groups,
    begin_groups,
    extend_groups,
    group_confidence,
    token_confidence,
    trace_confidence,
)
from jaxuq.confidence.group_stopping import Vote, group_halting, stopped_at, stopping_threshold, weighted_vote
from jaxuq.confidence.hedges import HEDGES, Hedges, fit_hedges, read_hedges
from jaxuq.confidence.iterated_prompting import (
    IteratedAnswers,
    iterated_bound,
    iterated_mutual_information,
    missing_mass,
    tuple_mutual_information,
)
from jaxuq.confidence.measures import MEASURES, chosen_measures
from jaxuq.confidence.order_average import OrderAverage, order_average
from jaxuq.confidence.pair_prediction import PairInterval, PairPrediction, pair_interval, pair_prediction
from jaxuq.confidence.prefix_confidence import (
    PrefixTargets,
    backward_integration,
    integrated_confidence,
    prefix_targets,
)
from jaxuq.confidence.recency import RECENCY_FACTORS, recency_factors, recency_profile, reweight_recent
from jaxuq.confidence.relevance import claim_conditioned_probability, sentence_sar, token_sar
from jaxuq.confidence.sample_agreement import (
    agreement_ratio,
    cocoa,
    eigen_score,
    inverse_entropy,
    semantic_density,
    semantic_volume,
)
from jaxuq.confidence.score_calibration import (
    LogisticState,
    ScoreState,
    calibrate_scores,
    fit_logistic,
    logistic_confidence,
)
from jaxuq.confidence.semantic_clusters import (
    connected_clusters,
    entailment_equivalence,
    greedy_clusters,
    number_of_sets,
    self_consistency,
)
from jaxuq.confidence.semantic_entropy import discrete_semantic_entropy, semantic_entropy
from jaxuq.confidence.similarity_filter import SimilarityFilter, similarity_filter
from jaxuq.confidence.similarity_graph import (
    degree_confidence,
    degree_uncertainty,
    eccentricity,
    eccentricity_confidence,
    eigenvalue_uncertainty,
    kernel_language_entropy,
    mean_pair_similarity,
)
from jaxuq.confidence.stop_tokens import stop_tokens
from jaxuq.confidence.study.configuration import StudyConfiguration
from jaxuq.confidence.study.kept import CalibratedScore, KeptConfidence, load_kept
from jaxuq.confidence.study.run import run_study
from jaxuq.confidence.text.assess import Assessment, Link
from jaxuq.confidence.text.deep_thinking import Thinking, think_in_traces
from jaxuq.confidence.text.explain import explain, explain_figure
from jaxuq.confidence.text.marginal import ChainScores, chain_scores
from jaxuq.confidence.text.options import ChainOptions
from jaxuq.confidence.text.passes import Texts
from jaxuq.confidence.text.uqac import uqac
from jaxuq.confidence.text_similarity import jaccard_similarities, rouge_similarities
from jaxuq.confidence.token_distributions import (
    alternatives_confidence,
    boosted_probability,
    fisher_rao_distance,
    predictive_entropy,
    renyi_divergence,
    self_certainty,
    token_entropy,
)
from jaxuq.confidence.token_probabilities import (
    greedy_negative_log_likelihood,
    mean_log_probability,
    mean_probability,
    minimum_probability,
    perplexity,
    pointwise_mutual_information,
    sequence_entropy,
    sequence_log_probability,
    token_log_probs,
)
from jaxuq.confidence.turns import turn_calibration_error, turn_monotonicity
from jaxuq.questions import (
    FoundAnswer,
    Grades,
    Question,
    QuestionError,
    QuestionSet,
    answer_tokens,
    equivalent_answers,
    find_answer,
    grade_answers,
    load_questions,
)

__all__ = [
    "HEDGES",
    "MEASURES",
    "NEEDS",
    "RECENCY_FACTORS",
    "Assessment",
    "AttentionChain",
    "BalancedScores",
    "CalibratedScore",
    "ChainConfidence",
    "ChainOptions",
    "ChainScores",
    "DeferralCurve",
    "EnsembleUncertainty",
    "FoundAnswer",
    "Grades",
    "Groups",
    "Hedges",
    "IteratedAnswers",
    "KeptConfidence",
    "Link",
    "LogisticState",
    "MahalanobisState",
    "OrderAverage",
    "PairInterval",
    "PairPrediction",
    "PrefixTargets",
    "Question",
    "QuestionError",
    "QuestionSet",
    "ScoreState",
    "Seen",
    "SimilarityFilter",
    "StatedConfidences",
    "StudyConfiguration",
    "Substitutions",
    "Texts",
    "Thinking",
    "Vote",
    "aggregate_heads",
    "agreement_ratio",
    "alternatives_confidence",
    "answer_approximation",
    "answer_tokens",
    "attention_chain",
    "attention_score",
    "backtrack",
    "backward_integration",
    "balanced_scores",
    "begin_groups",
    "boosted_probability",
    "calibrate_scores",
    "chain_confidence",
    "chain_scores",
    "chosen_measures",
    "claim_conditioned_probability",
    "cocoa",
    "connected_clusters",
    "contextualised_sequence_likelihood",
    "deferral_curve",
    "degree_confidence",
    "degree_uncertainty",
    "discrete_semantic_entropy",
    "eccentricity",
    "eccentricity_confidence",
    "eigen_score",
    "eigenvalue_uncertainty",
    "eligible_tokens",
    "ensemble_sequence_uncertainty",
    "ensemble_uncertainty",
    "entailment_equivalence",
    "equivalent_answers",
    "explain",
    "explain_figure",
    "extend_groups",
    "find_answer",
    "fisher_rao_distance",
    "fit_hedges",
    "fit_logistic",
    "fit_mahalanobis",
    "focus",
    "grade_answers",
    "greedy_clusters",
    "greedy_negative_log_likelihood",
    "group_confidence",
    "group_halting",
    "integrated_confidence",
    "inverse_entropy",
    "iterated_bound",
    "iterated_mutual_information",
    "jaccard_similarities",
    "kernel_language_entropy",
    "load_kept",
    "load_questions",
    "log_probability_quantile",
    "logistic_confidence",
    "mahalanobis_distance",
    "mean_log_probability",
    "mean_pair_similarity",
    "mean_probability",
    "measure",
    "minimum_probability",
    "missing_mass",
    "number_of_sets",
    "order_average",
    "p_true",
    "pair_interval",
    "pair_prediction",
    "parse_confidence",
    "perplexity",
    "pointwise_mutual_information",
    "predictive_entropy",
    "prefix_targets",
    "rauq",
    "read_hedges",
    "recency_factors",
    "recency_profile",
    "relative_confidence",
    "renyi_divergence",
    "reweight_recent",
    "rouge_similarities",
    "run_study",
    "selective_accuracy",
    "self_certainty",
    "self_consistency",
    "semantic_density",
    "semantic_entropy",
    "semantic_volume",
    "sentence_sar",
    "sequence_entropy",
    "sequence_log_probability",
    "similarity_filter",
    "stop_tokens",
    "stopped_at",
    "stopping_threshold",
    "substituted_tokens",
    "substitutions",
    "think_in_traces",
    "token_confidence",
    "token_entropy",
    "token_log_probs",
    "token_sar",
    "trace_confidence",
    "tuple_mutual_information",
    "turn_calibration_error",
    "turn_monotonicity",
    "uqac",
    "weighted_vote",
]
