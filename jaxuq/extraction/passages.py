"""The texts to extract from, with gold spans where there are any, read from files of several forms."""

import gzip
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq._damaged import DAMAGED
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.schema import Schema, make_schema, read_json
from jaxuq.extraction.scoring import Arguments
from jaxuq.extraction.spans import Span
from jaxuq.extraction.tokens import TokenizedText, join_tokens, tokenize
from jaxuq.study import json_lines


class Passage(NamedTuple):
    """A text.

    Attributes:
        id: its name; unique.
        text: with its tokens.
        gold: its entities in tokens; None if they are not known.
        gold_relations: its relations by type; None if they are not known.
    """

    id: str
    text: TokenizedText
    gold: tuple[Span, ...] | None = None
    gold_relations: dict[str, tuple[Arguments, ...]] | None = None


def read_lines(path: str | pathlib.Path, what: str) -> list[Any]:
    """The records of a file of JSON lines, compressed or not.

    Args:
        path: the file; `.gz` is unpacked.
        what: what it is, for messages.

    Returns:
        One value a line; blank lines are left out.

    Raises:
        ExtractionError: it is missing, or a line is no JSON.
    """
    path = pathlib.Path(path)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
    except FileNotFoundError:
        raise ExtractionError(f"there is no file {path} of {what}") from None
    except DAMAGED as error:
        raise ExtractionError(f"the file {path} of {what} cannot be read: {error}") from None
    records = []
    for number, record in json_lines(text):
        if isinstance(record, ValueError):
            raise ExtractionError(f"{path}, line {number}: {record}")
        records.append(record)
    return records


def read_passages(path: str | pathlib.Path, schema: Schema, *, tokenizer: str = "words") -> list[Passage]:
    """Texts from a file.

    `.txt`: one text a line. `.jsonl` (or `.jsonl.gz`) and `.json`: a list of texts or records, or an object of records
    by id. A record has its text as `text`, `sentence` or `tokens`, optionally an `id`, and optionally gold: `entities`,
    each `{"type", "pos": [start, end]}` (or `start` and `end`) in characters, `spans`, each `{"start", "end", "label"}`
    in characters, as of Prodigy, or `label`, each `[start, end, type]` in tokens; or `relations`, each `{"type",
    "head": {"pos"}, "tail": {"pos"}}` or `{"type", "entities": [[start, end], ...]}` in characters. The layout of
    `jaxuq.tagging` (`{id: {label, data: {text}}}`) is one of these.

    Args:
        path: the file.
        schema: what is wanted; gold of other types is left out.
        tokenizer: `"words"` or `"spacy"`, for texts that come without tokens.

    Returns:
        Passages, in order. A text without tokens is kept, with nothing to find in it.

    Raises:
        ExtractionError: the file or one of its records is wrong; the message names the record.
    """
    return make_passages(_content(path), schema, tokenizer=tokenizer)


def schema_of_data(path: str | pathlib.Path) -> Schema:
    """The types of entities that data themselves name: of a `meta.json` beside them, else those of their gold.

    Args:
        path: as of `read_passages`.

    Returns:
        `Schema`.

    Raises:
        ExtractionError: the file is wrong, or names no type.
    """
    path = pathlib.Path(path)
    meta = path.parent / "meta.json"
    content = _content(path)  # a file that is missing is told as such
    if meta.is_file():
        found = read_json(meta, "types")
        if isinstance(found, Mapping) and {"entity2columns", "relation2columns", "entity_types"} & set(found):
            return make_schema(found)
    records = content.values() if isinstance(content, Mapping) else _listed(content)
    names: dict[str, None] = {}
    for record in records:
        fields = record if isinstance(record, Mapping) else {}
        for entity in _listed(fields.get("entities")):
            names |= {str(entity["type"]): None} if isinstance(entity, Mapping) and entity.get("type") else {}
        for span in _listed(fields.get("label")):
            names |= {str(span[2]): None} if isinstance(span, list) and len(span) == 3 else {}
        for span in _listed(fields.get("spans")):
            names |= {str(span["label"]): None} if isinstance(span, Mapping) and span.get("label") else {}
    if not names:
        raise ExtractionError(f"{path} names no types of entities; say what to look for with --types")
    return make_schema(sorted(names))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(path: str | pathlib.Path) -> Any:
    path = pathlib.Path(path)
    name = path.name.removesuffix(".gz")
    if not path.exists():
        raise ExtractionError(f"there is no file {path} of texts")
    if name.endswith(".txt"):
        try:
            content: Any = [line for line in path.read_text(encoding="utf-8-sig").split("\n") if line.strip()]
        except DAMAGED as error:
            raise ExtractionError(f"the file {path} of texts cannot be read: {error}") from None
    elif name.endswith(".jsonl"):
        content = read_lines(path, "texts")
    elif name.endswith(".json"):
        content = read_json(path, "texts")
    else:
        raise ExtractionError(f"the file {path} of texts is no .txt, .json or .jsonl file")
    return content


def make_passages(
    content: Mapping[str, Any] | Sequence[Any], schema: Schema, *, tokenizer: str = "words"
) -> list[Passage]:
    """Texts from plain data; see `read_passages`.

    Args:
        content: texts or records, as a list or by id.
        schema: what is wanted.
        tokenizer: `"words"` or `"spacy"`.

    Returns:
        Passages, in order.

    Raises:
        ExtractionError: there is no text, two have one id, or a record is wrong.

    Example:
        >>> from jaxuq.extraction.schema import make_schema
        >>> record = {"text": "Ada met Bo.", "entities": [{"type": "person", "pos": [8, 10]}]}
        >>> make_passages([record], make_schema(["person"]))[0].gold
        (Span(start=2, end=3, type='person', score=1.0, confidence=nan),)
    """
    if isinstance(content, Mapping):
        records = [({"id": key, **value} if isinstance(value, Mapping) else value) for key, value in content.items()]
    elif isinstance(content, Sequence) and not isinstance(content, str):
        records = list(content)
    else:
        raise ExtractionError(f"texts come as a list or an object of records, not as {type(content).__name__}")
    if not records:
        raise ExtractionError("there is no text to extract from")
    passages = [_passage(number, record, schema, tokenizer) for number, record in enumerate(records)]
    seen: set[str] = set()
    for passage in passages:
        if passage.id in seen:
            raise ExtractionError(f"two texts have the id {passage.id!r}; give each its own")
        seen.add(passage.id)
    return passages


def _passage(number: int, record: Any, schema: Schema, tokenizer: str) -> Passage:
    fields = {"text": record} if isinstance(record, str) else record
    where = f"text {number}"
    if not isinstance(fields, Mapping):
        raise ExtractionError(f"{where} is {type(record).__name__}; expected text or a record with text")
    data = fields.get("data")
    if isinstance(data, Mapping):
        fields = {**fields, **data}
    name = str(fields.get("id", number))
    source = fields.get("text", fields.get("sentence", fields.get("tokens")))
    if isinstance(source, str):
        text = tokenize(source, tokenizer)
    elif isinstance(source, Sequence) and all(isinstance(token, str) for token in source):
        text = join_tokens(source)
    else:
        raise ExtractionError(f"{where} ({name}) has no text; expected a field text, sentence or tokens")
    try:
        return Passage(name, text, _gold_entities(fields, text, schema), _gold_relations(fields, text, schema))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ExtractionError(f"{where} ({name}): its gold cannot be read: {said}") from None


def _gold_entities(fields: Mapping[str, Any], text: TokenizedText, schema: Schema) -> tuple[Span, ...] | None:
    if not schema.entities or all(fields.get(name) is None for name in ("entities", "label", "spans")):
        return None
    spans = [Span(*_tokens(text, one["start"], one["end"]), str(one["label"])) for one in fields.get("spans") or ()]
    for entity in fields.get("entities") or ():
        start, end = entity["pos"] if "pos" in entity else (entity["start"], entity["end"])
        spans.append(Span(*_tokens(text, start, end), str(entity["type"])))
    for start, end, kind in fields.get("label") or ():
        if not 0 <= start < end <= len(text.tokens):
            raise ValueError(f"the span {[start, end]} leaves the text of {len(text.tokens)} tokens")
        spans.append(Span(int(start), int(end), str(kind)))
    return tuple(span for span in dict.fromkeys(spans) if span.type in schema.names)


def _gold_relations(
    fields: Mapping[str, Any], text: TokenizedText, schema: Schema
) -> dict[str, tuple[Arguments, ...]] | None:
    if not schema.relations or fields.get("relations") is None:
        return None
    found: dict[str, list[Arguments]] = {kind.name: [] for kind in schema.relations}
    sizes = {kind.name: len(kind.columns) for kind in schema.relations}
    for relation in fields["relations"]:
        kind = relation["type"]
        if kind not in found:
            continue
        places = [relation["head"]["pos"], relation["tail"]["pos"]] if "head" in relation else relation["entities"]
        if len(places) >= sizes[kind]:
            found[kind].append(tuple((_tokens(text, *place),) for place in places[: sizes[kind]]))
    return {kind: tuple(relations) for kind, relations in found.items()}


def _tokens(text: TokenizedText, start: int, end: int) -> tuple[int, int]:
    span = text.token_span(start, end)
    if not 0 <= start < end <= len(text.text) or span is None:
        raise ValueError(f"the characters {[start, end]} hold no token of a text of {len(text.text)} characters")
    return span
