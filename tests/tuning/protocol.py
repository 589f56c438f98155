"""Examples of the public functions of jaxuq.tuning for tests/test_protocol.py."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import tuning
from tests.language.tiny_decoder import base_params, decoder_with, moved_adapters
from tests.protocol import Example, in_type_of

_RNG = np.random.default_rng(3)
_KEY = jax.random.key(3)


def _normal(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32)


DECODER = decoder_with(targets=("value",))
UNROLLED = DECODER.clone(scan=False)
LORA = {"layers": {"value": moved_adapters(decoder_with(), base_params())["layers"]["value"]}}
PROMPTS = tuning.AnswerPrompts(
    jnp.asarray(_RNG.integers(0, 40, (8, 4)), jnp.int32),
    jnp.asarray([4, 3, 2, 4, 1, 4, 3, 2], jnp.int32),
    jnp.asarray([[1, 5, 9]] * 8, jnp.int32),
    jnp.asarray([[True, True, True]] * 7 + [[True, True, False]]),
)
_LABELS = np.arange(8, dtype=np.int32) % 2
_ROWS = np.arange(8) % 3 > 0
_LOG_PROBS = jax.nn.log_softmax(jnp.asarray(_normal(5, 8, 3)))
_VARIABLES = {"params": base_params(), "lora": LORA}
_STACKED = {"layers": {"value": {"a": _normal(2, 6, 3), "b": _normal(2, 3, 8)}}}


def _alike(lora):
    """The decoder and its parameters in the type of the adapters."""
    dtype = jax.tree.leaves(lora)[0].dtype
    return in_type_of(DECODER, lora), jax.tree.map(lambda leaf: leaf.astype(dtype), base_params())


def _bound(lora, prompts):
    return tuning.bind_answers(*_alike(lora))(lora, prompts)


def _factors(lora, prompts, labels, where):
    decoder, params = _alike(lora)
    return tuning.adapter_factors(decoder, params, lora, prompts, labels, where=where)


def _logits(variables, prompts):
    return tuning.answer_logits(in_type_of(DECODER, variables), variables, prompts)


def _options(variables, hidden, prompts):
    return tuning.option_logits(in_type_of(DECODER, variables), variables, hidden, prompts)


def _blob(rng_key, lora):
    method = tuning.blob()
    state = method.init(rng_key, lora)
    return method.kl(state), method.adapters(state), method.sample(rng_key, state, 2)


def _token_loss(name):
    def function(logits, tokens, examples):
        loss = tuning.token_loss(
            name, sample_smoothing=jnp.array([0.05, 0.2]), sample_weights=jnp.array([1.5, 0.5], logits.dtype)
        )
        return loss(logits, tokens, examples)

    args = (_normal(8, 2, 5), _RNG.integers(0, 5, (8, 2)), np.arange(16).reshape(8, 2) % 2)
    return Example(function, args, differentiable=(0,))


EXAMPLES = {
    "adapter_factors": Example(
        _factors, (LORA, PROMPTS, _LABELS), where=_ROWS, masked=(2,), vmappable=False, shardable=False, whole=(0,)
    ),
    "answer_logits": Example(
        _logits, (_VARIABLES, PROMPTS), vmappable=False, shardable=False, whole=(0,)
    ),
    "answer_loss": Example(tuning.answer_loss, (_normal(8, 3), _LABELS), differentiable=(0,)),
    "answer_scores": Example(tuning.answer_scores, (_LOG_PROBS[0], _LABELS), where=_ROWS, masked=(0, 1)),
    "confidence_scores": Example(
        tuning.confidence_scores, (np.exp(_LOG_PROBS[0, :, 0]), _LABELS), where=_ROWS, masked=(0, 1)
    ),
    "cautious_reward": Example(tuning.cautious_reward, (_normal(3, 8),), differentiable=(0,), rows=None),
    "fit_reward_heads": Example(
        lambda chosen, rejected, *, where: tuning.fit_reward_heads(_KEY, chosen, rejected, members=3, where=where),
        (_normal(8, 3), _normal(8, 3)), where=_ROWS, masked=(0, 1), shardable=False,
    ),
    "preference_information": Example(
        tuning.preference_information,
        (_normal(3, 8), np.arange(8, dtype=np.int32), np.arange(8, dtype=np.int32)[::-1].copy()),
        shardable=False, rows=None,
    ),
    "diverse_preferences": Example(
        functools.partial(tuning.diverse_preferences, count=3, neighbours=2, weight=0.2),
        (_normal(8) ** 2, _normal(8, 3), _normal(2, 3)), where=_ROWS, masked=(0, 1), shardable=False, rows=None,
        differentiable=(),
    ),
    "bald": Example(tuning.bald, (_LOG_PROBS,), differentiable=(0,), shardable=False),
    "base_tuned_gap": Example(tuning.base_tuned_gap, (_normal(8), _normal(8), 0.3), where=_ROWS, masked=(0, 1)),
    "batch_bald": Example(
        functools.partial(tuning.batch_bald, batch_size=2), (_LOG_PROBS,), vmappable=False, shardable=False
    ),
    "bind_answers": Example(_bound, (LORA, PROMPTS), vmappable=False, shardable=False, whole=(0,)),
    "blob": Example(_blob, (_KEY, _STACKED), differentiable=(1,), shardable=False, keeps_type=True, rows=None),
    "decoder_adapters": Example(
        functools.partial(tuning.decoder_adapters, UNROLLED), (_STACKED,), shardable=False, keeps_type=True
    ),
    "fit_linear_probe": Example(
        tuning.fit_linear_probe, (_normal(8, 3), _LABELS), where=_ROWS, masked=(0, 1), vmappable=False
    ),
    "flipout_noise": Example(
        tuning.flipout_noise, (_normal(8, 3), _normal(3, 2), _normal(3, 2), _normal(8, 3), _normal(8, 2)),
        differentiable=(0, 1),
    ),
    "growing_kl_weight": Example(tuning.growing_kl_weight, (np.int32(3),), {"num_steps": 5}, rows=None),
    "isotropic_samples": Example(
        tuning.isotropic_samples, (_KEY, _STACKED, 0.1), {"num_samples": 2}, vmappable=False, shardable=False
    ),
    "log_uniform_kl": Example(tuning.log_uniform_kl, (_normal(8), _normal(8)), differentiable=(0, 1)),
    "margin": Example(tuning.margin, (np.exp(_LOG_PROBS[0]),), differentiable=(0,)),
    "option_logits": Example(
        _options,
        (_VARIABLES, _normal(8, 4, 16), PROMPTS), vmappable=False, shardable=False,
    ),
    "placed_prompts": Example(tuning.placed_prompts, (PROMPTS,)),
    "prune_samples": Example(
        functools.partial(tuning.prune_samples, keep_ratio=0.5), (_normal(8), _normal(8)), where=_ROWS, masked=(0, 1),
    ),
    "probe_confidence": Example(
        tuning.probe_confidence, (tuning.LinearProbe(_normal(3), _normal()[()], _normal(3), np.ones(3, np.float32)),
        _normal(8, 3)), shardable=False,
    ),
    "rotate_adapter": Example(tuning.rotate_adapter, (_normal(8, 2), _normal(2, 4)), vmappable=False),
    "silhouette": Example(
        functools.partial(tuning.silhouette, num_clusters=2), (_normal(8, 3), _LABELS), where=_ROWS, masked=(0, 1)
    ),
    "stacked_adapters": Example(
        functools.partial(tuning.stacked_adapters, UNROLLED),
        ({f"layers_{i}": {"value": {"a": _normal(6, 3), "b": _normal(3, 8)}} for i in range(2)},), shardable=False,
        keeps_type=True,
    ),
    "useless_ranks": Example(
        tuning.useless_ranks, (_normal(8, 2), _normal(2, 8), _normal(2)), vmappable=False, rows=None
    ),
    "token_error": Example(tuning.token_error, (-np.abs(_normal(8)),), where=_ROWS, masked=(0,), differentiable=(0,)),
    "stated_token_loss": Example(
        lambda logits, tokens, examples: tuning.stated_token_loss(jnp.arange(1, 4), jnp.array([1.0, 0.0]))(
            logits, tokens, examples
        ),
        (_normal(8, 2, 5), _RNG.integers(0, 5, (8, 2)), np.arange(16).reshape(8, 2) % 2), differentiable=(0,),
    ),
    "token_loss": [_token_loss("ual"), _token_loss("uncertainty-aware"), _token_loss("scheduled-smoothing")],
}  # fmt: skip

# Where each takes labels of a known range: a label outside it makes the result NaN, or that of its entry alone.
LABELS: dict[str, int] = {
    "answer_loss": 1,
    "answer_scores": 1,
    "confidence_scores": 1,
    "fit_linear_probe": 1,
    "token_loss": 1,
}

HOST = {
    "PreferencePairs": "a result type",
    "encode_preferences": "reads texts",
    "preference_log_probs": "reads examples on the host; the arrays are those of response_log_probs",
    "preference_loss": "makes a loss of direct_preference_loss",
    "hedged_pairs": "reads texts",
    "listener_pairs": "reads answers on the host",
    "listener_preferences": "asks a model from the host",
    "listener_trust": "asks a model from the host",
    "Preference": "type",
    "RewardHeads": "type",
    "ACQUISITIONS": "an open table",
    "VERDICTS": "texts",
    "WAYS": "an open table",
    "Graded": "type",
    "LabellingRound": "type",
    "ResponseScores": "type",
    "Verdict": "type",
    "asked_confidence": "batches a model's questions from the host",
    "average_answers": "brings summarise back to the host",
    "choose_questions": "chooses on the host; its scores are acquisition's",
    "graded_answers": "batches a model's questions from the host",
    "head_confidence": "batches a model's questions from the host",
    "label_in_rounds": "a loop around a learner on the host",
    "last_states": "batches a model's questions from the host",
    "response_scores": "batches a model's texts from the host",
    "run_labelling": "a run on the host",
    "run_teaching": "a run on the host",
    "sample_answers": "batches a model's questions from the host",
    "take_questions": "selects on the host",
    "taught_examples": "tokenises on the host",
    "verdict_prompts": "tokenises on the host",
    "verdict_records": "text",
    "written_answers": "generates with a model from the host",
    "LOSSES": "an open table",
    "POSTERIORS": "an open table",
    "SOURCES": "an open table",
    "Choices": "type",
    "LossSettings": "type",
    "Pool": "type",
    "Samples": "type",
    "Tuned": "type",
    "make_choices": "tables on the host",
    "SCORES": "names",
    "AnswerForecast": "type",
    "AnswerPrompts": "type",
    "BLoB": "type",
    "BLoBState": "type",
    "Encoded": "type",
    "LinearProbe": "type",
    "refusal_records": "text",
    "stated_confidence_records": "text",
    "sufficiency_records": "text",
    "PrunedSamples": "type",
    "SampleUncertainty": "type",
    "Split": "type",
    "TuneConfiguration": "type",
    "TuningError": "type",
    "answer_entropy": "counts texts on the host",
    "column_uncertainty": "reads records on the host",
    "disagreement_uncertainty": "generates with a model from the host",
    "encode_questions": "tokenises on the host",
    "fit_adapter_laplace": "batches a model's questions from the host; its array parts are laplace and adapter_factors",
    "flipout": "a context for a model's modules",
    "forecast_answers": "batches a model's questions from the host",
    "judge_prompt": "text",
    "judged_uncertainty": "asks a judge from the host",
    "laplace_draws": "samples for a model, with its layers",
    "largest_scale": "a search on the host, whose loss may read files",
    "load_split": "reads files",
    "perplexity_uncertainty": "batches a model's texts from the host",
    "read_judgement": "text",
    "run_tuning": "a run on the host",
    "text_loss": "batches a model's texts from the host",
    "training_examples": "tokenises on the host",
}
