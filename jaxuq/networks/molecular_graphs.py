r"""Graphs of molecules as padded rows, and as one packed graph without much padding.

Minibatches are drawn by rows, so a data set keeps one padded row per molecule (small integers). A network would waste
most of its time on those paddings: `MolecularGraphs.in_packs` therefore lays the molecules of a batch end to end in one
graph of a static number of nodes, which is chosen from the sizes in the data set so that nearly every batch fits, and
falls back to larger ones for the batches that do not. A data set so compiles a fixed number of programs.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree, Shaped

from jaxuq._arguments import typed
from jaxuq._meshes import whole
from jaxuq._shapes import checked

# Rooms to choose from: a factor of the mean sum of sizes over a batch, and standard deviations of that sum on top.
# Random minibatches exceed four deviations once in some 30,000. Rows in the order of a file, or of a scaffold split's
# test part, whose molecules are larger than the mean, are no random choice, and MC dropout forecasts them too.
_TRAINING = ((1.0, 4.0), (1.25, 4.0))
_INFERENCE = ((1.0, 1.0), (1.25, 4.0))
_MULTIPLE = 64


class Spread(NamedTuple):
    """How a size varies over a data set.

    Attributes:
        mean: over molecules.
        deviation: its standard deviation.
    """

    mean: float
    deviation: float


class PackedGraphs(NamedTuple):
    """Molecules end to end; what belongs to no molecule is out of range.

    Attributes:
        atoms: features of the nodes.
        molecule: which molecule a node is of; the number of molecules for padding.
        neighbours: nodes bound to each node; the number of nodes where there is none.
        sources: node at which each directed edge begins.
        targets: node at which it ends.
        incoming: edges that end at each node; the number of edges where there is none.
        bonds: features of the edges; edges 2b and 2b + 1 are the two directions of one bond.
    """

    atoms: PyTree[Shaped[Array, "nodes ..."]]
    molecule: Int[Array, " nodes"]
    neighbours: Int[Array, "nodes degree"]
    sources: Int[Array, " edges"]
    targets: Int[Array, " edges"]
    incoming: Int[Array, "nodes degree"]
    bonds: PyTree[Shaped[Array, "edges ..."]]


@flax.struct.dataclass
class MolecularGraphs:
    """Graphs of molecules, one padded row each.

    Arrays of NumPy or JAX, or whatever JAX puts in their place while it maps a function over them.

    Attributes:
        atoms: features of atoms, any pytree with axes `molecules atoms`.
        sources: axes `molecules edges`; for each directed edge the atom at which it begins, counted within the
            molecule; edges 2b and 2b + 1 are the two directions of one bond.
        incoming: axes `molecules atoms degree`; for each atom the edges that end there; `edges` (one past the last
            column) where there is none.
        num_atoms: of each molecule; 0 for one that could not be read.
        num_edges: of each molecule, twice its bonds.
        bonds: features of directed edges, any pytree with axes `molecules edges`, or None.
        atom_spread: how the number of atoms varies in the data set; None: every batch has room for its largest case.
        edge_spread: the same of edges.
    """

    atoms: PyTree
    sources: Any
    incoming: Any
    num_atoms: Any
    num_edges: Any
    bonds: PyTree = None
    atom_spread: Spread | None = flax.struct.field(pytree_node=False, default=None)
    edge_spread: Spread | None = flax.struct.field(pytree_node=False, default=None)

    def in_packs(self, module: nn.Module, function: Callable[[Any, PackedGraphs], Array]) -> Array:
        """Apply a method of a network to these molecules, packed as tightly as they allow.

        Under `vmap` over batches a choice by size is no choice: all sizes are computed. Members that train on
        different rows are therefore best run one after another on a CPU (`strategy="map"`, which is its default);
        elsewhere the largest size is the only one.

        Args:
            module: a bound flax module.
            function: `function(module, packed) -> outputs`, outputs of fixed shape, whatever the packing.

        Returns:
            The outputs.
        """
        rooms = self._rooms(slacks=_TRAINING if module.has_rng("dropout") else _INFERENCE)
        if module.is_initializing() or jax.default_backend() != "cpu":
            rooms = rooms[-1:]
        if len(rooms) == 1:
            return function(module, pack_graphs(self, *rooms[0]))
        nodes, edges = self.num_atoms.sum(), self.num_edges.sum()
        too_small = [(nodes > room_of_nodes) | (edges > room_of_edges) for room_of_nodes, room_of_edges in rooms[:-1]]
        first, *others = (lambda m, graphs, room=room: function(m, pack_graphs(graphs, *room)) for room in rooms)
        # All branches' residuals would be kept for the backward pass, so the rarer ones compute theirs again.
        branches = [first, *map(nn.remat, others)]
        return nn.switch(sum(small.astype(jnp.int32) for small in too_small), branches, module, self)

    def _rooms(self, slacks: tuple[tuple[float, float], ...]) -> list[tuple[int, int]]:
        """Numbers of nodes and edges to choose from, rising; the last is room for every possible batch."""
        molecules, atoms = self.incoming.shape[:2]
        largest = (atoms, self.sources.shape[1])
        spreads = (self.atom_spread, self.edge_spread)
        rooms = [(molecules * largest[0], molecules * largest[1])]
        for factor, deviations in reversed(slacks):
            nodes, edges = (_room(molecules, *size, factor, deviations) for size in zip(largest, spreads))
            if nodes < rooms[0][0] and edges < rooms[0][1]:
                rooms.insert(0, (nodes, edges))
        return rooms


def _room(molecules: int, largest: int, spread: Spread | None, factor: float, deviations: float) -> int:
    """Room for the sum of sizes of random molecules: `factor` times its mean and so many standard deviations more."""
    if spread is None:
        return molecules * largest
    likely = factor * molecules * spread.mean + deviations * spread.deviation * math.sqrt(molecules)
    return min(math.ceil(likely / _MULTIPLE) * _MULTIPLE, molecules * largest)


@typed()
def pack_graphs(graphs: MolecularGraphs, num_nodes: int, num_edges: int) -> PackedGraphs:
    """Lay molecules end to end; those that find no room are cut off.

    Args:
        graphs: the molecules.
        num_nodes: of the packed graph, at least the sum of `graphs.num_atoms`.
        num_edges: of the packed graph, at least the sum of `graphs.num_edges`, even.

    Returns:
        The packed graph. Features of padding are those of some atom or bond of the batch.

    Example:
        >>> import jax.numpy as jnp
        >>> two = MolecularGraphs(  # methane's carbon, and the two atoms of carbon monoxide
        ...     atoms=jnp.array([[6, 0], [6, 8]]),
        ...     sources=jnp.array([[0, 0], [0, 1]]),
        ...     incoming=jnp.array([[[2], [2]], [[1], [0]]]),
        ...     num_atoms=jnp.array([1, 2]),
        ...     num_edges=jnp.array([0, 2]),
        ... )
        >>> packed = pack_graphs(two, 3, 2)
        >>> packed.atoms.tolist(), packed.molecule.tolist(), packed.neighbours[:, 0].tolist()
        ([6, 6, 8], [0, 1, 1], [3, 2, 1])
    """
    graphs = jax.tree.map(whole, graphs)  # molecules change their places
    molecules, rows_of_edges = graphs.num_atoms.shape[0], graphs.sources.shape[1]
    first_node = jnp.cumsum(graphs.num_atoms) - graphs.num_atoms
    first_edge = jnp.cumsum(graphs.num_edges) - graphs.num_edges
    node_molecule, node_row = _places(graphs.num_atoms, first_node, num_nodes)
    edge_molecule, edge_row = _places(graphs.num_edges, first_edge, num_edges)

    def of_nodes(leaf: Array) -> Array:
        return leaf.at[node_molecule, node_row].get(mode="clip")

    def of_edges(leaf: Array) -> Array:
        return leaf.at[edge_molecule, edge_row].get(mode="clip")

    real = edge_molecule < molecules
    shift = first_node.at[edge_molecule].get(mode="clip")
    sources = jnp.where(real, of_edges(graphs.sources).astype(jnp.int32) + shift, num_nodes)
    incoming = of_nodes(graphs.incoming).astype(jnp.int32)
    there = (incoming < rows_of_edges) & (node_molecule < molecules)[:, None]
    incoming = jnp.where(there, incoming + first_edge.at[node_molecule].get(mode="clip")[:, None], num_edges)
    return PackedGraphs(
        atoms=jax.tree.map(of_nodes, graphs.atoms),
        molecule=node_molecule,
        neighbours=sources.at[incoming].get(mode="fill", fill_value=num_nodes),
        sources=sources,
        targets=sources.reshape(num_edges // 2, 2)[:, ::-1].reshape(num_edges),
        incoming=incoming,
        bonds=jax.tree.map(of_edges, graphs.bonds),
    )


def _places(sizes: Int[Array, " molecules"], first: Int[Array, " molecules"], room: int) -> tuple[Array, Array]:
    """Molecule and row in it of each place of a packed axis."""
    place = jnp.arange(room, dtype=jnp.int32)
    molecule = jnp.searchsorted(jnp.cumsum(sizes), place, side="right").astype(jnp.int32)
    return molecule, place - first.at[molecule].get(mode="clip").astype(jnp.int32)


@checked
def relation_sum(
    x: Float[Array, "items width"], to: Int[Array, "rows degree"], back: Int[Array, "items back_degree"]
) -> Float[Array, "rows width"]:
    r"""Sum what is related: $y_i = \sum_k x_{t_{ik}}$, indices out of range counting nothing.

    Neighbours of atoms, edges into atoms and atoms of edges are all such relations of small degree, known in both
    directions. With the table of the other direction the gradient, $\bar x_j = \sum_k \bar y_{b_{jk}}$, gathers as
    well. Its counterpart `jax.ops.segment_sum` scatters, which XLA does one row after another on a CPU: for molecules
    it takes three to six times as long. Use that where only one direction is known.

    Args:
        x: vectors.
        to: for each row of the result the items that it sums; `items` where there is none.
        back: for each item the rows that it is part of; `rows` where there is none. It must be the transpose of `to`:
            this is not checked, and only the gradient depends on it.

    Returns:
        The sums.

    Example:
        >>> import jax.numpy as jnp
        >>> relation_sum(jnp.array([[1.0], [10.0]]), jnp.array([[0, 1], [1, 2]]), jnp.array([[0, 2], [0, 1]]))
        Array([[11.],
               [10.]], dtype=float32)
    """
    return _relation_sum(x, to, back)


@jax.custom_vjp
def _relation_sum(x: Array, to: Array, back: Array) -> Array:
    if not x.shape[0]:
        return jnp.zeros((to.shape[0], x.shape[1]), x.dtype)
    columns = (x.at[to[:, k]].get(mode="fill", fill_value=0) for k in range(to.shape[1]))
    return sum(columns, jnp.zeros((to.shape[0], x.shape[1]), x.dtype))


def _relation_sum_forward(x: Array, to: Array, back: Array) -> tuple[Array, tuple[Array, Array]]:
    return _relation_sum(x, to, back), (to, back)


def _relation_sum_backward(tables: tuple[Array, Array], gradient: Array) -> tuple[Array, None, None]:
    to, back = tables
    return _relation_sum(gradient, back, to), None, None


_relation_sum.defvjp(_relation_sum_forward, _relation_sum_backward)
