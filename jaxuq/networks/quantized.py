r"""Frozen kernels in 8 or 4 bits, for adapting models that would not fit otherwise.

    params = quantize_params(params, "nf4")
    decoder.apply({"params": params, "lora": lora}, tokens)

`Linear` dequantises a kernel where it is used, and again in the backward pass, so that no more than one kernel exists
in full at a time. Only adapters can be trained; the kernels get no gradient. Meant for accelerators, whose memory is
scarce: on a CPU it saves memory and costs time. It has been tested on CPUs only.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree, UInt8

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._meshes import whole
from jaxuq._shapes import checked

QUANTIZED_KINDS: tuple[str, ...] = ("int8", "nf4")

NF4_LEVELS: tuple[float, ...] = (  # QLoRA, appendix E
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
_BLOCK = 64  # weights that share a scale
_OUTER_BLOCK = 256  # scales that share a scale


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values", "scales", "outer"], meta_fields=["kind", "kernel_shape"]
)
@dataclasses.dataclass(frozen=True)
class QuantizedKernel:
    """A kernel `[*batch, in, out]` in few bits; a pytree, so stacked layers are scanned and mapped over as usual.

    Attributes:
        values: `int8`: int8 `[*batch, in, out]`. `nf4`: two levels a byte, uint8 `[*batch, blocks, 32]`; blocks follow
            each column of the kernel (a row of the layout of other libraries) and the last one is padded.
        scales: `int8`: of each column, float32 `[*batch, out]`. `nf4`: of each block, float32 or, quantised too, uint8
            `[*batch, blocks]`.
        outer: for quantised scales, their own scales `[*batch, blocks / 256]` and their mean `[*batch]`; else None.
        kind: `int8` or `nf4`.
        kernel_shape: `(in, out)`.
    """

    values: Any
    scales: Any
    outer: Any
    kind: str
    kernel_shape: tuple[int, int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the kernel that it stands for."""
        return (*self.values.shape[:-2], *self.kernel_shape)

    @property
    def ndim(self) -> int:
        """Axes of the kernel that it stands for."""
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        """The type that merging gives: float32."""
        return jnp.dtype(jnp.float32)

    def astype(self, dtype: Any) -> Array:
        """The kernel in full, as an array `[*batch, in, out]`."""
        return dequantize(self).astype(dtype)


@typed()
def quantize(
    kernel: Float[Array, "*batch inputs features"], kind: str = "nf4", *, double: bool = False
) -> QuantizedKernel:
    r"""A kernel in 8 or 4 bits.

    `int8`: $\hat W_{ij} = s_j\, \mathrm{round}(W_{ij} / s_j)$ with $s_j = \max_i |W_{ij}| / 127$. `nf4`: blocks of 64
    weights of a column, each weight the nearest of 16 quantiles of the normal distribution times the block's largest
    absolute weight. With `double`, those scales less their mean are themselves stored in 8 bits (a dynamic type, blocks
    of 256): 4.127 bits a weight instead of 4.5.

    Args:
        kernel: finite.
        kind: `int8` or `nf4`.
        double: quantise the scales of `nf4` too.

    Returns:
        The quantised kernel; `dequantize` is its inverse up to rounding. Works on one matrix at a time.

    Raises:
        ValueError: an unknown kind, or `double` with `int8`.

    Example:
        >>> import jax.numpy as jnp
        >>> dequantize(quantize(jnp.array([[0.5, 127.0], [-1.0, 3.2]]), "int8"))
        Array([[  0.503937, 127.      ],
               [ -1.      ,   3.      ]], dtype=float32)

    References:
        T. Dettmers, A. Pagnoni, A. Holtzman, L. Zettlemoyer. QLoRA: efficient finetuning of quantized LLMs. NeurIPS
        2023, section 3 and appendix E.
    """
    if kind not in QUANTIZED_KINDS:
        raise OptionError(f"kind is {kind!r}; expected one of {', '.join(QUANTIZED_KINDS)}")
    if double and kind != "nf4":
        raise OptionError("only the scales of nf4 can be quantised (double=True); those of int8 are few")
    function = _int8 if kind == "int8" else functools.partial(_nf4, double=double)
    if kernel.ndim == 2:
        return function(kernel)
    flat = kernel.reshape(-1, *kernel.shape[-2:])
    return jax.tree.map(lambda leaf: leaf.reshape(*kernel.shape[:-2], *leaf.shape[1:]), jax.lax.map(function, flat))


def _int8(kernel: Array) -> QuantizedKernel:
    wide = kernel.astype(jnp.float32)
    scales = jnp.max(jnp.abs(wide), axis=0) / 127
    divisor = jnp.where(scales > 0, scales, jnp.ones_like(scales))
    values = jnp.round(wide / jnp.broadcast_to(divisor, wide.shape)).astype(jnp.int8)
    return QuantizedKernel(values, scales, None, "int8", (kernel.shape[0], kernel.shape[1]))


def _nf4(kernel: Array, double: bool) -> QuantizedKernel:
    blocks = _blocks(whole(kernel).astype(jnp.float32).T.reshape(-1), _BLOCK)
    scales = jnp.max(jnp.abs(blocks), axis=1)
    codes = _nearest(jnp.asarray(NF4_LEVELS, jnp.float32), _divided(blocks, scales))
    values = (codes[:, ::2] << 4) | codes[:, 1::2]
    outer = None
    if double:
        mean = jnp.mean(scales)
        centred = _blocks(scales - mean, _OUTER_BLOCK)
        outer_scales = jnp.max(jnp.abs(centred), axis=1)
        outer_codes = _nearest(jnp.asarray(_dynamic_levels()), _divided(centred, outer_scales))
        scales, outer = outer_codes.reshape(-1)[: len(scales)], (outer_scales, mean)
    return QuantizedKernel(values, scales, outer, "nf4", (kernel.shape[0], kernel.shape[1]))


def _blocks(flat: Array, size: int) -> Array:
    return jnp.pad(flat, (0, -len(flat) % size)).reshape(-1, size)


def _divided(blocks: Array, scales: Array) -> Array:
    divisor = jnp.where(scales > 0, scales, jnp.ones_like(scales))
    return blocks / jnp.broadcast_to(divisor[:, None], blocks.shape)


def _nearest(levels: Float[Array, " levels"], x: Float[Array, "*shape"]) -> UInt8[Array, "*shape"]:
    between = (levels[1:] + levels[:-1]) / 2
    method = "compare_all" if len(levels) <= 16 else "scan"
    return jnp.searchsorted(between, x, method=method).astype(jnp.uint8)


@functools.cache
def _dynamic_levels() -> np.ndarray:
    """256 numbers in [-1, 1], dense at zero: a sign, a power of ten, and the more digits the larger that is."""
    levels = [0.0, 1.0]
    for exponent in range(7):
        edges = np.linspace(0.1, 1.0, 2**exponent + 1)
        middles = (edges[1:] + edges[:-1]) / 2 * 10.0 ** (exponent - 6)
        levels += [*middles, *-middles]
    return np.sort(np.asarray(levels)).astype(np.float32)


@typed()
def dequantize(kernel: QuantizedKernel) -> Float[Array, "*batch inputs features"]:
    """The kernel in full, float32.

    Args:
        kernel: from `quantize`.

    Returns:
        `[*batch, in, out]`.

    Example:
        >>> import jax.numpy as jnp
        >>> dequantize(quantize(jnp.array([[2.0], [-1.5]]), "nf4"))
        Array([[ 2.       ],
               [-1.3923856]], dtype=float32)
    """
    if kernel.values.ndim > 2:
        return jax.vmap(dequantize)(kernel)
    if kernel.kind == "int8":
        return kernel.values.astype(jnp.float32) * jnp.broadcast_to(kernel.scales, kernel.kernel_shape)
    scales = kernel.scales
    if kernel.outer is not None:
        outer, mean = kernel.outer
        inner = jnp.take(jnp.asarray(_dynamic_levels()), scales.astype(jnp.int32), axis=0)
        inner = _blocks(inner, _OUTER_BLOCK)
        scales = (inner * jnp.broadcast_to(outer[:, None], inner.shape)).reshape(-1)[: len(scales)] + mean
    codes = jnp.stack([kernel.values >> 4, kernel.values & 15], axis=-1).reshape(len(scales), _BLOCK)
    levels = jnp.take(jnp.asarray(NF4_LEVELS, jnp.float32), codes.astype(jnp.int32), axis=0)
    flat = (levels * jnp.broadcast_to(scales[:, None], levels.shape)).reshape(-1)
    inputs, features = kernel.kernel_shape
    return flat[: inputs * features].reshape(features, inputs).T


@typed()
@checked
def kernel_product(
    x: Float[Array, "*batch inputs"], kernel: Float[Array, "inputs features"] | QuantizedKernel, dtype: Any
) -> Float[Array, "*batch features"]:
    """`x @ kernel`, where the kernel may be quantised.

    Args:
        x: inputs.
        kernel: an array, or a quantised kernel without batch axes; that one is dequantised here, and again in the
            backward pass instead of being kept for it.
        dtype: of the product's operands.

    Returns:
        The product.

    Example:
        >>> import jax.numpy as jnp
        >>> kernel = jnp.array([[1.0, 2.0], [-1.0, 0.5]])
        >>> kernel_product(jnp.array([1.0, 1.0]), quantize(kernel, "int8"), jnp.float32).round(2)
        Array([0. , 2.5], dtype=float32)
    """
    if not isinstance(kernel, QuantizedKernel):
        return x @ kernel.astype(dtype)
    return jax.checkpoint(lambda x, kernel: x @ kernel.astype(dtype))(x, kernel)


@typed()
def quantize_params(params: PyTree, kind: str = "nf4", *, double: bool = False) -> PyTree:
    """Quantise the kernels of all linear layers of a decoder; embeddings, norms and biases stay as they are.

    Args:
        params: of a `Decoder`, layers stacked or not.
        kind: see `quantize`.
        double: see `quantize`.

    Returns:
        Parameters for the same decoder. Delete the others to save memory.

    Example:
        >>> import jax.numpy as jnp
        >>> params = {"layers": {"query": {"kernel": jnp.ones((2, 64, 8))}}}
        >>> quantize_params(params)["layers"]["query"]["kernel"].values.nbytes
        512
    """

    def one(path: tuple[Any, ...], leaf: Any) -> Any:
        named = getattr(path[-1], "key", None) == "kernel" if path else False
        return quantize(leaf, kind, double=double) if named and not isinstance(leaf, QuantizedKernel) else leaf

    return jax.tree_util.tree_map_with_path(one, params, is_leaf=lambda leaf: isinstance(leaf, QuantizedKernel))
