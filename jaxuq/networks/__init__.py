"""The networks room: flax modules, the array functions they are made of, and nothing else.

`apply_function` turns a module into the plain function that the rest of jaxuq works with.
"""

from jaxuq.networks.adapter_gradients import quick_adapter_gradients
from jaxuq.networks.attention import Places, attend, attention_weights, visible
from jaxuq.networks.bert import Encoder, EncoderConfig, EncoderOutput
from jaxuq.networks.decoder import (
    Decoder,
    DecoderConfig,
    DecoderOutput,
    KeyValueCache,
)
from jaxuq.networks.dmpnn import DMPNN
from jaxuq.networks.dmpnn_config import DMPNNConfig, DMPNNOutputs, dmpnn_config
from jaxuq.networks.dnn import DNN
from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.expert_mlp import Experts
from jaxuq.networks.functional import apply_function
from jaxuq.networks.geometry import exponential_basis, nearest_neighbors, pair_distances
from jaxuq.networks.gin import GIN
from jaxuq.networks.grover import Grover
from jaxuq.networks.grover_graph import GroverInputs
from jaxuq.networks.grover_layers import GroverConfig
from jaxuq.networks.initializers import plain_dense
from jaxuq.networks.layer_stacking import stack_layers, unstack_layers
from jaxuq.networks.linear import Linear, LoraConfig, adapted_norm, init_adapter
from jaxuq.networks.model import Attention, CacheRows, CapabilityError, Model, as_model, capability, on_layers
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
from jaxuq.networks.query_attention import query_attention
from jaxuq.networks.rotary import Rotary, apply_rotary, rotary_frequencies, rotary_tables
from jaxuq.networks.several_molecules import SeveralMolecules
from jaxuq.networks.sharding import ACTIVATION_RULES, constrain
from jaxuq.networks.smiles_encoder import SmilesEncoder, TokenRows
from jaxuq.networks.spectral import SpectralState, largest_singular_value, spectral_bound
from jaxuq.networks.torchmdnet import TorchMDNet
from jaxuq.networks.torchmdnet_layers import AtomInputs, TorchMDNetConfig
from jaxuq.networks.unimol import UniMol, UniMolConfig, UniMolInputs, draw_conformers
from jaxuq.networks.whitening import whiten_vectors

__all__ = [
    "ACTIVATION_RULES",
    "DMPNN",
    "DNN",
    "GIN",
    "NF4_LEVELS",
    "QUANTIZED_KINDS",
    "AtomInputs",
    "Attention",
    "CacheRows",
    "CapabilityError",
    "DMPNNConfig",
    "DMPNNOutputs",
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "Dropout",
    "Encoder",
    "EncoderConfig",
    "EncoderOutput",
    "Experts",
    "Grover",
    "GroverConfig",
    "GroverInputs",
    "KeyValueCache",
    "Linear",
    "LoraConfig",
    "Model",
    "MolecularGraphs",
    "PackedGraphs",
    "Places",
    "QuantizedKernel",
    "Rotary",
    "SeveralMolecules",
    "SmilesEncoder",
    "SpectralState",
    "Spread",
    "TokenRows",
    "TorchMDNet",
    "TorchMDNetConfig",
    "UniMol",
    "UniMolConfig",
    "UniMolInputs",
    "adapted_norm",
    "apply_function",
    "apply_rotary",
    "as_model",
    "attend",
    "attention_weights",
    "capability",
    "constrain",
    "dequantize",
    "dmpnn_config",
    "draw_conformers",
    "exponential_basis",
    "init_adapter",
    "keep_mask",
    "kernel_product",
    "largest_singular_value",
    "nearest_neighbors",
    "on_layers",
    "pack_graphs",
    "pair_distances",
    "plain_dense",
    "quantize",
    "quantize_params",
    "query_attention",
    "quick_adapter_gradients",
    "relation_sum",
    "rotary_frequencies",
    "rotary_tables",
    "spectral_bound",
    "stack_layers",
    "unstack_layers",
    "visible",
    "whiten_vectors",
]
