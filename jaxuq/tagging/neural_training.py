"""How the neural label models are trained: epochs over bucketed sentences, some fields of the parameters at a time."""

import contextlib
import pathlib
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key

from jaxuq.tagging.embedded import Bucket, Bucketed
from jaxuq.tagging.neural_model import NeuralFitted, Params, TrainOptions
from jaxuq.training import load_checkpoint, start_checkpoint

RowLoss = Callable[[Params, Params, Bucket, Key[Array, ""]], Float[Array, " row"]]
_KEEP_SECONDS = 300.0


class Watch(NamedTuple):
    """What is done for a training that takes hours.

    Attributes:
        folder: where its state is kept every five minutes and after each epoch, to go on from after an interruption
            and end with the numbers of a training without one; None: nowhere.
        on_progress: called after each step with steps done, steps in all, and the loss; None: nobody is.
    """

    folder: str | pathlib.Path | None = None
    on_progress: Callable[[int, int, float], None] | None = None


class _State(NamedTuple):
    """What an interrupted training goes on from; of parameters, the fields that are trained."""

    chosen: Any
    optimiser: Any
    old: Any  # at the beginning of the epoch
    best: Any
    done: Any  # epochs, batches of the epoch, epochs without a better score
    best_score: Any
    values: Any  # losses of the epoch's batches
    objectives: Any  # these by epoch
    scores: Any
    seconds: Any


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3,))
def _step(loss, trainable, params, optimiser, old, bucket, rows, weights, rates, scales, rng_key):
    learning_rate, weight_decay = rates

    def mean_loss(chosen):
        values = loss(params._replace(**chosen), old, bucket.take(rows), rng_key)
        return jnp.sum(values * weights) / jnp.sum(weights)

    chosen = {name: getattr(params, name) for name in trainable}
    value, gradient = jax.value_and_grad(mean_loss)(chosen)
    gradient = jax.tree.map(lambda g, p: g + weight_decay * p, gradient, chosen)
    with jax.numpy_dtype_promotion("standard"):  # Optax's own code relies on it
        direction, optimiser = optax.scale_by_adam().update(gradient, optimiser)
    if scales is not None:
        direction = jax.tree.map(lambda d, s: s * d, direction, scales)
    chosen = jax.tree.map(lambda p, d: p - learning_rate * d, chosen, direction)
    return params._replace(**chosen), optimiser, value


def _epoch_batches(
    text: Bucketed, batch_size: int, rng: np.random.Generator, where: Bool[np.ndarray, " sentence"] | None
):
    """All rows once, in batches of one bucket each, in random order; equal shapes within a bucket.

    Of some rows only, the shapes do not depend on how many: a text that is labelled little by little compiles once.
    """
    batches = []
    for bucket, rows in zip(text.buckets, text.rows):
        order = rng.permutation(len(rows))
        size = -(-len(rows) // -(-len(rows) // batch_size))
        if where is not None:
            order, size = order[where[rows[order]]], min(batch_size, len(rows))
        count = -(-len(order) // size)
        padded = np.zeros(count * size, np.int32)
        weights = np.zeros(count * size, np.float32)
        padded[: len(order)], weights[: len(order)] = order, 1.0
        batches += [(bucket, padded[i : i + size], weights[i : i + size]) for i in range(0, count * size, size)]
    rng.shuffle(batches)  # type: ignore[arg-type]
    return batches


def train(
    rng_key: Key[Array, ""],
    loss: RowLoss,
    trainable: tuple[str, ...],
    params: Params,
    text: Bucketed,
    options: TrainOptions,
    *,
    learning_rate: float,
    num_epochs: int,
    patience: int | None = None,
    score: Callable[[Params], float] | None = None,
    where: Bool[np.ndarray, " sentence"] | None = None,
    schedule: Callable[[float], float] | None = None,
    scales: Any = None,
    watch: Watch = Watch(),  # noqa: B008
) -> NeuralFitted:
    """Adam on some fields of the parameters; with `score`, the parameters that scored best, the start included.

    With `where` it learns from these sentences of the text only. The rate of a step is the learning rate, times what
    `schedule` gives for the share of all steps before it, times `scales`: a number for each array of the fields.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)).ravel())
    patience = options.patience if patience is None else patience
    epochs = [_epoch_batches(text, options.batch_size, rng, where) for _ in range(num_epochs)]
    size = len(epochs[0]) if epochs else 0

    def trained(of: Params) -> dict[str, Any]:
        return {name: getattr(of, name) for name in trainable}

    chosen, counts = trained(params), np.zeros(3, np.int64)
    histories = [np.full(num_epochs, np.nan) for _ in range(3)]
    optimiser, losses = optax.scale_by_adam().init(chosen), np.zeros(size, np.float32)
    state = _State(chosen, optimiser, chosen, chosen, counts, np.full(1, np.nan), losses, *histories)
    found = None if watch.folder is None else load_checkpoint(watch.folder, like=state)
    if found is None and score is not None:
        state.best_score[0] = score(params)
    state = state if found is None else found
    # arrays of the host: a history is written in place, and a restored one may be read-only
    state = state._replace(**{name: np.array(getattr(state, name)) for name in _State._fields[4:]})
    params, optimiser = params._replace(**state.chosen), state.optimiser
    old, best = params._replace(**state.old), params._replace(**state.best)
    kept, pending = time.monotonic(), []

    with contextlib.ExitStack() as writing:  # a checkpoint, while the steps after it are computed

        def keep() -> None:
            nonlocal kept
            if watch.folder is not None:
                writing.close()
                arrays = {name: np.array(getattr(state, name)) for name in _State._fields[4:]}
                now = _State(trained(params), optimiser, trained(old), trained(best), **arrays)
                writing.callback(start_checkpoint(watch.folder, now))
                kept = time.monotonic()

        def settle(number: int) -> None:
            """The losses of the steps up to here, which the device may still be computing."""
            for place, value in zip(range(number - len(pending), number), jax.device_get(pending)):
                state.values[place] = value
            pending.clear()

        while state.done[0] < num_epochs and state.done[2] <= patience:
            epoch, began = int(state.done[0]), time.perf_counter()
            old = params if state.done[1] == 0 else old
            spent = np.nan_to_num(state.seconds[epoch])
            for number in range(int(state.done[1]), size):
                bucket, rows, weights = epochs[epoch][number]
                step = epoch * size + number
                factor = 1.0 if schedule is None else schedule(step / (num_epochs * size))
                rates = jnp.float32(learning_rate * factor), jnp.float32(options.weight_decay)
                params, optimiser, value = _step(
                    *(loss, trainable, params, optimiser, old, bucket, jnp.asarray(rows), jnp.asarray(weights)),
                    *(rates, scales, jax.random.fold_in(rng_key, step)),
                )
                pending.append(value)
                state.done[1] = number + 1
                if watch.on_progress is not None:
                    watch.on_progress(step + 1, num_epochs * size, float(value))
                if time.monotonic() - kept > _KEEP_SECONDS:
                    settle(number + 1)
                    state.seconds[epoch] = spent + time.perf_counter() - began
                    keep()
            settle(size)
            sizes = [weights.sum() for _, _, weights in epochs[epoch]]
            state.objectives[epoch] = -np.average(state.values, weights=sizes)
            state.seconds[epoch] = spent + time.perf_counter() - began
            if score is None:
                best = params
            else:
                state.scores[epoch] = score(params)
                recent = state.scores[max(0, epoch + 1 - options.smoothing) : epoch + 1]
                smoothed = float(np.mean(recent)) if len(recent) >= options.smoothing else -np.inf
                better = smoothed >= state.best_score[0] and smoothed > -np.inf
                if better:
                    best, state.best_score[0] = params, smoothed
                state.done[2] = 0 if better else state.done[2] + 1
            state.done[:2] = epoch + 1, 0
            keep()
    ended = int(state.done[0])
    scores = state.scores[:ended] if score is not None else np.zeros(0)
    history = (values.astype(np.float32) for values in (state.objectives[:ended], scores, state.seconds[:ended]))
    return NeuralFitted(best, *history)
