"""The graph isomorphism network of MUBen."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.networks.dropout import Dropout
from jaxuq.networks.initializers import plain_dense
from jaxuq.networks.module import Module
from jaxuq.networks.molecular_graphs import MolecularGraphs, PackedGraphs, relation_sum

_XAVIER = nn.initializers.xavier_uniform()
_BIAS = nn.initializers.constant(0.01)


class GIN(Module):
    r"""A graph isomorphism network on atomic numbers, summed over the atoms of a molecule.

    $h^{(l+1)}_i = \mathrm{dropout}(\mathrm{ReLU}(\mathrm{MLP}_l(h^{(l)}_i + \sum_{j \sim i} h^{(l)}_j)))$ from the
    embedding of atom $i$'s number; $g = \sum_i W [h^{(1)}_i; \dots; h^{(L)}_i] + b$; output $V g + c$. Each MLP has two
    dense layers with a ReLU between. No normalisation, no bond features, $\epsilon = 0$ fixed. With one output: 260,097
    parameters. Hydrogens are atoms like others.

    It reads `MolecularGraphs`, or a `jraph.GraphsTuple` whose nodes are atomic numbers and whose edges go both ways
    (padding graphs give outputs as well, which mean nothing). The first sums neighbours by `relation_sum`, the second,
    which may be any graph, by `segment_sum`.

    Attributes:
        num_outputs: width of the output layer, e.g. two a task for a Gaussian likelihood.
        width: of the vectors.
        depth: number of layers.
        num_elements: rows of the embedding; larger atomic numbers share the last one.
        dropout_rate: in [0, 1), after every layer; active only when a `dropout` key is given (see `Dropout`).

    References:
        K. Xu, W. Hu, J. Leskovec, S. Jegelka. How powerful are graph neural networks? ICLR 2019, Eq. 4.1.
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.2.
    """

    num_outputs: int
    width: int = 128
    depth: int = 5
    num_elements: int = 100
    dropout_rate: float = 0.1

    def setup(self):
        """Declare the layers."""
        self.embedding = nn.Embed(self.num_elements, self.width, embedding_init=nn.initializers.normal(1.0))
        self.inner = [plain_dense(self.width, self.width, name=f"inner_{i}") for i in range(self.depth)]
        self.outer = [plain_dense(self.width, self.width, name=f"outer_{i}") for i in range(self.depth)]
        self.drop = [Dropout(self.dropout_rate) for _ in range(self.depth)]
        self.merge = plain_dense(self.depth * self.width, self.width, name="merge")
        self.output = nn.Dense(self.num_outputs, kernel_init=_XAVIER, bias_init=_BIAS)

    def features(self, graphs) -> Float[Array, "molecules width"]:
        """What the output layer sees: the sum over a molecule's atoms."""
        if isinstance(graphs, MolecularGraphs):
            return graphs.in_packs(self, lambda module, packed: module.of_packed(packed, graphs.num_atoms.shape[0]))
        nodes, molecules = graphs.nodes.shape[0], graphs.n_node.shape[0]
        molecule = jnp.repeat(jnp.arange(molecules), graphs.n_node, total_repeat_length=nodes)

        def neighbours(h: Array) -> Array:
            return jax.ops.segment_sum(h[graphs.senders], graphs.receivers, nodes)

        return self._body(graphs.nodes, neighbours, molecule, molecules)

    def of_packed(self, packed: PackedGraphs, molecules: int) -> Float[Array, "molecules width"]:
        """`features` of a packed graph."""
        return self._body(
            packed.atoms, lambda h: relation_sum(h, packed.neighbours, packed.neighbours), packed.molecule, molecules
        )

    def _body(self, numbers: Array, neighbours: Callable[[Array], Array], molecule: Array, molecules: int) -> Array:
        elements = jnp.minimum(numbers.astype(jnp.int32), self.num_elements - 1)
        table = self.embedding.embedding
        first, bias = self.inner[0](table), self.inner[0](jnp.zeros((1, self.width), table.dtype))
        h = (first - bias)[elements]  # the first dense layer of each element instead of each atom
        hidden = h + neighbours(h) + bias
        layers = []
        for layer, (outer, drop) in enumerate(zip(self.outer, self.drop)):
            if layer:
                hidden = self.inner[layer](h + neighbours(h))
            h = drop(nn.relu(outer(nn.relu(hidden))))
            layers.append(h)
        merged = jnp.concatenate(layers, axis=-1)
        summed = jax.ops.segment_sum(merged, molecule, molecules, indices_are_sorted=True)
        count = jax.ops.segment_sum(jnp.ones(molecule.shape, h.dtype), molecule, molecules, indices_are_sorted=True)
        bias = self.merge(jnp.zeros((1, merged.shape[1]), h.dtype))
        return self.merge(summed) + bias * (count[:, None] - 1)  # the sum over atoms of a dense layer, taken first

    def __call__(self, graphs) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(graphs))
