"""Cyclical SGLD in the benchmark: a trained network goes on in cycles, and the end of each is sampled."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.heads import likelihood_head
from jaxuq.molecules.muben.objectives import make_loss
from jaxuq.molecules.muben.problem import Arrays
from jaxuq.molecules.muben.reading import first_network, of_samples, outputs_fn
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.muben.trainings import OtherTraining, grouped, train_likelihood
from jaxuq.posterior import Forecast, Method, cyclical_sgld, posterior_state
from jaxuq.training import minibatch_training

CYCLES, EPOCHS = 4, 20  # epochs of a cycle
RATE = 0.02  # of gradient descent on the mean loss, at the start of a cycle
PRIOR_SCALE = 1.0


def _method(setting: Setting) -> Method:
    """The chain, whose step is that of the summed loss: drift eta / 2."""
    molecules = setting.problem.train.labels.shape[0]
    steps = EPOCHS * -(-molecules // min(setting.recipe.batch_size, molecules))
    noisy = steps - math.ceil(round(0.8 * steps, 9))
    return cyclical_sgld(
        2 * RATE / molecules,
        num_steps=CYCLES * steps,
        num_cycles=CYCLES,
        samples_per_cycle=min(-(-setting.samples // CYCLES), noisy),
        prior_scale=PRIOR_SCALE,
    )


def train_cyclical(setting: Setting, seeds: Sequence[int], trained: OtherTraining) -> Trained:
    """Four cycles of twenty epochs from each seed's first network, all parameters moving.

    The gradient is that of the summed loss, so samples are of the posterior that the likelihood and the prior say, as
    far as steps and minibatches allow.

    Args:
        setting: the run's.
        seeds: repetitions.
        trained: gives the networks of `train_likelihood`.

    Returns:
        The chain's states in `observed`; `seconds` counts the network's training, too.
    """
    base, method = trained(train_likelihood), _method(setting)
    molecules = setting.problem.train.labels.shape[0]
    loss_fn = make_loss(setting, likelihood_head(setting.task_type))

    def optimizer(rng_key: Key[Array, ""]) -> optax.GradientTransformation:
        chain = optax.chain(optax.scale(molecules), method.as_optax(rng_key))
        if not setting.frozen_backbone:
            return chain
        names = base.params.keys()
        return optax.multi_transform(
            {"output": chain, "backbone": optax.set_to_zero()},
            {name: "output" if name == "output" else "backbone" for name in names},
        )

    any_key = jax.random.key(0)  # the words of the chain's key are in its state, made by `start`
    training = minibatch_training(loss_fn, optimizer(any_key), batch_size=setting.recipe.batch_size)

    def start(rng_key: Key[Array, ""], params: PyTree) -> PyTree:
        chain = optimizer(named_key(rng_key, "chain")).init(params)
        return training.init(named_key(rng_key, "epochs"), params, optimizer_state=chain)

    keys = jnp.stack([named_key(jax.random.key(seed), "cyclical-sgld") for seed in seeds])
    params = jax.tree.map(lambda leaf: leaf[:, 0], base.params)
    fitted = setting.fit("cyclical-sgld", training, jax.jit(jax.vmap(start))(keys, params), CYCLES * EPOCHS)
    observed = posterior_state(fitted.state.optimizer_state)
    return Trained(grouped(params, len(seeds)), observed, base.seconds + fitted.seconds / len(seeds))


def forecast_cyclical(
    setting: Setting, networks: Trained, rng_key: Key[Array, ""], inputs: PyTree, train: Arrays
) -> Forecast:
    """The mixture of all cycles' samples.

    Args:
        setting: the run's.
        networks: of `train_cyclical`.
        rng_key: not needed.
        inputs: of the molecules asked about.
        train: not needed.

    Returns:
        The forecast, of standardised labels in regression.
    """
    capacity = jax.tree.leaves(networks.observed.trace.samples)[0].shape[0]
    samples = _method(setting).sample(rng_key, networks.observed, min(setting.samples, capacity))
    params, apply_fn = first_network(networks.params), outputs_fn(setting)
    moved = {name: part for name, part in samples.items() if name == "output" or not setting.frozen_backbone}
    return of_samples(setting, lambda part, inputs: apply_fn({**params, **part}, inputs), moved, inputs)
