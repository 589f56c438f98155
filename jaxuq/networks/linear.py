"""The linear layer of language models: a frozen kernel, and a low-rank adapter in a collection of its own."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, widened, widest
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.networks.dropout import Dropout
from jaxuq.networks.module import Module
from jaxuq.networks.quantized import QuantizedKernel, kernel_product

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
            raise OptionError(f"targets are {self.targets}; choose among {', '.join(LINEAR_LAYERS)}")
        check_count("rank", self.rank)
        check_number("alpha", self.alpha, open_low=True)
        check_number("dropout", self.dropout, 0.0, 1.0, open_high=True)

    @property
    def scale(self) -> float:
        """The factor on the adapter's output."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class Linear(Module):
    r"""$y = x W + b$, plus $s\, x A B$ if the variables hold a `lora` collection for this layer.

    The base product is computed once and is shared by whatever is mapped over adapters: under
    `jax.vmap(module.apply, in_axes=({"params": None, "lora": 0}, 0))` it stays one product of all tokens with one
    kernel. No merged kernel is ever formed. With DoRA, $y = m \odot (x W + s\, x A B) / \lVert W + s A B \rVert + b$,
    where the norm of each column comes from products of rank $r$ and carries no gradient. The kernel may be quantised
    (see `quantize_params`).

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
        kernel = self.get_variable("params", "kernel")
        if not isinstance(kernel, QuantizedKernel):
            kernel = self.param("kernel", nn.initializers.lecun_normal(), (x.shape[-1], self.features), self.dtype)
        y = kernel_product(x, kernel, self.dtype)
        if self.lora is not None and (self.is_initializing() or self.has_variable("lora", "a")):
            y = self._adapted(x, y, kernel, self.lora)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), self.dtype)
            y = y + jnp.broadcast_to(bias.astype(self.dtype), y.shape)
        return y

    def _adapted(self, x: Array, y: Array, kernel: Array | QuantizedKernel, lora: LoraConfig) -> Array:
        shape = (x.shape[-1], self.features)
        a = self.variable("lora", "a", lambda: init_adapter(self.make_rng("params"), shape, lora)["a"]).value
        b = self.variable("lora", "b", jnp.zeros, (lora.rank, self.features), jnp.float32).value
        y = y + self.low_rank(Dropout(lora.dropout)(x), a.astype(self.dtype) * lora.scale, b.astype(self.dtype))
        if lora.dora:
            norm = jax.lax.stop_gradient(adapted_norm(kernel.astype(widest(x)), a, b, lora.scale))
            magnitude = self.variable("lora", "magnitude", lambda: norm).value
            y = y * jnp.broadcast_to((as_float(magnitude, norm) / norm).astype(self.dtype), y.shape)
        return y

    def low_rank(self, x: Float[Array, "*batch inputs"], a: Array, b: Array) -> Float[Array, "*batch features"]:
        """The adapter's product; `quick_adapter_gradients` puts another in its place."""
        return (x @ a) @ b


@typed()
def init_adapter(rng_key: Key[Array, ""], shape: tuple[int, int], lora: LoraConfig) -> dict[str, Array]:
    r"""The factors of a new adapter of one layer: it changes nothing, since $B = 0$.

    $A_{ij} \sim U(-1/\sqrt{in}, 1/\sqrt{in})$, as in PEFT. DoRA needs `magnitude` besides, which is `adapted_norm` of
    the kernel; `jaxuq.language.init_adapters` makes all of a decoder.

    Args:
        rng_key: for $A$.
        shape: of the kernel, `(in, out)`.
        lora: its rank.

    Returns:
        `a` and `b`, float32.

    Example:
        >>> import jax
        >>> jax.tree.map(jax.numpy.shape, init_adapter(jax.random.key(0), (6, 5), LoraConfig(rank=2)))
        {'a': (6, 2), 'b': (2, 5)}
    """
    bound = shape[0] ** -0.5
    a = jax.random.uniform(rng_key, (shape[0], lora.rank), jnp.float32, -bound, bound)
    return {"a": a, "b": jnp.zeros((lora.rank, shape[1]), jnp.float32)}


@checked
@widened
def adapted_norm(
    kernel: Float[Array, "inputs features"],
    a: Float[Array, "inputs rank"],
    b: Float[Array, "rank features"],
    scale: float,
) -> Float[Array, " features"]:
    r"""The norm of each column of $W + s A B$, from products of rank $r$: the sum itself is never formed.

    Args:
        kernel: $W$.
        a: $A$.
        b: $B$.
        scale: $s$.

    Returns:
        Norms, at least 1e-15.

    Example:
        >>> import jax.numpy as jnp
        >>> adapted_norm(3 * jnp.eye(2), jnp.ones((2, 1)), jnp.array([[4.0, 0.0]]), 1.0)
        Array([8.062258, 3.      ], dtype=float32)

    References:
        S.-Y. Liu et al. DoRA: weight-decomposed low-rank adaptation. ICML 2024, Eq 5.
    """
    b = scale * b
    squares = (kernel**2).sum(0) + 2 * ((kernel.T @ a) * b.T).sum(1) + (b * ((a.T @ a) @ b)).sum(0)
    return jnp.sqrt(jnp.maximum(squares, 1e-30))


def merged_kernel(kernel: Any, adapter: Mapping[str, Array], lora: LoraConfig) -> Float[Array, "inputs features"]:
    """The kernel that does what a kernel does with an adapter, in the kernel's type; `merge_adapters` merges all."""
    wide = kernel.astype(widest(*adapter.values()))
    whole = wide + lora.scale * as_float(adapter["a"] @ adapter["b"])
    if lora.dora:
        norm = adapted_norm(wide, adapter["a"], adapter["b"], lora.scale)
        whole = whole * jnp.broadcast_to(adapter["magnitude"] / norm, whole.shape)
    return whole.astype(kernel.dtype)
