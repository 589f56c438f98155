"""TorchMD-NET's equivariant transformer: scalars and vectors on atoms, attention over near atoms, no softmax."""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq.networks.dropout import Dropout
from jaxuq.networks.geometry import cosine_cutoff, exponential_basis, nearest_neighbors, pair_distances, vector_norm
from jaxuq.networks.whitening import Whitening, whiten_vectors

_XAVIER = nn.initializers.xavier_uniform()


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
            raise ValueError(f"width is {self.width}; it must be even and a multiple of num_heads, {self.num_heads}")
        if self.vector_norm not in ("isotropic", "published", "none"):
            raise ValueError(f"vector_norm is {self.vector_norm!r}; expected isotropic, published or none")


class AtomInputs(NamedTuple):
    """Molecules as points in space.

    Attributes:
        numbers: atomic numbers, hydrogen included; 0 in padding.
        coordinates: in ångström; they mean nothing in padding.
    """

    numbers: Int[Array, "molecules atoms"]
    coordinates: Float[Array, "molecules atoms xyz"]


class _Edges(NamedTuple):
    """What is known of the pairs (i, j), with j among the neighbours of i."""

    neighbors: Int[Array, "molecules atoms neighbors"]
    real: Bool[Array, "molecules atoms neighbors"]
    other: Bool[Array, "molecules atoms neighbors"]
    weight: Float[Array, "molecules atoms neighbors"]
    direction: Float[Array, "molecules atoms neighbors xyz"]
    basis: Float[Array, "molecules atoms neighbors basis"]


_pick = jax.vmap(lambda values, indices: values[indices])


def _edges(config: TorchMDNetConfig, coordinates: Array, where: Array) -> _Edges:
    neighbors, real = nearest_neighbors(
        jax.lax.stop_gradient(pair_distances(coordinates)),
        where,
        cutoff=config.cutoff,
        max_neighbors=config.max_neighbors,
    )
    other = real & (neighbors != jnp.arange(where.shape[1])[None, :, None])
    offsets = jnp.where(other[..., None], _pick(coordinates, neighbors) - coordinates[:, :, None], 0.0)
    distances = vector_norm(offsets[..., None])[..., 0]
    weight = jnp.where(real, cosine_cutoff(distances, config.cutoff), 0.0)
    direction = offsets / jnp.where(distances > 0, distances, 1.0)[..., None]
    return _Edges(
        neighbors, real, other, weight, direction, exponential_basis(distances, config.num_basis, config.cutoff)
    )


def _dense(features: int, name: str, use_bias: bool = True) -> nn.Dense:
    return nn.Dense(features, use_bias=use_bias, kernel_init=_XAVIER, name=name)


def _norm(name: str) -> nn.LayerNorm:
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)


class _Embedding(nn.Module):
    """An atom's element joined with those of its neighbours, weighted by their distance."""

    config: TorchMDNetConfig

    @nn.compact
    def __call__(self, numbers: Array, edges: _Edges) -> Array:
        """Scalars `[molecules, atoms, width]`."""
        config = self.config
        table = nn.initializers.normal(1.0)
        own = nn.Embed(config.max_number, config.width, embedding_init=table, name="elements")(numbers)
        near = nn.Embed(config.max_number, config.width, embedding_init=table, name="neighbor_elements")(numbers)
        filters = _dense(config.width, "filter")(edges.basis) * edges.weight[..., None]
        filters = jnp.where(edges.other[..., None], filters, 0.0)
        near = (_pick(near, edges.neighbors) * filters).sum(2)
        return _dense(config.width, "combine")(jnp.concatenate([own, near], axis=-1))


class _Layer(nn.Module):
    """One update of scalars and vectors; in a head, thirds of the values go to scalars, vectors and directions."""

    config: TorchMDNetConfig

    @nn.compact
    def __call__(self, carry: tuple[Array, Array], edges: _Edges) -> tuple[tuple[Array, Array], None]:
        """Form suitable for `nn.scan`."""
        (x, vectors), config = carry, self.config
        molecules, atoms, width = x.shape
        heads, pairs = config.num_heads, edges.real.shape
        size = width // heads
        normed = _norm("norm")(x)
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


class _GatedBlock(nn.Module):
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


class TorchMDNet(nn.Module):
    r"""The equivariant transformer of TorchMD-NET with the benchmark's head.

    For atoms $j$ within the cut-off of $i$, and per head, $a_{ij} = \mathrm{SiLU}(\sum_c q_i k_j f^k_{ij}) C(d_{ij})$;
    values $v_j f^v_{ij}$ give a scalar message times $a_{ij}$ and a vector message
    $\vec v_j t_1 + t_2 \vec r_{ij} / d_{ij}$. Predictions do not change when a molecule is moved, rotated or reflected,
    and vectors turn with it. The benchmark sums the 128 gated scalars over atoms and adds two dense layers.

    Besides `__call__` there are `energy` (the original scalar head) and `noise` (the vectors that pre-training
    predicted); the parameters of all heads are made together.

    Holds some 10 arrays of `[molecules, atoms, neighbors, width]` a layer, for the backward pass those of one layer
    and the state between layers if `remat`.

    Attributes:
        num_outputs: width of the output layer.
        config: the shape.
        dropout_rate: in the head; acts when a `dropout` key is given.
        remat: compute layers again in the backward pass, for less memory.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> module = TorchMDNet(1, TorchMDNetConfig(width=8, num_layers=1, num_heads=2, num_basis=4))
        >>> water = AtomInputs(jnp.array([[8, 1, 1]]), jnp.array([[[0.0, 0.0, 0.0], [0.9, 0.0, 0.0], [0.0, 0.9, 0.0]]]))
        >>> variables = module.init(jax.random.key(0), water)
        >>> module.apply(variables, water, method="noise").shape
        (1, 3, 3)

    References:
        P. Thölke, G. De Fabritiis. TorchMD-NET: equivariant transformers for neural network based molecular
        potentials. ICLR 2022, section 3.
        S. Zaidi et al. Pre-training via denoising for molecular property prediction. ICLR 2023.
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.2.
    """

    num_outputs: int
    config: TorchMDNetConfig = TorchMDNetConfig()
    dropout_rate: float = 0.1
    remat: bool = True

    def setup(self):
        """Declare the parts."""
        config, half = self.config, self.config.width // 2
        self.embedding = _Embedding(config)
        layers = nn.scan(
            nn.remat(_Layer) if self.remat else _Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=config.num_layers,
        )
        self.layers = layers(config)
        self.final_norm = _norm("final_norm")
        if config.vector_norm != "none":
            self.vector_scale = self.param("vector_scale", nn.initializers.ones, (config.width,))
        self.energy_head = [_GatedBlock(half, True), _GatedBlock(1, False)]
        self.noise_head = [_GatedBlock(half, True), _GatedBlock(1, False)]
        self.drop = [Dropout(self.dropout_rate) for _ in range(2)]
        self.hidden = nn.Dense(half)
        self.output = nn.Dense(self.num_outputs, kernel_init=_XAVIER, bias_init=nn.initializers.constant(0.01))

    def represent(
        self, inputs: AtomInputs
    ) -> tuple[Float[Array, "molecules atoms width"], Float[Array, "molecules atoms xyz width"]]:
        """Scalars and vectors of the atoms after the last layer; they mean nothing in padding."""
        config = self.config
        where = inputs.numbers > 0
        edges = _edges(config, jnp.where(where[..., None], inputs.coordinates, 0.0), where)
        x = self.embedding(inputs.numbers, edges)
        vectors = jnp.zeros((*x.shape[:2], 3, config.width), x.dtype)
        (x, vectors), _ = self.layers((x, vectors), edges)
        if config.vector_norm != "none":
            vectors = whiten_vectors(vectors, form=config.vector_norm) * self.vector_scale[None, None, None]
        return self.final_norm(x), vectors

    def energy(self, inputs: AtomInputs) -> Float[Array, " molecules"]:
        """The original scalar head: one number an atom, summed. Checkpoints from pre-training hold it untrained."""
        x, vectors = self.represent(inputs)
        for block in self.energy_head:
            x, vectors = block(x, vectors)
        return jnp.where(inputs.numbers > 0, x[..., 0], 0.0).sum(-1)

    def noise(self, inputs: AtomInputs) -> Float[Array, "molecules atoms xyz"]:
        """One vector an atom: the normalised noise on its coordinates, as pre-training predicts it; 0 in padding."""
        x, vectors = self.represent(inputs)
        for block in self.noise_head:
            x, vectors = block(x, vectors)
        return jnp.where((inputs.numbers > 0)[..., None], vectors[..., 0], 0.0)

    def features(self, inputs: AtomInputs) -> Float[Array, "molecules half"]:
        """What the output layer sees."""
        x, _ = self.energy_head[0](*self.represent(inputs))
        total = jnp.where((inputs.numbers > 0)[..., None], x, 0.0).sum(1)
        return self.drop[1](nn.silu(self.hidden(self.drop[0](total))))

    def __call__(self, inputs: AtomInputs) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw."""
        if self.is_initializing():
            self.energy(inputs)
            self.noise(inputs)
        return self.output(self.features(inputs))
