"""The networks room: flax modules, the array functions they are made of, and nothing else.

`apply_function` turns a module into the plain function that the rest of jaxuq works with.
"""

from jaxuq.networks.attention import Places, attend, attention_weights, visible
from jaxuq.networks.bert import Encoder, EncoderConfig, EncoderOutput
from jaxuq.networks.decoder import (
    Decoder,
    DecoderConfig,
    DecoderOutput,
    KeyValueCache,
    stack_layers,
    unstack_layers,
)
from jaxuq.networks.dmpnn import DMPNN
from jaxuq.networks.dnn import DNN
from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.functional import apply_function
from jaxuq.networks.gin import GIN
from jaxuq.networks.initializers import plain_dense
from jaxuq.networks.linear import Linear, LoraConfig, adapted_norm, init_adapter
from jaxuq.networks.molecular_graphs import MolecularGraphs, PackedGraphs, Spread, pack_graphs, relation_sum
from jaxuq.networks.quantized import (
    NF4_LEVELS,
    QUANTIZED_KINDS,
    QuantizedKernel,
    dequantize,
    kernel_product,
    quantize,
    quantize_params,
)
from jaxuq.networks.rotary import Rotary, apply_rotary, rotary_frequencies, rotary_tables

__all__ = [
    "DMPNN",
    "DNN",
    "GIN",
    "NF4_LEVELS",
    "QUANTIZED_KINDS",
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "Dropout",
    "Encoder",
    "EncoderConfig",
    "EncoderOutput",
    "KeyValueCache",
    "Linear",
    "LoraConfig",
    "MolecularGraphs",
    "PackedGraphs",
    "Places",
    "QuantizedKernel",
    "Rotary",
    "Spread",
    "adapted_norm",
    "apply_function",
    "apply_rotary",
    "attend",
    "attention_weights",
    "dequantize",
    "init_adapter",
    "keep_mask",
    "kernel_product",
    "pack_graphs",
    "plain_dense",
    "quantize",
    "quantize_params",
    "relation_sum",
    "rotary_frequencies",
    "rotary_tables",
    "stack_layers",
    "unstack_layers",
    "visible",
]
