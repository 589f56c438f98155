"""Uni-Mol: a transformer over the atoms of a molecule whose attention carries a representation of every pair."""

import dataclasses
import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like, vary_like
from jaxuq.networks.attention import mixture
from jaxuq.networks.dropout import Dropout
from jaxuq.networks.geometry import pair_distances
from jaxuq.networks.layer_norm import layer_norm
from jaxuq.networks.module import Module

_NORMAL = nn.initializers.normal(0.02)
_MASKED = -1e30


@dataclasses.dataclass(frozen=True)
class UniMolConfig:
    """The shape of Uni-Mol; the defaults are those of its published molecular checkpoints.

    Attributes:
        vocab_size: kinds of atoms and special tokens; 0 is padding.
        width: of an atom's vector.
        intermediate_size: width inside the MLP.
        num_layers: layers.
        num_heads: attention heads, and the width of a pair's vector; divides the width.
        num_kernels: Gaussians of the distance.
    """

    vocab_size: int = 31
    width: int = 512
    intermediate_size: int = 2048
    num_layers: int = 15
    num_heads: int = 64
    num_kernels: int = 128

    def __post_init__(self):
        if self.width % self.num_heads:
            raise OptionError(f"width is {self.width}; it must be a multiple of num_heads, {self.num_heads}")


class UniMolInputs(NamedTuple):
    """Molecules as Uni-Mol reads them.

    Attributes:
        tokens: `[CLS]`, atoms, `[SEP]`, then 0 for padding.
        coordinates: in ångström, the mean of the atoms at the origin and both special tokens on it; with an axis of
            conformers after that of molecules, or without. They mean nothing in padding.
    """

    tokens: Int[Array, "molecules time"]
    coordinates: Float[Array, "molecules conformers time xyz"] | Float[Array, "molecules time xyz"]


@typed()
def draw_conformers(rng_key: Key[Array, ""], inputs: UniMolInputs) -> UniMolInputs:
    """One conformer of each molecule, all equally likely: what a training step reads.

    Args:
        rng_key: a key.
        inputs: with an axis of conformers.

    Returns:
        The same molecules without that axis.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> inputs = UniMolInputs(jnp.ones((2, 5), int), jnp.zeros((2, 11, 5, 3)))
        >>> draw_conformers(jax.random.key(0), inputs).coordinates.shape
        (2, 5, 3)
    """
    molecules, conformers = inputs.coordinates.shape[:2]
    chosen = jax.random.randint(rng_key, (molecules,), 0, conformers)
    coordinates = divided_like(_chosen_rows, inputs.coordinates[:, 0], inputs.coordinates, chosen)
    return inputs._replace(coordinates=coordinates)


def _chosen_rows(rows: Float[Array, "molecules rows ..."], chosen: Int[Array, " molecules"]) -> Array:
    return rows[jnp.arange(chosen.shape[0]), chosen]


def _dense(features: int, name: str) -> nn.Dense:
    return nn.Dense(features, kernel_init=_NORMAL, name=name)


class _Pairs(nn.Module):
    """The first pair representation: Gaussians of the distance, scaled and shifted by the kinds of the two atoms."""

    config: UniMolConfig

    @nn.compact
    def __call__(self, tokens: Array, coordinates: Array) -> Array:
        """One number a head for every pair, `[molecules, heads, time, time]`."""
        config = self.config
        types = tokens[:, :, None] * config.vocab_size + tokens[:, None, :]
        scale = self.param("scale", nn.initializers.ones, (config.vocab_size**2,))
        shift = self.param("shift", nn.initializers.zeros, (config.vocab_size**2,))
        means = self.param("means", nn.initializers.uniform(3.0), (config.num_kernels,))
        deviations = self.param("deviations", nn.initializers.uniform(3.0), (config.num_kernels,))
        adjusted = scale[types] * pair_distances(coordinates) + shift[types]
        means, deviations = means[None, None, None], (jnp.abs(deviations) + 1e-5)[None, None, None]
        normalised = (adjusted[..., None] - means) / deviations
        gaussians = jnp.exp(-0.5 * normalised**2) / (math.sqrt(2 * math.pi) * deviations)
        hidden = nn.gelu(_dense(config.num_kernels, "hidden")(gaussians), approximate=False)
        return jnp.moveaxis(_dense(config.num_heads, "output")(hidden), 3, 1)


class _Layer(nn.Module):
    """Attention and MLP, added to their input; the scores before the softmax go on to the next layer."""

    config: UniMolConfig
    dropout_rate: float

    @nn.compact
    def __call__(self, carry: tuple[Array, Array], where: Array) -> tuple[tuple[Array, Array], None]:
        """Form suitable for `nn.scan`."""
        (x, scores), config = carry, self.config
        batch, time, width = x.shape
        heads = (batch, time, config.num_heads, width // config.num_heads)
        projected = _dense(3 * width, "query_key_value")(layer_norm("attention_norm")(x))
        query, key, value = (part.reshape(heads) for part in jnp.split(projected, 3, axis=-1))
        scores = scores + jnp.einsum("bqhd,bkhd->bhqk", query * heads[-1] ** -0.5, key)
        weights = jax.nn.softmax(jnp.where(where[:, None, None, :], scores, _MASKED), axis=-1)
        mixed = mixture(Dropout(self.dropout_rate)(weights), value.swapaxes(1, 2)).swapaxes(1, 2).reshape(x.shape)
        x = x + Dropout(self.dropout_rate)(_dense(width, "attention_output")(mixed))
        inner = nn.gelu(_dense(config.intermediate_size, "up")(layer_norm("mlp_norm")(x)), approximate=False)
        return (x + Dropout(self.dropout_rate)(_dense(width, "down")(inner)), scores), None


class UniMol(Module):
    r"""Uni-Mol (version 1) with the benchmark's head.

    An atom is a token; a pair starts as $p^{(0)}_{ij} = \mathrm{MLP}(\phi(a_{t_i t_j} d_{ij} + b_{t_i t_j}))$ with
    Gaussians $\phi$, and each layer adds its scores: $p^{(l+1)}_{ij} = p^{(l)}_{ij} + q_i k_j / \sqrt{d}$, of which the
    softmax over $j$ weighs the values. Only distances enter, so the output does not change when a molecule is rotated,
    moved or reflected; it cannot see chirality. The prediction is $W \tanh(V x_{\mathrm{CLS}})$.

    With an axis of conformers in the input, one is drawn for each molecule if a `dropout` key is given, as in training;
    without one `features` averages over them, one conformer at a time. As the output layer is linear, this averages the
    network's raw outputs, as the dissertation says. (The published code averages probabilities, means and variances.)

    Holds 3 to 5 arrays `[molecules, heads, time, time]` (and two of `[molecules, time, time, kernels]`), and for the
    backward pass as many a layer, or one with `remat`; bound `molecules * time**2`.

    Attributes:
        num_outputs: width of the output layer.
        config: the shape.
        dropout_rate: everywhere; acts when a `dropout` key is given.
        remat: compute layers again in the backward pass, for less memory.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module = UniMol(2, UniMolConfig(width=8, intermediate_size=8, num_layers=2, num_heads=4, num_kernels=4))
        >>> inputs = UniMolInputs(jnp.array([[1, 4, 6, 2, 0]]), jnp.zeros((1, 5, 3)))
        >>> variables = jax.jit(module.init)(jax.random.key(0), inputs)
        >>> jax.jit(module.apply)(variables, inputs).shape
        (1, 2)

    References:
        G. Zhou et al. Uni-Mol: a universal 3D molecular representation learning framework. ICLR 2023, section 2.
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.2.
    """

    num_outputs: int
    config: UniMolConfig = UniMolConfig()
    dropout_rate: float = 0.1
    remat: bool = False

    def setup(self):
        """Declare the parts."""
        config = self.config
        self.tokens = nn.Embed(config.vocab_size, config.width, embedding_init=_NORMAL)
        self.pairs = _Pairs(config)
        self.embedding_norm = layer_norm("embedding_norm")
        self.drop = [Dropout(self.dropout_rate) for _ in range(3)]
        layers = nn.scan(
            nn.remat(_Layer) if self.remat else _Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=config.num_layers,
        )
        self.layers = layers(config, self.dropout_rate)
        self.final_norm = layer_norm("final_norm")
        self.hidden = nn.Dense(config.width)
        self.output = nn.Dense(
            self.num_outputs,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.constant(0.01),
        )

    def represent(
        self, tokens: Int[Array, "molecules time"], coordinates: Float[Array, "molecules time xyz"]
    ) -> Float[Array, "molecules time width"]:
        """Vectors of the tokens of one conformer each; they mean nothing in padding."""
        where: Bool[Array, "molecules time"] = tokens != 0
        x = self.drop[0](self.embedding_norm(self.tokens(tokens)))
        x = jnp.where(where[..., None], x, 0.0)
        pairs = self.pairs(tokens, jnp.where(where[..., None], coordinates, 0.0))
        (x, _), _ = self.layers((x, pairs), where)
        return self.final_norm(x)

    def _conformer(self, tokens: Array, coordinates: Array) -> Array:
        x = self.drop[1](self.represent(tokens, coordinates)[:, 0])
        return self.drop[2](jnp.tanh(self.hidden(x)))

    def features(self, inputs: UniMolInputs) -> Float[Array, "molecules width"]:
        """What the output layer sees: of one conformer, drawn if there are several, or their mean without a key."""
        if inputs.coordinates.ndim == 4 and self.has_rng("dropout"):
            inputs = draw_conformers(self.make_rng("dropout"), inputs)
        if inputs.coordinates.ndim == 3:
            return self._conformer(inputs.tokens, inputs.coordinates)

        def add(module: "UniMol", total: Array, coordinates: Array) -> tuple[Array, None]:
            return total + module._conformer(inputs.tokens, coordinates), None

        conformers = jnp.moveaxis(inputs.coordinates, 1, 0)
        run = nn.scan(add, variable_broadcast="params", split_rngs={"params": False, "dropout": True})
        start = jnp.zeros((len(inputs.tokens), self.config.width), conformers.dtype)
        total, _ = run(self, vary_like(start, inputs, self.variables), conformers)
        return total / len(conformers)

    def __call__(self, inputs: UniMolInputs) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw."""
        return self.output(self.features(inputs))
