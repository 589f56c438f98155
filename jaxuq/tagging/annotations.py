"""Texts as annotation programs write them: Prodigy (JSONL), Label Studio (JSON), spaCy (DocBin); two of them back."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxuq.tagging._docbin import Document, read_docbin
from jaxuq.tagging._label_studio import as_object, characters, label_studio_values
from jaxuq.tagging.records import (
    Span,
    TaggingDataError,
    WeakLabels,
    bio_label_names,
    make_weak_labels,
    read_text,
    spans_to_labels,
)
from jaxuq.tagging.words import word_places

ANNOTATED = (".jsonl", ".json", ".spacy")


class AnnotatedText(NamedTuple):
    """A text with its words and, where it has been annotated, its entities.

    Attributes:
        id: its name.
        text: as it is in the file.
        places: first character of each word and one behind its last.
        entities: in words; None where nobody has annotated it.
    """

    id: str
    text: str
    places: tuple[tuple[int, int], ...]
    entities: tuple[Span, ...] | None

    @property
    def words(self) -> tuple[str, ...]:
        """The words."""
        return tuple(self.text[start:end] for start, end in self.places)


def read_annotations(path: str | Path) -> list[AnnotatedText]:
    """Read a file of an annotation program, told by its ending; nothing in it is run.

    `.jsonl`, of Prodigy: `text`, `spans` in characters, `tokens` if there are any; records whose answer is not `accept`
    are left out. `.json`, of Label Studio, whole or minimal: the first annotation that was not cancelled. `.spacy`: a
    DocBin of spaCy 3. Texts without tokens are cut into words (`word_places`); an entity has all words that it touches.

    Args:
        path: the file.

    Returns:
        The texts that hold a word.

    Raises:
        TaggingDataError: it is missing or malformed, with the record.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "a.jsonl")
        >>> _ = path.write_text('{"text": "Ada wrote.", "spans": [{"start": 0, "end": 3, "label": "PER"}]}')
        >>> read_annotations(path)[0].words, read_annotations(path)[0].entities
        (('Ada', 'wrote', '.'), ((0, 1, 'PER'),))
    """
    path = Path(path)
    if path.suffix == ".spacy":
        texts = [_of_document(number, one) for number, one in enumerate(read_docbin(path))]
    else:
        records = _records(path)
        read = _of_prodigy if path.suffix == ".jsonl" else _of_label_studio
        texts = []
        for number, record in enumerate(records):
            try:
                texts.append(read(number, record))
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
                why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
                raise TaggingDataError(f"{path}, record {number}: {why}") from None
    found = [text for text in texts if text is not None and text.places]
    if not found:
        raise TaggingDataError(f"{path} holds no text")
    return found


def _records(path: Path) -> list[Any]:
    text = read_text(path)
    try:
        if path.suffix == ".jsonl":
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TaggingDataError(f"{path} could not be read as JSON: {error}") from None
    if not isinstance(content, list):
        raise TaggingDataError(f"{path} is no list of tasks, as Label Studio exports them")
    return content


def _plain(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the text is {value!r}; expected text")
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # pairs of halves become one sign


def _of_prodigy(number: int, record: Any) -> AnnotatedText | None:
    record = as_object(record, "the record")
    if record.get("answer", "accept") != "accept":
        return None
    others = [key for key in ("entities", "label", "labels") if isinstance(record.get(key), list)]
    if others and "spans" not in record:  # as other programs call them: not to be taken for a text without any
        raise ValueError(
            f"it has {others[0]!r} and no 'spans', where Prodigy has an object with start, end and label each"
        )
    text, tokens = _plain(record["text"]), record.get("tokens")
    places = word_places(text) if tokens is None else [(int(one["start"]), int(one["end"])) for one in tokens]
    ends = [0, *(end for _, end in places)]
    if any(not before <= start < end <= len(text) for before, (start, end) in zip(ends, places)):
        raise ValueError("its tokens are empty, out of order, or leave the text")
    places = [place for place in places if text[slice(*place)].strip()]
    spans = record.get("spans", [] if "answer" in record else None)
    if spans is not None:
        spans = [_words(places, one["start"], one["end"], one["label"], text) for one in map(_span, spans)]
    named = record.get("id", as_object(record.get("meta") or {}, "meta").get("id", number))
    return _annotated(named, text, places, spans)


def _span(value: Any) -> Mapping[str, Any]:
    return as_object(value, "an entity")


def _of_label_studio(number: int, task: Any) -> AnnotatedText:
    task = as_object(task, "the task")
    data = as_object(task.get("data", task), "data")
    values = label_studio_values(task)
    for value in values or ():
        if not isinstance(value.get("labels"), list) or not value["labels"]:
            raise ValueError(f"an entity has the labels {value.get('labels')!r}; expected a list with one")
    texts = [_plain(data[key]) for key in ("text", *data) if isinstance(data.get(key), str)]  # or called otherwise
    if not texts:
        raise ValueError(f"the text is {data.get('text')!r}; expected text")
    text = next((one for one in texts if all(characters(one, value) for value in values or ())), None)
    if text is None:
        said = next(value for value in values or () if not characters(texts[0], value))
        raise ValueError(f"the entity {said.get('text')!r} is not at the characters {[said['start'], said['end']]}")
    if "text" not in data and not values and len(texts) > 1 and data is not task:
        raise ValueError("nothing says which of its data is the text; call that one 'text'")
    places, spans = word_places(text), None
    if values is not None:
        found = [(characters(text, one), one) for one in values]
        spans = [_words(places, *place, one["labels"][0], text) for place, one in found if place]
    return _annotated(task.get("id", number), text, places, spans)


def _words(
    places: Sequence[tuple[int, int]], start: Any, end: Any, kind: Any, text: str
) -> Span:  # all words that it touches
    if not all(isinstance(at, int | float) and at == at // 1 for at in (start, end)):
        raise ValueError(f"the entity {kind!r} at the characters {[start, end]} has bounds that are no whole numbers")
    touched = [number for number, (first, last) in enumerate(places) if first < end and last > start]
    if not touched or not 0 <= start < end <= len(text) or not isinstance(kind, str) or not kind:
        raise ValueError(f"the entity {kind!r} at the characters {[start, end]} holds no word of the text")
    return touched[0], touched[-1] + 1, kind


def _of_document(number: int, document: Document) -> AnnotatedText:
    places, at = [], 0
    for word, space in zip(document.words, document.spaces):
        places.append((at, at + len(word)))
        at += len(word) + space
    text = "".join(word + " " * space for word, space in zip(document.words, document.spaces))
    kept = [place for place in places if text[slice(*place)].strip()]
    entities = document.entities
    if entities is not None:
        entities = [entity for entity in entities if entity[2]]  # without a type: where spaCy may find none
        held = [(places[start][0], places[end - 1][1], kind) for start, end, kind in entities]
        entities = [_words(kept, *one, text) for one in held if text[one[0] : one[1]].strip()]
    return _annotated(number, text, kept, entities)


def _annotated(named: Any, text: str, places: Sequence[tuple[int, int]], spans: Sequence[Span] | None) -> AnnotatedText:
    entities = None if spans is None else tuple(sorted(set(spans)))
    return AnnotatedText(str(named), text, tuple(places), entities)


def annotated_labels(texts: Sequence[AnnotatedText], *, gold: bool = True) -> WeakLabels:
    """Annotated texts for label models.

    Args:
        texts: of `read_annotations`.
        gold: whether annotations are right; else they are a labelling function called `annotations`, which says nothing
            of texts without any.

    Returns:
        `WeakLabels`; without `labels` if no text has been annotated.

    Raises:
        TaggingDataError: only some have been annotated, or entities overlap.
    """
    known = [text.entities is not None for text in texts]
    if gold and any(known) and not all(known):
        raise TaggingDataError(
            f"text {texts[known.index(False)].id} has not been annotated, and {sum(known)} of {len(texts)} have; "
            "export those alone, or take annotations as a labelling function with --gold none"
        )
    label_names = bio_label_names(sorted({span[2] for text in texts for span in text.entities or ()}))
    said = [spans_to_labels(text.entities or (), len(text.places), label_names, sentence=text.id) for text in texts]
    words, ids = [text.words for text in texts], [text.id for text in texts]
    if gold or not any(known):
        nobody = [np.zeros((len(row), 0), np.int32) for row in said]
        return make_weak_labels(words, nobody, said if any(known) else None, label_names, [], ids=ids)
    return make_weak_labels(words, [row[:, None] for row in said], None, label_names, ["annotations"], ids=ids)


def prodigy_record(text: AnnotatedText, entities: Sequence[Span], *, scores: Sequence[float] = ()) -> dict[str, Any]:
    """A text with entities as a line of Prodigy's input.

    Args:
        text: with its words.
        entities: in words.
        scores: how sure each is; empty without.

    Returns:
        `text`, `tokens`, `spans`, `meta`.

    Example:
        >>> text = AnnotatedText("a", "Ada wrote.", ((0, 3), (4, 9), (9, 10)), None)
        >>> prodigy_record(text, [(0, 1, "PER")])["spans"]
        [{'start': 0, 'end': 3, 'token_start': 0, 'token_end': 0, 'label': 'PER'}]
    """
    tokens = [
        {"text": text.text[start:end], "start": start, "end": end, "id": number, "ws": text.text[end : end + 1] == " "}
        for number, (start, end) in enumerate(text.places)
    ]
    spans = [
        {"start": text.places[start][0], "end": text.places[end - 1][1]}
        | {"token_start": start, "token_end": end - 1, "label": kind}
        for start, end, kind in entities
    ]
    for span, score in zip(spans, scores):
        span["score"] = round(float(score), 4)
    return {"text": text.text, "tokens": tokens, "spans": spans, "meta": {"id": text.id}}


def label_studio_task(text: AnnotatedText, entities: Sequence[Span], *, scores: Sequence[float] = ()) -> dict[str, Any]:
    """A text with entities as a task of Label Studio with a prediction; offsets count UTF-16 units, as browsers do.

    Args:
        text: with its words.
        entities: in words.
        scores: how sure each is; empty without.

    Returns:
        `data` and `predictions`, for a `Labels` tag called `label` over a `Text` tag called `text`.

    Example:
        >>> text = AnnotatedText("a", "Ada wrote.", ((0, 3), (4, 9), (9, 10)), None)
        >>> label_studio_task(text, [(0, 1, "PER")])["predictions"][0]["result"][0]["value"]
        {'start': 0, 'end': 3, 'text': 'Ada', 'labels': ['PER']}
    """

    def units(at: int) -> int:
        return len(text.text[:at].encode("utf-16-le", "surrogatepass")) // 2

    result = []
    for number, (first, last, kind) in enumerate(entities):
        start, end = text.places[first][0], text.places[last - 1][1]
        value = {"start": units(start), "end": units(end), "text": text.text[start:end], "labels": [kind]}
        one = {"id": str(number), "from_name": "label", "to_name": "text", "type": "labels", "value": value}
        result.append(one | ({"score": round(float(scores[number]), 4)} if len(scores) else {}))
    return {"data": {"id": text.id, "text": text.text}, "predictions": [{"model_version": "jaxuq", "result": result}]}
