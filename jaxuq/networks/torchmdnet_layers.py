"""The parts of TorchMD-NET's equivariant transformer: its shape, edges between near atoms, layers, gated blocks."""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._errors import OptionError
from jaxuq.networks.geometry import cosine_cutoff, exponential_basis, nearest_neighbors, pair_distances, vector_norm
from jaxuq.networks.layer_norm import layer_norm
from jaxuq.networks.whitening import Whitening

XAVIER = nn.initializers.xavier_uniform()


@dataclasses.dataclass(frozen=True)
class TorchMDNetConfig:
    """The shape of the equivariant transformer; the defaults are those of the denoising-pretrained checkpoint.

    Attributes:
        width: channels of scalars and of vectors.
        num_layers: layers.
        num_heads: attention heads; divides the width.
        num_basis: radial functions.
        cutoff: atoms farther apart, in ångström, do not see each other.
        max_number: rows of the table of elements, by atomic number.
        max_neighbors: atoms that one atom sees, itself included; the nearest are kept. At least the number of atoms:
            all. (The original keeps 32, which ones depends on its implementation.)
        vector_norm: see `whiten_vectors`; `"published"` is for the numbers of the published code.
    """

    width: int = 256
    num_layers: int = 8
    num_heads: int = 8
    num_basis: int = 64
    cutoff: float = 5.0
    max_number: int = 100
    max_neighbors: int = 32
    vector_norm: Whitening = "isotropic"

    def __post_init__(self):
        if self.width % self.num_heads or self.width % 2:
            raise OptionError(f"width is {self.width}; it must be even and a multiple of num_heads, {self.num_heads}")
        if self.vector_norm not in ("isotropic", "published", "none"):
            raise OptionError(f"vector_norm is {self.vector_norm!r}; expected isotropic, published or none")


class AtomInputs(NamedTuple):
    """Molecules as points in space.

    Attributes:
        numbers: atomic numbers, hydrogen included; 0 in padding.
        coordinates: in ångström; they mean nothing in padding.
    """

    numbers: Int[Array, "molecules atoms"]
    coordinates: Float[Array, "molecules atoms xyz"]


class Edges(NamedTuple):
    """What is known of the pairs (i, j), with j among the neighbours of i."""

    neighbors: Int[Array, "molecules atoms neighbors"]
    real: Bool[Array, "molecules atoms neighbors"]
    other: Bool[Array, "molecules atoms neighbors"]
    weight: Float[Array, "molecules atoms neighbors"]
    direction: Float[Array, "molecules atoms neighbors xyz"]
    basis: Float[Array, "molecules atoms neighbors basis"]


_pick = jax.vmap(lambda values, indices: values[indices])


def make_edges(config: TorchMDNetConfig, coordinates: Array, where: Array) -> Edges:
    """The edges of all molecules; the choice of neighbours has no gradient."""
    neighbors, real = nearest_neighbors(
        jax.lax.stop_gradient(pair_distances(coordinates)),
        where,
        cutoff=config.cutoff,
        max_neighbors=config.max_neighbors,
    )
    other = real & (neighbors != jnp.arange(where.shape[1], dtype=neighbors.dtype)[None, :, None])
    offsets = jnp.where(other[..., None], _pick(coordinates, neighbors) - coordinates[:, :, None], 0.0)
    distances = vector_norm(offsets[..., None])[..., 0]
    weight = jnp.where(real, cosine_cutoff(distances, config.cutoff), 0.0)
    direction = offsets / jnp.where(distances > 0, distances, 1.0)[..., None]
    return Edges(
        neighbors, real, other, weight, direction, exponential_basis(distances, config.num_basis, config.cutoff)
    )


def _dense(features: int, name: str, use_bias: bool = True) -> nn.Dense:
    return nn.Dense(features, use_bias=use_bias, kernel_init=XAVIER, name=name)


class Embedding(nn.Module):
    """An atom's element joined with those of its neighbours, weighted by their distance."""

    config: TorchMDNetConfig

    @nn.compact
    def __call__(self, numbers: Array, edges: Edges) -> Array:
        """Scalars `[molecules, atoms, width]`."""
        config = self.config
        table = nn.initializers.normal(1.0)
        own = nn.Embed(config.max_number, config.width, embedding_init=table, name="elements")(numbers)
        near = nn.Embed(config.max_number, config.width, embedding_init=table, name="neighbor_elements")(numbers)
        filters = _dense(config.width, "filter")(edges.basis) * edges.weight[..., None]
        filters = jnp.where(edges.other[..., None], filters, 0.0)
        near = (_pick(near, edges.neighbors) * filters).sum(2)
        return _dense(config.width, "combine")(jnp.concatenate([own, near], axis=-1))


class Layer(nn.Module):
    """One update of scalars and vectors; in a head, thirds of the values go to scalars, vectors and directions."""

    config: TorchMDNetConfig

    @nn.compact
    def __call__(self, carry: tuple[Array, Array], edges: Edges) -> tuple[tuple[Array, Array], None]:
        """Form suitable for `nn.scan`."""
        (x, vectors), config = carry, self.config
        molecules, atoms, width = x.shape
        heads, pairs = config.num_heads, edges.real.shape
        size = width // heads
        normed = layer_norm("norm")(x)
        query = _dense(width, "query")(normed).reshape(molecules, atoms, 1, heads, size)
        key = _pick(_dense(width, "key")(normed), edges.neighbors).reshape(*pairs, heads, size)
        value = _pick(_dense(3 * width, "value")(normed), edges.neighbors)
        key_filter = nn.silu(_dense(width, "key_filter")(edges.basis)).reshape(*pairs, heads, size)
        value_filter = nn.silu(_dense(3 * width, "value_filter")(edges.basis))
        attention = nn.silu((query * key * key_filter).sum(-1)) * edges.weight[..., None]
        value = jnp.where(edges.real[..., None], value * value_filter, 0.0).reshape(*pairs, heads, 3 * size)
        scalar, along, outward = jnp.split(value, 3, axis=-1)
        mixed = jnp.einsum("mnkhd,mnkh->mnhd", scalar, attention).reshape(x.shape)
        near = _pick(vectors.reshape(molecules, atoms, -1), edges.neighbors).reshape(*pairs, 3, heads, size)
        moved = jnp.einsum("mnkxhd,mnkhd->mnxhd", near, along)
        moved = moved + jnp.einsum("mnkx,mnkhd->mnxhd", edges.direction, outward)
        first, second, third = jnp.split(_dense(3 * width, "vectors", use_bias=False)(vectors), 3, axis=-1)
        turn, gate, shift = jnp.split(_dense(3 * width, "output")(mixed), 3, axis=-1)
        x = x + (first * second).sum(2) * gate + shift
        return (x, vectors + third * turn[:, :, None] + moved.reshape(vectors.shape)), None


class GatedBlock(nn.Module):
    """Scalars from scalars and lengths of vectors; vectors mixed over channels and scaled by scalars."""

    features: int
    activate: bool

    @nn.compact
    def __call__(self, x: Array, vectors: Array) -> tuple[Array, Array]:
        """Scalars and vectors with `features` channels."""
        width = x.shape[-1]
        lengths = vector_norm(_dense(width, "lengths", use_bias=False)(vectors))
        mixed = _dense(self.features, "vectors", use_bias=False)(vectors)
        hidden = nn.silu(_dense(width, "hidden")(jnp.concatenate([x, lengths], axis=-1)))
        scalars, gates = jnp.split(_dense(2 * self.features, "output")(hidden), 2, axis=-1)
        return (nn.silu(scalars) if self.activate else scalars), gates[..., None, :] * mixed
