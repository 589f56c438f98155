"""The part of the language room's protocol that is about adapters and fine-tuning."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxuq.language import (
    TokenBatch,
    cross_entropy,
    finetune_step,
    hidden_gradient,
    init_adapters,
    init_finetuning,
    learning_rate_schedule,
    make_optimizer,
    map_logits,
    merge_adapters,
    response_log_probs,
    response_loss,
    stack_adapters,
)
from jaxuq.language.tuning import FinetuneConfig
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig
from tests.protocol import Example, in_type_of, random_variables

_DECODER = Decoder(
    DecoderConfig(13, 8, 8, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4), lora=LoraConfig(rank=2, dora=True)
)
_VARIABLES = random_variables(_DECODER, jnp.zeros((1, 2), jnp.int32))
_PARAMS, _LORA = _VARIABLES["params"], _VARIABLES["lora"]
_TOKENS = jax.random.randint(jax.random.key(1), (8, 4), 0, 13)
_BATCH = TokenBatch(_TOKENS, jnp.broadcast_to(jnp.arange(4), (8, 4)), jnp.zeros((8, 4), jnp.int32), _TOKENS % 3 > 0)
_CONFIG = FinetuneConfig(learning_rate=0.1)
_OPTIMIZER = make_optimizer(_CONFIG, 10)


def _squares(weight: Any, frozen: Any, batch: Any, rng_key: Any) -> Any:
    return jnp.sum((jnp.broadcast_to(weight, batch.shape) - batch.astype(weight.dtype)) ** 2), jnp.int32(batch.size)


EXAMPLES: dict[str, Any] = {
    "cross_entropy": Example(
        cross_entropy, (jax.random.normal(jax.random.key(0), (8, 4, 13)), _TOKENS), differentiable=(0,)
    ),
    "finetune_step": Example(
        lambda weight, batch: finetune_step(
            init_finetuning(weight, optax.sgd(0.1)), None, batch, None, loss=_squares, optimizer=optax.sgd(0.1)
        ),
        (jnp.ones(4), jax.random.normal(jax.random.key(2), (8, 2, 4))),
        rows=1,
        shardable=False,  # the first axis is one of steps
    ),
    "hidden_gradient": Example(
        lambda params, hidden, tokens: hidden_gradient(
            cross_entropy, in_type_of(_DECODER, params), {"params": params}, hidden, tokens, max_logits=208
        ),
        (_PARAMS, jax.random.normal(jax.random.key(3), (8, 4, 8)), _TOKENS),
        differentiable=(0, 1),
        keeps_type=True,
        whole=(0,),
        rows=1,
    ),
    "init_adapters": Example(
        lambda key, params: init_adapters(key, _DECODER, params),
        (jax.random.key(1), _PARAMS),
        differentiable=(1,),
        rows=None,
    ),
    "init_finetuning": Example(lambda weight: init_finetuning(weight, _OPTIMIZER), (jnp.ones(8),)),
    "learning_rate_schedule": Example(learning_rate_schedule(_CONFIG, 10), (jnp.arange(8.0),), differentiable=(0,)),
    "map_logits": Example(
        lambda params, hidden, tokens: map_logits(
            cross_entropy, in_type_of(_DECODER, params), {"params": params}, hidden, tokens, max_logits=208
        ),
        (_PARAMS, jax.random.normal(jax.random.key(3), (8, 4, 8)), _TOKENS),
        differentiable=(0, 1),
        whole=(0,),
        rows=1,
    ),
    "merge_adapters": Example(
        lambda params, lora: merge_adapters(params, lora, _DECODER.lora),
        (_PARAMS, _LORA),
        differentiable=(0, 1),
        keeps_type=True,
        rows=None,
    ),
    "response_loss": Example(
        lambda params, lora, batch: response_loss(
            in_type_of(_DECODER, params), {"params": params, "lora": lora}, batch
        ),
        (_PARAMS, _LORA, _BATCH),
        differentiable=(0, 1),
        whole=(0, 1),
        rows=2,
    ),
    "response_log_probs": Example(
        lambda params, lora, batch: response_log_probs(
            in_type_of(_DECODER, params), {"params": params, "lora": lora}, batch
        ),
        (_PARAMS, _LORA, _BATCH),
        differentiable=(0, 1),
        whole=(0, 1),
        rows=2,
    ),
    "stack_adapters": Example(
        lambda a, b: stack_adapters([a, b]), (_LORA, _LORA), differentiable=(0, 1), keeps_type=True, rows=None
    ),
}
HOST: dict[str, str] = {
    "BatchPlan": "a type",
    "FinetuneConfig": "a configuration",
    "FinetuneHistory": "a type",
    "FinetuneProgress": "a type",
    "FinetuneState": "a type",
    "Finetuned": "a type",
    "Instruction": "a type",
    "InstructionFile": "reads files",
    "Rejected": "a type",
    "StepReport": "a type",
    "Survey": "a type",
    "TokenBatch": "a type",
    "encode_instruction": "tokenises text",
    "finetune": "the host's loop",
    "finetune_bar": "draws on the terminal",
    "load_peft": "reads files",
    "make_batch": "reads examples on the host",
    "make_optimizer": "a factory; covered by init_finetuning",
    "plan_batches": "plans on the host",
    "save_peft": "writes files",
    "survey_examples": "reads examples on the host",
}
