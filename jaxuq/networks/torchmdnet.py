"""TorchMD-NET's equivariant transformer: scalars and vectors on atoms, attention over near atoms, no softmax."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._meshes import vary_like
from jaxuq.networks.dropout import Dropout
from jaxuq.networks.layer_norm import layer_norm
from jaxuq.networks.module import Module
from jaxuq.networks.torchmdnet_layers import (
    XAVIER,
    AtomInputs,
    Embedding,
    GatedBlock,
    Layer,
    TorchMDNetConfig,
    make_edges,
)
from jaxuq.networks.whitening import whiten_vectors


class TorchMDNet(Module):
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
        >>> variables = jax.jit(module.init)(jax.random.key(0), water)
        >>> jax.jit(module.apply, static_argnames="method")(variables, water, method="noise").shape
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
        self.embedding = Embedding(config)
        layers = nn.scan(
            nn.remat(Layer) if self.remat else Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=config.num_layers,
        )
        self.layers = layers(config)
        self.final_norm = layer_norm("final_norm")
        if config.vector_norm != "none":
            self.vector_scale = self.param("vector_scale", nn.initializers.ones, (config.width,))
        self.energy_head = [GatedBlock(half, True), GatedBlock(1, False)]
        self.noise_head = [GatedBlock(half, True), GatedBlock(1, False)]
        self.drop = [Dropout(self.dropout_rate) for _ in range(2)]
        self.hidden = nn.Dense(half)
        self.output = nn.Dense(self.num_outputs, kernel_init=XAVIER, bias_init=nn.initializers.constant(0.01))

    def represent(
        self, inputs: AtomInputs
    ) -> tuple[Float[Array, "molecules atoms width"], Float[Array, "molecules atoms xyz width"]]:
        """Scalars and vectors of the atoms after the last layer; they mean nothing in padding."""
        config = self.config
        where = inputs.numbers > 0
        edges = make_edges(config, jnp.where(where[..., None], inputs.coordinates, 0.0), where)
        x = self.embedding(inputs.numbers, edges)
        vectors = vary_like(jnp.zeros((*x.shape[:2], 3, config.width), x.dtype), x)
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
