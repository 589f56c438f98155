"""Questions to a finished training: reading the run, and the gradients of the questions, once for each data set."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.adapters import read_adapter
from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.features import Features, compute_features, read_clusters, read_features, write_features
from jaxuq.experts.pipeline.records import Encoded, Record, encode_records, load_records, records_digest
from jaxuq.experts.pipeline.training import TrainedRun, adapter_folder, prepared_model
from jaxuq.results import read_run

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


def read_training(path: str | Path, model: "LanguageModel | None" = None) -> TrainedRun:
    """A finished run of `jaxuq experts train`.

    Args:
        path: its folder.
        model: loaded already, if it is the run's; None loads it.

    Returns:
        `TrainedRun`.

    Raises:
        RunFolderError: it is no result folder.
        ExpertsError: it is of another command or not finished; adapters are missing or of another model.
    """
    path = Path(path)
    record = read_run(path)
    if record.get("system") != "experts":
        raise ExpertsError(f"{path} is a run of {record.get('system')!r}, not of jaxuq experts train")
    if record.get("status") != "complete":
        raise ExpertsError(f"the training in {path} is not finished; start it again with the same command to go on")
    options: dict[str, Any] = {name: value for name, value in record["configuration"].items() if name != "data_digest"}
    options["output"] = path
    try:
        configuration = TrainConfiguration(**options)
    except TypeError as error:
        raise ExpertsError(f"{path} was made by another version: {error}") from None
    if model is not None and model.name != configuration.model:
        model = None
    model = prepared_model(configuration, model)
    records = load_records(configuration.data, seed=configuration.seed, per_family=configuration.per_family)
    if records_digest(records) != record["configuration"].get("data_digest"):
        raise ExpertsError(f"{configuration.data} has changed since {path} was trained on it")
    data = encode_records(model, records, chat=configuration.chat, max_length=configuration.max_length)
    found = read_clusters(path)
    if found is None:
        raise ExpertsError(f"{path} has no clusters.npz, or it is damaged; remove the folder and train again")
    base = read_adapter(adapter_folder(configuration, "base"), model)
    return TrainedRun(path, configuration, model, data, base, found)


def encode_questions(run: TrainedRun, records: list[Record], max_new_tokens: int) -> Encoded:
    """Questions as tokens, with room for an answer in the model's context.

    Args:
        run: whose model is asked.
        records: questions; their responses are not encoded.
        max_new_tokens: of an answer.

    Returns:
        `Encoded`; questions that are too long are left out and named.

    Raises:
        ExpertsError: none of them can be asked.
    """
    room = run.model.functions.max_positions - max_new_tokens
    return encode_records(run.model, records, chat=run.configuration.chat, max_length=room + 1, answers=False)


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
    tokens = b"|".join(np.asarray(prompt.tokens, np.int32).tobytes() for prompt in questions.prompts)
    name = f"questions-{zlib.crc32(tokens):08x}"
    file = Path(configuration.output) / "features" / f"{name}.npz"
    stored = read_features(file)
    if stored is None:
        with costs_of(Path(configuration.output), "question features"):
            stored = compute_features(configuration, model, questions.prompts, name, on_progress=on_progress)
            write_features(file, stored)
    return stored
