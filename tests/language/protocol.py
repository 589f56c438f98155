"""Examples and host-side names of the language room."""

from typing import Any

import jax

from jaxuq.language import init_adapters, merge_adapters, stack_adapters
from jaxuq.networks import Decoder, DecoderConfig, LoraConfig
from tests.protocol import Example

_DECODER = Decoder(
    DecoderConfig(23, 8, 12, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4), lora=LoraConfig(rank=2, dora=True)
)
_VARIABLES = jax.jit(_DECODER.init)(jax.random.key(5), jax.numpy.zeros((1, 2), jax.numpy.int32))
_PARAMS, _LORA = _VARIABLES["params"], _VARIABLES["lora"]

EXAMPLES: dict[str, Any] = {
    "init_adapters": Example(
        lambda key, params: init_adapters(key, _DECODER, params), (jax.random.key(1), _PARAMS), differentiable=(1,)
    ),
    "merge_adapters": Example(
        lambda params, lora: merge_adapters(params, lora, _DECODER.lora), (_PARAMS, _LORA), differentiable=(0, 1)
    ),
    "stack_adapters": Example(lambda a, b: stack_adapters([a, b]), (_LORA, _LORA), differentiable=(0, 1)),
}
HOST: dict[str, str] = {
    "load_peft": "reads files",
    "save_peft": "writes files",
}
