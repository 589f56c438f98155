"""The parts of GROVER: its shape, message passing, the block over atoms or edges, readouts and heads."""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxuq._errors import OptionError
from jaxuq.networks.attention import mixture
from jaxuq.networks.dropout import Dropout, keep_mask
from jaxuq.networks.grover_graph import PaddingRow
from jaxuq.networks.layer_norm import layer_norm

_XAVIER = nn.initializers.xavier_normal()


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
            raise OptionError(f"width is {self.width}; it must be a multiple of num_heads, {self.num_heads}")
        if self.depth < 1:
            raise OptionError(f"depth is {self.depth}; it must be at least 1")
        if self.padding_row not in ("none", "batch") and not isinstance(self.padding_row, int):
            raise OptionError(f"padding_row is {self.padding_row!r}; expected none, batch or a number of neighbours")


def _prelu(x: Array, slope: Array) -> Array:
    return jnp.where(x >= 0, x, slope.reshape((1,) * x.ndim) * x)


def _slope(module: nn.Module, name: str) -> Array:
    return module.param(name, nn.initializers.constant(0.25), (1,))


def _dense(features: int, name: str, use_bias: bool = True) -> nn.Dense:
    return nn.Dense(features, use_bias=use_bias, kernel_init=_XAVIER, name=name)


class Messages(nn.Module):
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


class View(nn.Module):
    """One transformer block over atoms or over edges; attention is among the heads of one row, not among rows."""

    config: GroverConfig
    dropout_rate: float

    @nn.compact
    def __call__(self, features: Array, aggregate: Callable[[Array], Array]) -> Array:
        """New states of all rows."""
        config = self.config
        heads, width = config.num_heads, config.width
        start = _prelu(_dense(width, "input", use_bias=False)(features), _slope(self, "input_slope"))
        start = Dropout(self.dropout_rate)(layer_norm("input_norm")(start))
        states = Messages(config, self.dropout_rate, name="messages")(start, aggregate)
        query, key, value = (
            _dense(width, name)(jnp.moveaxis(state, 0, 1)).reshape(-1, heads, heads, width // heads)
            for name, state in zip(("query", "key", "value"), states)
        )
        scores = jnp.einsum("rqhd,rkhd->rhqk", query, key) * (width // heads) ** -0.5
        weights = Dropout(self.dropout_rate)(jax.nn.softmax(scores, axis=-1))
        mixed = mixture(weights, value.swapaxes(1, 2)).swapaxes(1, 2).reshape(-1, heads, width)
        mixed = _dense(width, "attention_output", use_bias=False)(mixed).reshape(-1, heads * width)
        return Dropout(self.dropout_rate)(layer_norm("norm")(_dense(width, "output", use_bias=False)(mixed)))


class Readout(nn.Module):
    """Original features joined with a sum of states, through two layers and a normalisation; no residual."""

    width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, features: Array, sums: Array) -> Array:
        """Vectors of atoms or edges."""
        x = _dense(4 * self.width, "up")(jnp.concatenate([features, sums], axis=-1))
        x = Dropout(self.dropout_rate)(_prelu(x, _slope(self, "slope")))
        return Dropout(self.dropout_rate)(layer_norm("norm")(_dense(self.width, "down")(x)))


class BranchHead(nn.Module):
    """The hidden layer of a branch."""

    width: int
    dropout_rate: float

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Hidden units."""
        x = nn.Dense(self.width, kernel_init=_XAVIER, name="hidden")(Dropout(self.dropout_rate)(x))
        return Dropout(self.dropout_rate)(_prelu(x, _slope(self, "slope")))
