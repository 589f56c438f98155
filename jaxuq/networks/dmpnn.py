"""The directed message-passing network of chemprop 2."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxuq.networks.dropout import Dropout
from jaxuq.networks.initializers import plain_dense
from jaxuq.networks.molecular_graphs import MolecularGraphs, PackedGraphs, relation_sum

ATOM_CATEGORIES = (38, 7, 6, 5, 6, 8)  # element, degree, charge, chirality, hydrogens, hybridisation
BOND_CATEGORIES = (4, 1, 1, 7)  # kind (a fifth kind is none of the four), conjugated, in a ring, stereo
_ATOM_WIDTH, _BOND_WIDTH = sum(ATOM_CATEGORIES) + 2, sum(BOND_CATEGORIES) + 1
_SCALE = 0.01


class DMPNN(nn.Module):
    r"""Messages along directed bonds, which do not turn back; chemprop 2's default network.

    With atom features $x_v$ (72) and bond features $e_{vw}$ (14): $h^{(0)}_{vw} = W_i [x_v, e_{vw}]$, and `depth` - 1
    times $h_{vw} = \mathrm{ReLU}(h^{(0)}_{vw} + W_h (\sum_{u \to v} h_{uv} - h_{wv}))$ from
    $h_{vw} = \mathrm{ReLU}(h^{(0)}_{vw})$. Then $a_v = \mathrm{ReLU}(W_o [x_v, \sum_{u \to v} h_{uv}] + b)$, the
    molecule is $\frac{1}{100} \sum_v a_v$, and one hidden layer comes before the output. 318,301 parameters with one
    output.

    It reads `MolecularGraphs` with chemprop's features (`jaxuq.molecules.molecular_graphs(smiles, "chemprop",
    hydrogens=False)`): categories `[molecules, atoms, 7]` and masses of atoms, categories `[molecules, edges, 4]` of
    bonds. Unlike in `GIN`, which has no bond features, a message lives on a bond and a direction.

    Attributes:
        num_outputs: width of the output layer.
        width: of messages, atoms and the hidden layer.
        depth: messages travel `depth` - 1 bonds.
        dropout_rate: in [0, 1); chemprop's default is 0, the benchmark's networks have 0.1.

    References:
        K. Yang et al. Analyzing learned molecular representations for property prediction. J. Chem. Inf. Model. 59,
        2019, Eq. 1 to 6.
        E. Heid et al. Chemprop: a machine learning package for chemical property prediction. J. Chem. Inf. Model. 64,
        2024.
    """

    num_outputs: int
    width: int = 300
    depth: int = 3
    dropout_rate: float = 0.0

    def setup(self):
        """Declare the layers."""
        self.begin = plain_dense(_ATOM_WIDTH + _BOND_WIDTH, self.width, use_bias=False)
        self.step = plain_dense(self.width, self.width, use_bias=False)
        self.end = plain_dense(_ATOM_WIDTH + self.width, self.width)
        self.hidden = plain_dense(self.width, self.width)
        self.output = plain_dense(self.width, self.num_outputs)
        self.drop_messages = [Dropout(self.dropout_rate) for _ in range(self.depth - 1)]
        self.drop_atoms, self.drop_hidden = Dropout(self.dropout_rate), Dropout(self.dropout_rate)

    def features(self, graphs: MolecularGraphs) -> Float[Array, "molecules width"]:
        """What the output layer sees: the hidden layer after activation and dropout."""
        summed = graphs.in_packs(self, lambda module, packed: module.of_packed(packed, graphs.num_atoms.shape[0]))
        return self.drop_hidden(nn.relu(self.hidden(summed * _SCALE)))

    def of_packed(self, packed: PackedGraphs, molecules: int) -> Float[Array, "molecules width"]:
        """Sum over a molecule's atoms."""
        categories, masses = packed.atoms
        atoms = jnp.concatenate(
            [
                *_one_hots(categories, ATOM_CATEGORIES, masses.dtype),
                categories[:, -1:].astype(masses.dtype),
                masses[:, None] * _SCALE,
            ],
            axis=1,
        )
        flags = packed.bonds[:, 1:3].astype(masses.dtype)
        kind, *_, stereo = _one_hots(packed.bonds, BOND_CATEGORIES, masses.dtype)
        bonds = jnp.concatenate([jnp.zeros_like(flags[:, :1]), kind, flags, stereo], axis=1)
        outgoing = packed.incoming ^ 1  # an edge's other direction is its neighbour in the table
        # W_i [x_v, e] is taken at the atoms, of which there are half as many as edges, and brought to the edges.
        kernel = self._begin_kernel(atoms, bonds)
        at_atoms, at_bonds = atoms @ kernel[:_ATOM_WIDTH], bonds @ kernel[_ATOM_WIDTH:]
        first = relation_sum(at_atoms, packed.sources[:, None], outgoing) + at_bonds
        messages = nn.relu(first)
        for drop in self.drop_messages:
            arriving = relation_sum(messages, packed.incoming, packed.targets[:, None])
            back = messages.reshape(-1, 2, self.width)[:, ::-1].reshape(messages.shape)
            onwards = relation_sum(arriving, packed.sources[:, None], outgoing) - back
            messages = drop(nn.relu(first + self.step(onwards)))
        arriving = relation_sum(messages, packed.incoming, packed.targets[:, None])
        vectors = self.drop_atoms(nn.relu(self.end(jnp.concatenate([atoms, arriving], axis=1))))
        return jax.ops.segment_sum(vectors, packed.molecule, molecules, indices_are_sorted=True)

    def _begin_kernel(self, atoms: Array, bonds: Array) -> Float[Array, "inputs width"]:
        if self.is_initializing():
            self.begin(jnp.concatenate([atoms[:1], bonds[:1]], axis=1))
        return self.begin.variables["params"]["kernel"]

    def __call__(self, graphs: MolecularGraphs) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(graphs))


def _one_hots(
    categories: Integer[Array, "items kinds"], sizes: tuple[int, ...], dtype: jnp.dtype
) -> list[Float[Array, "items _"]]:
    """One-hot codes; a category out of range is all zeros."""
    return [jax.nn.one_hot(categories[:, i].astype(jnp.int32), size, dtype=dtype) for i, size in enumerate(sizes)]
