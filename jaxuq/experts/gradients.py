"""The gradient of each example's own loss with respect to adapters, for a batch of examples in one backward pass."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, number_of, select
from jaxuq._entries import Entries, function_of
from jaxuq._errors import ArrayError
from jaxuq._meshes import divided_like
from jaxuq.language import Instruction, TokenBatch, cross_entropy, hidden_gradient, map_logits
from jaxuq.language.logit_blocks import MAX_LOGITS
from jaxuq.networks import Decoder, Model, as_model, capability, quick_adapter_gradients
from jaxuq.networks.sharding import constrain_rows, mapped_rows, parts_of

_MUCH = 2**31  # bytes of activations

Choosing = Callable[[Instruction], Bool[np.ndarray, " tokens"]]
TOKENS: Entries[Choosing] = Entries(
    "choice of tokens",
    "jaxuq.gradient_tokens",
    {
        "instruction": lambda example: ~np.asarray(example.response),
        "response": lambda example: np.asarray(example.response),
        "all": lambda example: np.ones_like(example.response),
    },
)
"""Which tokens' losses a gradient can be of, by name: functions from an example to a mask of its tokens."""

Reduction = Callable[[Float[Array, ""]], Float[Array, ""]]
REDUCTIONS: Entries[Reduction] = Entries(
    "reduction",
    "jaxuq.gradient_reductions",
    {"mean": lambda count: jnp.maximum(count, 1.0), "sum": lambda count: jnp.ones_like(count)},
)
"""What a row's loss is divided by, from the number of its wanted tokens."""


@typed()
def example_gradients(
    model: Model | Decoder,
    params: PyTree,
    trained: PyTree,
    batch: TokenBatch,
    *,
    reduction: str | Reduction = "mean",
    remat: bool | None = None,
) -> PyTree[Float[Array, "rows ..."]]:
    r"""Gradients $g(x) = \nabla_\theta L(x)$ of every row's loss with respect to the adapters $\theta$.

    $L(x) = -\frac1{|W|} \sum_{t \in W} \log p(x_t \mid x_{<t})$ over the row's wanted tokens $W$. The base parameters
    and the adapters' forward pass are shared by all rows: every product with a frozen kernel is one of all rows'
    tokens, forward and backward, and only the adapters' own gradients, which are small, are taken row by row. Not
    `jax.grad` of a batch's loss, which adds the rows up, and not one backward pass a row, which is slower. The scale of
    the loss matters once gradients are preconditioned: fine-tuning's moments are those of means over tokens.

    Args:
        model: that trains a part of its parameters (`Model.join`), or a decoder with a `lora` configuration; no dropout
            is applied.
        params: the frozen ones; for a decoder those of the base model.
        trained: the part; for a decoder its adapters.
        batch: one example a row; `where` says whose losses count. The first token of a row never does.
        reduction: `"mean"` over the wanted tokens, or their `"sum"`, as Eq 5.2 of ELREA is written; or a function of
            yours from their number to what the sum is divided by.
        remat: whether a decoder's blocks are computed again in the backward pass, which then holds one residual stream
            a layer; None: where all activations would take more than 2 GiB of a device.

    Returns:
        Float32, the tree of `trained` with a leading axis of rows. Rows in which nothing is wanted are zero. Holds the
        rows' activations, their gradients, and 16 MiB of logits at a time; on a mesh that splits the rows, of a
        device's own rows, and of split parameters one layer at a time, and the table that makes logits.

    Raises:
        ValueError: unknown reduction.
        CapabilityError: the model trains no part, the decoder has no adapters.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig, LoraConfig
        >>> config = DecoderConfig(7, 8, 8, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=8)
        >>> decoder = Decoder(config, lora=LoraConfig(rank=2, targets=("value",)))
        >>> tokens = jnp.array([[1, 2, 3], [4, 5, 6]])
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), tokens)
        >>> batch = TokenBatch(tokens, jnp.array([[0, 1, 2]] * 2), jnp.array([[0] * 3, [1] * 3]), tokens > 1)
        >>> gradients = jax.jit(example_gradients, static_argnums=0)(
        ...     decoder, variables["params"], variables["lora"], batch
        ... )
        >>> jax.tree.map(jnp.shape, gradients)
        {'layers': {'value': {'a': (2, 1, 8, 2), 'b': (2, 1, 2, 8)}}}

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.2.
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, section 3.1.
    """
    divisor = function_of(REDUCTIONS, reduction)
    join, frozen = capability(model, "join"), {"params": params} if isinstance(model, Decoder) else params
    if isinstance(model, Decoder) and (_much_is_kept(model, params, batch) if remat is None else remat):
        model = model.clone(remat=True)
    model, max_logits = as_model(model), max(MAX_LOGITS // max(batch.tokens.shape[0], 1), 1)

    def one(frozen: PyTree, trained: PyTree, tokens: Array, positions: Array, where: Array) -> PyTree:
        def before(trained: PyTree) -> Array:
            with quick_adapter_gradients():
                hidden, _, _ = model.hidden_of(join(frozen, trained), tokens[None], positions[None])
            return jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), *((0, 0),) * (hidden.ndim - 2)))

        hidden, backward = jax.vjp(before, trained)
        wanted = where & (positions > 0)
        count = divisor(number_of(wanted, hidden))
        whole = join(frozen, trained)
        start = hidden_gradient(cross_entropy, model, whole, hidden, tokens[None], max_logits=max_logits)
        start = as_float(select(start, wanted[None]), count) / count
        gradient = backward(start.astype(hidden.dtype))[0]
        if not model.trained_logits:
            return gradient

        def last(trained: PyTree) -> Array:
            losses = map_logits(
                cross_entropy, model, join(frozen, trained), hidden, tokens[None], where=wanted[None],
                max_logits=max_logits,
            )  # fmt: skip
            return jnp.sum(losses) / count

        return jax.tree.map(jnp.add, gradient, jax.grad(last)(trained))

    def of_all(frozen: PyTree, trained: PyTree, *inputs: Array) -> PyTree:
        with mapped_rows((inputs, frozen), inputs[0].shape[0]) as axes:
            rows = jax.vmap(one, in_axes=(None, None, 0, 0, 0), spmd_axis_name=axes)
            return rows(frozen, trained, *map(constrain_rows, inputs))

    trained = jax.tree.map(as_float, trained)
    inputs = [jnp.asarray(part) for part in (batch.tokens, batch.positions, batch.where)]
    return divided_like(of_all, inputs[0], frozen, trained, *inputs)


def _much_is_kept(decoder: Decoder, params: PyTree, batch: TokenBatch) -> bool:
    """Whether the backward pass of a device's rows would hold more than 2 GiB of activations."""
    config = decoder.config
    width = 6 * config.hidden_size + 4 * config.intermediate_size + 4 * config.num_heads * config.head_dim
    rows, time = batch.tokens.shape
    parts = parts_of((batch, params), "tokens", (rows, time))
    return rows * time // parts * config.num_layers * width * jnp.dtype(decoder.dtype).itemsize > _MUCH


@typed()
def gradient_tokens(
    example: Instruction, tokens: str | Choosing = "instruction", *, max_length: int | None = None
) -> Instruction:
    """The example, cut where its gradient stops depending on it, with a mask of the tokens whose losses count.

    For `"instruction"` those are all that are not to be learnt (the user's words, and what the chat template puts
    around them), as in ELREA; what follows the last of them is cut off, for no earlier token sees it. For `"response"`
    the tokens to be learnt, as in LESS.

    Args:
        example: tokens, and which of them are the response.
        tokens: `"instruction"`, `"response"` or `"all"`, or a function of yours from an example to such a mask.
        max_length: longer examples lose their end; None: any length.

    Returns:
        An `Instruction` whose `response` is that mask; it may be all False, then there is no gradient.

    Raises:
        OptionError: `tokens` is none of these.
        ArrayError: the function gives no mask of all tokens.

    Example:
        >>> import numpy as np
        >>> example = Instruction(np.array([5, 6, 7, 8]), np.array([False, False, True, True]))
        >>> gradient_tokens(example)[:2]
        (array([5, 6]), array([False,  True]))
    """
    numbers = np.asarray(example.tokens)[:max_length]
    counted = np.asarray(function_of(TOKENS, tokens)(example), bool)
    if counted.shape != np.shape(example.tokens):
        raise ArrayError(f"the choice of tokens has the shape {counted.shape}; there are {len(example.tokens)} tokens")
    counted = counted[:max_length] & (np.arange(len(numbers)) > 0)  # nothing predicts the first
    end = int(np.flatnonzero(counted)[-1]) + 1 if counted.any() else 0
    return Instruction(numbers[:end], counted[:end], len(example.tokens) > len(numbers))
