"""Examples of the public functions of jaxuq.confidence for tests/test_protocol.py."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import confidence
from jaxuq._meshes import whole
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
    return confidence.backtrack(lambda source: whole(alpha)[source], answer, eligible, convention=convention)


def _approximation(log_probs, *, where, convention):
    return confidence.answer_approximation(
        log_probs, jnp.asarray(ANSWER), jnp.asarray(CHAIN), where=where, convention=convention
    )


SAMPLES, VOCAB, HEADS = 8, 6, 3
LOGITS, CHOSEN = _float(TIME, VOCAB), _rng.integers(0, VOCAB, TIME).astype(np.int32)
WHERE, DRAWN = np.arange(TIME) % 5 != 2, np.arange(SAMPLES) % 4 != 1
ENTROPIES = np.abs(_float(TIME))
UNIT = _rng.random(TIME).astype(np.float32)
SAMPLE_LOG_PROBS = -np.abs(_float(SAMPLES))
CLUSTERS = np.array([0, -1, 0, 1, 2, -1, 1, 0], np.int32)
CORRECT = (_rng.random(TIME) < 0.5).astype(np.int32)
PAIRS = _rng.random((SAMPLES, SAMPLES)).astype(np.float32)
PAIRS = 0.5 * (PAIRS + PAIRS.T)
NLI = _rng.dirichlet([1, 1, 1], size=(SAMPLES, SAMPLES)).astype(np.float32)
STATES = _float(SAMPLES, 5)

_tokens = functools.partial(Example, args=(LOG_PROBS,), where=WHERE, masked=(0,), differentiable=(0,))
_rows = functools.partial(Example, args=(LOGITS,), differentiable=(0,))
_said = functools.partial(Example, args=(LOGITS, CHOSEN), differentiable=(0,))
_graph = functools.partial(
    Example, args=(PAIRS,), where=DRAWN, masked=(0,)
)  # NaN rows; NaN columns in the room's tests
_graded = functools.partial(Example, args=(UNIT, CORRECT), where=WHERE, masked=(0, 1))


def _calibrated(scores, correct, *, where, method):
    calibrator = confidence.calibrate_scores(method, bins=3)
    return calibrator.apply(calibrator.fit(scores, correct, where=where), jnp.linspace(-1.0, 2.0, 5))


def _heads_last(function):
    """Examples are masked along their first axis; these functions have tokens on their last."""
    return lambda log_probs, attention, **options: function(log_probs, jnp.moveaxis(attention, 0, -1), **options)


def _mahalanobis(hidden):
    states = jnp.asarray([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0], [2.0, 1.0]])
    return confidence.mahalanobis_distance(confidence.fit_mahalanobis(states), hidden)


def _logistic(features):
    return confidence.logistic_confidence(
        confidence.LogisticState(jnp.asarray([0.5, -1.0]), jnp.asarray(0.2)), features
    )


EXAMPLES: dict[str, Any] = {
    "aggregate_heads": [
        Example(
            confidence.aggregate_heads, (ROWS,), {"num_heads": 3, "convention": name}, differentiable=(0,), rows=None
        )
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
    "recency_factors": Example(
        confidence.recency_factors, (1.0 / np.arange(1, 17, dtype=np.float32),), {"recent": 3}, rows=None
    ),
    "recency_profile": Example(
        confidence.recency_profile,
        (QUERIES, KEYS, POSITIONS, RESPONSE),
        {"scale": 0.5, "length": 3},
        vmappable=False,
        rows=None,
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
    "agreement_ratio": Example(confidence.agreement_ratio, (NLI[..., 0], NLI[..., 1]), differentiable=(0, 1)),
    "alternatives_confidence": [
        Example(confidence.alternatives_confidence, (LOGITS,), {"kind": kind}, differentiable=(0,))
        for kind in ("entropy",)
    ],
    "attention_score": [
        Example(
            lambda rows, *, where, over_heads: confidence.attention_score(rows.T, where=where, over_heads=over_heads),
            (_rng.random((TIME, HEADS)).astype(np.float32),),
            {"over_heads": name},
            where=WHERE,
            masked=(0,),
            differentiable=(0,),
        )
        for name in ("sum", "mean")
    ],
    "balanced_scores": [
        Example(
            confidence.balanced_scores,
            (jax.random.key(4), UNIT, CORRECT),
            {"repeats": 2, "bins": 4, "convention": name},
            where=WHERE,
            masked=(1, 2),
            shardable=False,
        )
        for name in ("published",)
    ],
    "boosted_probability": _said(confidence.boosted_probability),
    "calibrate_scores": [
        Example(_calibrated, (UNIT, CORRECT), {"method": name}, where=WHERE, masked=(0, 1))
        for name in ("histogram", "quantile")  # isotonic is fitted on the host; platt is covered by its own room
    ],
    "claim_conditioned_probability": Example(
        confidence.claim_conditioned_probability,
        (np.exp(LOGITS) / 30, (CHOSEN[:, None] % 3 - np.arange(VOCAB, dtype=np.int32)[None] % 2).astype(np.int32)),
        where=WHERE,
        masked=(0, 1),
        differentiable=(0,),
    ),
    "cocoa": Example(
        lambda similarities, *, where: confidence.cocoa(jnp.asarray(1.5), similarities, where=where),
        (UNIT,),
        where=WHERE,
        masked=(0,),
        differentiable=(0,),
    ),
    "connected_clusters": Example(confidence.connected_clusters, (PAIRS > 0.7,), where=DRAWN),
    "contextualised_sequence_likelihood": [
        Example(
            _heads_last(confidence.contextualised_sequence_likelihood),
            (LOG_PROBS, _rng.random((TIME, HEADS)).astype(np.float32)),
            {"convention": name},
            where=WHERE,
            masked=(0, 1),
            differentiable=(0, 1),
        )
        for name in ("per_head", "pooled")
    ],
    "deferral_curve": Example(
        confidence.deferral_curve,
        (UNIT, CORRECT, CORRECT[::-1].copy()),
        where=WHERE,
        masked=(0, 1, 2),
        shardable=False,
    ),
    "degree_confidence": _graph(confidence.degree_confidence),
    "degree_uncertainty": _graph(confidence.degree_uncertainty, differentiable=(0,)),
    "discrete_semantic_entropy": Example(confidence.discrete_semantic_entropy, (CLUSTERS,)),
    "eccentricity": _graph(confidence.eccentricity),
    "eccentricity_confidence": _graph(confidence.eccentricity_confidence),
    "eigen_score": [
        Example(confidence.eigen_score, (STATES,), {"convention": name}, where=DRAWN, masked=(0,))
        for name in ("paper", "published")
    ],
    "eigenvalue_uncertainty": _graph(confidence.eigenvalue_uncertainty),
    "ensemble_sequence_uncertainty": Example(
        lambda log_probs, *, where: confidence.ensemble_sequence_uncertainty(log_probs.T, where=where)[::4],
        (-np.abs(_float(TIME, 3)),),
        where=WHERE,
        masked=(0,),
        differentiable=(0,),
    ),
    "ensemble_uncertainty": Example(
        confidence.ensemble_uncertainty, (_float(3, TIME, VOCAB),), differentiable=(0,), rows=None
    ),
    "entailment_equivalence": [
        Example(confidence.entailment_equivalence, (NLI[..., 0], NLI[..., 1]), {"rule": rule})
        for rule in ("relaxed", "either")
    ],
    "fisher_rao_distance": _rows(confidence.fisher_rao_distance),
    "fit_logistic": Example(
        confidence.fit_logistic, (_float(TIME, 3), CORRECT), where=WHERE, masked=(0, 1), shardable=False
    ),
    "fit_mahalanobis": Example(
        confidence.fit_mahalanobis,
        (_float(TIME, 3),),
        {"shrinkage": 0.1},
        where=WHERE,
        masked=(0,),
        differentiable=(0,),
    ),
    "focus": Example(
        confidence.focus,
        (
            np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True),
            np.eye(VOCAB, dtype=np.float32)[CHOSEN],
            np.linspace(0.5, 2, VOCAB, dtype=np.float32),
            _rng.random((TIME, TIME)).astype(np.float32),
            WHERE,
        ),
        differentiable=(0,),
    ),
    "greedy_clusters": Example(confidence.greedy_clusters, (PAIRS > 0.6,), where=DRAWN),
    "greedy_negative_log_likelihood": _tokens(confidence.greedy_negative_log_likelihood),
    "inverse_entropy": Example(confidence.inverse_entropy, (PAIRS, PAIRS[::-1].copy()), differentiable=(0, 1)),
    "kernel_language_entropy": [
        _graph(confidence.kernel_language_entropy, kwargs={"kernel": kernel, "scaled": True})
        for kernel in ("heat", "matern")
    ],
    "log_probability_quantile": _tokens(confidence.log_probability_quantile, kwargs={"quantile": 0.3}),
    "logistic_confidence": Example(_logistic, (_float(TIME, 2),), differentiable=(0,)),
    "mahalanobis_distance": Example(_mahalanobis, (_float(TIME, 2),), differentiable=(0,)),
    "mean_log_probability": _tokens(confidence.mean_log_probability),
    "mean_pair_similarity": _graph(confidence.mean_pair_similarity, differentiable=(0,)),
    "mean_probability": _tokens(confidence.mean_probability),
    "minimum_probability": _tokens(confidence.minimum_probability),
    "number_of_sets": Example(confidence.number_of_sets, (CLUSTERS,)),
    "p_true": Example(confidence.p_true, (_float(TIME, 2), _float(TIME, 3)), differentiable=(0, 1)),
    "perplexity": _tokens(confidence.perplexity),
    "pointwise_mutual_information": Example(
        confidence.pointwise_mutual_information,
        (LOG_PROBS, LOG_PROBS[::-1].copy(), ENTROPIES),
        {"weight": 0.5, "threshold": 0.5},
        where=WHERE,
        masked=(0, 1, 2),
        differentiable=(0, 1),
    ),
    "predictive_entropy": [
        Example(
            confidence.predictive_entropy,
            (ENTROPIES,),
            {"normalise": normalise},
            where=WHERE,
            masked=(0,),
            differentiable=(0,),
        )
        for normalise in (False, True)
    ],
    "rauq": Example(
        lambda log_probs, attention, *, where: confidence.rauq(log_probs, jnp.moveaxis(attention, 0, -1), where=where),
        (LOG_PROBS, _rng.random((TIME, 2, HEADS)).astype(np.float32)),
        where=WHERE,
        masked=(0, 1),
        differentiable=(0, 1),
    ),
    "relative_confidence": Example(
        confidence.relative_confidence,
        (_rng.random((SAMPLES, SAMPLES)).astype(np.float32),),
        {"iterations": 20},
        where=(PAIRS + PAIRS.T) > 0.6,
        masked=(0,),
        differentiable=(0,),
    ),
    "renyi_divergence": [
        Example(confidence.renyi_divergence, (LOGITS,), {"order": order}, differentiable=(0,)) for order in (0.5, 1.0)
    ],
    "selective_accuracy": _graded(confidence.selective_accuracy, kwargs={"coverage": 0.5}),
    "self_certainty": _rows(confidence.self_certainty),
    "self_consistency": Example(
        confidence.self_consistency, (CLUSTERS, UNIT[:SAMPLES]), where=DRAWN, masked=(0, 1), differentiable=(1,)
    ),
    "semantic_density": Example(
        confidence.semantic_density, (LOG_PROBS, UNIT), where=WHERE, masked=(0, 1), differentiable=(0, 1)
    ),
    "semantic_entropy": [
        Example(confidence.semantic_entropy, (SAMPLE_LOG_PROBS, CLUSTERS), {"estimator": name}, differentiable=(0,))
        for name in ("rao_blackwell", "samples", "clusters", "direct")
    ],
    "semantic_volume": Example(confidence.semantic_volume, (STATES,), {"epsilon": 0.1}, where=DRAWN, masked=(0,)),
    "sentence_sar": Example(
        confidence.sentence_sar, (SAMPLE_LOG_PROBS, PAIRS), where=DRAWN, masked=(0, 1), differentiable=(0, 1)
    ),
    "sequence_entropy": Example(
        confidence.sequence_entropy, (LOG_PROBS, 1 + CHOSEN), where=WHERE, masked=(0, 1), differentiable=(0,)
    ),
    "sequence_log_probability": _tokens(confidence.sequence_log_probability),
    "token_entropy": [
        Example(confidence.token_entropy, (LOGITS,), {"top_k": top_k}, differentiable=(0,)) for top_k in (None, 3)
    ],
    "token_log_probs": [
        Example(confidence.token_log_probs, (LOGITS, CHOSEN), {"convention": name}, differentiable=(0,))
        for name in ("exact", "published")
    ],
    "token_sar": Example(confidence.token_sar, (LOG_PROBS, UNIT), where=WHERE, masked=(0, 1), differentiable=(0, 1)),
    "iterated_mutual_information": Example(
        lambda log_probs, repeated, *, where: confidence.iterated_mutual_information(
            log_probs, repeated, jnp.asarray(CLUSTERS), joint_floor=0.01, where=where
        ),
        (SAMPLE_LOG_PROBS, -np.abs(_float(SAMPLES, SAMPLES))),
        where=DRAWN,
        masked=(0, 1),
        differentiable=(0, 1),
        rows=None,
    ),
    "tuple_mutual_information": Example(
        confidence.tuple_mutual_information,
        (SAMPLE_LOG_PROBS, _rng.integers(0, 3, (SAMPLES, 2)).astype(np.int32)),
        where=DRAWN,
        masked=(0, 1),
        differentiable=(0,),
    ),
    "missing_mass": Example(confidence.missing_mass, (CLUSTERS,), where=DRAWN, masked=(0,)),
    "iterated_bound": Example(confidence.iterated_bound, (UNIT,), {"samples": 20, "support": 9}, differentiable=(0,)),
    "pair_prediction": Example(confidence.pair_prediction, (UNIT[:SAMPLES], PAIRS), where=DRAWN, masked=(0, 1)),
    "pair_interval": Example(confidence.pair_interval, (UNIT, UNIT[::-1].copy()), differentiable=(0, 1)),
    "prefix_targets": Example(
        confidence.prefix_targets,
        ((_rng.random((SAMPLES, 4)) < 0.5).astype(np.int32),),
        where=_rng.random((SAMPLES, 4)) < 0.7,
        masked=(0,),
    ),
    "integrated_confidence": Example(
        confidence.integrated_confidence, (UNIT[:SAMPLES], PAIRS[:, :3].copy()), differentiable=(0, 1)
    ),
    "backward_integration": Example(confidence.backward_integration, (UNIT,), where=WHERE, masked=(0,)),
    "token_confidence": Example(confidence.token_confidence, (ALTERNATIVE_LOG_PROBS,), differentiable=(0,)),
    "extend_groups": Example(
        lambda confidences, *, where: confidence.extend_groups(confidence.begin_groups(3), confidences, where=where),
        (UNIT,),
        where=WHERE,
        masked=(0,),
    ),
    "group_confidence": Example(confidence.group_confidence, (UNIT,), {"window": 3}, where=WHERE, masked=(0,)),
    "trace_confidence": [
        Example(
            confidence.trace_confidence,
            (UNIT,),
            {"window": 3, "kind": kind, "share": 0.4},
            where=WHERE,
            masked=(0,),
            differentiable=(0,),
        )
        for kind in ("mean", "tail", "lowest", "bottom")
    ],
    "stopping_threshold": Example(confidence.stopping_threshold, (UNIT,), where=WHERE, masked=(0,)),
    "stopped_at": Example(lambda groups: confidence.stopped_at(groups, jnp.asarray(0.3)), (UNIT,)),
    "weighted_vote": Example(
        confidence.weighted_vote, (CLUSTERS, UNIT[:SAMPLES]), {"kept": 0.7}, where=DRAWN, masked=(0, 1)
    ),
    "turn_calibration_error": Example(
        confidence.turn_calibration_error,
        (PAIRS[:, :4].copy(), (PAIRS[:, 4:] < 0.5).astype(np.int32)),
        {"bins": 3},
        where=_rng.random((SAMPLES, 4)) < 0.7,
        masked=(0, 1),
        differentiable=(0,),
    ),
    "turn_monotonicity": Example(
        confidence.turn_monotonicity, (PAIRS[:, :4].copy(),), where=_rng.random((SAMPLES, 4)) < 0.7, masked=(0,)
    ),
    "order_average": Example(
        confidence.order_average,
        (LOGITS[:SAMPLES],),
        {"total": 24},
        where=DRAWN,
        masked=(0,),
        differentiable=(0,),
    ),
}
# Where each takes labels of a known range: a label outside it makes the result NaN, or that of its entry alone.
LABELS: dict[str, int] = {
    "balanced_scores": 2,
    "boosted_probability": 1,
    "fit_logistic": 1,
    "prefix_targets": 0,
    "selective_accuracy": 1,
    "token_log_probs": 1,
    "turn_calibration_error": 1,
}
# Which arguments may hold which values at the edge of their range, where value and gradient are limits, not NaN.
LIMITS: dict[str, dict[int, tuple[float, ...]]] = {
    key: {0: (-float("inf"),)}
    for key in (
        "boosted_probability",
        "sequence_log_probability",
        "token_entropy",
        "token_log_probs",
    )
}
HOST: dict[str, str] = {
    "AttentionChain": "a result type",
    "BalancedScores": "a result type",
    "CalibratedScore": "a result type",
    "KeptConfidence": "of answers on the host; tests/confidence/test_kept.py",
    "load_kept": "reads a file",
    "ChainConfidence": "a result type",
    "DeferralCurve": "a result type",
    "EnsembleUncertainty": "a result type",
    "FoundAnswer": "a result type",
    "Grades": "a result type",
    "LogisticState": "a result type",
    "ChainScores": "a result type",
    "MEASURES": "an open table",
    "NEEDS": "a constant",
    "MahalanobisState": "a result type",
    "RECENCY_FACTORS": "a constant",
    "ScoreState": "a result type",
    "SimilarityFilter": "a result type",
    "Seen": "a record",
    "StatedConfidences": "a result type",
    "Substitutions": "a result type",
    "Texts": "a record of arrays",
    "chain_scores": "of a model; tests/confidence/test_text_level.py has it with and without jit, on a mesh",
    "chosen_measures": "selects on the host",
    "answer_tokens": "reads strings",
    "equivalent_answers": "reads strings",
    "find_answer": "reads strings",
    "grade_answers": "reads strings",
    "jaccard_similarities": "reads strings",
    "parse_confidence": "reads strings",
    "rouge_similarities": "reads strings",
    "stop_tokens": "reads strings",
    "Assessment": "a result type",
    "Groups": "a state",
    "HEDGES": "a constant",
    "Hedges": "a result type",
    "IteratedAnswers": "a result type",
    "OrderAverage": "a result type",
    "PairInterval": "a result type",
    "PairPrediction": "a result type",
    "PrefixTargets": "a result type",
    "Thinking": "a result type",
    "Vote": "a result type",
    "begin_groups": "makes the state of `extend_groups`",
    "group_halting": "makes a rule for `generate_tokens`",
    "think_in_traces": "runs a language model on texts",
    "fit_hedges": "reads strings",
    "read_hedges": "reads strings",
    "ChainOptions": "options",
    "Link": "a result type",
    "Question": "a record",
    "QuestionError": "an exception",
    "QuestionSet": "a record",
    "StudyConfiguration": "options",
    "explain": "writes a page",
    "explain_figure": "draws",
    "load_questions": "reads files",
    "measure": "makes an entry",
    "run_study": "writes files",
    "uqac": "reads strings; its arrays are those of the functions on arrays",
}
