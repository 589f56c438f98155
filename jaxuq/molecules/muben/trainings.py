"""How networks are trained: one recipe per loss, all run by `jaxuq.training.fit` with seeds and members stacked."""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.heads import Head, evidential_head, focal_head, likelihood_head
from jaxuq.molecules.muben.problem import Problem
from jaxuq.molecules.muben.recipe import Recipe, recipe_optimizer
from jaxuq.molecules.muben.selection import validation_score
from jaxuq.networks import apply_function
from jaxuq.posterior import bbp, predict, sgld, swag
from jaxuq.training import Fitted, Training, TrainState, minibatch_training

PRIOR_SCALE = 0.1  # of BBP and SGLD
SWAG_EPOCHS = 20
SWAG_LEARNING_RATE = 0.5  # times the training rate
SGLD_INTERVAL = 2  # epochs between two samples


class Setting(NamedTuple):
    """What all trainings of a run share.

    Attributes:
        problem: the data.
        make_network: `make_network(num_outputs) -> module`.
        recipe: hyper-parameters, with what the user changed.
        samples: posterior samples of SGLD.
        frozen_backbone: whether only the output layer is trained.
        muben: whether SWAG and BBP follow the published code where it differs from the papers.
        fit: `fit(name, training, state, num_epochs) -> Fitted`, the runner's, with progress and checkpoints.
        pretrained: parameters that training starts from, on the host; None for none.
        molecules_at_once: how many molecules go through the network at once without training.
        branches: weight of the distance between the branches' outputs; None for a network without branches.
    """

    problem: Problem
    make_network: Callable[[int], Any]
    recipe: Recipe
    samples: int
    frozen_backbone: bool
    muben: bool
    fit: Callable[[str, Training, TrainState, int], Fitted]
    pretrained: PyTree = None
    molecules_at_once: int = 4096
    branches: float | None = None

    @property
    def task_type(self) -> str:
        """Of the data set."""
        return self.problem.task_type

    @property
    def num_tasks(self) -> int:
        """Tasks of the data set."""
        return len(self.problem.task_names)

    def network(self, outputs_per_task: int) -> Any:
        """The module with a head of so many outputs a task."""
        return self.make_network(self.num_tasks * outputs_per_task)

    def by_task(self, outputs: Float[Array, "n outputs"], outputs_per_task: int) -> Float[Array, "n tasks per_task"]:
        """Outputs are laid out task by task."""
        return outputs.reshape(outputs.shape[0], self.num_tasks, outputs_per_task)


class Trained(NamedTuple):
    """Networks after training.

    Attributes:
        params: parameters of the best epoch, axes `[seeds, members]` first.
        observed: what training gathered (SWAG's moments, SGLD's trace), axes `[seeds]` first; None otherwise.
        seconds: training time of one network.
    """

    params: PyTree
    observed: PyTree
    seconds: float


def _optimizer(setting: Setting, output: optax.GradientTransformation | None = None) -> optax.GradientTransformation:
    """AdamW on the backbone (nothing, if frozen) and on the output layer, unless that has an optimiser of its own."""
    adamw = recipe_optimizer(setting.recipe, setting.problem.train.labels.shape[0])
    if output is None and not setting.frozen_backbone:
        return adamw
    parts: dict[Hashable, optax.GradientTransformation] = {
        "backbone": optax.set_to_zero() if setting.frozen_backbone else adamw,
        "output": output or adamw,
    }

    def labels(params: PyTree) -> PyTree:
        return {
            name: jax.tree.map(lambda _, name=name: "output" if name == "output" else "backbone", part)
            for name, part in params.items()
        }

    return optax.multi_transform(parts, labels)


def _init_params(setting: Setting, outputs_per_task: int, rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
    example = jax.tree.map(lambda leaf: leaf[:1], setting.problem.train.inputs)
    fresh = setting.network(outputs_per_task).init(named_key(rng_key, "init"), example)["params"]
    return fresh if pretrained is None else overlay(fresh, pretrained)


def overlay(fresh: Mapping[str, Any], pretrained: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Parameters with those that were trained before in the place of fresh ones of the same name.

    Args:
        fresh: what the module's `init` gave.
        pretrained: some of the same tree, in the same shapes.
        place: where in the tree these are, for messages.

    Returns:
        The tree of `fresh`.

    Raises:
        ValueError: the network has no parameter of such a name, or one of another shape.

    Example:
        >>> overlay({"body": {"kernel": 1.0}, "output": {"bias": 0.0}}, {"body": {"kernel": 5.0}})
        {'body': {'kernel': 5.0}, 'output': {'bias': 0.0}}
    """
    strangers = [name for name in pretrained if name not in fresh]
    if strangers:
        raise ValueError(f"pretrained parameters {place}{strangers[0]} have no place: there are {', '.join(fresh)}")
    merged = dict(fresh)
    for name, value in pretrained.items():
        if isinstance(value, Mapping):
            merged[name] = overlay(fresh[name], value, f"{place}{name}.")
        elif jnp.shape(value) != jnp.shape(fresh[name]):
            shapes = f"{jnp.shape(value)}, the network's {jnp.shape(fresh[name])}"
            raise ValueError(f"the pretrained parameter {place}{name} has shape {shapes}")
        else:
            merged[name] = value
    return merged


def _started(setting: Setting, start: Callable[..., TrainState], keys: Key[Array, "networks"]) -> TrainState:
    """One state per key; pretrained parameters are an argument, not a constant of the program."""
    return jax.jit(jax.vmap(start, in_axes=(0, None)))(keys, setting.pretrained)


def member_keys(seeds: Sequence[int], num_members: int) -> Key[Array, "networks"]:
    """One key per network, seed by seed; a network's key depends on its seed and its number alone."""
    keys = [named_key(jax.random.key(seed), "member", member) for seed in seeds for member in range(num_members)]
    return jnp.stack(keys)


def _loss_fn(setting: Setting, head: Head) -> Callable[..., Float[Array, ""]]:
    network, branches = setting.network(head.outputs_per_task), setting.branches
    apply_fn = apply_function(network, method=None if branches is None else "branches")

    def loss_fn(params, batch, where, rng_key):
        def loss(outputs):
            return head.loss(setting.by_task(outputs, head.outputs_per_task), batch.labels, batch.mask & where[:, None])

        outputs = apply_fn(params, batch.inputs, rng_key=rng_key)
        if branches is None:
            return loss(outputs)
        distance = jnp.mean((outputs[1:] - outputs[:1]) ** 2, where=where[None, :, None])
        return sum((loss(branch) for branch in outputs), branches * distance)

    return loss_fn


def predict_one(setting: Setting, apply_fn: Callable[..., Array], params: PyTree, inputs: PyTree) -> Array:
    """Outputs of one network without dropout, `molecules_at_once` of them at a time.

    Args:
        setting: the run's.
        apply_fn: a function of parameters and inputs.
        params: of one network.
        inputs: of any number of molecules.

    Returns:
        Outputs, molecules first.
    """
    samples = jax.tree.map(lambda leaf: leaf[None], params)
    return predict(apply_fn, samples, inputs, batch_size=setting.molecules_at_once)[0]


def _score_fn(setting: Setting, head: Head) -> Callable[..., Float[Array, ""]]:
    apply_fn = apply_function(setting.network(head.outputs_per_task))

    def score_fn(params, valid):
        outputs = setting.by_task(predict_one(setting, apply_fn, params, valid.inputs), head.outputs_per_task)
        return validation_score(setting.problem, head.point(outputs), valid)

    return score_fn


def _grouped(tree: PyTree, num_seeds: int) -> PyTree:
    """Split the axis of networks into seeds and members."""
    return jax.tree.map(lambda leaf: leaf.reshape(num_seeds, -1, *leaf.shape[1:]), tree)


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
    training = minibatch_training(
        _loss_fn(setting, head),
        _optimizer(setting),
        _score_fn(setting, head),
        batch_size=setting.recipe.batch_size,
        patience=setting.recipe.patience,
    )

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        return training.init(
            named_key(rng_key, "epochs"), _init_params(setting, head.outputs_per_task, rng_key, pretrained)
        )

    keys = member_keys(seeds, num_members)
    fitted = setting.fit(name, training, _started(setting, start, keys), setting.recipe.epochs)
    return Trained(_grouped(fitted.state.best_params, len(seeds)), None, fitted.seconds / len(keys))


def train_swag(setting: Setting, base: Trained, seeds: Sequence[int]) -> Trained:
    """Twenty more epochs at half the rate from each seed's first network, a SWAG snapshot after each (Eq. A.7).

    Args:
        setting: the run's.
        base: networks of the likelihood head.
        seeds: repetitions.

    Returns:
        SWAG states in `observed`; `seconds` counts the epochs of this function and the network's training before them.
    """
    head = likelihood_head(setting.task_type)
    method = swag(rank=SWAG_EPOCHS, convention="muben" if setting.muben else "paper")
    rate = setting.recipe.learning_rate * SWAG_LEARNING_RATE
    slower = setting._replace(recipe=setting.recipe._replace(learning_rate=rate, schedule="constant", warmup=0.0))
    training = minibatch_training(
        _loss_fn(setting, head),
        _optimizer(slower),
        batch_size=setting.recipe.batch_size,
        observe=lambda state, params, epoch: method.update(state, params),
    )
    keys = jnp.stack([named_key(jax.random.key(seed), "swag", "epochs") for seed in seeds])
    params = jax.tree.map(lambda leaf: leaf[:, 0], base.params)
    start = jax.vmap(lambda key, params: training.init(key, params, observed=method.init(params)))
    state = jax.jit(start)(keys, params)
    fitted = setting.fit("swag", training, state, SWAG_EPOCHS)
    return Trained(_grouped(params, len(seeds)), fitted.state.observed, base.seconds + fitted.seconds / len(seeds))


def train_bbp(setting: Setting, seeds: Sequence[int]) -> Trained:
    """Networks whose output layer is learnt by Bayes by Backprop: mean loss plus KL over the number of molecules.

    Args:
        setting: the run's.
        seeds: repetitions.

    Returns:
        Parameters whose entry `output` is a `BBPState`.
    """
    head = likelihood_head(setting.task_type)
    method = bbp(PRIOR_SCALE, convention="muben" if setting.muben else "paper")
    features = apply_function(setting.network(head.outputs_per_task), method="features")
    num_train = setting.problem.train.labels.shape[0]

    def outputs(params, inputs, rng_key=None):
        dropout_key, noise_key = (None, None) if rng_key is None else jax.random.split(rng_key)
        raw = method.apply(params["output"], _features(features, params, inputs, dropout_key), rng_key=noise_key)
        return setting.by_task(raw, head.outputs_per_task)

    def loss_fn(params, batch, where, rng_key):
        negative_log_likelihood = head.loss(
            outputs(params, batch.inputs, rng_key), batch.labels, batch.mask & where[:, None]
        )
        return negative_log_likelihood + method.kl(params["output"]) / num_train

    def score_fn(params, valid):
        all_outputs = predict_one(setting, outputs, params, valid.inputs)
        return validation_score(setting.problem, head.point(all_outputs), valid)

    training = minibatch_training(
        loss_fn, _optimizer(setting), score_fn, batch_size=setting.recipe.batch_size, patience=setting.recipe.patience
    )

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        params = _init_params(setting, head.outputs_per_task, rng_key, pretrained)
        params = {**params, "output": method.init(named_key(rng_key, "posterior"), params["output"])}
        return training.init(named_key(rng_key, "epochs"), params)

    keys = jnp.stack([named_key(jax.random.key(seed), "bbp") for seed in seeds])
    fitted = setting.fit("bbp", training, _started(setting, start, keys), setting.recipe.epochs)
    return Trained(_grouped(fitted.state.best_params, len(seeds)), None, fitted.seconds / len(seeds))


def _features(features: Callable[..., Array], params: PyTree, inputs: PyTree, rng_key: Any) -> Array:
    """What the output layer sees; the module's own output layer is not used, so any array may stand in for it."""
    return features({name: part for name, part in params.items() if name != "output"}, inputs, rng_key=rng_key)


def train_sgld(setting: Setting, seeds: Sequence[int]) -> Trained:
    """Langevin dynamics on the output layer, AdamW on the rest; then `samples` snapshots, two epochs apart (Eq. A.5).

    The gradient is that of the mean loss, as published, so the likelihood counts as one observation (see
    `jaxuq.posterior.sgld`). The snapshots are taken after the best epoch's parameters are restored.

    Args:
        setting: the run's.
        seeds: repetitions.

    Returns:
        Traces of whole networks in `observed`.
    """
    head = likelihood_head(setting.task_type)
    method = sgld(setting.recipe.learning_rate, prior_scale=PRIOR_SCALE, capacity=setting.samples)

    def optimizer(rng_key: Key[Array, ""]) -> optax.GradientTransformation:
        return _optimizer(setting, method.as_optax(rng_key))

    def collect(trace, params, epoch):
        return jax.lax.cond(epoch % SGLD_INTERVAL == 0, lambda: method.collect(trace, params), lambda: trace)

    any_key = jax.random.key(0)  # the chain's key is in its state, made by `start`
    loss_fn, score_fn = _loss_fn(setting, head), _score_fn(setting, head)
    training = minibatch_training(
        loss_fn, optimizer(any_key), score_fn, batch_size=setting.recipe.batch_size, patience=setting.recipe.patience
    )
    sampling = minibatch_training(loss_fn, optimizer(any_key), batch_size=setting.recipe.batch_size, observe=collect)

    def start(rng_key: Key[Array, ""], pretrained: PyTree) -> TrainState:
        params = _init_params(setting, head.outputs_per_task, rng_key, pretrained)
        chain = optimizer(named_key(rng_key, "chain")).init(params)
        return training.init(named_key(rng_key, "epochs"), params, optimizer_state=chain)

    def start_sampling(rng_key: Key[Array, ""], state: TrainState) -> TrainState:
        return sampling.init(
            named_key(rng_key, "sampling"),
            state.best_params,
            optimizer_state=state.optimizer_state,
            observed=method.start(state.best_params),
        )

    keys = jnp.stack([named_key(jax.random.key(seed), "sgld") for seed in seeds])
    fitted = setting.fit("sgld", training, _started(setting, start, keys), setting.recipe.epochs)
    sampled = setting.fit(
        "sgld-sampling",
        sampling,
        jax.jit(jax.vmap(start_sampling))(keys, fitted.state),
        setting.samples * SGLD_INTERVAL,
    )
    seconds = (fitted.seconds + sampled.seconds) / len(seeds)
    return Trained(_grouped(fitted.state.best_params, len(seeds)), sampled.state.observed, seconds)


def trainer(setting: Setting, seeds: Sequence[int], num_members: int) -> Callable[[str], Trained]:
    """Trained networks by the name of their training, each trained when first asked for.

    Args:
        setting: the run's.
        seeds: repetitions.
        num_members: networks per seed of the training `"network"`, the likelihood's; all others have one.

    Returns:
        `trained(name)`, with `name` one of network, focal, evidential, swag, bbp, sgld.
    """
    by_name: dict[str, Callable[[], Trained]] = {
        "network": lambda: train_networks(setting, "network", likelihood_head(setting.task_type), seeds, num_members),
        "focal": lambda: train_networks(setting, "focal", focal_head(), seeds, 1),
        "evidential": lambda: train_networks(setting, "evidential", evidential_head(setting.task_type), seeds, 1),
        "swag": lambda: train_swag(setting, trained("network"), seeds),
        "bbp": lambda: train_bbp(setting, seeds),
        "sgld": lambda: train_sgld(setting, seeds),
    }

    @functools.cache
    def trained(name: str) -> Trained:
        return by_name[name]()

    return trained
