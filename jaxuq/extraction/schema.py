"""What is wanted: types of entities and relations, read from a file and checked."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq._damaged import DAMAGED
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.json_schema import is_json_schema, types_of_json_schema


class EntityType(NamedTuple):
    """A type of entity.

    Attributes:
        name: in results; unique.
        label: what the model is told, such as `"Material Name"`.
        question: what the model is asked.
        description: what belongs to the type and what does not; may be empty.
        examples: instances that the model is shown.
        column: name of the table's column.
    """

    name: str
    label: str
    question: str
    description: str = ""
    examples: tuple[str, ...] = ()
    column: str = ""


class RelationType(NamedTuple):
    """A type of relation.

    Attributes:
        name: in results; unique.
        label: what the model is told.
        question: what the model is asked.
        columns: names of the columns of the arguments: subject and object, or more.
        description: what belongs to it and what does not; may be empty.
        examples: cases that the model is shown.
        check: name of a column in which the model says whether a row is a case; empty without one.
        optional: for each argument a column with another way to say it, or an empty string.
    """

    name: str
    label: str
    question: str
    columns: tuple[str, ...]
    description: str = ""
    examples: tuple[str, ...] = ()
    check: str = ""
    optional: tuple[str, ...] = ()

    @property
    def table_columns(self) -> tuple[str, ...]:
        """All columns that the model is asked to fill."""
        return (*self.columns, *(name for name in self.optional if name), *([self.check] if self.check else []))


class Schema(NamedTuple):
    """All that is wanted of a text: entities, or relations.

    Attributes:
        entities: types of entities.
        relations: types of relations.
    """

    entities: tuple[EntityType, ...] = ()
    relations: tuple[RelationType, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the types, in order."""
        return tuple(kind.name for kind in (self.entities or self.relations))


def make_schema(content: Mapping[str, Any] | Sequence[Any]) -> Schema:
    """Types from plain data.

    A list of types, or `{"entities": [...]}`, or `{"relations": [...]}`. A type of entity is its name, or
    `{"name", "label", "description", "examples", "question", "column"}`, of which all but the name may be left out; a
    type of relation has `"columns"` too (two or more), and may have `"check"` and `"optional"`. A JSON schema, as
    Pydantic writes it (`types_of_json_schema`), and the `meta.json` of the published data (`entity2columns`,
    `relation2columns` and so on; of `jaxuq.tagging` `entity_types`) are understood as well.

    Args:
        content: of a JSON file.

    Returns:
        `Schema`.

    Raises:
        ExtractionError: no type, both kinds, two types with one name, or a field of another form.

    Example:
        >>> make_schema(["person", {"name": "place", "examples": ["Rome"]}]).entities[1].question
        'Which parts of the following text are instances of "Place"?'
    """
    if isinstance(content, Mapping):
        if is_json_schema(content):
            content = types_of_json_schema(content)
        if "entity2columns" in content or "relation2columns" in content:
            return _checked(_from_published(content))
        if "entity_types" in content:
            content = {"entities": content["entity_types"]}
        unknown = set(content) - {"entities", "relations"}
        if unknown:
            raise ExtractionError(
                f"the types have the unknown part {sorted(unknown)[0]!r}; expected entities or relations"
            )
        entities, relations = content.get("entities", []), content.get("relations", [])
    else:
        entities, relations = content, []
    if not isinstance(entities, Sequence) or not isinstance(relations, Sequence) or isinstance(entities, str):
        raise ExtractionError("entities and relations are lists of types")
    return _checked(Schema(tuple(map(_entity, entities)), tuple(map(_relation, relations))))


def read_schema(path: str | pathlib.Path) -> Schema:
    """Types from a JSON file; see `make_schema`.

    Args:
        path: the file.

    Returns:
        `Schema`.

    Raises:
        ExtractionError: it is missing, no JSON, or wrong.
    """
    return make_schema(read_json(path, "types"))


def read_json(path: str | pathlib.Path, what: str) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        what: what it is, for messages.

    Returns:
        Its content.

    Raises:
        ExtractionError: it is missing or no JSON.
    """
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise ExtractionError(f"there is no file {path} of {what}") from None
    except DAMAGED as error:
        raise ExtractionError(f"the file {path} of {what} cannot be read as JSON: {error}") from None


def _text(fields: Mapping[str, Any], key: str, otherwise: str = "") -> str:
    value = fields.get(key, otherwise)
    if not isinstance(value, str):
        raise ExtractionError(f"type {fields.get('name')!r}: {key} is {value!r}; expected text")
    return value.strip()


def _texts(fields: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = fields.get(key, [])
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(v, str) for v in value):
        raise ExtractionError(f"type {fields.get('name')!r}: {key} is {value!r}; expected a list of texts")
    return tuple(value)


def _fields(value: Any, known: Sequence[str]) -> Mapping[str, Any]:
    fields = {"name": value} if isinstance(value, str) else value
    if not isinstance(fields, Mapping) or not _text(fields, "name"):
        raise ExtractionError(f"a type is {value!r}; expected a name, or an object with a name")
    unknown = sorted(set(fields) - set(known))
    if unknown:
        raise ExtractionError(
            f"type {fields['name']!r} has the unknown field {unknown[0]!r}; known are {', '.join(known)}"
        )
    return fields


def _entity(value: Any) -> EntityType:
    fields = _fields(value, EntityType._fields)
    name = _text(fields, "name")
    label = _text(fields, "label") or name.replace("_", " ").capitalize()
    question = _text(fields, "question") or f'Which parts of the following text are instances of "{label}"?'
    column = _text(fields, "column") or label
    return EntityType(name, label, question, _text(fields, "description"), _texts(fields, "examples"), column)


def _relation(value: Any) -> RelationType:
    fields = _fields(value, RelationType._fields)
    name, columns = _text(fields, "name"), _texts(fields, "columns") or ("Subject", "Object")
    label = _text(fields, "label") or name.replace("_", " ").capitalize()
    question = _text(fields, "question") or f'Which cases of the relation "{label}" does the following text state?'
    optional = _texts(fields, "optional")
    if len(columns) < 2 or (optional and len(optional) != len(columns)):
        raise ExtractionError(
            f"type {name!r} has the columns {columns} and optional {optional}; expected two columns or more, and as "
            "many optional ones (or none)"
        )
    texts = _text(fields, "description"), _texts(fields, "examples"), _text(fields, "check")
    kind = RelationType(name, label, question, columns, *texts, optional)
    if len({column.casefold() for column in kind.table_columns}) < len(kind.table_columns):
        raise ExtractionError(f"type {name!r} has the columns {kind.table_columns}; give each its own name")
    return kind


def _from_published(meta: Mapping[str, Any]) -> Schema:
    try:
        entities = tuple(
            EntityType(
                name,
                meta["entity2elaboration"][name],
                meta["entity2prompt"][name],
                column=meta["entity2columns"][name][0],
            )
            for name in meta.get("entities", [])
            if name not in ("else", "Condition")
        )
        relations = []
        for name in meta.get("relations", []):
            columns, question = meta["relation2columns"][name], meta["relation2prompt"][name]
            if len(columns) == 5:
                columns, optional, check = (columns[0], columns[1], columns[3]), ("", columns[2], ""), ""
            else:
                columns, optional, check = tuple(columns[:2]), (), columns[2] if len(columns) > 2 else ""
            relations.append(RelationType(name, name, question, columns, check=check, optional=optional))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ExtractionError(f"the published meta data lacks {error}") from None
    return Schema(entities, tuple(relations))


def _checked(schema: Schema) -> Schema:
    if bool(schema.entities) == bool(schema.relations):
        raise ExtractionError("give types of entities or types of relations: at least one, and not both in one run")
    for what, texts in (
        ("names", schema.names),
        ("labels", [kind.label for kind in schema.entities or schema.relations]),
    ):
        folded = [text.casefold() for text in texts]
        twice = sorted({text for text in folded if folded.count(text) > 1})
        if twice:
            raise ExtractionError(f"two types have {what} that differ in case at most: {twice[0]!r}; give each its own")
    return schema
