"""What every kind of run does on a problem: say how networks are trained, and forecast with those that are."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.methods import METHODS, label_units
from jaxuq.molecules.muben.problem import Problem
from jaxuq.molecules.muben.setting import Setting, Trained
from jaxuq.molecules.scaling import unscale_mean
from jaxuq.posterior import Forecast
from jaxuq.study import Listener, RunFolder
from jaxuq.training import Fitted, Progress, Training, TrainState, fit


def make_setting(
    configuration: MubenConfiguration,
    problem: Problem,
    backbone: Backbone,
    folder: RunFolder,
    listener: Listener,
    tag: str,
    methods: Sequence[str],
) -> Setting:
    """How networks are trained on a problem.

    Args:
        configuration: the run's.
        problem: the data.
        backbone: the network and its recipe.
        folder: the run's; takes the checkpoints.
        listener: is told the progress.
        tag: tells these trainings' checkpoints from others in the folder.
        methods: that will be asked for; without an ensemble among them one network a seed is enough.

    Returns:
        What all trainings share.
    """

    def run(name: str, training: Training, state: TrainState, num_epochs: int) -> Fitted:
        return fit(
            training,
            state,
            problem.train,
            problem.valid,
            num_epochs=num_epochs,
            strategy=configuration.strategy,
            checkpoint=folder.checkpoints / f"{name}-seeds-{tag}-of-{members}",
            on_progress=lambda progress: listener.progress(f"train {name}", *told_epochs(progress)),
        )

    ensembles = any(METHODS[method].about.get("members") == "all" for method in methods)
    members = configuration.num_members if ensembles else 1

    names = ("learning_rate", "batch_size", "epochs", "patience")
    chosen = {name: getattr(configuration, name) for name in names}
    return Setting(
        problem=problem,
        make_network=backbone.network,
        recipe=backbone.recipe._replace(**{name: value for name, value in chosen.items() if value is not None}),
        samples=configuration.samples,
        frozen_backbone=configuration.frozen_backbone,
        muben=configuration.convention == "muben",
        fit=run,
        pretrained=None if backbone.pretrained is None else backbone.pretrained(),
        molecules_at_once=backbone.molecules_at_once,
        branches=backbone.branches,
        members=members,
    )


def told_features(listener: Listener) -> Callable[[int, int], None]:
    """What a featuriser calls.

    Args:
        listener: is told the molecules done and in all.

    Returns:
        `progress(done, total)`.
    """
    return lambda done, total: listener.progress("features", done, total, "molecules")


def told_epochs(progress: Progress) -> tuple[int, int, str]:
    """What a listener is told of a training.

    Args:
        progress: of it.

    Returns:
        Epochs done and in all (as many as were needed, once training has stopped), and the rest in words.
    """
    over = progress.running == 0
    total = progress.epoch if over else progress.num_epochs
    said = "epochs"
    if progress.best_score:
        running = f"{progress.running} of {progress.num_members} networks running"
        said += f", best validation score {progress.best_score:.4f}, {'stopped early' if over else running}"
    return progress.epoch, total, said


def forecast_parts(
    setting: Setting, name: str, networks: Trained, seeds: Sequence[int]
) -> tuple[tuple[Forecast, Forecast], float]:
    """Calibrated forecasts of validation and test part, and the seconds they took once compiled.

    Args:
        setting: of `make_setting`.
        name: of the method.
        networks: what its training gave, for the same seeds.
        seeds: repetitions.

    Returns:
        Both forecasts in label units, the axis of seeds first; seconds.
    """
    method, problem = METHODS[name], setting.problem
    num_valid = problem.valid.labels.shape[0]

    def of_seed(networks: Trained, rng_key: Any, inputs: PyTree, train: Any) -> tuple[Forecast, Forecast]:
        both = label_units(problem, method.functions["forecast"](setting, networks, rng_key, inputs, train))
        return jax.tree.map(lambda leaf: leaf[:num_valid], both), jax.tree.map(lambda leaf: leaf[num_valid:], both)

    def of_all(stacked: tuple[Any, Any, Any], inputs: PyTree, train: Any) -> tuple[Forecast, Forecast]:
        def one(args: tuple[Any, Any, Any]) -> tuple[Forecast, Forecast]:
            params, observed, rng_key = args
            return of_seed(Trained(params, observed, networks.seconds), rng_key, inputs, train)

        return jax.lax.map(one, stacked)

    keys = jnp.stack([named_key(jax.random.key(seed), name, "forecast") for seed in seeds])
    inputs = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), problem.valid.inputs, problem.test.inputs)
    args = ((networks.params, networks.observed, keys), inputs, problem.train)
    compiled = jax.jit(of_all).lower(*args).compile()
    began = time.monotonic()
    valid, test = jax.block_until_ready(compiled(*args))
    if "calibrator" in method.functions:
        valid, test = _calibrate(method.functions["calibrator"](), problem, valid, test)
    return (valid, test), time.monotonic() - began


def _calibrate(calibrator: Any, problem: Problem, valid: Forecast, test: Forecast) -> tuple[Forecast, Forecast]:
    """Fit each seed's calibrator on its validation forecast and apply it to both parts."""
    labels = unscale_mean(problem.scaler, problem.valid.labels)
    states = [
        calibrator.fit(jax.tree.map(lambda leaf, i=i: leaf[i], valid), labels, where=problem.valid.mask)
        for i in range(jax.tree.leaves(valid)[0].shape[0])
    ]
    apply = jax.jit(jax.vmap(calibrator.apply))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    return apply(stacked, valid), apply(stacked, test)
