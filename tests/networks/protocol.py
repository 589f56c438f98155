"""Examples of the public functions of jaxuq.networks for tests/test_protocol.py."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxuq.networks import (
    DMPNN,
    DNN,
    GIN,
    AtomInputs,
    Decoder,
    DecoderConfig,
    DMPNNConfig,
    Encoder,
    EncoderConfig,
    Grover,
    GroverConfig,
    GroverInputs,
    LoraConfig,
    MolecularGraphs,
    Places,
    Rotary,
    TorchMDNet,
    TorchMDNetConfig,
    UniMol,
    UniMolConfig,
    UniMolInputs,
    adapted_norm,
    apply_function,
    apply_rotary,
    attend,
    attention_weights,
    dequantize,
    draw_conformers,
    exponential_basis,
    init_adapter,
    keep_mask,
    kernel_product,
    largest_singular_value,
    nearest_neighbors,
    pack_graphs,
    pair_distances,
    quantize,
    quantize_params,
    query_attention,
    relation_sum,
    rotary_tables,
    spectral_bound,
    stack_layers,
    unstack_layers,
    visible,
    whiten_vectors,
)
from tests.protocol import Example, in_type_of, random_variables

_DNN = DNN(num_outputs=2, width=8, depth=2)
_X = jax.random.normal(jax.random.key(0), (16, 5))
_PARAMS = random_variables(_DNN, _X)["params"]

_DECODER = Decoder(
    DecoderConfig(23, 8, 12, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=4, layer_windows=(None, 3)),
    lora=LoraConfig(rank=2),
)
_TOKENS = jax.random.randint(jax.random.key(4), (8, 5), 0, 23)
_DECODER_VARIABLES = random_variables(_DECODER, _TOKENS)
_PLACES = Places(jnp.broadcast_to(jnp.arange(5), (8, 5)))
_QUERY = jax.random.normal(jax.random.key(6), (8, 5, 2, 4))
_KEY, _VALUE = jax.random.normal(jax.random.key(7), (2, 8, 1, 5, 4))

_ENCODER = Encoder(EncoderConfig(13, 8, 12, num_layers=2, num_heads=2, max_positions=6))
_ENCODER_TOKENS = jax.random.randint(jax.random.key(5), (8, 4), 0, 13)
_ENCODER_WHERE = jnp.arange(4)[None] < jnp.array([4, 2, 3, 4, 1, 4, 4, 2])[:, None]
_ENCODER_VARIABLES = random_variables(_ENCODER, _ENCODER_TOKENS)


_UNIMOL = UniMol(1, UniMolConfig(9, 8, 8, num_layers=1, num_heads=2, num_kernels=3))
_CHAIN = UniMolInputs(jnp.tile(jnp.array([[1, 4, 5, 2]]), (8, 1)), jax.random.normal(jax.random.key(11), (8, 2, 4, 3)))
_UNIMOL_PARAMS = random_variables(_UNIMOL, _CHAIN)["params"]
_TORCHMDNET = TorchMDNet(1, TorchMDNetConfig(8, num_layers=1, num_heads=2, num_basis=3, max_number=9))
_ATOMS = AtomInputs(jnp.tile(jnp.array([[6, 7, 8, 0]]), (8, 1)), _CHAIN.coordinates[:, 0])
_TORCHMDNET_PARAMS = random_variables(_TORCHMDNET, _ATOMS)["params"]
_GROVER = Grover(1, GroverConfig(4, num_heads=2, depth=2, head_width=3, bond_views=False))
_BONDS = GroverInputs(
    *(jnp.ones((8, 3, 150), jnp.uint8), jnp.ones((8, 3)), jnp.ones((8, 4, 14), jnp.uint8)),
    *(jnp.tile(jnp.array([ends]), (8, 1)) for ends in ([0, 1, 1, 2], [1, 0, 2, 1])),
    *(jnp.full(8, 3), jnp.full(8, 4)),
)
_GROVER_PARAMS = random_variables(_GROVER, _BONDS)["params"]


def _encoded(tokens, where, variables):
    """Real tokens only: what comes out in padding means nothing."""
    output = in_type_of(_ENCODER, variables).apply(variables, tokens, where)
    return jnp.where(where[..., None], output.hidden, 0.0), output.pooled


_GRAPHS = MolecularGraphs(  # eight times: three atoms in a row, or the first two of them
    atoms=jnp.tile(jnp.array([[6, 7, 8]]), (8, 1)),
    sources=jnp.tile(jnp.array([[0, 1, 1, 2]]), (8, 1)),
    incoming=jnp.tile(jnp.array([[[1, 4], [0, 3], [2, 4]]]), (8, 1, 1)),
    num_atoms=jnp.full(8, 3),
    num_edges=jnp.full(8, 4),
)
_RICH = _GRAPHS.replace(atoms=(jnp.ones((8, 3, 7), jnp.int32), jnp.ones((8, 3))), bonds=jnp.ones((8, 4, 4), jnp.int32))
_GIN, _DMPNN = GIN(2, 4, 2, 9), DMPNN(2, DMPNNConfig(width=4))
_GIN_PARAMS = random_variables(_GIN, _GRAPHS)["params"]
_DMPNN_PARAMS = random_variables(_DMPNN, _RICH)["params"]
_TO = jnp.tile(jnp.array([[0, 16], [1, 0]]), (7, 1))
_BACK = jnp.tile(jnp.array([[16, 16]]), (16, 1)).at[0, 0].set(0)


def _bounded(params):
    optimizer = spectral_bound(jax.random.key(0), 0.95, steps=20)
    return optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)[0]


EXAMPLES: dict[str, Any] = {
    "DNN": Example(
        lambda params, x: _DNN.apply({"params": params}, x),
        (_PARAMS, _X),
        differentiable=(0, 1),
        keeps_type=True,
        whole=(0,),
        rows=1,
    ),
    "DMPNN": Example(
        jax.jit(apply_function(_DMPNN)), (_DMPNN_PARAMS, _RICH), differentiable=(0,), shardable=False, keeps_type=True
    ),
    "GIN": Example(
        jax.jit(apply_function(_GIN)), (_GIN_PARAMS, _GRAPHS), differentiable=(0,), shardable=False, keeps_type=True
    ),
    "Decoder": Example(
        lambda variables, tokens: in_type_of(_DECODER, variables).apply(variables, tokens).hidden,
        (_DECODER_VARIABLES, _TOKENS),
        differentiable=(0,),
        keeps_type=True,
        whole=(0,),
        rows=1,
    ),
    # gradients of these three are compared with other implementations in tests of their own
    "Grover": Example(jax.jit(apply_function(_GROVER)), (_GROVER_PARAMS, _BONDS), shardable=False, keeps_type=True),
    "TorchMDNet": Example(
        jax.jit(apply_function(_TORCHMDNET)), (_TORCHMDNET_PARAMS, _ATOMS), shardable=False, keeps_type=True
    ),
    "UniMol": Example(jax.jit(apply_function(_UNIMOL)), (_UNIMOL_PARAMS, _CHAIN), shardable=False, keeps_type=True),
    "draw_conformers": Example(
        lambda inputs, key: draw_conformers(key, inputs), (_CHAIN, jax.random.key(15)), keeps_type=True
    ),
    "exponential_basis": Example(
        lambda x: exponential_basis(jnp.abs(x), 3), (_X,), differentiable=(0,), keeps_type=True
    ),
    "nearest_neighbors": Example(
        lambda x, where: nearest_neighbors(pair_distances(x), where, cutoff=2.0, max_neighbors=3),
        (_CHAIN.coordinates[:, 0], _ATOMS.numbers > 0),
    ),
    "pair_distances": Example(pair_distances, (_CHAIN.coordinates,), differentiable=(0,), keeps_type=True),
    "whiten_vectors": Example(whiten_vectors, (_CHAIN.coordinates.mT,), differentiable=(0,), keeps_type=True),
    "adapted_norm": Example(
        lambda kernel, a, b: adapted_norm(kernel, a, b, 2.0), (_X, _X[:, :2], _X[:2]), differentiable=(0, 1, 2)
    ),
    "apply_function": [
        Example(apply_function(_DNN), (_PARAMS, _X), differentiable=(0, 1), keeps_type=True, whole=(0,), rows=1),
        Example(
            lambda params, x, key: apply_function(_DNN, method="features")(params, x, rng_key=key),
            (_PARAMS, _X, jax.random.key(2)),
            differentiable=(0, 1),
            keeps_type=True,
            whole=(0,),
            rows=1,
        ),
    ],
    "apply_rotary": Example(
        lambda x, positions: apply_rotary(x, *rotary_tables(Rotary(), 4, positions)),
        (_QUERY, _PLACES.positions),
        differentiable=(0,),
        keeps_type=True,
    ),
    "attend": Example(
        lambda query, key, value, places: attend(query, key, value, places, places, scale=0.5, window=3, softcap=2.0),
        (_QUERY, _KEY, _VALUE, _PLACES),
        differentiable=(0, 1, 2),
        keeps_type=True,
    ),
    "Encoder": Example(
        jax.jit(lambda tokens, variables, where: _encoded(tokens, where, variables)),
        (_ENCODER_TOKENS, _ENCODER_VARIABLES),
        where=_ENCODER_WHERE,
        masked=(0,),
        differentiable=(1,),
        keeps_type=True,
        whole=(1,),
    ),
    "attention_weights": Example(
        lambda query, key, places: attention_weights(query, key, places, places, scale=0.5),
        (_QUERY, _KEY, _PLACES),
        differentiable=(0, 1),
    ),
    "query_attention": Example(
        lambda query, key, value, seen: query_attention(query, key, value, seen, scale=0.5)[0],
        (_QUERY[:, 0], _KEY, _VALUE, _PLACES.positions >= 0),
        differentiable=(0, 1, 2),
        keeps_type=True,
    ),
    "dequantize": [
        Example(lambda x: dequantize(quantize(x, "int8")), (_X,), rows=None),
        Example(lambda x: dequantize(quantize(x, "nf4", double=True)), (_X,), rows=None),
    ],
    "init_adapter": Example(lambda key: init_adapter(key, (6, 5), LoraConfig(rank=2)), (jax.random.key(8),), rows=None),
    "keep_mask": Example(lambda key: keep_mask(key, (16, 4), 0.3), (jax.random.key(3),), rows=None),
    "kernel_product": Example(
        lambda x, kernel: kernel_product(x, quantize(kernel, "int8"), x.dtype),
        (_X, _X.T),
        differentiable=(0,),
        keeps_type=True,
    ),
    "pack_graphs": Example(lambda graphs: pack_graphs(graphs, 24, 32), (_GRAPHS,)),
    "relation_sum": Example(relation_sum, (_X, _TO, _BACK), differentiable=(0,), keeps_type=True),
    "quantize": Example(quantize, (_X,), rows=None),
    "quantize_params": Example(
        quantize_params, ({"layers": {"query": {"kernel": _X[None]}}},), {"kind": "int8"}, rows=None
    ),
    "rotary_tables": Example(lambda positions: rotary_tables(Rotary(), 4, positions), (_PLACES.positions,)),
    "stack_layers": Example(
        lambda params: stack_layers(unstack_layers(params, 2), 2),
        (_DECODER_VARIABLES["params"],),
        differentiable=(0,),
        keeps_type=True,
        rows=None,
    ),
    "unstack_layers": Example(
        lambda params: unstack_layers(params, 2),
        (_DECODER_VARIABLES["params"],),
        differentiable=(0,),
        keeps_type=True,
        rows=None,
    ),
    "largest_singular_value": Example(
        lambda kernel, direction: largest_singular_value(kernel, direction, steps=20)[0],
        (jax.random.normal(jax.random.key(1), (5, 8)), jnp.ones(8)),
        differentiable=(0,),
        rows=None,
    ),
    "spectral_bound": Example(
        _bounded,
        ({"kernel": 0.3 * jax.random.normal(jax.random.key(2), (5, 8)), "bias": jnp.ones(8)},),
        differentiable=(0,),
        keeps_type=True,
        rows=None,
    ),
    "visible": Example(lambda places: visible(places, places, window=2), (_PLACES,)),
}
HOST: dict[str, str] = {
    "SeveralMolecules": "a network around another; tests/molecules/fitted/test_classes_and_pairs.py",
    "ACTIVATION_RULES": "a table",
    "constrain": "places arrays; tests/compiled",
    "quick_adapter_gradients": "a context to trace in; tests/networks/test_linear.py",
    "AtomInputs": "a type",
    "Attention": "a type",
    "CacheRows": "a type",
    "CapabilityError": "an error",
    "Model": "a type; tests/language/test_own_model.py",
    "as_model": "functions of a module; covered by all that takes a model",
    "capability": "looks a field up",
    "on_layers": "applies a function",
    "DMPNNConfig": "a configuration",
    "dmpnn_config": "makes a configuration",
    "DMPNNOutputs": "says what outputs mean; tests/checkpoints/test_dmpnn.py",
    "GroverConfig": "a configuration",
    "GroverInputs": "a type",
    "TorchMDNetConfig": "a configuration",
    "UniMolConfig": "a configuration",
    "UniMolInputs": "a type",
    "DecoderConfig": "a configuration",
    "DecoderOutput": "a type",
    "Dropout": "a layer; covered by DNN",
    "EncoderConfig": "a configuration",
    "Experts": "a configuration",
    "EncoderOutput": "a type",
    "KeyValueCache": "a type",
    "Linear": "a layer; covered by Decoder",
    "LoraConfig": "a configuration",
    "NF4_LEVELS": "a constant",
    "MolecularGraphs": "a type",
    "PackedGraphs": "a type",
    "Places": "a type",
    "QUANTIZED_KINDS": "a constant",
    "QuantizedKernel": "a type",
    "Rotary": "a configuration",
    "SmilesEncoder": "an Encoder and a dense layer; covered by Encoder and its own tests",
    "SpectralState": "a type",
    "Spread": "a type",
    "TokenRows": "a type",
    "plain_dense": "makes a layer; covered by GIN",
    "rotary_frequencies": "NumPy, of a configuration; covered by rotary_tables",
}
