r"""Minibatch training with early stopping, as two pure functions.

    training = minibatch_training(loss_fn, optax.adamw(2e-4), score_fn, batch_size=256, patience=50)
    state = training.init(rng_key, params)
    state, history = jax.jit(training.run, static_argnames="num_epochs")(state, train, validation, num_epochs=400)
    state.best_params

`run` is one `lax.scan` over epochs inside one compiled program. It maps over a leading member axis (see
`jaxuq.parallel.map_members`), which trains an ensemble, several seeds, or both, and it can be called again to go on:
`fit` does so in chunks, with progress and checkpoints between them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arrays import widest
from jaxuq._errors import OptionError
from jaxuq._meshes import divided_like, vary_like

LossFn = Callable[..., Float[Array, ""]]
ScoreFn = Callable[[PyTree, PyTree], Float[Array, ""]]
Observe = Callable[[PyTree, PyTree, Int[Array, ""]], PyTree]


class TrainState(NamedTuple):
    """All that training knows about one member between two epochs.

    Attributes:
        rng_key: fixed for the whole run; epoch `e` uses `fold_in(rng_key, e)`, so a resumed run draws the same numbers.
        params: current parameters.
        optimizer_state: of the optax transformation.
        epoch: epochs done so far.
        best_params: parameters after the best epoch.
        best_score: lowest validation score so far; infinite before the first epoch.
        best_epoch: number of epochs done when `best_score` was reached (1-based; 0 before the first).
        stopped: whether patience has run out; further epochs change nothing.
        observed: what `observe` has gathered, e.g. a SWAG state; None when nothing observes.
    """

    rng_key: Key[Array, ""]
    params: PyTree
    optimizer_state: PyTree
    epoch: Int[Array, ""]
    best_params: PyTree
    best_score: Float[Array, ""]
    best_epoch: Int[Array, ""]
    stopped: Bool[Array, ""]
    observed: PyTree = None


class History(NamedTuple):
    """What happened in each epoch of one call of `run`; NaN for epochs after the stop.

    Attributes:
        loss: mean training loss over the epoch's batches.
        score: validation score after the epoch, lower is better.
    """

    loss: Float[Array, " epochs"]
    score: Float[Array, " epochs"]


class Training(NamedTuple):
    """The pure functions of minibatch training; see `minibatch_training`."""

    init: Callable[..., TrainState]
    run: Callable[..., tuple[TrainState, History]]


def _shuffled_batches(rng_key: Key[Array, ""], num_rows: int, batch_size: int) -> tuple[Array, Array]:
    """Row numbers [batches, batch_size] in random order, and which are real; the last is filled up."""
    num_batches = -(-num_rows // batch_size)
    padding = num_batches * batch_size - num_rows
    order = jax.random.permutation(rng_key, num_rows)
    order = jnp.concatenate([order, order[:padding]])  # random ones too, so that a batch's sizes are as usual
    real = jnp.arange(num_batches * batch_size) < num_rows
    return order.reshape(num_batches, batch_size), real.reshape(num_batches, batch_size)


def minibatch_training(
    loss_fn: LossFn,
    optimizer: optax.GradientTransformation,
    score_fn: ScoreFn | None = None,
    *,
    batch_size: int,
    patience: int | None = None,
    observe: Observe | None = None,
) -> Training:
    """Build the functions that train one member on arrays that fit on the device.

    Args:
        loss_fn: `loss_fn(params, batch, where, rng_key) -> scalar`; `batch` has leading axis `batch_size`, and `where`
            says which of its rows are real (the last batch of an epoch is padded).
        optimizer: any optax transformation; its update is given the parameters.
        score_fn: `score_fn(params, validation) -> scalar`, lower is better; it chooses `best_params` and stops
            training. Neither a NaN nor an infinity ever counts as better. None: every epoch counts as the best, and
            nothing stops early.
        batch_size: rows a step. A set of fewer rows makes one batch of its own size.
        patience: training stops when the number of epochs since the best *exceeds* `patience`; a tie counts as a new
            best (MUBen's rule). None: never.
        observe: `observe(observed, params, epoch) -> observed`, called after each epoch with the number of epochs done.

    Returns:
        `Training(init, run)`:

        - `init(rng_key, params, *, optimizer_state=None, observed=None) -> TrainState`,
        - `run(state, train, validation, max_epoch=None, *, num_epochs) -> (TrainState, History)`.

        `train` and `validation` are pytrees of arrays with a leading row axis; `run` does `num_epochs` (static) epochs,
        but none beyond number `max_epoch` (may be traced). It holds two copies of the parameters beside the optimiser's
        state.

    Raises:
        OptionError: `batch_size` or `patience` is not positive, or `patience` is given without `score_fn`.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> x = jnp.linspace(-1, 1, 20)
        >>> def loss_fn(slope, batch, where, rng_key):
        ...     return jnp.mean((slope * batch["x"] - batch["y"]) ** 2, where=where)
        >>> training = minibatch_training(loss_fn, optax.sgd(0.5), batch_size=8)
        >>> state = training.init(jax.random.key(0), jnp.zeros(()))
        >>> state, history = training.run(state, {"x": x, "y": 3 * x}, None, num_epochs=50)
        >>> print(f"{state.best_params:.3f}")
        3.000
    """
    if batch_size < 1:
        raise OptionError(f"batch_size is {batch_size}; it must be at least 1")
    if patience is not None and patience < 1:
        raise OptionError(f"patience is {patience}; it must be at least 1, or None for no early stopping")
    if patience is not None and score_fn is None:
        raise OptionError("patience needs a score_fn: without a validation score there is nothing to wait for")

    def init(
        rng_key: Key[Array, ""], params: PyTree, *, optimizer_state: PyTree = None, observed: PyTree = None
    ) -> TrainState:
        return TrainState(
            rng_key=rng_key,
            params=params,
            optimizer_state=optimizer.init(params) if optimizer_state is None else optimizer_state,
            epoch=jnp.zeros((), jnp.int32),
            best_params=params,
            best_score=jnp.asarray(jnp.inf, widest(*jax.tree.leaves(params))),
            best_epoch=jnp.zeros((), jnp.int32),
            stopped=jnp.zeros((), bool),
            observed=observed,
        )

    def step(carry: tuple[PyTree, PyTree], inputs: Any, train: PyTree) -> tuple[tuple[PyTree, PyTree], Array]:
        params, optimizer_state = carry
        rows, where, rng_key = inputs
        batch = jax.tree.map(lambda leaf: leaf[rows], train)
        loss, gradients = jax.value_and_grad(loss_fn)(params, batch, where, rng_key)
        # optax's bias corrections mix integers and floats, which a strict setting of the user's would refuse.
        with jax.numpy_dtype_promotion("standard"):
            updates, optimizer_state = optimizer.update(gradients, optimizer_state, params)
        return (optax.apply_updates(params, updates), optimizer_state), loss

    def one_epoch(state: TrainState, train: PyTree, validation: PyTree) -> tuple[TrainState, History]:
        num_rows = jax.tree.leaves(train)[0].shape[0]
        shuffle_key, step_key = jax.random.split(jax.random.fold_in(state.rng_key, state.epoch))
        params, optimizer_state, losses = state.params, state.optimizer_state, jnp.zeros(0, state.best_score.dtype)
        if num_rows:
            rows, real = _shuffled_batches(shuffle_key, num_rows, min(batch_size, num_rows))
            (params, optimizer_state), losses = jax.lax.scan(
                lambda carry, inputs: step(carry, inputs, train),
                (params, optimizer_state),
                (rows, real, jax.random.split(step_key, rows.shape[0])),
            )
        epoch = state.epoch + 1
        kind = state.best_score.dtype
        score = jnp.zeros((), kind) if score_fn is None else score_fn(params, validation).astype(kind)
        better = (score <= state.best_score) & (score < jnp.inf)
        best_epoch = jnp.where(better, epoch, state.best_epoch)
        stopped = jnp.zeros((), bool) if patience is None else epoch - best_epoch > patience
        after = TrainState(
            rng_key=state.rng_key,
            params=params,
            optimizer_state=optimizer_state,
            epoch=epoch,
            best_params=jax.tree.map(lambda new, old: jnp.where(better, new, old), params, state.best_params),
            best_score=jnp.where(better, score, state.best_score),
            best_epoch=best_epoch,
            stopped=stopped,
            observed=state.observed if observe is None else observe(state.observed, params, epoch),
        )
        return vary_like((after, History(losses.astype(kind).mean(), score)), state)

    def run(
        state: TrainState,
        train: PyTree,
        validation: PyTree,
        max_epoch: Int[Array, ""] | int | None = None,
        *,
        num_epochs: int,
    ) -> tuple[TrainState, History]:
        def epochs(state: TrainState, train: PyTree, validation: PyTree) -> tuple[TrainState, History]:
            def epoch_unless_stopped(state: TrainState, _: None) -> tuple[TrainState, History]:
                undefined = vary_like(jnp.asarray(jnp.nan, state.best_score.dtype), state)
                over = state.stopped if max_epoch is None else state.stopped | (state.epoch >= max_epoch)
                return jax.lax.cond(
                    over, lambda s: (s, History(undefined, undefined)), lambda s: one_epoch(s, train, validation), state
                )

            return jax.lax.scan(epoch_unless_stopped, vary_like(state, train, validation), length=num_epochs)

        return divided_like(epochs, (state, History(state.best_score, state.best_score)), state, train, validation)

    return Training(init, run)
