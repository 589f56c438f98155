"""The directed message-passing network of chemprop 2."""

import itertools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from jaxuq.networks.dmpnn_config import DMPNN_ACTIVATIONS, DMPNNConfig
from jaxuq.networks.dropout import Dropout
from jaxuq.networks.initializers import plain_dense
from jaxuq.networks.module import Module
from jaxuq.networks.molecular_graphs import PackedGraphs, relation_sum

_SCALE = 0.01
_FIRST_ROWS = (*range(1, 37), 53)
_ELEMENTS = {  # by features: those that have a place of their own; all others share the last
    "v2": _FIRST_ROWS,
    "v1": tuple(range(1, 101)),
    "organic": (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 35, 53),
    "rigr": _FIRST_ROWS,
}
_HYBRIDISATIONS = {  # RDKit's numbers: S 1, SP 2, SP2 3, SP3 4, SP2D 5, SP3D 6, SP3D2 7
    "v2": (1, 2, 3, 5, 4, 6, 7),
    "v1": (2, 3, 4, 6, 7),
    "organic": (1, 2, 3, 4),
}
_CATEGORIES = (7, 6, 5, 6)  # degree, charge, chirality, hydrogens
_BOND_CATEGORIES = (4, 1, 1, 7)  # kind (a fifth kind is none of the four), conjugated, in a ring, stereo


def feature_widths(atoms: str) -> tuple[int, int]:
    """Numbers that describe an atom and a bond.

    Args:
        atoms: which features, see `DMPNNConfig`.

    Returns:
        Both.

    Example:
        >>> {atoms: feature_widths(atoms) for atoms in ("v2", "v1", "organic", "rigr")}
        {'v2': (72, 14), 'v1': (133, 14), 'organic': (44, 14), 'rigr': (52, 2)}
    """
    elements = len(_ELEMENTS[atoms]) + 1
    if atoms == "rigr":
        return elements + _CATEGORIES[0] + _CATEGORIES[3] + 1, 2
    return elements + sum(_CATEGORIES) + len(_HYBRIDISATIONS[atoms]) + 3, sum(_BOND_CATEGORIES) + 1


class DMPNN(Module):
    r"""Messages along directed bonds, which do not turn back; chemprop 2's network.

    With atom features $x_v$ (72) and bond features $e_{vw}$ (14): $h^{(0)}_{vw} = W_i [x_v, e_{vw}]$, and `depth` - 1
    times $h_{vw} = \mathrm{ReLU}(h^{(0)}_{vw} + W_h (\sum_{u \to v} h_{uv} - h_{wv}))$ from
    $h_{vw} = \mathrm{ReLU}(h^{(0)}_{vw})$. Then $a_v = \mathrm{ReLU}(W_o [x_v, \sum_{u \to v} h_{uv}] + b)$, the
    molecule is $\frac{1}{100} \sum_v a_v$, and one hidden layer comes before the output. 318,301 parameters with one
    output. What else chemprop's networks may have is in the configuration.

    It reads `MolecularGraphs` with chemprop's features (`jaxuq.molecules.molecular_graphs(smiles, "chemprop",
    hydrogens=False)`): categories `[molecules, atoms, 7]` and masses of atoms, categories `[molecules, edges, 4]` of
    bonds; with descriptors, a pair of those and descriptors `[molecules, descriptors]` in their own units. Unlike in
    `GIN`, which has no bond features, a message lives on a bond and a direction.

    Attributes:
        num_outputs: width of the output layer.
        config: all else; `convert_backbone` of `jaxuq.checkpoints` reads it from a file of chemprop.

    References:
        K. Yang et al. Analyzing learned molecular representations for property prediction. J. Chem. Inf. Model. 59,
        2019, Eq. 1 to 6.
        E. Heid et al. Chemprop: a machine learning package for chemical property prediction. J. Chem. Inf. Model. 64,
        2024.
    """

    num_outputs: int
    config: DMPNNConfig = DMPNNConfig()

    def setup(self):
        """Declare the layers."""
        config = self.config
        width, rate = config.width, config.dropout_rate
        self.widths = feature_widths(config.atoms)
        self.begin = plain_dense(sum(self.widths), width, use_bias=config.bias)
        self.step = plain_dense(width, width, use_bias=config.bias)
        self.end = plain_dense(self.widths[0] + width, width)
        inner = [width + config.num_descriptors, *config.layers]
        self.head = [
            plain_dense(inputs, outputs, name="hidden" if not place else f"hidden_{place}")
            for place, (inputs, outputs) in enumerate(itertools.pairwise(inner))
        ]
        self.output = plain_dense(inner[-1], self.num_outputs)
        self.drop_messages = [Dropout(rate) for _ in range(config.depth - 1)]
        self.drop_atoms = Dropout(rate)
        head_rate = rate if config.head_dropout_rate is None else config.head_dropout_rate
        self.drop_hidden = [Dropout(head_rate) for _ in self.head]
        self.active = self._activation(config.activation, "slope")
        if self.head:
            self.head_active = self._activation(config.head_activation or config.activation, "head_slope")
        if config.batch_norm:
            self.scale = self.param("scale", nn.initializers.ones, (width,))
            self.shift = self.param("shift", nn.initializers.zeros, (width,))

    def _activation(self, name: str, slope: str) -> Callable[[Array], Array]:
        if name != "prelu":
            return DMPNN_ACTIVATIONS[name]
        factor = self.param(slope, nn.initializers.constant(0.25), (1,))
        return lambda x: jnp.where(x >= 0, x, factor[None] * x)

    def features(self, inputs: PyTree) -> Float[Array, "molecules width"]:
        """What the output layer sees: the last hidden layer after activation and dropout."""
        vectors = self.molecules(inputs)
        for layer, drop in zip(self.head, self.drop_hidden):
            vectors = drop(self.head_active(layer(vectors)))
        return vectors

    def molecules(self, inputs: PyTree) -> Float[Array, "molecules width"]:
        """Vectors of molecules, with their descriptors."""
        config = self.config
        graphs, descriptors = inputs if config.num_descriptors else (inputs, None)
        count = graphs.num_atoms.shape[0]
        vectors = graphs.in_packs(self, lambda module, packed: module.of_packed(packed, count))
        if config.aggregation == "norm":
            vectors = vectors * (1 / config.norm)
        elif config.aggregation == "mean":
            vectors = vectors / jnp.maximum(graphs.num_atoms, 1).astype(vectors.dtype)[:, None]
        if config.batch_norm:
            vectors = vectors * self.scale[None] + self.shift[None]
        if descriptors is None:
            return vectors
        scaler = (config.descriptor_mean, config.descriptor_scale)
        mean, scale = (np.array(part, descriptors.dtype)[None] for part in scaler)
        standard = (descriptors - mean) / scale
        return jnp.concatenate([vectors, standard.astype(vectors.dtype)], axis=1)

    def of_packed(self, packed: PackedGraphs, molecules: int) -> Float[Array, "molecules width"]:
        """Sum over a molecule's atoms."""
        atoms, bonds = _features(packed, self.config.atoms)
        outgoing = packed.incoming ^ 1  # an edge's other direction is its neighbour in the table
        # W_i [x_v, e] is taken at the atoms, of which there are half as many as edges, and brought to the edges.
        kernel, bias = self._begin(atoms, bonds)
        at_atoms, at_bonds = atoms @ kernel[: self.widths[0]], bonds @ kernel[self.widths[0] :]
        first = relation_sum(at_atoms, packed.sources[:, None], outgoing) + at_bonds + bias
        messages = self.active(first)
        for drop in self.drop_messages:
            back = messages.reshape(-1, 2, messages.shape[1])[:, ::-1].reshape(messages.shape)
            if self.config.undirected:
                messages = back = (messages + back) / 2
            arriving = relation_sum(messages, packed.incoming, packed.targets[:, None])
            onwards = relation_sum(arriving, packed.sources[:, None], outgoing) - back
            messages = drop(self.active(first + self.step(onwards)))
        arriving = relation_sum(messages, packed.incoming, packed.targets[:, None])
        vectors = self.drop_atoms(self.active(self.end(jnp.concatenate([atoms, arriving], axis=1))))
        return jax.ops.segment_sum(vectors, packed.molecule, molecules, indices_are_sorted=True)

    def _begin(self, atoms: Array, bonds: Array) -> tuple[Float[Array, "inputs width"], Array | float]:
        if self.is_initializing():
            self.begin(jnp.concatenate([atoms[:1], bonds[:1]], axis=1))
        params = self.begin.variables["params"]
        return params["kernel"], params["bias"][None] if self.config.bias else 0.0

    def __call__(self, inputs: PyTree) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(inputs))

    def predictions(self, inputs: PyTree) -> Float[Array, "molecules tasks ..."]:
        """What a trained network predicts, in the labels' units; see `DMPNNOutputs.read`."""
        assert self.config.outputs is not None, "the network was trained for no task"
        return self.config.outputs.read(self(inputs))


def _features(packed: PackedGraphs, atoms: str) -> tuple[Float[Array, "nodes _"], Float[Array, "edges _"]]:
    """Numbers that describe atoms and bonds."""
    categories, masses = packed.atoms
    dtype = masses.dtype
    element = _one_hot(
        _places(_ELEMENTS[atoms], 256)[categories[:, 0].astype(jnp.int32)], len(_ELEMENTS[atoms]) + 1, dtype
    )
    degree, charge, chirality, hydrogens = (
        _one_hot(categories[:, column], size, dtype) for column, size in enumerate(_CATEGORIES, 1)
    )
    mass = masses[:, None] * _SCALE
    ring = packed.bonds[:, 2:3].astype(dtype)
    if atoms == "rigr":
        return jnp.concatenate([element, degree, hydrogens, mass], axis=1), jnp.concatenate([ring * 0, ring], axis=1)
    kinds = _HYBRIDISATIONS[atoms]
    kind = _one_hot(_places(kinds, 16)[categories[:, 5].astype(jnp.int32)], len(kinds) + 1, dtype)
    aromatic = categories[:, 6:].astype(dtype)
    of_atoms = [element, degree, charge, chirality, hydrogens, kind, aromatic, mass]
    flags = packed.bonds[:, 1:3].astype(dtype)
    order, stereo = (_one_hot(packed.bonds[:, column], _BOND_CATEGORIES[column], dtype) for column in (0, 3))
    return jnp.concatenate(of_atoms, axis=1), jnp.concatenate([ring * 0, order, flags, stereo], axis=1)


def _places(chosen: tuple[int, ...], count: int) -> Integer[Array, " count"]:
    """The place of each number: its own among the chosen, or the last."""
    places = np.full(count, len(chosen), np.int32)
    places[list(chosen)] = np.arange(len(chosen))
    return jnp.asarray(places)


def _one_hot(categories: Integer[Array, " items"], size: int, dtype: jnp.dtype) -> Float[Array, "items _"]:
    """One-hot codes; a category out of range is all zeros."""
    return jax.nn.one_hot(categories.astype(jnp.int32), size, dtype=dtype)
