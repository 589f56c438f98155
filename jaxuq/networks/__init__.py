"""The networks room: flax modules, the array functions they are made of, and nothing else.

`apply_function` turns a module into the plain function that the rest of jaxuq works with.
"""

from jaxuq.networks.attention import Places, attend, attention_weights, visible
from jaxuq.networks.decoder import (
    Decoder,
    DecoderConfig,
    DecoderOutput,
    KeyValueCache,
    stack_layers,
    unstack_layers,
)
from jaxuq.networks.dnn import DNN
from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.functional import apply_function
from jaxuq.networks.linear import Linear, LoraConfig, adapted_norm, init_adapter
from jaxuq.networks.rotary import Rotary, apply_rotary, rotary_frequencies, rotary_tables

__all__ = [
    "DNN",
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "Dropout",
    "KeyValueCache",
    "Linear",
    "LoraConfig",
    "Places",
    "Rotary",
    "adapted_norm",
    "apply_function",
    "apply_rotary",
    "attend",
    "attention_weights",
    "init_adapter",
    "keep_mask",
    "rotary_frequencies",
    "rotary_tables",
    "stack_layers",
    "unstack_layers",
    "visible",
]
