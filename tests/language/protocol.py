"""Examples and host-side names of the language room."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxuq.language import (
    Sampling,
    Steering,
    attention_rows,
    continue_generation,
    filter_logits,
    generate_tokens,
    min_p_mask,
    sample_token,
    score_tokens,
    start_generation,
    steer_logits,
    take_rows,
    token_scores,
    top_k_mask,
    top_p_mask,
)
from jaxuq.networks import Decoder, DecoderConfig
from tests.language import protocol_adapters
from tests.protocol import Example, in_type_of, random_variables

_LOGITS = 2 * jax.random.normal(jax.random.key(0), (8, 11))
_CONFIG = DecoderConfig(13, 8, 8, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4)
_DECODER = Decoder(_CONFIG)
_TOKENS = jax.random.randint(jax.random.key(1), (8, 4), 0, 13)
_VARIABLES = random_variables(_DECODER, _TOKENS)
_LENGTHS = jnp.array([4, 2, 3, 4, 1, 4, 4, 2], jnp.int32)
_WHERE = jnp.arange(8) % 3 > 0
_SAMPLING = Sampling(0.8, top_k=5, top_p=0.9, min_p=0.01)


def _keys(seed, tokens):
    """Keys for the rows from the one number that the protocol's transformations leave alone."""
    return jax.random.split(jax.random.key(seed), 8)[: tokens.shape[0]]


def _generated(variables, tokens, lengths):
    decoder = in_type_of(_DECODER, variables)
    options = {"sampling": _SAMPLING, "stop_tokens": (3,)}
    return generate_tokens(
        decoder,
        variables,
        tokens,
        lengths,
        _keys(3, tokens),
        max_new_tokens=3,
        top_alternatives=2,
        keep_queries=True,
        **options,
    )._replace(rng_keys=None)


def _continued(variables, tokens, lengths):
    decoder = in_type_of(_DECODER, variables)
    state = start_generation(decoder, variables, tokens, lengths, _keys(4, tokens), capacity=3, keep_hidden=True)
    return continue_generation(decoder, variables, state, until=2)._replace(rng_keys=None)


def _started(variables, tokens, lengths):
    decoder = in_type_of(_DECODER, variables)
    state = start_generation(decoder, variables, tokens, lengths, _keys(4, tokens), capacity=2, num_samples=2)
    return state._replace(rng_keys=None)


def _rows(variables, tokens):
    decoder = in_type_of(_DECODER, variables)
    captured = score_tokens(decoder, variables, tokens, keep_queries=True).captured
    return attention_rows(decoder, captured, tokens[:, :2] % 4)


def _taken(variables, tokens, lengths):
    decoder = in_type_of(_DECODER, variables)
    state = start_generation(decoder, variables, tokens, lengths, _keys(4, tokens), capacity=2)
    return take_rows(decoder, state, jnp.array([2, -1, 7])[: tokens.shape[0]])._replace(rng_keys=None)


EXAMPLES: dict[str, Any] = {
    "attention_rows": Example(_rows, (_VARIABLES, _TOKENS), differentiable=(0,), whole=(0,), rows=1),
    "continue_generation": Example(_continued, (_VARIABLES, _TOKENS, _LENGTHS), keeps_type=True, whole=(0,), rows=1),
    "filter_logits": Example(lambda logits: jnp.exp(filter_logits(logits, _SAMPLING)), (_LOGITS,)),
    "generate_tokens": Example(_generated, (_VARIABLES, _TOKENS, _LENGTHS), keeps_type=True, whole=(0,), rows=1),
    "min_p_mask": Example(lambda logits: min_p_mask(logits, 0.2), (_LOGITS,)),
    "sample_token": Example(
        lambda key, logits: sample_token(key, logits, _SAMPLING), (jax.random.key(5), _LOGITS), rows=1
    ),
    "score_tokens": Example(
        lambda variables, tokens: score_tokens(
            in_type_of(_DECODER, variables), variables, tokens, top_alternatives=2, keep_hidden=True
        ),
        (_VARIABLES, _TOKENS),
        differentiable=(0,),
        keeps_type=True,
        whole=(0,),
        rows=1,
    ),
    "steer_logits": Example(
        lambda logits, tokens: steer_logits(logits, tokens, Steering(0.1 * jnp.arange(11.0), 0.5, 0.2)),
        (_LOGITS, _TOKENS),
        differentiable=(0,),
    ),
    "start_generation": Example(_started, (_VARIABLES, _TOKENS, _LENGTHS), keeps_type=True, whole=(0,), rows=1),
    "take_rows": Example(_taken, (_VARIABLES, _TOKENS, _LENGTHS), keeps_type=True, whole=(0,), rows=1),
    "token_scores": Example(
        lambda logits, tokens: token_scores(logits, tokens, top_alternatives=3),
        (_LOGITS, _TOKENS[:, 0] % 11),
        differentiable=(0,),
    ),
    "top_k_mask": Example(lambda logits: top_k_mask(logits, 4), (_LOGITS,)),
    "top_p_mask": Example(lambda logits: top_p_mask(logits, 0.7), (_LOGITS,)),
}

_TYPE = "a type"
_FILES = "reads or writes files"
_TEXT = "works on strings"
# Where each takes labels of a known range: a label outside it makes the result NaN, or that of its entry alone.
LABELS: dict[str, int] = {"cross_entropy": 1, "token_scores": 1}
HOST: dict[str, str] = {
    "Alternatives": _TYPE,
    "AnswerStates": _TYPE,
    "Answer": _TYPE,
    "AnswerShares": _TYPE,
    "ChoiceProbabilities": _TYPE,
    "Constraint": _TYPE,
    "ConstraintError": _TYPE,
    "choice_probabilities": "texts; the arrays are those of score_tokens",
    "choices_constraint": _TEXT,
    "regex_constraint": _TEXT,
    "schema_constraint": _TEXT,
    "table_constraint": _TEXT,
    "weigh_answers": "sums numbers of answers that were made",
    "Ask": _TYPE,
    "Grown": _TYPE,
    "RunningBatch": "orders the work of compiled loops; test_running_batch",
    "Captured": _TYPE,
    "GREEDY": "a constant",
    "Generation": _TYPE,
    "Halting": _TYPE,
    "NewToken": _TYPE,
    "PLAIN": "a constant",
    "Sampling": _TYPE,
    "Steering": _TYPE,
    "PairLoss": _TYPE,
    "ScheduledLoss": _TYPE,
    "Scores": _TYPE,
    "TextStream": _TEXT,
    "TokenScores": _TYPE,
    "check_sampling": "checks numbers",
    "generate": "texts; the arrays are those of generate_tokens",
    "score": "texts; the arrays are those of score_tokens",
    "CheckpointError": _TYPE,
    "CheckpointInfo": _TYPE,
    "LanguageModel": _TYPE,
    "PARTITION_RULES": "a table",
    "PromptError": _TYPE,
    "config_json": "configurations",
    "decode_tokens": _TEXT,
    "decoder_config": "configurations",
    "encode_prompt": _TEXT,
    "encode_reply": _TEXT,
    "fetch_model": "downloads files",
    "inspect_model": _FILES,
    "load_model": _FILES,
    "model_digest": "reads every number on the host; tests/study",
    "model_names": "names",
    "partition_specs": "makes placements, no arrays",
    "save_model": _FILES,
    "shard_params": "places arrays on devices",
    "stop_tokens": _TEXT,
}

EXAMPLES |= protocol_adapters.EXAMPLES
HOST |= protocol_adapters.HOST
