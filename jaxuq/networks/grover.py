"""GROVER: message passing inside the queries, keys and values of a transformer, over atoms and over bonds."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.grover_graph import (
    Graph,
    GroverInputs,
    PaddingRow,
    edge_sum,
    incoming,
    make_graph,
    neighbor_sum,
    with_padding_rows,
)

_XAVIER = nn.initializers.xavier_normal()


def _branch_init(rng_key: Any, shape: tuple[int, int], dtype: Any) -> Array:
    """Each half of the rows as the output layer of a branch of its own."""
    halves = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform", batch_axis=(0,))
    return halves(rng_key, (2, shape[0] // 2, shape[1]), dtype).reshape(shape)


@dataclasses.dataclass(frozen=True)
class GroverConfig:
    """The shape of GROVER; the defaults are those of GROVER base.

    Attributes:
        width: of an atom's or edge's vector.
        num_heads: attention heads, each with three message-passing networks; divides the width.
        depth: steps of message passing, the initial state counted; in training each network draws its own.
        head_width: hidden units of each branch's head.
        padding_row: `"none"`: padding does not exist, so a molecule's output is its own. `"batch"`: the published
            code's leak, where every atom with fewer neighbours than the atom with most in the batch receives a padding
            row in place of each missing one, and that row does not stay zero. A number: the same with that number in
            place of the batch's largest (the molecule's, if larger), which is near what the pretrained weights saw (4)
            and does not depend on the batch.
        bond_views: whether the two networks that describe bonds are there. Predictions do not use them; the published
            parameter count includes them.
    """

    width: int = 800
    num_heads: int = 4
    depth: int = 6
    head_width: int = 200
    padding_row: PaddingRow = "none"
    bond_views: bool = True

    def __post_init__(self):
        if self.width % self.num_heads:
            raise ValueError(f"width is {self.width}; it must be a multiple of num_heads, {self.num_heads}")
        if self.depth < 1:
            raise ValueError(f"depth is {self.depth}; it must be at least 1")
        if self.padding_row not in ("none", "batch") and not isinstance(self.padding_row, int):
            raise ValueError(f"padding_row is {self.padding_row!r}; expected none, batch or a number of neighbours")


def _prelu(x: Array, slope: Array) -> Array:
    return jnp.where(x >= 0, x, slope.reshape((1,) * x.ndim) * x)


def _slope(module: nn.Module, name: str) -> Array:
    return module.param(name, nn.initializers.constant(0.25), (1,))


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


def _dense(features: int, name: str, use_bias: bool = True) -> nn.Dense:
    return nn.Dense(features, use_bias=use_bias, kernel_init=_XAVIER, name=name)


class _Messages(nn.Module):
    """Independent message-passing networks, three a head, that start from one state: run one at a time."""

    config: GroverConfig
    dropout_rate: float

    @nn.compact
    def __call__(self, start: Array, aggregate: Callable[[Array], Array]) -> Array:
        """The last state of each network, `[3, heads, rows, width]`."""
        config, width = self.config, start.shape[-1]
        nets = 3 * config.num_heads
        stacked = nn.initializers.xavier_normal(in_axis=-2, out_axis=-1, batch_axis=(0, 1))
        kernel = self.param("kernel", stacked, (3, config.num_heads, width, width))
        slope = self.param("slope", nn.initializers.constant(0.25), (3, config.num_heads))
        training = self.has_rng("dropout")
        depth_key, key = jax.random.split(self.make_rng("dropout") if training else jax.random.key(0))
        steps = jnp.full((nets,), config.depth - 1)
        longest = config.depth - 1
        if training:  # depth from a normal distribution around the nominal one, cut off at three
            drawn = jnp.floor(jax.random.truncated_normal(depth_key, -3.0, 3.0, (nets,)))
            steps = jnp.maximum(drawn.astype(jnp.int32) + config.depth - 1, 0)
            longest = config.depth + 1

        def run(net: tuple[Array, Array, Array, Array]) -> Array:
            kernel, slope, steps, key = net

            def step(state: Array, number: Array) -> tuple[Array, None]:
                changed = _prelu(start + aggregate(state) @ kernel, slope)
                if training and self.dropout_rate > 0:
                    kept = keep_mask(jax.random.fold_in(key, number), changed.shape, self.dropout_rate)
                    changed = jnp.where(kept, changed / (1 - self.dropout_rate), 0.0)
                return jnp.where(number < steps, changed, state), None

            return jax.lax.scan(step, start, jnp.arange(longest))[0]

        flat = kernel.reshape(nets, width, width), slope.reshape(nets)
        states = jax.lax.map(jax.checkpoint(run), (*flat, steps, jax.random.split(key, nets)))
        return states.reshape(3, config.num_heads, *start.shape)


class _View(nn.Module):
    """One transformer block over atoms or over edges; attention is among the heads of one row, not among rows."""

    config: GroverConfig
    dropout_rate: float

    @nn.compact
    def __call__(self, features: Array, aggregate: Callable[[Array], Array]) -> Array:
        """New states of all rows."""
        config = self.config
        heads, width = config.num_heads, config.width
        start = _prelu(_dense(width, "input", use_bias=False)(features), _slope(self, "input_slope"))
        start = Dropout(self.dropout_rate)(_norm("input_norm")(start))
        states = _Messages(config, self.dropout_rate, name="messages")(start, aggregate)
        query, key, value = (
            _dense(width, name)(jnp.moveaxis(state, 0, 1)).reshape(-1, heads, heads, width // heads)
            for name, state in zip(("query", "key", "value"), states)
        )
        scores = jnp.einsum("rqhd,rkhd->rhqk", query, key) * (width // heads) ** -0.5
        weights = Dropout(self.dropout_rate)(jax.nn.softmax(scores, axis=-1))
        mixed = jnp.einsum("rhqk,rkhd->rqhd", weights, value).reshape(-1, heads, width)
        mixed = _dense(width, "attention_output", use_bias=False)(mixed).reshape(-1, heads * width)
        return Dropout(self.dropout_rate)(_norm("norm")(_dense(width, "output", use_bias=False)(mixed)))


class _Readout(nn.Module):
    """Original features joined with a sum of states, through two layers and a normalisation; no residual."""

    width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, features: Array, sums: Array) -> Array:
        """Vectors of atoms or edges."""
        x = _dense(4 * self.width, "up")(jnp.concatenate([features, sums], axis=-1))
        x = Dropout(self.dropout_rate)(_prelu(x, _slope(self, "slope")))
        return Dropout(self.dropout_rate)(_norm("norm")(_dense(self.width, "down")(x)))


class _BranchHead(nn.Module):
    """The hidden layer of a branch."""

    width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Hidden units."""
        x = nn.Dense(self.width, kernel_init=_XAVIER, name="hidden")(Dropout(self.dropout_rate)(x))
        return Dropout(self.dropout_rate)(_prelu(x, _slope(self, "slope")))


class Grover(nn.Module):
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
        self.atom_view = _View(config, rate)
        self.edge_view = _View(config, rate)
        self.atom_from_atom = _Readout(config.width, rate)
        self.atom_from_edge = _Readout(config.width, rate)
        if config.bond_views:
            self.edge_from_atom = _Readout(config.width, rate)
            self.edge_from_edge = _Readout(config.width, rate)
            self.unused_slopes = self.param("unused_slopes", nn.initializers.constant(0.25), (2,))
        self.heads = [_BranchHead(config.head_width, rate) for _ in range(2)]
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
        count = jnp.maximum(inputs.num_atoms, 1).astype(jnp.float32)[:, None]
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
