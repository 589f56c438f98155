"""The steps of training: base adapter, gradient features, clusters, experts. Each leaves an artefact, whole."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._keys import named_key
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.adapters import is_trained, train_adapter
from jaxuq.experts.pipeline.configuration import (
    TrainConfiguration,
    check_training,
    lora_of,
    run_options,
    tuning_of,
)
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.features import Found, find_clusters, read_clusters, training_features
from jaxuq.experts.pipeline.records import Encoded, encode_records, load_records
from jaxuq.language import model_digest
from jaxuq.networks import stack_layers
from jaxuq.networks.model import check_decoder
from jaxuq.parallel import mesh_of, process_folder
from jaxuq.questions import QuestionSet
from jaxuq.study import Listener, Plan, RunFolder, check_folder, compute_cells, digest, open_run

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


@typed()
def run_training(
    configuration: TrainConfiguration,
    *,
    model: "LanguageModel | Callable[[str], LanguageModel] | None" = None,
    listener: Listener = Listener(),  # noqa: B008
) -> RunFolder:
    """Train experts; `jaxuq experts train` in Python.

    Called again after an interruption it goes on with the step that was not done, and within training with the last
    complete epoch, to the same adapters.

    Args:
        configuration: what to do.
        model: a loaded model, or what loads one by its name once folder and data are known to be good; None:
            `jaxuq.language.load_model`.
        listener: is told how far the training is.

    Returns:
        The folder: `adapters/base`, `adapters/expert-0`, ..., `features/`, `clusters.npz`, `costs.json`, `run.json`.

    Raises:
        ExpertsError: data or options that no experts can be made from.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    check_training(configuration)
    configuration = dataclasses.replace(configuration, output=process_folder(configuration.output))
    found = load_records(configuration)
    options = run_options(configuration)
    check_folder(configuration.output, system="experts", options=options, resume=configuration.resume)
    model = prepared_model(configuration, model)
    with open_run(
        configuration.output,
        system="experts",
        options=options,
        content={"data": digest(found.questions), "weights": model_digest(model)},
        resume=configuration.resume,
        crew=configuration.crew(run_training, configuration),
    ) as folder:
        _train(configuration, folder, model, found, listener)
    return folder


def _train(
    configuration: TrainConfiguration,
    folder: RunFolder,
    model: "LanguageModel",
    questions: QuestionSet,
    listener: Listener,
) -> None:
    on_progress: Told = lambda step, done, total: listener.progress(step, done, total, "")  # noqa: E731
    data = encode_records(model, questions.questions, max_length=configuration.max_length)
    rejected = [list(one) for one in (*questions.rejected, *data.rejected)]
    folder.write_record(instructions=len(data.records), rejected=rejected)
    base = train_named(configuration, model, data.examples, "base", "base", keep=True, on_progress=on_progress)
    features = training_features(configuration, model, data, on_progress)
    found = read_clusters(folder.path)
    if found is None:
        with costs_of(folder.path, "clusters"):
            found = find_clusters(configuration, features, folder.path / "clusters.npz")
    names = [f"expert-{cluster}" for cluster in range(int(found.labels.max()) + 1)]

    def trained(plans: list[Plan]) -> Iterator[tuple[Plan, None]]:
        for plan in plans:
            train_cluster(configuration, model, base, data, found.labels, "expert", plan.about, on_progress)
            yield plan, None

    plans = [Plan(name, _Adapter(configuration, name), cluster, name) for cluster, name in enumerate(names)]
    compute_cells(folder, plans, trained, listener=listener)
    folder.write_record(
        clusters=np.bincount(found.labels[found.labels >= 0]).tolist(),
        threshold=found.threshold,
        features={"kept": len(features.kept), "dropped": len(data.records) - len(features.kept), "zero": features.zero},
    )


class _Adapter(NamedTuple):
    """An adapter as a cell of a run."""

    configuration: TrainConfiguration
    name: str

    def read(self) -> bool | None:
        """True if it is complete."""
        return is_trained(adapter_folder(self.configuration, self.name)) or None

    def write(self, value: None) -> None:
        """Training has written it."""


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
    check_decoder(model.decoder, "training experts")
    context = model.functions.max_positions
    if configuration.max_length > context:
        raise ExpertsError(f"--max-length is {configuration.max_length}; the context of {model.name} is {context}")
    decoder, params = model.decoder, model.params
    if not decoder.scan:
        decoder, params = decoder.clone(scan=True), stack_layers(params, decoder.config.num_layers)
    lora = lora_of(configuration, decoder.config.linear_layers)
    model = model._replace(decoder=decoder.clone(lora=lora), params=params, lora=None)
    return model.on_mesh(mesh_of(configuration.mesh)) if configuration.mesh else model


def adapter_folder(configuration: TrainConfiguration, name: str) -> Path:
    """Where an adapter of a run is.

    Args:
        configuration: of the run.
        name: such as `base` or `expert-0`.

    Returns:
        Its folder.
    """
    return Path(configuration.output) / "adapters" / name


def train_cluster(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    base: PyTree,
    data: Encoded,
    labels: np.ndarray,
    prefix: str,
    cluster: int,
    on_progress: Told | None = None,
) -> str:
    """The expert of one cluster, from the base adapter.

    Args:
        configuration: of the run.
        model: of `prepared_model`.
        base: where the expert starts.
        data: to learn.
        labels: cluster of each example; -1: none.
        prefix: of its name.
        cluster: its number.
        on_progress: see `Told`.

    Returns:
        Its name.

    Raises:
        ExpertsError: the cluster has no examples.
    """
    examples = [data.examples[at] for at in np.flatnonzero(labels == cluster)]
    if not examples:
        raise ExpertsError(f"cluster {cluster} has no instructions left; ask for fewer clusters")
    name, started = f"{prefix}-{cluster}", model._replace(lora=base)
    train_named(configuration, started, examples, name, "expert", step=f"{prefix}s", on_progress=on_progress)
    return name


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
    if is_trained(folder):
        return train_adapter(folder, key, model, examples, config)
    with costs_of(Path(configuration.output), step or name):
        return train_adapter(folder, key, model, examples, config, keep_checkpoints=keep, on_progress=told)
