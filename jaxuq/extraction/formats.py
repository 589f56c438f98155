"""What was found, in the formats of other programs."""

import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxuq._extras import needed_package
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction
from jaxuq.extraction.spans import Span
from jaxuq.study import write_bytes, write_text
from jaxuq.tagging import AnnotatedText, label_studio_task, prodigy_record

FORMATS = ("jsonl", "bio", "brat", "docbin", "tagging", "prodigy", "label-studio")


def span_record(passage: Passage, span: Span) -> dict[str, Any]:
    """A span as plain data, in characters and tokens: `text[start:end]` is the span's text.

    Args:
        passage: the text.
        span: of the text.

    Returns:
        `type, start, end, tokens, text, score`, and `confidence` where it is known.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> (passage,) = make_passages(["Ada met Bo."], make_schema(["person"]))
        >>> span_record(passage, Span(2, 3, "person"))
        {'type': 'person', 'start': 8, 'end': 10, 'tokens': [2, 3], 'text': 'Bo', 'score': 1.0}
    """
    start, end = passage.text.characters(span.start, span.end)
    record: dict[str, Any] = {"type": span.type, "start": start, "end": end, "tokens": [span.start, span.end]}
    record |= {"text": passage.text.text[start:end], "score": round(span.score, 6)}
    return record if math.isnan(span.confidence) else {**record, "confidence": round(span.confidence, 6)}


def json_line(passage: Passage, found: Extraction) -> str:
    """A passage and what was found in it, as one line of JSON.

    Args:
        passage: the text.
        found: in it.

    Returns:
        The line, without its end.
    """
    record: dict[str, Any] = {"id": passage.id, "text": passage.text.text}
    if found.relations:
        record["relations"] = [
            {"type": kind, "arguments": [[_place(passage, place) for place in places] for places in arguments]}
            for kind, group in found.relations.items()
            for arguments in group
        ]
    else:
        record["entities"] = [span_record(passage, span) for span in found.spans]
    record["status"] = found.statuses
    return json.dumps(record, ensure_ascii=False)


def _place(passage: Passage, place: tuple[int, int]) -> dict[str, Any]:
    start, end = passage.text.characters(*place)
    return {"start": start, "end": end, "text": passage.text.text[start:end]}


def bio_columns(passage: Passage, spans: Sequence[Span]) -> str:
    """Tokens and IOB2 tags, a token a line, and a blank line at the end.

    Args:
        passage: the text.
        spans: that do not overlap.

    Returns:
        The lines. Blanks within a token are written as `_`, and a type's as `_` too.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> (passage,) = make_passages(["Ada met Bo"], make_schema(["person"]))
        >>> print(bio_columns(passage, [Span(0, 1, "person")]).strip())
        Ada	B-person
        met	O
        Bo	O
    """
    tags = ["O"] * len(passage.text.tokens)
    for span in spans:
        kind = "_".join(span.type.split())
        tags[span.start : span.end] = [f"B-{kind}", *[f"I-{kind}"] * (span.end - span.start - 1)]
    lines = [f"{'_'.join(token.split()) or '_'}\t{tag}\n" for token, tag in zip(passage.text.tokens, tags)]
    return "".join(lines) + "\n"


def brat_annotations(passage: Passage, spans: Sequence[Span]) -> str:
    """Stand-off annotations of brat; a span over several lines has a fragment on each.

    Args:
        passage: the text.
        spans: of the text.

    Returns:
        The content of an `.ann` file; its `.txt` file is the passage's text.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> (passage,) = make_passages(["Ada met Bo"], make_schema(["person"]))
        >>> brat_annotations(passage, [Span(2, 3, "person")])
        'T1\\tperson 8 10\\tBo\\n'
    """
    lines = []
    for number, span in enumerate(spans, 1):
        start, end = passage.text.characters(span.start, span.end)
        fragments, at = [], start
        for part in passage.text.text[start:end].split("\n"):
            if part:
                fragments.append((at, at + len(part)))
            at += len(part) + 1
        kind = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in span.type)
        places = ";".join(f"{a} {b}" for a, b in fragments)
        said = " ".join(passage.text.text[a:b] for a, b in fragments)
        lines.append(f"T{number}\t{kind} {places}\t{said}\n")
    return "".join(lines)


def tagging_records(
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    *,
    others: Sequence[Sequence[Span]] = (),
    pseudo_labels: bool = False,
) -> dict[str, Any]:
    """What was found, as one more labelling function in the layout that `jaxuq.tagging` reads.

    Args:
        passages: the texts; those without tokens are left out.
        extractions: of each.
        others: votes of another labelling function on the same texts, to stand before it; one list of spans a text.
        pseudo_labels: give what was found as labels too, in place of gold, for training a tagger on it (FT).

    Returns:
        `{id: {"label": gold, "data": {"text": tokens}, "weak_labels": [votes of each function]}}`.

    Example:
        >>> from jaxuq.extraction import make_passages, make_schema
        >>> passages = make_passages(["Ada met Bo"], make_schema(["person"]))
        >>> found = Extraction("0", (Span(0, 1, "person"),), {}, {})
        >>> tagging_records(passages, [found])["0"]["weak_labels"]
        [[[0, 1, 'person']]]
    """
    records: dict[str, Any] = {}
    for row, (passage, found) in enumerate(zip(passages, extractions, strict=True)):
        if not passage.text.tokens:
            continue
        votes = [list(others[row])] if others else []
        records[passage.id] = {
            "label": [list(span[:3]) for span in (found.spans if pseudo_labels else passage.gold or ())],
            "data": {"text": list(passage.text.tokens)},
            "weak_labels": [[list(span[:3]) for span in spans] for spans in [*votes, found.spans]],
        }
    return records


def doc_bin(passages: Sequence[Passage], extractions: Sequence[Extraction]) -> bytes:
    """spaCy's binary documents, with entities.

    Args:
        passages: the texts.
        extractions: of each.

    Returns:
        The content of a `.spacy` file.

    Raises:
        MissingPackageError: spaCy is not installed.
    """
    spacy = needed_package("spacy", "the format docbin")
    from spacy.tokens import Doc, DocBin
    from spacy.tokens import Span as SpacySpan

    vocabulary = spacy.blank("xx").vocab
    documents = DocBin(store_user_data=True)
    for passage, found in zip(passages, extractions, strict=True):
        text = passage.text
        words, spaces, place = [], [], []
        if text.starts and text.text[: text.starts[0]]:
            words.append(text.text[: text.starts[0]])
            spaces.append(False)
        for number, token in enumerate(text.tokens):
            until = text.starts[number + 1] if number + 1 < len(text.tokens) else len(text.text)
            gap = text.text[text.ends[number] : until]
            place.append(len(words))
            words.append(token)
            spaces.append(gap.startswith(" "))
            if gap[1:] if gap.startswith(" ") else gap:
                words.append(gap[1:] if gap.startswith(" ") else gap)
                spaces.append(False)
        document = Doc(vocabulary, words=words, spaces=spaces)
        document.user_data["id"] = passage.id
        document.ents = [SpacySpan(document, place[s.start], place[s.end - 1] + 1, label=s.type) for s in found.spans]
        documents.add(document)
    return documents.to_bytes()


def _annotated(pairs: Sequence[tuple[Passage, Extraction]], program: str) -> list[dict[str, Any]]:
    """What was found, for an annotation program; spans without a confidence have the score of their match."""
    make = prodigy_record if program == "prodigy" else label_studio_task
    records = []
    for passage, found in pairs:
        text = AnnotatedText(passage.id, passage.text.text, tuple(zip(passage.text.starts, passage.text.ends)), None)
        scores = [span.score if math.isnan(span.confidence) else span.confidence for span in found.spans]
        records.append(make(text, [span[:3] for span in found.spans], scores=scores))
    return records


def write_formats(
    folder: pathlib.Path,
    formats: Sequence[str],
    passages: Sequence[Passage],
    extractions: Sequence[Extraction],
    *,
    types: Sequence[str] = (),
    function: str = "extraction",
) -> list[pathlib.Path]:
    """Write what was found in the wanted formats.

    Args:
        folder: to write into.
        formats: of `FORMATS`.
        passages: the texts.
        extractions: of each.
        types: names of all types, for the tagging room's `meta.json`.
        function: what the labelling function is called there.

    Returns:
        The files and folders written.

    Raises:
        ExtractionError: an unknown format, relations in a format that has none, or spaCy is missing.
    """
    check_formats(formats, relations=any(found.relations for found in extractions))
    pairs = list(zip(passages, extractions, strict=True))
    written = []
    for name in formats:
        if name == "jsonl":
            path = folder / "extractions.jsonl"
            write_text(path, "".join(json_line(*pair) + "\n" for pair in pairs))
        elif name == "bio":
            path = folder / "extractions.bio"
            write_text(path, "".join(bio_columns(passage, found.spans) for passage, found in pairs))
        elif name == "docbin":
            path = folder / "extractions.spacy"
            write_bytes(path, doc_bin(passages, extractions))
        elif name == "tagging":
            path = folder / "tagging"
            write_text(path / "train.json", json.dumps(tagging_records(passages, extractions), ensure_ascii=False))
            meta = {"entity_types": list(types), "lf": [function], "lf_rec": [function]}
            write_text(path / "meta.json", json.dumps(meta, ensure_ascii=False))
        elif name == "prodigy":
            path = folder / "prodigy.jsonl"
            write_text(path, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in _annotated(pairs, name)))
        elif name == "label-studio":
            path = folder / "label-studio.json"
            write_text(path, json.dumps(_annotated(pairs, name), ensure_ascii=False))
        else:
            path = folder / "brat"
            for number, (passage, found) in enumerate(pairs):
                write_text(path / f"{number:06d}.txt", passage.text.text)
                write_text(path / f"{number:06d}.ann", brat_annotations(passage, found.spans))
        written.append(path)
    return written


def check_formats(formats: Sequence[str], *, relations: bool = False) -> None:
    """See that formats can be written, before a long run.

    Args:
        formats: of `FORMATS`.
        relations: whether relations are to be written.

    Raises:
        ExtractionError: an unknown format, relations in a format that has none, or spaCy is missing.
    """
    for name in formats:
        if name not in FORMATS:
            raise ExtractionError(f"format is {name!r}; expected some of {', '.join(FORMATS)}")
        if relations and name != "jsonl":
            raise ExtractionError(f"the format {name} has no relations; write jsonl")
        if name == "docbin":
            doc_bin([], [])
