"""The linear layer of language models: a frozen kernel, and a low-rank adapter in a collection of its own."""

import dataclasses
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.networks.dropout import Dropout

LINEAR_LAYERS = ("query", "key", "value", "output", "gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class LoraConfig:
    r"""Which linear layers have a low-rank adapter, and of what kind.

    Attributes:
        rank: $r$ of $x A B$ with $A$ `[in, r]` and $B$ `[r, out]`.
        alpha: the product is scaled by `alpha / rank`.
        dropout: rate on the adapter's input; acts when a `dropout` key is given.
        rslora: scale by `alpha / sqrt(rank)` instead.
        dora: weight-decomposed: a trained magnitude for each column of the adapted kernel, beside its direction.
        targets: names among `query, key, value, output, gate, up, down`.

    References:
        E. J. Hu et al. LoRA: low-rank adaptation of large language models. ICLR 2022.
        D. Kalajdzievski. A rank stabilization scaling factor for fine-tuning with LoRA. 2023.
        S.-Y. Liu et al. DoRA: weight-decomposed low-rank adaptation. ICML 2024, Eq 5.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    rslora: bool = False
    dora: bool = False
    targets: tuple[str, ...] = ("query", "value")

    def __post_init__(self):
        unknown = sorted(set(self.targets) - set(LINEAR_LAYERS))
        if unknown or not self.targets:
            raise ValueError(f"targets are {self.targets}; choose among {', '.join(LINEAR_LAYERS)}")
        if self.rank < 1:
            raise ValueError(f"rank is {self.rank}; an adapter needs a rank of at least 1")

    @property
    def scale(self) -> float:
        """The factor on the adapter's output."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class Linear(nn.Module):
    r"""$y = x W + b$, plus $s\, x A B$ if the variables hold a `lora` collection for this layer.

    The base product is computed once and is shared by whatever is mapped over adapters: under
    `jax.vmap(module.apply, in_axes=({"params": None, "lora": 0}, 0))` it stays one product of all tokens with one
    kernel. No merged kernel is ever formed. With DoRA, $y = m \odot (x W + s\, x A B) / \lVert W + s A B \rVert + b$,
    where the norm of each column comes from products of rank $r$ and carries no gradient.

    Attributes:
        features: width of the output.
        use_bias: whether there is $b$.
        dtype: of parameters and result.
        lora: the adapter's configuration; None: this layer has none.
    """

    features: int
    use_bias: bool = False
    dtype: Any = jnp.float32
    lora: LoraConfig | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch features"]:
        """Apply the layer."""
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features), self.dtype)
        y = x @ kernel.astype(self.dtype)
        if self.lora is not None and (self.is_initializing() or self.has_variable("lora", "a")):
            y = self._adapted(x, y, kernel, self.lora)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), self.dtype)
            y = y + jnp.broadcast_to(bias.astype(self.dtype), y.shape)
        return y

    def _adapted(self, x: Array, y: Array, kernel: Array, lora: LoraConfig) -> Array:
        def start() -> Array:  # as PEFT: uniform within one over root inputs
            bound = x.shape[-1] ** -0.5
            shape = (x.shape[-1], lora.rank)
            return jax.random.uniform(self.make_rng("params"), shape, jnp.float32, -bound, bound)

        a = self.variable("lora", "a", start).value
        b = self.variable("lora", "b", jnp.zeros, (lora.rank, self.features), jnp.float32).value
        narrow = Dropout(lora.dropout)(x) @ a.astype(self.dtype)
        y = y + (narrow @ b.astype(self.dtype)) * lora.scale
        if lora.dora:
            wide, a, b = kernel.astype(jnp.float32), a.astype(jnp.float32), lora.scale * b.astype(jnp.float32)
            squares = (wide**2).sum(0) + 2 * ((wide.T @ a) * b.T).sum(1) + (b * ((a.T @ a) @ b)).sum(0)
            norm = jax.lax.stop_gradient(jnp.sqrt(squares))
            magnitude = self.variable("lora", "magnitude", lambda: norm).value
            y = y * jnp.broadcast_to((magnitude / norm).astype(self.dtype), y.shape)
        return y
