"""Label new text with a saved model."""

import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxuq.study import Listener, write_json, write_text
from jaxuq.tagging.annotations import AnnotatedText, label_studio_task, prodigy_record
from jaxuq.tagging.benchmark.cells import prediction_lines
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import entities, forecast_scores
from jaxuq.tagging.benchmark.methods import known, no_embeddings
from jaxuq.tagging.benchmark.promised import calibrating_part, keep_promise
from jaxuq.tagging.benchmark.saved import SavedModel
from jaxuq.tagging.benchmark.source import read_text_to_label, told_vectors
from jaxuq.tagging.embeddings import embed_text
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.records import TaggingDataError, WeakLabels
from jaxuq.tagging.span_promises import wanted_promise


def apply_model(
    configuration: TaggingConfiguration,
    listener: Listener = Listener(),  # noqa: B008
) -> tuple[pathlib.Path, dict[str, dict[str, float] | None]]:
    """Label the data with the model in `configuration.apply`.

    With a promise of recall or precision the spans of a sentence that are kept may overlap; `promise.json` says of each
    type whether it holds.

    Args:
        configuration: `apply`, `data`, `part`, `output` and the options of promises are used.
        listener: hears of progress, and of promises.

    Returns:
        The file `predictions.jsonl` in the output folder, and for each data set its scores, None without gold labels.

    Raises:
        TaggingDataError: the model or the data is at fault, or they do not fit each other.
    """
    assert configuration.apply is not None
    promise = wanted_promise(configuration.recall, configuration.precision, configuration.delta)
    if promise is None and configuration.calibrate is not None:
        raise TaggingDataError("--calibrate names texts for a promise; add --recall or --precision")
    model = SavedModel(configuration.apply)
    lines: list[str] = []
    scores: dict[str, dict[str, float] | None] = {}
    promised: dict[str, Any] = {}
    for entry in configuration.data:
        name = pathlib.Path(entry).name
        data, forecast = _labelled(entry, configuration, model, listener)
        keys = {"dataset": name, "method": model.name}
        if promise is None:
            labels = np.asarray(forecast.labels)
            sure = [entity["confidence"] for row in range(len(data.ids)) for entity in entities(data, forecast, row)]
            lines += prediction_lines(data, labels, np.array(sure), keys)
            found = forecast_scores(data, labels)
        else:
            other = None
            if configuration.calibrate is not None:
                entry, asked = calibrating_part(entry, configuration)
                other = _labelled(entry, asked, model, listener)
            kept = keep_promise(promise, name, (data, forecast), other, configuration.calibrate, listener)
            lines += [json.dumps({**keys, **line}, ensure_ascii=False) + "\n" for line in kept.lines]
            found, promised[name] = kept.scores, kept.record
        scores[name] = None if found is None else found._asdict()
    target = configuration.folder() if configuration.output else pathlib.Path("runs") / "tag-applied"
    write_text(target / "predictions.jsonl", "".join(lines))
    _further(target, configuration.formats, lines)
    if promise is not None:
        write_json(target / "promise.json", promised)
    return target / "predictions.jsonl", scores


def _labelled(
    entry: str, configuration: TaggingConfiguration, model: SavedModel, listener: Listener
) -> tuple[WeakLabels, LabelForecast]:
    """A data set and what the model says of it."""
    data = _read(entry, configuration, model)
    text = EmbeddedText(data, no_embeddings(data))
    if known(model.method, "neural"):
        encoder = configuration.embeddings if configuration.embeddings != "minilm" else model.encoder
        model.check_encoder(encoder)
        kind = model.record["sentence_vector"]
        text = embed_text(encoder, data, sentence_vector=kind, on_progress=told_vectors(listener, entry))
    return data, model.predict(text)


def _read(entry: str, configuration: TaggingConfiguration, model: SavedModel) -> WeakLabels:
    path, names = pathlib.Path(entry), tuple(model.record["label_names"])
    data = read_text_to_label(entry, configuration)
    if known(model.method, "votes") and not data.function_names:
        raise TaggingDataError(
            f"{path} holds text only, and {model.name} labels by what labelling functions say; use a tagger (fit with "
            "--tagger, apply <model>+tagger), or add --functions with the file of them"
        )
    return data.with_labels(names) if set(data.label_names) <= set(names) else data  # `check` says what differs


def _further(target: pathlib.Path, formats: Sequence[str], lines: Sequence[str]) -> None:
    """What is found, in files of annotation programs; the text is the tokens with a blank between each two."""
    texts = []
    for record in map(json.loads, lines):
        ends = np.cumsum([len(word) + 1 for word in record["tokens"]]).tolist()
        places = tuple((end - 1 - len(word), end - 1) for word, end in zip(record["tokens"], ends))
        spans = [(one["start"], one["end"], one["type"]) for one in record["entities"]]
        scores = [one["confidence"] for one in record["entities"]]
        texts.append((AnnotatedText(str(record["id"]), " ".join(record["tokens"]), places, None), spans, scores))
    for name in formats:
        make = prodigy_record if name == "prodigy" else label_studio_task
        records = [json.dumps(make(text, spans, scores=scores), ensure_ascii=False) for text, spans, scores in texts]
        if name == "prodigy":
            write_text(target / "prodigy.jsonl", "".join(record + "\n" for record in records))
        else:
            write_text(target / "label-studio.json", "[" + ",\n".join(records) + "]\n")
