"""Label new text with a saved model."""

import pathlib
import re

import numpy as np

from jaxuq.study import Listener, write_text
from jaxuq.tagging.benchmark.cells import prediction_lines
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import entities, forecast_scores
from jaxuq.tagging.benchmark.methods import known, no_embeddings
from jaxuq.tagging.benchmark.saved import SavedModel
from jaxuq.tagging.benchmark.source import read_text_to_label, told_vectors
from jaxuq.tagging.embeddings import embed_text
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.records import TaggingDataError, WeakLabels, make_weak_labels, read_text


def apply_model(
    configuration: TaggingConfiguration,
    listener: Listener = Listener(),  # noqa: B008
) -> tuple[pathlib.Path, dict[str, dict[str, float] | None]]:
    """Label the data with the model in `configuration.apply`.

    Args:
        configuration: `apply`, `data`, `part` and `output` are used.
        listener: hears of progress.

    Returns:
        The file `predictions.jsonl` in the output folder, and for each data set its scores, None without gold labels.

    Raises:
        TaggingDataError: the model or the data is at fault, or they do not fit each other.
    """
    assert configuration.apply is not None
    model = SavedModel(configuration.apply)
    lines: list[str] = []
    scores: dict[str, dict[str, float] | None] = {}
    for entry in configuration.data:
        data = _read(entry, configuration, model)
        text = EmbeddedText(data, no_embeddings(data))
        if known(model.method, "neural"):
            encoder = configuration.embeddings if configuration.embeddings != "minilm" else model.record["embeddings"]
            model.check_encoder(encoder)
            kind = model.record["sentence_vector"]
            text = embed_text(encoder, data, sentence_vector=kind, on_progress=told_vectors(listener, entry))
        forecast = model.predict(text)
        labels = np.asarray(forecast.labels)
        sure = [entity["confidence"] for row in range(len(data.ids)) for entity in entities(data, forecast, row)]
        name = pathlib.Path(entry).name
        lines += prediction_lines(data, labels, np.array(sure), {"dataset": name, "method": model.name})
        found = forecast_scores(data, labels)
        scores[name] = None if found is None else found._asdict()
    target = configuration.folder() if configuration.output else pathlib.Path("runs") / "tag-applied"
    write_text(target / "predictions.jsonl", "".join(lines))
    return target / "predictions.jsonl", scores


def _read(entry: str, configuration: TaggingConfiguration, model: SavedModel) -> WeakLabels:
    path = pathlib.Path(entry)
    if not (path.is_file() and path.suffix == ".txt"):
        return read_text_to_label(entry, configuration)
    if known(model.method, "votes"):
        raise TaggingDataError(
            f"{path} holds text only, and {model.name} labels by what labelling functions say; use a tagger (fit with "
            "--tagger, apply <model>+tagger), or a folder with weak labels"
        )
    lines = [re.split(r"[ \t]+", line.strip(" \t")) for line in read_text(path).split("\n")]
    sentences = [words for words in lines if any(words)]
    names = tuple(model.record["label_names"])
    return make_weak_labels(sentences, [np.zeros((len(words), 0), np.int32) for words in sentences], None, names, [])
