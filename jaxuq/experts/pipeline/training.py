"""The steps of training: base adapter, gradient features, clusters, experts. Each leaves an artefact, whole."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.adapters import train_adapter
from jaxuq.experts.pipeline.configuration import (
    TrainConfiguration,
    check_training,
    lora_of,
    options_of,
    tuning_of,
)
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.features import Found, find_clusters, read_clusters, training_features
from jaxuq.experts.pipeline.records import Encoded, Record, encode_records, load_records
from jaxuq.language import model_digest
from jaxuq.networks import stack_layers
from jaxuq.study import RunFolder, check_folder, digest, open_run

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

Told = Callable[[str, int, int], None]
"""Called with the name of a step, what of it is done, and what there is in all."""


class TrainedRun(NamedTuple):
    """A run of training whose steps are all done.

    Attributes:
        path: its folder.
        configuration: its options.
        model: with the adapters' configuration, without adapters.
        data: what it was trained on.
        base: the base adapter.
        found: clusters of the training instructions.
    """

    path: Path
    configuration: TrainConfiguration
    model: "LanguageModel"
    data: Encoded
    base: PyTree
    found: Found


def run_training(
    configuration: TrainConfiguration,
    *,
    model: "LanguageModel | Callable[[str], LanguageModel] | None" = None,
    on_progress: Told | None = None,
) -> RunFolder:
    """Train experts; `jaxuq experts train` in Python.

    Called again after an interruption it goes on with the step that was not done, and within training with the last
    complete epoch, to the same adapters.

    Args:
        configuration: what to do.
        model: a loaded model, or what loads one by its name once folder and data are known to be good; None:
            `jaxuq.language.load_model`.
        on_progress: see `Told`.

    Returns:
        The folder: `adapters/base`, `adapters/expert-0`, ..., `features/`, `clusters.npz`, `costs.json`, `run.json`.

    Raises:
        ExpertsError: data or options that no experts can be made from.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    check_training(configuration)
    records = load_records(configuration.data, seed=configuration.seed, per_family=configuration.per_family)
    options = options_of(configuration)
    check_folder(configuration.output, system="experts", options=options, resume=configuration.resume)
    model = prepared_model(configuration, model)
    with open_run(
        configuration.output,
        system="experts",
        options=options,
        content={"data": digest(records), "weights": model_digest(model)},
        device=f"{jax.devices()[0].platform} x {jax.device_count()}, {os.cpu_count()} cores",
        resume=configuration.resume,
    ) as folder:
        _train(configuration, folder, model, records, on_progress)
    return folder


def _train(
    configuration: TrainConfiguration,
    folder: RunFolder,
    model: "LanguageModel",
    records: list[Record],
    on_progress: Told | None,
) -> None:
    began, before = time.monotonic(), folder.seconds
    data = encode_records(model, records, chat=configuration.chat, max_length=configuration.max_length)
    folder.write_record(status="running", instructions=len(data.records), rejected=[list(one) for one in data.rejected])
    base = train_base(configuration, model, data, on_progress)
    features = training_features(configuration, model, data, on_progress)
    found = read_clusters(folder.path)
    if found is None:
        with costs_of(folder.path, "clusters"):
            found = find_clusters(configuration, features, folder.path / "clusters.npz")
    train_clusters(configuration, model, base, data, found.labels, "expert", on_progress)
    folder.write_record(
        status="complete",
        seconds=round(before + time.monotonic() - began, 1),
        clusters=np.bincount(found.labels[found.labels >= 0]).tolist(),
        threshold=found.threshold,
        features={"kept": len(features.kept), "dropped": len(data.records) - len(features.kept), "zero": features.zero},
    )


def prepared_model(
    configuration: TrainConfiguration, model: "LanguageModel | Callable[[str], LanguageModel] | None" = None
) -> "LanguageModel":
    """The model of a run, with the adapters' configuration, without adapters, its layers stacked.

    Stacked layers compile many times faster, and a run compiles a program for each adapter that it trains.

    Args:
        configuration: of the run.
        model: loaded already, or what loads it; None: `jaxuq.language.load_model`.

    Returns:
        The model.

    Raises:
        ExpertsError: rows are longer than the model's context.
    """
    if model is None:
        from jaxuq.language import load_model

        model = load_model
    if callable(model):
        model = model(configuration.model)
    context = model.functions.max_positions
    if configuration.max_length > context:
        raise ExpertsError(f"--max-length is {configuration.max_length}; the context of {model.name} is {context}")
    decoder, params = model.decoder, model.params
    if not decoder.scan:
        decoder, params = decoder.clone(scan=True), stack_layers(params, decoder.config.num_layers)
    lora = lora_of(configuration, decoder.config.linear_layers)
    return model._replace(decoder=decoder.clone(lora=lora), params=params, lora=None)


def adapter_folder(configuration: TrainConfiguration, name: str) -> Path:
    """Where an adapter of a run is.

    Args:
        configuration: of the run.
        name: such as `base` or `expert-0`.

    Returns:
        Its folder.
    """
    return Path(configuration.output) / "adapters" / name


def train_base(
    configuration: TrainConfiguration, model: "LanguageModel", data: Encoded, on_progress: Told | None = None
) -> PyTree:
    """The adapter trained on everything, with a checkpoint an epoch.

    Args:
        configuration: of the run.
        model: of `prepared_model`.
        data: to learn.
        on_progress: see `Told`.

    Returns:
        The collection `lora`.
    """
    return train_named(configuration, model, data.examples, "base", "base", keep=True, on_progress=on_progress)


def train_clusters(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    base: PyTree,
    data: Encoded,
    labels: np.ndarray,
    prefix: str,
    on_progress: Told | None = None,
) -> list[str]:
    """An expert for each cluster, from the base adapter.

    Args:
        configuration: of the run.
        model: of `prepared_model`.
        base: where the experts start.
        data: to learn.
        labels: cluster of each example; -1: none.
        prefix: of their names.
        on_progress: see `Told`.

    Returns:
        Names of the experts, by cluster.

    Raises:
        ExpertsError: a cluster without examples.
    """
    names = []
    for cluster in range(int(labels.max()) + 1):
        examples = [data.examples[at] for at in np.flatnonzero(labels == cluster)]
        if not examples:
            raise ExpertsError(f"cluster {cluster} has no instructions left; ask for fewer clusters")
        names.append(f"{prefix}-{cluster}")
        started = model._replace(lora=base)
        train_named(configuration, started, examples, names[-1], "expert", step=f"{prefix}s", on_progress=on_progress)
    return names


def train_named(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    examples: list[Any],
    name: str,
    kind: str,
    *,
    step: str | None = None,
    keep: bool = False,
    on_progress: Told | None = None,
) -> PyTree:
    """Train an adapter of a run, or read it if it is done.

    Args:
        configuration: of the run.
        model: with adapters: go on from them.
        examples: to learn.
        name: of the adapter; its random numbers follow from name and seed.
        kind: see `tuning_of`.
        step: under which its costs are counted; None: the name.
        keep: keep the state of every epoch.
        on_progress: see `Told`.

    Returns:
        The collection `lora`.
    """
    folder = adapter_folder(configuration, name)
    told = None if on_progress is None else lambda done, total: on_progress(f"adapter {name}", done, total)
    key = named_key(jax.random.key(configuration.seed), "adapter", name)
    config = tuning_of(configuration, kind, model.decoder.lora)
    if (folder / "trained.json").is_file():
        return train_adapter(folder, key, model, examples, config)
    with costs_of(Path(configuration.output), step or name):
        return train_adapter(folder, key, model, examples, config, keep_checkpoints=keep, on_progress=told)
