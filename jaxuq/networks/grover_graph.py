"""Molecules as GROVER reads them, and the sums over neighbours of which its message passing is made."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, UInt8

ATOM_FEATURES, BOND_FEATURES = 151, 14
MASS_PLACE = 132  # of the features of an atom
PaddingRow = Literal["none", "batch"] | int


class GroverInputs(NamedTuple):
    """Molecules as graphs without explicit hydrogen; every bond is two directed edges, one after the other.

    Attributes:
        atoms: 150 of an atom's 151 features, all zero or one.
        masses: the other one, a hundredth of the atomic mass.
        bonds: 14 features of an edge's bond.
        senders: where an edge comes from, an atom's number in its molecule.
        receivers: where it goes; edge `e ^ 1` is edge `e` reversed.
        num_atoms: real atoms; what follows is padding.
        num_bonds: real edges; even.
    """

    atoms: UInt8[Array, "molecules atoms flags"]
    masses: Float[Array, "molecules atoms"]
    bonds: UInt8[Array, "molecules edges kinds"]
    senders: Int[Array, "molecules edges"]
    receivers: Int[Array, "molecules edges"]
    num_atoms: Int[Array, " molecules"]
    num_bonds: Int[Array, " molecules"]


class Graph(NamedTuple):
    """All molecules of a batch as one graph; rows of atoms and of edges may be followed by a padding row a molecule.

    Attributes:
        atoms: features.
        edges: features of the source atom, then of the bond.
        senders: row of the atom from which an edge comes.
        receivers: row of the atom to which it goes.
        atom_mask: which rows of atoms are real.
        edge_mask: which rows of edges are real.
        molecule: number of the molecule of each atom.
        slots: `M`, the length to which lists of neighbours are padded, a molecule; None: no padding rows.
        missing: `M` minus the number of neighbours, an atom; None: no padding rows.
    """

    atoms: Float[Array, "rows features"]
    edges: Float[Array, "links all_features"]
    senders: Int[Array, " links"]
    receivers: Int[Array, " links"]
    atom_mask: Bool[Array, " rows"]
    edge_mask: Bool[Array, " links"]
    molecule: Int[Array, " rows"]
    slots: Float[Array, " molecules"] | None
    missing: Float[Array, " rows"] | None


def make_graph(inputs: GroverInputs, padding_row: PaddingRow = "none") -> Graph:
    """Flatten a batch, with zeros for features in padding.

    Args:
        inputs: the molecules.
        padding_row: see `Grover`.

    Returns:
        `Graph`.
    """
    molecules, atoms = inputs.masses.shape
    links = inputs.senders.shape[1]
    atom_mask = jnp.arange(atoms)[None] < inputs.num_atoms[:, None]
    edge_mask = jnp.arange(links)[None] < inputs.num_bonds[:, None]
    flags = inputs.atoms.astype(inputs.masses.dtype)
    masses = jnp.where(atom_mask, inputs.masses, 0.0)[..., None]
    features = jnp.concatenate([flags[..., :MASS_PLACE], masses, flags[..., MASS_PLACE:]], axis=-1)
    features = jnp.where(atom_mask[..., None], features, 0.0).reshape(molecules * atoms, -1)
    first = (jnp.arange(molecules) * atoms)[:, None]
    senders, receivers = (
        (jnp.where(edge_mask, ends, 0) + first.astype(ends.dtype)).reshape(-1)
        for ends in (inputs.senders, inputs.receivers)
    )
    bonds = inputs.bonds.astype(inputs.masses.dtype).reshape(molecules * links, -1)
    edges = jnp.where(edge_mask.reshape(-1, 1), jnp.concatenate([features[senders], bonds], axis=-1), 0.0)
    slots = missing = None
    molecule = jnp.repeat(jnp.arange(molecules), atoms)
    if padding_row != "none":
        ones = edge_mask.reshape(-1).astype(inputs.masses.dtype)
        degree = jax.ops.segment_sum(ones, receivers, molecules * atoms)
        largest = degree.reshape(molecules, atoms).max(1)
        least = 1.0 if padding_row == "batch" else float(padding_row)
        slots = jnp.maximum(largest, least)
        if padding_row == "batch":
            slots = jnp.full_like(slots, slots.max())
        missing = slots[molecule] - degree
    return Graph(
        features, edges, senders, receivers, atom_mask.reshape(-1), edge_mask.reshape(-1), molecule, slots, missing
    )


def with_padding_rows(graph: Graph, rows: Any) -> Any:
    """Add the padding rows, which start as zeros, if the graph has them."""
    if graph.slots is None:
        return rows
    return jnp.concatenate([rows, jnp.zeros((len(graph.slots), rows.shape[1]), rows.dtype)])


def incoming(graph: Graph, links: Float[Array, "all_links width"]) -> Float[Array, "rows width"]:
    """For each atom the sum over the edges that end there, with the padding row in every free slot."""
    count = len(graph.edge_mask)
    real = jnp.where(graph.edge_mask[:, None], links[:count], 0.0)
    return _fill(graph, jax.ops.segment_sum(real, graph.receivers, len(graph.atom_mask)), links[count:])


def neighbor_sum(graph: Graph, rows: Float[Array, "all_rows width"]) -> Float[Array, "all_rows width"]:
    """For each atom the sum over its neighbours: one step of the atom view."""
    count = len(graph.atom_mask)
    sent = jnp.where(graph.edge_mask[:, None], rows[graph.senders], 0.0)
    real = _fill(graph, jax.ops.segment_sum(sent, graph.receivers, count), rows[count:])
    if graph.slots is None:
        return real
    return jnp.concatenate([real, graph.slots[:, None] * rows[count:]])


def edge_sum(graph: Graph, links: Float[Array, "all_links width"]) -> Float[Array, "all_links width"]:
    """For each edge the sum over the edges that end where it begins, except its reverse: one step of the edge view."""
    count = len(graph.edge_mask)
    reverse = jnp.arange(count) ^ 1
    real = incoming(graph, links)[graph.senders] - links[:count][reverse]
    if graph.slots is None:
        return real
    return jnp.concatenate([real, (graph.slots[:, None] - 1.0) * links[count:]])


def _fill(graph: Graph, sums: Array, padding: Array) -> Array:
    if graph.missing is None:
        return sums
    return sums + graph.missing[:, None] * padding[graph.molecule]
