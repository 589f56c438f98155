"""One step of fine-tuning as a pure function: loss on response tokens, accumulated gradients, AdamW."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, undefined_unless, widened, widest
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.language.batches import TokenBatch
from jaxuq.language.logit_blocks import map_logits
from jaxuq.losses import categorical_cross_entropy
from jaxuq.networks import Decoder, LoraConfig, Model, as_model, capability, quick_adapter_gradients
from jaxuq.networks.linear import LINEAR_LAYERS

TokenLoss = Callable[
    [Float[Array, "batch time vocab"], Int[Array, "batch time"], Int[Array, "batch time"]], Float[Array, "batch time"]
]
BatchLoss = Callable[
    [PyTree, PyTree, TokenBatch, Key[Array, ""] | None], tuple[Float[Array, ""], Float[Array, ""] | Int[Array, ""]]
]
_EVERYWHERE = LoraConfig(targets=LINEAR_LAYERS)


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
    """How a model is tuned.

    Attributes:
        adapters: which adapters are trained, the rest being frozen; None: all parameters are trained.
        epochs: passes over the data.
        batch_size: rows of an optimiser step.
        micro_batch_size: rows computed at a time, whose gradients are added up; None: all.
        max_length: tokens of a row; longer examples lose their end.
        packed: put several examples into a row (they do not see each other); else one a row, sorted by length.
        learning_rate: the highest.
        warmup: share of the steps in which it rises linearly from zero.
        decay: whether it then falls linearly to zero; else it stays.
        weight_decay: of AdamW.
        beta1: of AdamW.
        beta2: of AdamW.
        epsilon: of AdamW.
        max_gradient_norm: gradients are scaled down to this norm; None: never.
        dtype: of activations and frozen parameters, `float32` or `bfloat16`; what is trained is float32.
        remat: recompute each block in the backward pass, for less memory.
        max_steps: stop after so many steps; None: after the epochs.
    """

    adapters: LoraConfig | None = _EVERYWHERE
    epochs: int = 1
    batch_size: int = 8
    micro_batch_size: int | None = None
    max_length: int = 1024
    packed: bool = True
    learning_rate: float = 2e-4
    warmup: float = 0.03
    decay: bool = True
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    max_gradient_norm: float | None = 1.0
    dtype: str = "float32"
    remat: bool = False
    max_steps: int | None = None

    def __post_init__(self):
        for name in ("epochs", "batch_size", "max_length", "micro_batch_size", "max_steps"):
            value = getattr(self, name)
            if value is not None:
                check_count(name, value)
        if self.batch_size % (self.micro_batch_size or 1):
            raise OptionError(
                f"batch_size {self.batch_size} is no multiple of micro_batch_size {self.micro_batch_size}"
            )
        if self.dtype not in ("float32", "bfloat16"):
            raise OptionError(f"dtype is {self.dtype!r}; expected float32 or bfloat16")
        check_number("warmup", self.warmup, 0.0, 1.0)  # a share of the steps
        for name in ("learning_rate", "weight_decay", "epsilon"):
            check_number(name, getattr(self, name), 0.0)
        for name in ("beta1", "beta2"):
            check_number(name, getattr(self, name), 0.0, 1.0, open_high=True)
        if self.max_gradient_norm is not None:
            check_number("max_gradient_norm", self.max_gradient_norm, 0.0, open_low=True)


class FinetuneState(NamedTuple):
    """All that changes from step to step.

    Attributes:
        step: steps done, skipped ones included.
        trained: adapters, or parameters; float32.
        optimizer_state: of the optax transformation, with Adam's moments.
    """

    step: Int[Array, ""]
    trained: PyTree
    optimizer_state: PyTree


class StepReport(NamedTuple):
    """What happened in a step.

    Attributes:
        loss: mean over its learnt tokens, before the step.
        tokens: learnt.
        gradient_norm: before it is cut.
        applied: False if loss or gradient was not finite, and nothing was changed.
    """

    loss: Float[Array, ""]
    tokens: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    applied: Bool[Array, ""]


@dataclasses.dataclass(frozen=True)
class ScheduledLoss:
    """A token loss that changes as tuning goes on; called as it is, the one at the end.

    Attributes:
        at: `at(share)` is the loss when this share of the steps is done, in [0, 1).
    """

    at: Callable[[Any], TokenLoss]

    def __call__(self, logits: Any, tokens: Any, examples: Any) -> Float[Array, "batch time"]:
        """The loss at the end."""
        return self.at(1.0)(logits, tokens, examples)


@dataclasses.dataclass(frozen=True)
class PairLoss:
    """A loss of two responses to one prompt: examples 2i and 2i + 1 of the data, the preferred one first.

    Attributes:
        of: `of(log_probs, pairs) -> [pairs]` of the log-probabilities `[pairs, 2]` of the responses, each summed over
            its tokens, and the numbers i of the pairs, which are -1 in padding.
        count: of the pairs that it knows of; None: any.
    """

    of: Callable[[Float[Array, "pairs 2"], Int[Array, " pairs"]], Float[Array, " pairs"]]
    count: int | None = None


@checked
@widened
def cross_entropy(
    logits: Float[Array, "*batch vocab"], tokens: Int[Array, "*batch"], examples: Int[Array, "*batch"] | None = None
) -> Float[Array, "*batch"]:
    r"""$-\log p_y = \log \sum_v e^{x_v} - x_y$: the loss of next-token prediction.

    Args:
        logits: of the next token.
        tokens: that came next.
        examples: not used; a loss that weighs examples reads it.

    Returns:
        The loss of each token, in nats; NaN for a token outside the vocabulary.

    Example:
        >>> import jax.numpy as jnp
        >>> print(f"{cross_entropy(jnp.log(jnp.array([0.5, 0.25, 0.25])), jnp.array(1)):.3f}")
        1.386
    """
    return categorical_cross_entropy(logits, tokens)


@typed()
@checked
def response_loss(
    model: Model | Decoder,
    params: PyTree,
    batch: TokenBatch,
    *,
    rng_key: Key[Array, ""] | None = None,
    token_loss: TokenLoss | PairLoss = cross_entropy,
) -> tuple[Float[Array, ""], Int[Array, ""]]:
    r"""$\sum_t \ell(x_{t-1}, y_t)$ over the response tokens of a batch, and how many there are.

    Sums, so that batches can be added up before dividing. Examples packed into a row do not see each other: the result
    is that of one example a row. The first token of an example is never learnt, for nothing predicts it.

    Args:
        model: or a decoder.
        params: of the model; for a decoder parameters, and adapters.
        batch: tokens; `where` says which are learnt.
        rng_key: for the adapters' dropout; None: no dropout.
        token_loss: `token_loss(logits, tokens, examples) -> [batch, time]`, each token on its own; `examples` are
            their numbers in the data, to look up weights or uncertainties of examples. Or a `PairLoss`, for rows of one
            example each: those of a pair one after the other.

    Returns:
        `(sum, count)`; of a `PairLoss` over pairs. Never holds `[batch, time, vocabulary]`, see `map_logits`. NaN for
        rows of several examples and a model that cannot read `segments`.

    Raises:
        CapabilityError: a key for a model without dropout.
        OptionError: an odd number of rows for a `PairLoss`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> tokens = jnp.array([[1, 2, 3]])
        >>> batch = TokenBatch(tokens, jnp.array([[0, 1, 2]]), jnp.zeros_like(tokens), tokens > 1)
        >>> response_loss(decoder, decoder.init(jax.random.key(0), tokens), batch)[1]
        Array(2, dtype=int32)
    """
    if isinstance(token_loss, PairLoss):
        if batch.tokens.shape[0] % 2:
            raise OptionError(f"there are {batch.tokens.shape[0]} rows; expected pairs, the preferred one first")
        log_probs = response_log_probs(model, params, batch, rng_key=rng_key).reshape(-1, 2)
        numbers = jnp.max(jnp.asarray(batch.examples), axis=-1).reshape(-1, 2)[:, 0]
        pairs = jnp.where(numbers < 0, -1, numbers // 2)
        losses = jnp.where(pairs < 0, 0.0, token_loss.of(log_probs, pairs))
        return jnp.sum(losses), jnp.sum(pairs >= 0, dtype=jnp.int32)
    losses, wanted = _token_losses(model, params, batch, rng_key, token_loss)
    return jnp.sum(losses), jnp.sum(wanted, dtype=jnp.int32)


@typed()
@checked
def response_log_probs(
    model: Model | Decoder, params: PyTree, batch: TokenBatch, *, rng_key: Key[Array, ""] | None = None
) -> Float[Array, " rows"]:
    r"""$\sum_t \log p(y_t \mid y_{<t}, x)$ over the response tokens of each row.

    Args:
        model: or a decoder.
        params: as for `response_loss`.
        batch: one example a row.
        rng_key: as for `response_loss`.

    Returns:
        In nats; 0 for a row of padding. Never holds `[batch, time, vocabulary]`.

    Raises:
        CapabilityError: a key for a model without dropout.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> tokens = jnp.array([[1, 2, 3]])
        >>> params = jax.tree.map(jnp.zeros_like, decoder.init(jax.random.key(0), tokens))
        >>> batch = TokenBatch(tokens, jnp.array([[0, 1, 2]]), jnp.zeros_like(tokens), tokens > 1)
        >>> print(f"{response_log_probs(decoder, params, batch)[0]:.4f} {-2 * jnp.log(7):.4f}")
        -3.8918 -3.8918
    """
    return -jnp.sum(_token_losses(model, params, batch, rng_key, cross_entropy)[0], axis=-1)


def _token_losses(
    model: Model | Decoder, params: PyTree, batch: TokenBatch, rng_key: Key[Array, ""] | None, token_loss: TokenLoss
) -> tuple[Float[Array, "rows time"], Bool[Array, "rows time"]]:
    """The loss of each token, 0 where none is learnt, and which are."""
    model = as_model(model)
    given = {} if rng_key is None else {"rng_key": rng_key}
    if "segments" in model.options:
        given["segments"] = jnp.asarray(batch.examples)
    for name in given:
        capability(model, name)
    hidden, _, _ = model.hidden_of(params, jnp.asarray(batch.tokens), jnp.asarray(batch.positions), **given)
    before = jnp.pad(hidden[:, :-1], ((0, 0), (1, 0), *((0, 0),) * (hidden.ndim - 2)))
    wanted = jnp.asarray(batch.where) & (jnp.asarray(batch.positions) > 0)
    arrays = (jnp.asarray(batch.tokens), jnp.asarray(batch.examples))
    losses = map_logits(token_loss, model, params, before, *arrays, where=wanted)
    if "segments" not in model.options:  # what a model cannot keep apart has no loss
        ends = (
            jnp.max(arrays[1], axis=-1, keepdims=True),
            jnp.min(jnp.where(arrays[1] < 0, jnp.iinfo(arrays[1].dtype).max, arrays[1]), axis=-1, keepdims=True),
        )
        losses = undefined_unless(jnp.broadcast_to(ends[0] <= ends[1], losses.shape), losses)
    return losses, wanted


@typed()
def make_optimizer(config: FinetuneConfig, num_steps: int) -> optax.GradientTransformation:
    r"""AdamW with gradients cut to a norm, and a learning rate that rises and falls linearly.

    With $w$ warm-up steps out of $n$, step $i = 0, 1, ...$ uses $\eta\, (i + 1) / w$ while $i < w$, and
    $\eta\, (n - i) / (n - w)$ after.

    Args:
        config: learning rate, warm-up, decay, the rest of AdamW.
        num_steps: $n$.

    Returns:
        The optax transformation.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> optimizer = make_optimizer(FinetuneConfig(learning_rate=1.0, warmup=0.5), 4)
        >>> with jax.numpy_dtype_promotion("standard"):  # only needed where jax is set to be strict
        ...     updates, _ = optimizer.update(jnp.ones(1), optimizer.init(jnp.zeros(1)), jnp.zeros(1))
        >>> print(f"{updates[0]:.3f}")
        -0.500

    References:
        I. Loshchilov, F. Hutter. Decoupled weight decay regularization. ICLR 2019, algorithm 2.
    """
    adamw = optax.adamw(
        learning_rate_schedule(config, num_steps), config.beta1, config.beta2, config.epsilon,
        weight_decay=config.weight_decay,
    )  # fmt: skip
    if config.max_gradient_norm is None:
        return adamw
    return optax.chain(optax.clip_by_global_norm(config.max_gradient_norm), adamw)


@typed()
def learning_rate_schedule(config: FinetuneConfig, num_steps: int) -> Callable[[Any], Float[Array, "*steps"]]:
    """The learning rate of each step, see `make_optimizer`.

    Args:
        config: learning rate, warm-up, decay.
        num_steps: in all.

    Returns:
        A function of the step, from 0.

    Example:
        >>> schedule = learning_rate_schedule(FinetuneConfig(learning_rate=1.0, warmup=0.5), 4)
        >>> [float(schedule(step)) for step in range(5)]
        [0.5, 1.0, 1.0, 0.5, 0.0]
    """
    warmup = round(config.warmup * num_steps)

    def schedule(step: Any) -> Float[Array, "*steps"]:
        step = as_float(jnp.asarray(step))
        rising = (step + 1) / max(warmup, 1)
        falling = (num_steps - step) / max(num_steps - warmup, 1) if config.decay else jnp.ones_like(step)
        factor = jnp.where(step < warmup, rising, jnp.maximum(falling, 0.0))
        return config.learning_rate * factor

    return schedule


@typed()
def init_finetuning(trained: PyTree, optimizer: optax.GradientTransformation) -> FinetuneState:
    """The state before the first step.

    Args:
        trained: adapters, or parameters.
        optimizer: from `make_optimizer`, or another.

    Returns:
        `FinetuneState`; holds a copy, in float32 at least, and the optimiser's moments.

    Example:
        >>> import jax.numpy as jnp
        >>> int(init_finetuning(jnp.zeros(3), make_optimizer(FinetuneConfig(), 10)).step)
        0
    """
    trained = jax.tree.map(lambda leaf: jnp.array(leaf, widest(leaf), copy=True), trained)
    return FinetuneState(jnp.zeros((), jnp.int32), trained, optimizer.init(trained))


@typed()
def finetune_step(
    state: FinetuneState,
    frozen: PyTree,
    batches: PyTree,
    rng_key: Key[Array, ""] | None,
    *,
    loss: BatchLoss,
    optimizer: optax.GradientTransformation,
) -> tuple[FinetuneState, StepReport]:
    r"""One step: gradients of micro-batches are added up, divided by the number of learnt tokens, and applied.

    $g = \sum_m \nabla L_m / \sum_m n_m$ over micro-batches $m$: the step is that of one large batch. If the loss or the
    gradient is not finite, nothing but the step's number changes.

    Args:
        state: what is trained, and the optimiser's state.
        frozen: the rest, handed to `loss`.
        batches: `TokenBatch`, or what `loss` reads, with a leading axis of micro-batches.
        rng_key: for dropout; a micro-batch uses `fold_in(fold_in(rng_key, step), m)`. None: no dropout.
        loss: `loss(trained, frozen, batch, rng_key) -> (sum, count)`.
        optimizer: the optax transformation.

    Returns:
        `(state, report)`. Holds one gradient beside that of a micro-batch.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> def loss(weight, frozen, batch, rng_key):
        ...     return jnp.sum((weight - batch) ** 2), jnp.int32(batch.size)
        >>> optimizer = optax.sgd(0.25)
        >>> state = init_finetuning(jnp.zeros(()), optimizer)
        >>> state, report = finetune_step(state, None, jnp.array([[1.0], [3.0]]), None, loss=loss, optimizer=optimizer)
        >>> float(state.trained), float(report.loss)
        (1.0, 5.0)
    """
    step_key = None if rng_key is None else jax.random.fold_in(rng_key, state.step)

    def summed(*given: Any) -> Any:
        found: Any = loss(*given)
        if not isinstance(found, tuple) or [jnp.shape(part) for part in found] != [(), ()]:
            raise OptionError(
                f"the loss gives {jax.tree.map(jnp.shape, found)} as shapes; expected (sum, count), two scalars"
            )
        return found

    def one(carry: Any, inputs: Any) -> tuple[Any, None]:
        number, batch = inputs
        key = None if step_key is None else jax.random.fold_in(step_key, number)
        with quick_adapter_gradients():
            (total, count), gradient = jax.value_and_grad(summed, has_aux=True)(state.trained, frozen, batch, key)
        return jax.tree.map(jnp.add, carry, (gradient, total.astype(wide), count.astype(wide))), None

    wide = widest(*jax.tree.leaves(state.trained))
    count = jax.tree.leaves(batches)[0].shape[0]
    total, number = vary_like((jnp.zeros((), wide), jnp.zeros((), wide)), state.trained, batches)
    zeros = (jax.tree.map(jnp.zeros_like, state.trained), total, number)
    (gradient, total, tokens), _ = jax.lax.scan(one, zeros, (jnp.arange(count), batches))
    divisor = jnp.maximum(tokens, 1.0)
    gradient = jax.tree.map(lambda leaf: leaf / divisor, gradient)
    norm, mean = optax.tree.norm(gradient), total / divisor
    applied = jnp.isfinite(norm) & jnp.isfinite(mean)
    with jax.numpy_dtype_promotion("standard"):  # optax raises a float to an integer power
        updates, optimizer_state = optimizer.update(gradient, state.optimizer_state, state.trained)
    updated = (optax.apply_updates(state.trained, updates), optimizer_state)
    kept = jax.tree.map(lambda new, old: jnp.where(applied, new, old), updated, (state.trained, state.optimizer_state))
    return FinetuneState(state.step + 1, *kept), StepReport(mean, tokens, norm, applied)
