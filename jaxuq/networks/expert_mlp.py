r"""Mixtures of expert MLPs within a layer: a router gives every token to a few of them.

$$y = \sum_{e \in \mathrm{top}_k(p)} \tilde p_e\, W^{down}_e \big(\phi(W^{gate}_e x) \circ W^{up}_e x\big), \qquad
  p = \mathrm{softmax}(W^{router} x)$$

Not to be confused with `jaxuq.experts`, whose experts are adapters of a whole model.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like, vary_like
from jaxuq._options import check_count
from jaxuq.networks.activations import ACTIVATIONS, Activation
from jaxuq.networks.quantized import QuantizedKernel, kernel_product

_LARGEST_BLOCK = 256  # tokens of one expert that are multiplied at a time


@dataclasses.dataclass(frozen=True)
class Experts:
    """The expert MLPs of every layer of a decoder.

    Attributes:
        count: how many there are.
        per_token: how many each token goes to.
        normalised: whether the weights of these sum to one; else they are what the softmax over all gives them.
        shared_size: inner width of one more MLP that every token goes to, weighed by a sigmoid; 0: there is none.

    References:
        N. Shazeer et al. Outrageously large neural networks: the sparsely-gated mixture-of-experts layer. ICLR 2017.
    """

    count: int
    per_token: int
    normalised: bool = True
    shared_size: int = 0

    def __post_init__(self):
        check_count("count", self.count)
        check_count("shared_size", self.shared_size, 0)
        if check_count("per_token", self.per_token) > self.count:
            raise OptionError(f"{self.per_token} experts a token are more than the {self.count} that there are")


def route_tokens(
    logits: Float[Array, "tokens experts"], experts: Experts
) -> tuple[Float[Array, "tokens chosen"], Int[Array, "tokens chosen"]]:
    """The experts of each token, and their weights.

    Args:
        logits: of the router.
        experts: how many a token goes to, and whether their weights sum to one.

    Returns:
        Weights in float32, the largest first, and numbers of experts; of equal ones the first.

    Example:
        >>> import jax.numpy as jnp
        >>> weights, chosen = route_tokens(jnp.log(jnp.array([[0.1, 0.6, 0.3]])), Experts(3, 2))
        >>> weights.round(3).tolist()[0], chosen.tolist()[0]
        ([0.667..., 0.333...], [1, 2])
    """
    weights, chosen = jax.lax.top_k(jax.nn.softmax(logits.astype(jnp.float32), axis=-1), experts.per_token)
    if experts.normalised:
        weights = weights / jnp.broadcast_to(weights.sum(-1, keepdims=True), weights.shape)
    return weights, chosen


def mix_experts(
    x: Float[Array, "tokens hidden"],
    weights: Float[Array, "tokens chosen"],
    chosen: Int[Array, "tokens chosen"],
    kernels: PyTree,
    apply: Callable[[PyTree, Float[Array, "block hidden"]], Float[Array, "block hidden"]],
) -> Float[Array, "tokens hidden"]:
    r"""$y_n = \sum_k w_{nk}\, f_{e_{nk}}(x_n)$, block by block of tokens that go to the same expert.

    Assignments are sorted by expert and cut into blocks of one expert each, which run one after another. A token costs
    as many products as it has experts (and each expert a part of a block that is not full); an expert that no token
    goes to is not read. Nothing like `[tokens, experts, hidden]` exists: beside the result, one block and the kernels
    of its expert, forward and backward, where a block is computed again.

    Args:
        x: tokens.
        weights: of their experts.
        chosen: numbers of their experts, different for one token.
        kernels: of all experts, a leading axis on every leaf.
        apply: `apply(kernels of one expert, tokens)`, row by row.

    Returns:
        The sums, of the type of `x`; taken in float32.
    """
    return divided_like(functools.partial(_mixed, apply), x, x, weights, chosen, kernels)


def _mixed(apply: Callable[[PyTree, Array], Array], x: Array, weights: Array, chosen: Array, kernels: PyTree) -> Array:
    tokens, per_token = chosen.shape
    count, pairs = jax.tree.leaves(kernels)[0].shape[0], tokens * per_token
    size = max(1, min(_LARGEST_BLOCK, 2 ** (-(-pairs // count) - 1).bit_length()))
    blocks = (pairs + min(count, pairs) * (size - 1)) // size
    flat = chosen.reshape(-1)
    order = jnp.argsort(flat, stable=True).astype(jnp.int32)
    sizes = jnp.bincount(flat, length=count).astype(jnp.int32)
    of_expert = -(-sizes // size)
    ends = jnp.cumsum(of_expert)
    number = jnp.arange(blocks, dtype=jnp.int32)
    expert = jnp.minimum(jnp.searchsorted(ends, number, side="right"), count - 1).astype(jnp.int32)
    first = (number - (ends - of_expert)[expert]) * size  # the number of a block's first token among its expert's
    place = first[:, None] + jnp.arange(size, dtype=jnp.int32)[None]
    there = (place < sizes[expert][:, None]) & (number < ends[-1])[:, None]
    start = (jnp.cumsum(sizes) - sizes)[expert]
    pair = jnp.take(order, jnp.where(there, start[:, None] + place, pairs), mode="fill", fill_value=pairs)
    row = jnp.where(there, pair // per_token, tokens)  # beyond the last: read as zeros, and written nowhere

    def block(x: Array, weights: Array, kernels: PyTree, inputs: tuple[Array, Array, Array]) -> Array:
        expert, row, pair = inputs
        own = jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, expert, keepdims=False), kernels)
        said = apply(own, jnp.take(x, row, axis=0, mode="fill", fill_value=0)).astype(jnp.float32)
        share = jnp.take(weights.reshape(-1), pair, mode="fill", fill_value=0.0)
        return said * jnp.broadcast_to(share[:, None], said.shape)

    again = jax.checkpoint(block, prevent_cse=False)  # or every block would keep its expert's kernels for the gradient

    def add(total: Array, inputs: tuple[Array, Array, Array]) -> tuple[Array, None]:
        return total.at[inputs[1]].add(again(x, weights, kernels, inputs), mode="drop"), None

    zeros = vary_like(jnp.zeros(x.shape, jnp.float32), x, weights, chosen, kernels)
    return jax.lax.scan(add, zeros, (expert, row, pair))[0].astype(x.dtype)


class ExpertMLP(nn.Module):
    """Router and experts of a layer; parameters `router`, and `gate`, `up`, `down` with an axis of experts.

    Kernels of experts may be quantised like those of other linear layers; the router is not. Experts have no adapters.

    Attributes:
        experts: how many, and how a token chooses.
        features: inner width of each.
        activation: of the gate.
        dtype: of parameters and activations; the router's softmax is computed in float32.
    """

    experts: Experts
    features: int
    activation: Activation
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch hidden"]) -> Float[Array, "*batch hidden"]:
        """Apply the layer to every token."""
        hidden, count = x.shape[-1], self.experts.count
        router = self.param("router", nn.initializers.lecun_normal(), (hidden, count), self.dtype)
        shapes = {"gate": (hidden, self.features), "up": (hidden, self.features), "down": (self.features, hidden)}
        kernels = {name: _Kernels(count, shape, self.dtype, name=name)() for name, shape in shapes.items()}

        def apply(own: dict[str, Any], tokens: Array) -> Array:
            inner = ACTIVATIONS[self.activation](kernel_product(tokens, own["gate"], self.dtype))
            return kernel_product(inner * kernel_product(tokens, own["up"], self.dtype), own["down"], self.dtype)

        tokens = x.reshape(-1, hidden)
        weights, chosen = route_tokens(tokens @ router.astype(self.dtype), self.experts)
        return mix_experts(tokens, weights, chosen, kernels, apply).reshape(x.shape)


class _Kernels(nn.Module):
    """The kernels of one kind of all experts."""

    count: int
    shape: tuple[int, int]
    dtype: Any

    @nn.compact
    def __call__(self) -> Array | QuantizedKernel:
        kernel = self.get_variable("params", "kernel")
        if isinstance(kernel, QuantizedKernel):
            return kernel
        start = nn.initializers.lecun_normal(in_axis=-2, out_axis=-1, batch_axis=0)
        return self.param("kernel", start, (self.count, *self.shape), self.dtype)
