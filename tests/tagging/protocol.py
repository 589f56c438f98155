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


def _both(function):
    """With a shared transition; with one per token, compiled at once, since eager loops cost most."""
    return [
        Example(f, chain, differentiable=(0, 1, 2), rows=2)
        for f, chain in ((function, _SHARED), (jax.jit(function), _OWN))
    ]


_VOTES = _RNG.integers(0, 3, size=(8, 4, 2)).astype(np.int32)


def _label_model(model):
    def function(rng_key, observations, lengths):
        fitted = model.fit(model.init(rng_key, observations, lengths), observations, lengths)
        return fitted.objective, model.predict(fitted.params, observations, lengths)

    return Example(jax.jit(function), (_KEY, _VOTES, _LENGTHS), rows=1)


_SHARES = _RNG.random((8, 2, 3)).astype(np.float32)  # sentences, functions, states
_WXOR = tagging.WXORCounts(_RNG.random((2, 3, 3)).astype(np.float32), np.full((2, 3), 4.0, np.float32))
_PART = {"split": 0.2}

EXAMPLES: dict[str, Any] = {
    "best_consensus": Example(tagging.best_consensus, (_VOTES, _VOTES[..., 0])),
    "crf_loss": [
        Example(
            jax.jit(partial(tagging.crf_loss, kind=kind)),
            (
                _normal(8, 4, 3),
                _normal(3, 3),
                _normal(3),
                np.full((8, 4, 3), 1 / 3, np.float32),
                np.maximum(_LENGTHS, 1),
            ),
            differentiable=(0, 1, 2),
        )
        for kind in ("expected", "marginals")
    ],
    "dawid_skene": _label_model(tagging.dawid_skene(3, num_steps=2)),
    "ebcc": _label_model(tagging.ebcc(3, num_subtypes=2, num_steps=2)),
    "emission_addon_prior": Example(tagging.emission_addon_prior, (_SHARES, _WXOR.logits), differentiable=(0, 1)),
    "emission_base_prior": [
        Example(tagging.emission_base_prior, (_SHARES,), _PART | {"naive": naive}, differentiable=(0,))
        for naive in (False, True)
    ],
    "emission_concentration": Example(tagging.emission_concentration, (_SHARES,), differentiable=(0,)),
    "expected_counts": _both(tagging.expected_counts),
    "filtered_marginals": _both(tagging.filtered_marginals),
    "flying_squid": _label_model(tagging.flying_squid(3)),
    "ibcc": _label_model(tagging.ibcc(3, num_steps=2)),
    "hmm": [_label_model(tagging.hmm(3, num_steps=2)), _label_model(tagging.hmm(3, num_steps=1, scheme="any"))],
    "initial_emission": [
        Example(jax.jit(partial(tagging.initial_emission, num_labels=3, statistics=kind)), (_VOTES, _LENGTHS))
        for kind in ("votes", "published")
    ],
    "initial_transition": Example(jax.jit(partial(tagging.initial_transition, num_labels=3)), (_VOTES, _LENGTHS)),
    "k_best_viterbi": Example(lambda *chain: tagging.k_best_viterbi(*chain, num_paths=2).paths, _SHARED, rows=2),
    "log_dirichlet_mean": Example(tagging.log_dirichlet_mean, (_SHARES + 1,), differentiable=(0,)),
    "log_dirichlet_sample": Example(
        jax.jit(tagging.log_dirichlet_sample), (_KEY, _SHARES + 1), differentiable=(1,), rows=1
    ),
    "log_likelihood": [
        *_both(tagging.log_likelihood),
        Example(jax.jit(partial(tagging.log_likelihood, checkpoint=True)), _SHARED, differentiable=(0, 1, 2), rows=2),
    ],
    "majority_vote": [_label_model(tagging.majority_vote(3, scheme)) for scheme in ("types", "tokens")],
    "normalised_log_probability": Example(
        tagging.normalised_log_probability, _SHARED, differentiable=(0, 1, 2), rows=2
    ),
    "observation_log_evidence": [
        *(
            Example(tagging.observation_log_evidence, (_normal(*shape, 2, 3, 3), said), differentiable=(0,), rows=1)
            for shape in ((), (8,), (8, 4))
            for said in (_RNG.integers(-1, 3, size=(8, 4, 2)), _RNG.random((8, 4, 2, 3)).astype(np.float32))
        ),
    ],
    "pairwise_marginals": Example(tagging.pairwise_marginals, _OWN, differentiable=(0, 1, 2), rows=2),
    "path_entropy": Example(tagging.path_entropy, _SHARED, differentiable=(0, 1, 2), rows=2),
    "posterior_sample": Example(partial(tagging.posterior_sample, num_samples=2), (_KEY, *_OWN), rows=3),
    "scale_reliability": Example(tagging.scale_reliability, (_SHARES,), _PART, differentiable=(0,)),
    "sequence_bald": Example(
        jax.jit(partial(tagging.sequence_bald, num_samples=2)),
        (_KEY, _normal(2, 3), _normal(2, 3, 3), _normal(2, 8, 4, 3), _LENGTHS),
        shardable=False,
        rows=None,
    ),
    "silence_probability": Example(
        tagging.silence_probability, (_SHARES,), _PART | {"num_labels": 3}, differentiable=(0,)
    ),
    "smoothed_marginals": _both(tagging.smoothed_marginals),
    "snorkel": _label_model(tagging.snorkel(3, num_steps=2)),
    "true_emissions": Example(
        jax.jit(partial(tagging.true_emissions, num_labels=3)), (_VOTES, _VOTES[..., 0], _LENGTHS)
    ),
    "viterbi": Example(lambda *chain: tagging.viterbi(*chain).scores, _OWN, differentiable=(0, 1, 2), rows=2),
    "wxor_counts": [
        Example(
            jax.jit(partial(tagging.wxor_counts, convention=kind)), (_VOTES, _SHARES, _LENGTHS), differentiable=(1,)
        )
        for kind in ("dissertation", "published")
    ],
    "wxor_scores": [
        Example(partial(tagging.wxor_scores, convention=kind), (_WXOR,), differentiable=(0,), shardable=False)
        for kind in ("dissertation", "published")
    ],
}
# Where each takes labels of a known range: a label outside it makes the result NaN.
LABELS: dict[str, int] = {"true_emissions": 1}
HOST: dict[str, str] = {
    "BayesianTokenParams": "a type",
    "BestPaths": "a type",
    "CHMMParams": "a type",
    "CombinationParams": "a type",
    "FlyingSquidParams": "a type",
    "ConNetParams": "a type",
    "EmbeddedText": "a type",
    "ExpectedCounts": "a type",
    "EncoderTuning": "a type",
    "FinetunedParams": "a type",
    "Fitted": "a type",
    "HMMParams": "a type",
    "LabelForecast": "a type",
    "LabelModel": "a type",
    "Linear": "a type",
    "MajorityParams": "a type",
    "Tagger": "a type",
    "TaggerParams": "a type",
    "NeuralFitted": "a type",
    "NeuralLabelModel": "a type",
    "SparseCHMMParams": "a type",
    "SpanThresholds": "a type",
    "SparseOptions": "a type",
    "TaggingDataError": "a type",
    "TokenParams": "a type",
    "TrainOptions": "a type",
    "WXORCounts": "a type",
    "WeakLabels": "a type",
    "apply_labelling_functions": "runs Python callables on strings",
    "bayesian_dawid_skene": "runs NumPyro's own compiled loop from the host",
    "bio_label_names": "makes strings",
    "crf_tagger": "trains from the host, in buckets of like length",
    "embed_text": "reads and writes files",
    "embed_words": "reads and writes files",
    "finetune_tagger": "trains from the host, in buckets of like length",
    "candidate_spans": "makes dictionaries of spans",
    "keep_spans": "sorts spans",
    "AnnotatedText": "a type",
    "FunctionFile": "a type",
    "SpanPromise": "a type",
    "annotated_labels": "works on strings",
    "calibrating_half": "draws rows on the host",
    "label_studio_task": "works on strings",
    "prodigy_record": "works on strings",
    "read_annotations": "reads files",
    "read_functions": "reads files",
    "wanted_promise": "checks options",
    "with_functions": "runs Python callables on strings",
    "promise_precision": "counts spans in dictionaries",
    "promise_recall": "counts spans in dictionaries",
    "chmm": "the host sends bucketed batches to compiled programs",
    "chmm_fixed_emissions": "the host sends bucketed batches to compiled programs",
    "connet": "the host sends bucketed batches to compiled programs",
    "gazetteer_function": "makes a function of strings",
    "hard_targets": "NumPy, of host arrays",
    "heuristic_function": "makes a function of strings",
    "load_weak_labels": "reads files",
    "make_weak_labels": "pads host arrays",
    "read_columns": "reads a file",
    "regex_function": "makes a function of strings",
    "sparse_chmm": "the host sends bucketed batches to compiled programs",
    "sparse_reliabilities": "takes a list of host arrays",
    "spans_to_labels": "checks Python values",
}
