"""Spans with a promise of recall or precision from a saved model: what calibrates it, and what is kept."""

import dataclasses
from typing import Any, NamedTuple, get_args

import numpy as np

from jaxuq.metrics import EntityScores, entity_spans
from jaxuq.study import Listener
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.reading import Part
from jaxuq.tagging.records import Span, TaggingDataError, WeakLabels
from jaxuq.tagging.span_guarantees import Candidates, candidate_spans, keep_spans
from jaxuq.tagging.span_promises import SpanPromise, calibrating_half

Labelled = tuple[WeakLabels, LabelForecast]


class Kept(NamedTuple):
    """What is kept of a data set.

    Attributes:
        lines: of each sentence that is labelled, for `predictions.jsonl`.
        scores: of what is kept; None without gold labels.
        record: of the promise, for `promise.json`.
    """

    lines: list[dict[str, Any]]
    scores: EntityScores | None
    record: dict[str, Any]


def calibrating_part(entry: str, configuration: TaggingConfiguration) -> tuple[str, TaggingConfiguration]:
    """The data set and the options that give the texts which `--calibrate` names."""
    asked = configuration.calibrate or ""
    if asked in get_args(Part):
        return entry, dataclasses.replace(configuration, part=asked)
    return asked, configuration


def keep_promise(
    promise: SpanPromise,
    name: str,
    labelled: Labelled,
    calibrating: Labelled | None,
    calibrate: str | None,
    listener: Listener,
) -> Kept:
    """Choose thresholds, and keep what reaches them.

    Args:
        promise: what is promised.
        name: of the data set.
        labelled: its sentences, and what a model says of them.
        calibrating: other sentences with gold labels; None takes half of the first, which is then not labelled.
        calibrate: what those are called.
        listener: is told what calibrates, and of each type what is promised.

    Returns:
        `Kept`.

    Raises:
        TaggingDataError: there are no gold labels to learn from, or they are those of the sentences to be labelled.
    """
    data, said = labelled[0], _candidates(*labelled)
    if calibrating is not None:
        texts, sure, where = calibrating[0], _candidates(*calibrating), str(calibrate)
        if texts.tokens == data.tokens:
            raise TaggingDataError(f"--calibrate {calibrate} holds the very sentences that are to be labelled")
    else:
        half = calibrating_half([data.labels is not None] * len(data.ids))
        texts, sure, where = data.take(half.nonzero()[0]), [said[row] for row in half.nonzero()[0]], f"half of {name}"
        if data.labels is not None:
            data, said = data.take((~half).nonzero()[0]), [said[row] for row in (~half).nonzero()[0]]
    if texts.labels is None:
        raise TaggingDataError(
            f"a promise of {promise.kind} is learned from texts with gold labels, and {calibrate or name} has none; "
            "name some with --calibrate"
        )
    types = list(dict.fromkeys(label[2:] for label in data.label_names[1:]))
    thresholds = promise.thresholds(sure, _gold(texts), types)
    aside = ", which is not labelled" if calibrating is None else ""
    listener.message(f"{name}: the promise is calibrated on {len(texts.ids)} sentences ({where}{aside})")
    for line in promise.lines(thresholds):
        listener.message(f"{name}, {line}")
    kept = [keep_spans(one, thresholds) for one in said]
    lines = [_line(data, row, spans, said[row]) for row, spans in enumerate(kept)]
    scores = None if data.labels is None else _scores(kept, _gold(data))
    return Kept(lines, scores, {"calibrated_on": where, "sentences": len(texts.ids)} | promise.record(thresholds))


def _candidates(data: WeakLabels, forecast: LabelForecast) -> list[Candidates]:
    probabilities = np.asarray(forecast.probabilities)
    return [candidate_spans(own[:length], data.label_names) for own, length in zip(probabilities, data.lengths)]


def _gold(data: WeakLabels) -> list[list[Span]]:
    return [entity_spans(tags) for tags in data.tags(data.labels)]  # type: ignore[arg-type]


def _line(data: WeakLabels, row: int, spans: list[Span], sure: Candidates) -> dict[str, Any]:
    words = data.tokens[row]
    found = [
        {"start": start, "end": end, "type": kind, "text": " ".join(words[start:end])}
        | {"confidence": round(sure[start, end, kind], 4)}
        for start, end, kind in sorted(spans)
    ]
    return {"id": data.ids[row], "tokens": list(words), "entities": found}


def _scores(kept: list[list[Span]], gold: list[list[Span]]) -> EntityScores:
    correct = sum(len(set(some) & set(true)) for some, true in zip(kept, gold))
    predicted, there = sum(map(len, kept)), sum(map(len, gold))
    precision, recall, f1 = (correct / max(whole, 1) for whole in (predicted, there, (predicted + there) / 2))
    return EntityScores(precision, recall, f1, correct, predicted, there)
