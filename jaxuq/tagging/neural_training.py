"""How the neural label models are trained: epochs over bucketed sentences, some fields of the parameters at a time."""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Key

from jaxuq.tagging.embedded import Bucket, Bucketed
from jaxuq.tagging.neural_model import NeuralFitted, Params, TrainOptions

RowLoss = Callable[[Params, Params, Bucket, Key[Array, ""]], Float[Array, " row"]]


@partial(jax.jit, static_argnums=(0, 1), donate_argnums=(3,))
def _step(loss, trainable, params, optimiser, old, bucket, rows, weights, rates, rng_key):
    learning_rate, weight_decay = rates

    def mean_loss(chosen):
        values = loss(params._replace(**chosen), old, bucket.take(rows), rng_key)
        return jnp.sum(values * weights) / jnp.sum(weights)

    chosen = {name: getattr(params, name) for name in trainable}
    value, gradient = jax.value_and_grad(mean_loss)(chosen)
    gradient = jax.tree.map(lambda g, p: g + weight_decay * p, gradient, chosen)
    with jax.numpy_dtype_promotion("standard"):  # Optax's own code relies on it
        direction, optimiser = optax.scale_by_adam().update(gradient, optimiser)
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
) -> NeuralFitted:
    """Adam on some fields of the parameters; with `score`, the parameters that scored best, the start included.

    With `where` it learns from these sentences of the text only.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(rng_key)).ravel())
    optimiser = optax.scale_by_adam().init({name: getattr(params, name) for name in trainable})
    rates = jnp.float32(learning_rate), jnp.float32(options.weight_decay)
    patience = options.patience if patience is None else patience
    best, best_score, waited, step = params, -np.inf if score is None else score(params), 0, 0
    objectives, scores, seconds = [], [], []
    for _ in range(num_epochs):
        began, old, values, sizes = time.perf_counter(), params, [], []
        for bucket, rows, weights in _epoch_batches(text, options.batch_size, rng, where):
            key = jax.random.fold_in(rng_key, step)
            params, optimiser, value = _step(
                loss, trainable, params, optimiser, old, bucket, jnp.asarray(rows), jnp.asarray(weights), rates, key
            )
            values.append(value)
            sizes.append(weights.sum())
            step += 1
        objectives.append(-np.average(jax.device_get(values), weights=sizes))
        seconds.append(time.perf_counter() - began)
        if score is None:
            best = params
            continue
        scores.append(score(params))
        smoothed = float(np.mean(scores[-options.smoothing :])) if len(scores) >= options.smoothing else -np.inf
        if smoothed >= best_score and smoothed > -np.inf:
            best, best_score, waited = params, smoothed, 0
        else:
            waited += 1
            if waited > patience:
                break
    history = (np.array(values, np.float32) for values in (objectives, scores, seconds))
    return NeuralFitted(best, *history)
