"""GROVER: message passing inside the queries, keys and values of a transformer, over atoms and over bonds."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.networks.grover_graph import (
    Graph,
    GroverInputs,
    edge_sum,
    incoming,
    make_graph,
    neighbor_sum,
    with_padding_rows,
)
from jaxuq.networks.grover_layers import BranchHead, GroverConfig, Readout, View
from jaxuq.networks.module import Module


def _branch_init(rng_key: Any, shape: tuple[int, int], dtype: Any) -> Array:
    """Each half of the rows as the output layer of a branch of its own."""
    halves = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", batch_axis=(0,))
    return halves(rng_key, (2, shape[0] // 2, shape[1]), dtype).reshape(shape)


class Grover(Module):
    r"""GROVER with the benchmark's two branches.

    Two blocks run apart, over atoms and over directed bonds. In each, every one of four heads has three message-passing
    networks, $m_{t+1} = \mathrm{PReLU}(m_0 + W \sum m_t)$, whose last states are its query, key and value; attention is
    among the heads of one atom. Sums of either block's outputs at an atom, joined with its features, give the atom's
    two vectors, whose means over the molecule feed two heads. `__call__` gives the mean of both heads' raw outputs (the
    dissertation's rule; the published code averages probabilities), `branches` gives both, for the loss of training.
    Both branches share the layer `output`, of which each reads its half, and differ by plus or minus `difference`, so
    that methods for the last layer find one dense layer; two layers have as many parameters and give the same.

    With a `dropout` key the depth of each network is random as well, as in the original's training. Message-passing
    networks run one after the other and are computed again in the backward pass, which then holds
    `depth * edges * width` numbers for one of them.

    Attributes:
        num_outputs: width of the output layer.
        config: the shape.
        dropout_rate: everywhere; acts when a `dropout` key is given.

    References:
        Y. Rong et al. Self-supervised graph transformer on large-scale molecular data. NeurIPS 2020, section 4.
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.2.
    """

    num_outputs: int
    config: GroverConfig = GroverConfig()
    dropout_rate: float = 0.1

    def setup(self):
        """Declare the parts."""
        config, rate = self.config, self.dropout_rate
        self.atom_view = View(config, rate)
        self.edge_view = View(config, rate)
        self.atom_from_atom = Readout(config.width, rate)
        self.atom_from_edge = Readout(config.width, rate)
        if config.bond_views:
            self.edge_from_atom = Readout(config.width, rate)
            self.edge_from_edge = Readout(config.width, rate)
            self.unused_slopes = self.param("unused_slopes", nn.initializers.constant(0.25), (2,))
        self.heads = [BranchHead(config.head_width, rate) for _ in range(2)]
        bias = nn.initializers.constant(0.01)
        self.output = nn.Dense(self.num_outputs, kernel_init=_branch_init, bias_init=bias)
        self.difference = self.param("difference", nn.initializers.zeros, (self.num_outputs,))

    def _blocks(self, graph: Graph) -> tuple[Array, Array]:
        atoms = self.atom_view(with_padding_rows(graph, graph.atoms), lambda rows: neighbor_sum(graph, rows))
        edges = self.edge_view(with_padding_rows(graph, graph.edges), lambda links: edge_sum(graph, links))
        return atoms, edges

    def atoms(
        self, inputs: GroverInputs
    ) -> tuple[Float[Array, "molecules atoms width"], Float[Array, "molecules atoms width"]]:
        """Vectors of the atoms from the atom view and from the edge view; they mean nothing in padding."""
        graph = make_graph(inputs, self.config.padding_row)
        rows, links = self._blocks(graph)
        shape = (*inputs.masses.shape, -1)
        count = len(graph.atom_mask)
        return (
            self.atom_from_atom(graph.atoms, neighbor_sum(graph, rows)[:count]).reshape(shape),
            self.atom_from_edge(graph.atoms, incoming(graph, links)).reshape(shape),
        )

    def bonds(
        self, inputs: GroverInputs
    ) -> tuple[Float[Array, "molecules edges width"], Float[Array, "molecules edges width"]]:
        """Vectors of the directed edges from both views, as the pre-training's tasks on bonds read them."""
        graph = make_graph(inputs, self.config.padding_row)
        rows, links = self._blocks(graph)
        shape = (*inputs.senders.shape, -1)
        around = (rows[: len(graph.atom_mask)] + neighbor_sum(graph, rows)[: len(graph.atom_mask)])[graph.senders]
        return (
            self.edge_from_atom(graph.edges, around - rows[graph.receivers]).reshape(shape),
            self.edge_from_edge(graph.edges, edge_sum(graph, links)[: len(graph.edge_mask)]).reshape(shape),
        )

    def features(self, inputs: GroverInputs) -> Float[Array, "molecules hidden"]:
        """What the output layer sees: half of each head's units, side by side, so that it gives the branches' mean."""
        where = jnp.arange(inputs.masses.shape[1])[None] < inputs.num_atoms[:, None]
        count = jnp.maximum(inputs.num_atoms, 1).astype(inputs.masses.dtype)[:, None]
        means = [jnp.where(where[..., None], vectors, 0.0).sum(1) / count for vectors in self.atoms(inputs)]
        return 0.5 * jnp.concatenate([head(mean) for head, mean in zip(self.heads, means)], axis=-1)

    def branches(self, inputs: GroverInputs) -> Float[Array, "branches molecules outputs"]:
        """Raw outputs of the branch from the atom view and of that from the edge view."""
        both = self.features(inputs)
        first = jnp.arange(both.shape[1])[None] < self.config.head_width
        atoms = self.output(jnp.where(first, 2 * both, 0.0)) + self.difference[None]
        edges = self.output(jnp.where(first, 0.0, 2 * both)) - self.difference[None]
        return jnp.stack([atoms, edges])

    def __call__(self, inputs: GroverInputs) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw: the mean of both branches."""
        if self.is_initializing() and self.config.bond_views:
            self.bonds(inputs)
        return self.output(self.features(inputs))
