"""Types from a JSON schema, as Pydantic and its like write it: fields are types of entities, records of relations."""

from collections.abc import Mapping
from typing import Any

from jaxuq.extraction.errors import ExtractionError

_DEPTH = 16  # of references and of records in records


def is_json_schema(content: Mapping[str, Any]) -> bool:
    """Whether plain data are a JSON schema of an object.

    Example:
        >>> is_json_schema({"type": "object", "properties": {}}), is_json_schema({"entities": []})
        (True, False)
    """
    return "properties" in content or "$defs" in content or "$schema" in content


def types_of_json_schema(schema: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The types that a JSON schema means, for `make_schema`.

    A field that holds text (or numbers, or a list of either) is a type of entity, with its title, description, examples
    or the values of its `enum`. A field that holds a record, or a list of them, is a type of relation, whose columns
    are the record's fields, and the fields of a record within it, called by both names. A record of one field is a type
    of entity.

    Args:
        schema: of an object, with `properties`; references are those within it.

    Returns:
        `{"entities": [...]}` or `{"relations": [...]}`.

    Raises:
        ExtractionError: there is no field, both kinds of fields, or a reference leads nowhere or in a circle.

    Example:
        >>> types_of_json_schema({"properties": {"person": {"type": "array", "items": {"type": "string"}}}})
        {'entities': [{'name': 'person'}]}
    """
    root = _followed(schema, schema)
    fields = root.get("properties")
    if not isinstance(fields, Mapping) or not fields:
        raise ExtractionError("the JSON schema has no properties; expected those of an object, one for each type")
    entities, relations = [], []
    for name, field in fields.items():
        value = _value(field, schema)
        columns = _columns(value, schema)
        about = {"name": str(name)} | _about(field) | _about(value, ("examples", "enum"))
        if len(columns) < 2:
            entities.append(about)
        else:
            relations.append(about | {"columns": columns})
    if entities and relations:
        raise ExtractionError(
            f"the JSON schema has texts ({entities[0]['name']}) and records ({relations[0]['name']}); entities and "
            "relations are asked for in runs of their own, so give a schema for each"
        )
    return {"relations": relations} if relations else {"entities": entities}


def _about(field: Any, keys: tuple[str, ...] = ("title", "description", "examples", "enum")) -> dict[str, Any]:
    """What a field says of itself, in the words of types."""
    if not isinstance(field, Mapping):
        return {}
    found: dict[str, Any] = {}
    for key in keys:
        value = field.get(key)
        if key in ("examples", "enum") and isinstance(value, list):
            texts = [str(one) for one in value if isinstance(one, str | int | float)]
            found |= {"examples": texts} if texts else {}
        elif key in ("title", "description") and isinstance(value, str) and value.strip():
            found["label" if key == "title" else key] = value
    return found


def _followed(field: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A field without references, and of several forms the first that is not null."""
    for _ in range(_DEPTH):
        if not isinstance(field, Mapping):
            raise ExtractionError(f"the JSON schema has {field!r} where a field should be described")
        if isinstance(field.get("$ref"), str):
            found: Any = root
            for step in filter(None, field["$ref"].removeprefix("#").split("/")):  # "#" is the schema itself
                found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
            if not field["$ref"].startswith("#") or found is None:
                raise ExtractionError(f"the reference {field['$ref']!r} of the JSON schema leads nowhere within it")
            field = found
            continue
        forms = next((field[key] for key in ("anyOf", "oneOf", "allOf") if isinstance(field.get(key), list)), [])
        forms = [form for form in forms if not (isinstance(form, Mapping) and form.get("type") == "null")]
        if not forms or "properties" in field:
            return field
        field = forms[0]
    raise ExtractionError("the references of the JSON schema lead in a circle")


def _value(field: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a field holds, or the members of its list."""
    value = _followed(field, root)
    for _ in range(_DEPTH):
        if "items" not in value:
            return value
        value = _followed(value["items"], root)
    raise ExtractionError("the lists of the JSON schema are nested too deeply")


def _columns(value: Mapping[str, Any], root: Mapping[str, Any], before: str = "", depth: int = 0) -> list[str]:
    """Names of the columns of a record, those of records within it under both names; none for a text."""
    fields = value.get("properties")
    if not isinstance(fields, Mapping):
        return []
    if depth > _DEPTH:
        raise ExtractionError("the records of the JSON schema are nested too deeply, or hold themselves")
    columns = []
    for name, field in fields.items():
        inner = _value(field, root)
        own = _about(field, ("title",)).get("label") or str(name).replace("_", " ").capitalize()
        full = f"{before} {own}".strip()
        columns += _columns(inner, root, full, depth + 1) or [full]
    return columns
