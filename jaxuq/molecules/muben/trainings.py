"""How networks are trained: one recipe per loss, all run by `jaxuq.training.fit` with seeds and members stacked."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.heads import Head, evidential_head, focal_head, likelihood_head
from jaxuq.molecules.muben.objectives import make_loss, make_optimizer, make_score, predict_one
from jaxuq.molecules.muben.published_posteriors import published_start
from jaxuq.molecules.muben.reading import body_of
from jaxuq.molecules.muben.selection import validation_score
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.starting import init_params, member_keys, started
from jaxuq.networks import apply_function
from jaxuq.posterior import bbp, ensemble, kl_to_prior, noisy_dense, sgld, swag
from jaxuq.training import Fitted, TrainState, minibatch_training

PRIOR_SCALE = 0.1  # of BBP and SGLD
SWAG_EPOCHS = 20
SWAG_LEARNING_RATE = 0.5  # times the training rate
SGLD_INTERVAL = 2  # epochs between two samples
OtherTraining = Callable[[Callable[..., Trained]], Trained]
"""Gives the networks of another training; see `trainer`."""


def grouped(tree: PyTree, num_seeds: int) -> PyTree:
    """Split the axis of networks into seeds and members."""
    return jax.tree.map(lambda leaf: leaf.reshape(num_seeds, -1, *leaf.shape[1:]), tree)


def train_members(setting: Setting, name: str, head: Head, keys: Key[Array, " networks"]) -> Fitted:
    """Train a network for each key from scratch with early stopping.

    Args:
        setting: the run's.
        name: of the training, for progress and checkpoints.
        head: the loss.
        keys: of the networks; a network follows from its own alone.

    Returns:
        States whose `best_params` are the best epochs' parameters.
    """
    training = minibatch_training(
        make_loss(setting, head),
        make_optimizer(setting),
        make_score(setting, head),
        batch_size=setting.recipe.batch_size,
        patience=setting.recipe.patience,
    )

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        return training.init(
            named_key(rng_key, "epochs"), init_params(setting, head.outputs_per_task, rng_key, pretrained)
        )

    return setting.fit(name, training, started(setting, start, keys), setting.recipe.epochs)


def train_networks(setting: Setting, name: str, head: Head, seeds: Sequence[int], num_members: int) -> Trained:
    """Train `num_members` networks per seed from scratch with early stopping.

    Args:
        setting: the run's.
        name: of the training, for progress and checkpoints.
        head: the loss.
        seeds: repetitions.
        num_members: networks per seed; number 0 is the same whatever their number.

    Returns:
        The best epochs' parameters.
    """
    keys = member_keys(seeds, num_members)
    fitted = train_members(setting, name, head, keys)
    return Trained(grouped(fitted.state.best_params, len(seeds)), None, fitted.seconds / len(keys))


def train_likelihood(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Networks of the likelihood's head, as many a seed as the run has members; most methods start from these."""
    return train_networks(setting, "network", likelihood_head(setting.task_type), seeds, setting.members)


def train_focal(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """A network a seed by the focal loss."""
    return train_networks(setting, "focal", focal_head(), seeds, 1)


def train_evidential(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """A network a seed by the evidential loss of the task type."""
    return train_networks(setting, "evidential", evidential_head(setting.task_type), seeds, 1)


def train_swag(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Twenty more epochs at half the rate from each seed's first network, a SWAG snapshot after each (Eq. A.7).

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: gives the networks of `train_likelihood`.

    Returns:
        SWAG states in `observed`; `seconds` counts the epochs of this function and the network's training before them.
    """
    base = trained(train_likelihood)
    head = likelihood_head(setting.task_type)
    method = swag(rank=SWAG_EPOCHS, count_start=not setting.muben)
    rate = setting.recipe.learning_rate * SWAG_LEARNING_RATE
    slower = setting._replace(recipe=setting.recipe._replace(learning_rate=rate, schedule="constant", warmup=0.0))
    training = minibatch_training(
        make_loss(setting, head),
        make_optimizer(slower),
        batch_size=setting.recipe.batch_size,
        observe=lambda state, params, epoch: method.update(jax.random.key(0), state, params),  # it draws nothing
    )
    keys = jnp.stack([named_key(jax.random.key(seed), "swag", "epochs") for seed in seeds])
    params = jax.tree.map(lambda leaf: leaf[:, 0], base.params)
    start = jax.vmap(lambda key, params: training.init(key, params, observed=method.init(key, params)))
    state = jax.jit(start)(keys, params)
    fitted = setting.fit("swag", training, state, SWAG_EPOCHS)
    return Trained(grouped(params, len(seeds)), fitted.state.observed, base.seconds + fitted.seconds / len(seeds))


def train_bbp(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Networks whose output layer is learnt by Bayes by Backprop: mean loss plus KL over the number of molecules.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: not needed.

    Returns:
        Parameters whose entry `output` is a `BBPState`.
    """
    head = likelihood_head(setting.task_type)
    method = bbp(PRIOR_SCALE)
    features = apply_function(setting.network(head.outputs_per_task), method="features")
    num_train = setting.problem.train.labels.shape[0]

    def outputs(params, inputs, rng_key=None):
        dropout_key, noise_key = (None, None) if rng_key is None else jax.random.split(rng_key)
        raw = noisy_dense(params["output"], features(body_of(params), inputs, rng_key=dropout_key), rng_key=noise_key)
        return setting.by_task(raw, head.outputs_per_task)

    def loss_fn(params, batch, where, rng_key):
        negative_log_likelihood = head.loss(
            outputs(params, batch.inputs, rng_key), batch.labels, batch.mask & where[:, None], batch.weights
        )
        return negative_log_likelihood + kl_to_prior(params["output"], PRIOR_SCALE) / num_train

    def init(rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
        params = init_params(setting, head.outputs_per_task, rng_key, pretrained)
        posterior_key = named_key(rng_key, "posterior")
        state = method.init(posterior_key, params["output"])
        return {**params, "output": published_start(posterior_key, state) if setting.muben else state}

    score_fn = score_of(setting, outputs, head.point)
    return train_one(setting, "bbp", seeds, init, loss_fn, score_fn, make_optimizer(setting))


def score_of(setting: Setting, outputs: Callable[..., Array], point: Callable[..., Array]) -> Callable[..., Array]:
    """`score_fn(params, valid)` of any `outputs(params, inputs)`, of which `point` gives the point prediction."""

    def score_fn(params: PyTree, valid: Any) -> Array:
        return validation_score(setting.problem, point(predict_one(setting, outputs, params, valid.inputs)), valid)

    return score_fn


def train_one(
    setting: Setting,
    name: str,
    seeds: Sequence[int],
    init: Callable[[Key[Array, ""], PyTree], PyTree],
    loss_fn: Callable[..., Array],
    score_fn: Callable[..., Array],
    optimizer: optax.GradientTransformation,
) -> Trained:
    """A network a seed, with early stopping: what methods with a loss or layers of their own call.

    Args:
        setting: the run's.
        name: of the training, for keys, progress and checkpoints.
        seeds: repetitions.
        init: `init(rng_key, pretrained) -> params`.
        loss_fn: `loss_fn(params, batch, where, rng_key)`.
        score_fn: `score_fn(params, valid)`, lower is better.
        optimizer: of all parameters.

    Returns:
        The best epochs' parameters.
    """
    recipe = setting.recipe
    training = minibatch_training(loss_fn, optimizer, score_fn, batch_size=recipe.batch_size, patience=recipe.patience)

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        return training.init(named_key(rng_key, "epochs"), init(rng_key, pretrained))

    keys = jnp.stack([named_key(jax.random.key(seed), name) for seed in seeds])
    fitted = setting.fit(name, training, started(setting, start, keys), recipe.epochs)
    return Trained(grouped(fitted.state.best_params, len(seeds)), None, fitted.seconds / len(seeds))


def train_sgld(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Langevin dynamics on the output layer, AdamW on the rest; then `samples` snapshots, two epochs apart (Eq. A.5).

    The gradient is that of the mean loss, as published, so the likelihood counts as one observation (see
    `jaxuq.posterior.sgld`). The snapshots are taken after the best epoch's parameters are restored.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: not needed.

    Returns:
        Traces of whole networks in `observed`.
    """
    head = likelihood_head(setting.task_type)
    method = sgld(setting.recipe.learning_rate, prior_scale=PRIOR_SCALE, capacity=0)
    snapshots = ensemble(setting.samples)

    def optimizer(rng_key: Key[Array, ""]) -> optax.GradientTransformation:
        return make_optimizer(setting, method.as_optax(rng_key))

    any_key = jax.random.key(0)  # the words of the chain's key are in its state, made by `start`

    def collect(trace, params, epoch):
        due = epoch % SGLD_INTERVAL == 0
        return jax.lax.cond(due, lambda: snapshots.update(any_key, trace, params), lambda: trace)

    loss_fn, score_fn = make_loss(setting, head), make_score(setting, head)
    training = minibatch_training(
        loss_fn, optimizer(any_key), score_fn, batch_size=setting.recipe.batch_size, patience=setting.recipe.patience
    )
    sampling = minibatch_training(loss_fn, optimizer(any_key), batch_size=setting.recipe.batch_size, observe=collect)

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        params = init_params(setting, head.outputs_per_task, rng_key, pretrained)
        chain = optimizer(named_key(rng_key, "chain")).init(params)
        return training.init(named_key(rng_key, "epochs"), params, optimizer_state=chain)

    def start_sampling(rng_key: Key[Array, ""], state: TrainState) -> TrainState:
        return sampling.init(
            named_key(rng_key, "sampling"),
            state.best_params,
            optimizer_state=state.optimizer_state,
            observed=snapshots.init(rng_key, state.best_params),
        )

    keys = jnp.stack([named_key(jax.random.key(seed), "sgld") for seed in seeds])
    fitted = setting.fit("sgld", training, started(setting, start, keys), setting.recipe.epochs)
    sampled = setting.fit(
        "sgld-sampling",
        sampling,
        jax.jit(jax.vmap(start_sampling))(keys, fitted.state),
        setting.samples * SGLD_INTERVAL,
    )
    seconds = (fitted.seconds + sampled.seconds) / len(seeds)
    return Trained(grouped(fitted.state.best_params, len(seeds)), sampled.state.observed, seconds)


def trainer(setting: Setting, seeds: Sequence[int]) -> OtherTraining:
    """Networks by the function that trains them, each made when first asked for.

    Args:
        setting: the run's.
        seeds: repetitions.

    Returns:
        `trained(train)`, with `train` the function of a method, which may ask for those of others itself.
    """

    @functools.cache
    def trained(train: Callable[..., Trained]) -> Trained:
        return train(setting, seeds, trained)

    return trained
