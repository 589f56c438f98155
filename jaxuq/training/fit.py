"""The host's side of training: the device works in chunks of epochs; progress and checkpoints come between."""

import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq.parallel import balanced_order, even_number, gather_members, map_members, pad_members
from jaxuq.training.checkpoint import load_checkpoint, save_checkpoint
from jaxuq.training.errors import DivergedError
from jaxuq.training.minibatch import History, Training, TrainState


class Progress(NamedTuple):
    """What is known between two chunks.

    Attributes:
        epoch: epochs done, by the member that is furthest.
        num_epochs: epochs at most.
        running: members that have not stopped early.
        num_members: members in all.
        best_score: mean over members of the best validation score so far (lower is better).
        seconds: since `fit` began, not counting an earlier, interrupted call.
    """

    epoch: int
    num_epochs: int
    running: int
    num_members: int
    best_score: float
    seconds: float


class Fitted(NamedTuple):
    """What `fit` returns.

    Attributes:
        state: final `TrainState`, leading member axis, on the first device of this process.
        history: `History` with axes `members epochs`, NaN after a member's stop; an earlier, interrupted call included.
        seconds: spent training, compilation and an earlier, interrupted call included.
    """

    state: TrainState
    history: History
    seconds: float


def _reordered(state: TrainState, order: np.ndarray) -> TrainState:
    """Members in another order, on one device; as they are if the order is theirs."""
    if np.array_equal(order, np.arange(len(order))):
        return state
    return jax.tree.map(lambda leaf: leaf[order], gather_members(state))


def fit(
    training: Training,
    state: TrainState,
    train: PyTree,
    validation: PyTree,
    *,
    num_epochs: int,
    chunk: int = 20,
    strategy: str = "auto",
    checkpoint: str | pathlib.Path | None = None,
    checkpoint_seconds: float = 20.0,
    on_progress: Callable[[Progress], None] | None = None,
) -> Fitted:
    """Train all members until every one has stopped or `num_epochs` are done.

    The device works through `chunk` epochs at a time in one compiled program; between chunks the host reports progress,
    writes a checkpoint if the last is older than `checkpoint_seconds`, divides the members that still run evenly over
    the devices, and ends early when all have stopped. A last checkpoint holds the final state.
    Called again with the same arguments after an interruption, it goes on from the checkpoint and ends with the numbers
    of an uninterrupted run, since each epoch's randomness depends on its number alone.

    Args:
        training: from `minibatch_training`.
        state: `jax.vmap(training.init)(...)`: every leaf with a leading member axis.
        train: arrays with a leading row axis, shared by all members.
        validation: what the score function reads, shared by all members.
        num_epochs: at most so many.
        chunk: epochs between two looks of the host.
        strategy: how members are mapped over devices, see `jaxuq.parallel.map_members`.
        checkpoint: a folder for this run's checkpoint; None keeps none. Remove it when the result is stored.
        checkpoint_seconds: at least so long between two checkpoints.
        on_progress: called after each chunk.

    Returns:
        `Fitted(state, history, seconds)`.

    Raises:
        DivergedError: a member has no epoch with a finite validation score, or parameters that are no numbers; the
            message says in which epoch its loss stopped being one.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxuq.training import minibatch_training
        >>> def loss_fn(mean, batch, where, rng_key):
        ...     return jnp.mean((mean - batch) ** 2, where=where)
        >>> training = minibatch_training(loss_fn, optax.sgd(0.5), batch_size=4)
        >>> state = jax.vmap(training.init)(jax.random.split(jax.random.key(0), 3), jnp.arange(3.0))
        >>> fit(training, state, jnp.full(4, 7.0), None, num_epochs=30).state.best_params
        Array([7., 7., 7.], dtype=float32)
    """
    chunk = min(chunk, num_epochs)
    advance = map_members(
        lambda state, train, validation: training.run(state, train, validation, num_epochs, num_epochs=chunk),
        strategy=strategy,
        shared_argnums=(1, 2),
    )
    num_members = state.epoch.shape[0]
    even = even_number(num_members, strategy=strategy)
    if even > num_members:  # members added for an even division have stopped already: they cost nothing
        state = pad_members(state, even)
        state = state._replace(stopped=state.stopped | (jnp.arange(even) >= num_members))
    empty = jnp.full((even, num_epochs + chunk), jnp.nan, jnp.float32)
    saved = (state, History(empty, empty), jnp.zeros((), jnp.float32))
    if checkpoint is not None and (resumed := load_checkpoint(checkpoint, like=saved)) is not None:
        saved = resumed
    state, history, earlier = saved
    history = jax.tree.map(np.array, history)
    order = np.arange(even)  # which member stands where
    started = last_saved = time.monotonic()
    while (epoch := int(np.max(state.epoch))) < num_epochs and not np.all(state.stopped):
        if (balanced := balanced_order(~np.asarray(state.stopped), strategy=strategy)) is not None:
            state, order = _reordered(state, balanced), order[balanced]
        state, part = advance(state, train, validation)
        for whole, new in zip(history, part):
            whole[order, epoch : epoch + chunk] = new
        now = time.monotonic()
        if on_progress is not None:
            running = int(np.sum(~np.asarray(state.stopped)))
            best = float(np.mean(np.asarray(state.best_score)[order < num_members]))
            on_progress(Progress(int(np.max(state.epoch)), num_epochs, running, num_members, best, now - started))
        if checkpoint is not None and now - last_saved >= checkpoint_seconds:
            seconds = earlier + jnp.float32(now - started)
            in_order = _reordered(state, np.argsort(order))
            save_checkpoint(checkpoint, (in_order, jax.tree.map(jnp.asarray, history), seconds))
            last_saved = time.monotonic()
    state = gather_members(_reordered(jax.block_until_ready(state), np.argsort(order)))
    seconds = float(earlier) + time.monotonic() - started
    if checkpoint is not None:
        save_checkpoint(checkpoint, (state, jax.tree.map(jnp.asarray, history), jnp.float32(seconds)))
    state = jax.tree.map(lambda leaf: leaf[:num_members], state)
    done = History(*(jnp.asarray(whole[:num_members, :num_epochs]) for whole in history))
    _refuse_diverged(state, done)
    return Fitted(state, done, seconds)


def _refuse_diverged(state: TrainState, history: History) -> None:
    """Raise a DivergedError if there is no result of a member that has trained."""
    trained = np.asarray(state.epoch) > 0
    broken = trained & (np.asarray(state.best_epoch) == 0)
    for leaf in jax.tree.leaves(state.best_params):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            broken |= trained & ~np.asarray(jnp.all(jnp.isfinite(leaf.reshape(len(trained), -1)), axis=1))
    if not broken.any():
        return
    member = int(np.argmax(broken))
    losses = np.asarray(history.loss)[member, : int(state.epoch[member])]
    bad = np.flatnonzero(~np.isfinite(losses))
    what = f"its loss is {losses[bad[0]]} in epoch {bad[0] + 1}" if bad.size else "no validation score is finite"
    raise DivergedError(
        f"training diverged for {broken.sum()} of {len(broken)} members; of member {member}, {what} of {len(losses)}; "
        "lower the learning rate, clip the gradients, or look for infinities in the data"
    )
