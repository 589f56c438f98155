"""Questions to a finished training: reading the run, and the gradients of the questions, once for each data set."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.adapters import read_adapter
from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.features import Features, compute_features, read_clusters, read_features, write_features
from jaxuq.experts.pipeline.records import Encoded, encode_records, load_records
from jaxuq.experts.pipeline.training import TrainedRun, adapter_folder, prepared_model
from jaxuq.language import model_digest
from jaxuq.parallel.meshes import check_rows
from jaxuq.questions import Question
from jaxuq.study import digest, read_run

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


def read_training(path: str | Path, model: "LanguageModel | None" = None, *, mesh: str = "") -> TrainedRun:
    """A finished run of `jaxuq experts train`.

    Args:
        path: its folder.
        model: loaded already, if it is the run's; None loads it.
        mesh: devices to spread it over, such as `data=2,tensor=4`; empty: one, whatever it was trained on.

    Returns:
        `TrainedRun`.

    Raises:
        RunFolderError: it is no result folder.
        ExpertsError: it is of another command or not finished; adapters are missing or of another model.
        OptionError: what is trained further has rows that the mesh cannot share.
    """
    path = Path(path)
    record = read_run(path)
    if record.get("system") != "experts":
        raise ExpertsError(f"{path} is a run of {record.get('system')!r}, not of jaxuq experts train")
    if record.get("status") != "complete":
        raise ExpertsError(f"the training in {path} is not finished; start it again with the same command to go on")
    options: dict[str, Any] = record["configuration"] | {"output": path, "mesh": mesh}
    content = record.get("content")
    if not isinstance(content, dict):
        raise ExpertsError(f"{path} was trained before results were tied to their data; train again")
    try:
        configuration = TrainConfiguration(**options)
    except TypeError as error:
        raise ExpertsError(f"{path} was made by another version: {error}") from None
    check_rows(f"--batch-size of the training in {path}", configuration.batch_size, mesh)
    if model is not None and model.name != configuration.model:
        model = None
    model = prepared_model(configuration, model)
    records = load_records(configuration).questions
    if digest(records) != content.get("data"):
        raise ExpertsError(f"{configuration.data} has changed since {path} was trained on it; train again")
    if model_digest(model) != content.get("weights"):
        raise ExpertsError(f"the weights of {configuration.model} have changed since {path} was trained; train again")
    data = encode_records(model, records, max_length=configuration.max_length)
    found = read_clusters(path)
    if found is None:
        raise ExpertsError(f"{path} has no clusters.npz, or it is damaged; remove the folder and train again")
    base = read_adapter(adapter_folder(configuration, "base"), model)
    return TrainedRun(path, configuration, model, data, base, found)


def training_digest(run: TrainedRun) -> str:
    """What the answers of a training follow from: model, data, base adapter, clusters and experts as they are on disk.

    Args:
        run: a finished training.

    Returns:
        A digest.

    Raises:
        ExpertsError: an expert is missing.
    """
    names = ["base", *(f"expert-{cluster}" for cluster in range(len(run.found.centroids)))]
    files = [adapter_folder(run.configuration, name) / "adapter_model.safetensors" for name in names]
    try:
        adapters = [file.read_bytes() for file in files]
    except OSError as error:
        raise ExpertsError(f"{error.filename} cannot be read ({error.strerror}); train again") from None
    return digest(read_run(run.path)["content"], run.configuration.seed, run.found, adapters)


def encode_questions(run: TrainedRun, records: list[Question], max_new_tokens: int) -> Encoded:
    """Questions as tokens, with room for an answer in the model's context.

    Args:
        run: whose model is asked.
        records: questions, laid out; their replies are not encoded.
        max_new_tokens: of an answer.

    Returns:
        `Encoded`; questions that are too long are left out and named.

    Raises:
        ExpertsError: none of them can be asked.
    """
    room = run.model.functions.max_positions - max_new_tokens
    return encode_records(run.model, records, max_length=room + 1, answers=False)


def question_features(
    configuration: TrainConfiguration,
    model: "LanguageModel",
    questions: Encoded,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Features:
    """Gradient features of questions, computed once and kept in the run's folder.

    Args:
        configuration: of the run.
        model: of the run.
        questions: of `encode_questions`.
        on_progress: step, done, in all.

    Returns:
        `Features`.
    """
    tokens = [np.asarray(prompt.tokens, np.int32) for prompt in questions.prompts]
    name = f"questions-{digest(tokens)[:16]}"
    file = Path(configuration.output) / "features" / f"{name}.npz"
    stored = read_features(file)
    if stored is None:
        with costs_of(Path(configuration.output), "question features"):
            stored = compute_features(configuration, model, questions.prompts, name, on_progress=on_progress)
            write_features(file, stored)
    return stored
