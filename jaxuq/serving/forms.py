"""The form that a request asks answers to have: JSON of a schema, a match of an expression, or one of some texts."""

from typing import TYPE_CHECKING, Any

from jaxuq.serving.fields import Fields
from jaxuq.serving.jobs import BadRequest

if TYPE_CHECKING:
    from jaxuq.language import Constraint

_UNSUPPORTED = "unsupported_parameter"


def read_response_format(value: Any) -> "Constraint | None":
    """The field `response_format`.

    Args:
        value: `{"type": "text"}`, `{"type": "json_object"}`, or
            `{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}`; None: text.

    Returns:
        The constraint; None for text.

    Raises:
        BadRequest: something else.

    Example:
        >>> read_response_format({"type": "text"}) is None
        True
    """
    if value is None:
        return None
    where = "response_format"
    if not isinstance(value, dict):
        raise BadRequest(f"{where} is an object such as {{'type': 'json_object'}}", param=where)
    fields = Fields(value)
    kind, given = fields.take("type"), fields.take("json_schema")
    fields.end()
    if kind not in ("text", "json_object", "json_schema"):
        shown = f"{kind[:40]!r}" if isinstance(kind, str) else "missing"
        raise BadRequest(
            f"{where}.type is {shown}, which is not supported; expected text, json_object or json_schema "
            "(expressions and choices: jaxuq.regex and jaxuq.choices)",
            param=where, code=_UNSUPPORTED,
        )  # fmt: skip
    if kind != "json_schema":
        if given is not None:
            raise BadRequest(f"{where}.json_schema needs the type json_schema", param=where)
        return None if kind == "text" else made_constraint("schema_constraint", {"type": "object"}, where)
    if not isinstance(given, dict) or not isinstance(given.get("schema"), dict):
        raise BadRequest(f"{where}.json_schema needs a schema, an object", param=f"{where}.json_schema")
    inner = Fields(given)
    for name in ("name", "description", "schema", "strict"):  # it is strict whatever is asked
        inner.take(name)
    inner.end()
    return made_constraint("schema_constraint", given["schema"], f"{where}.json_schema.schema")


def read_form(given: Fields) -> "Constraint | None":
    """The fields `regex`, `choices` and `table` of the field `jaxuq`.

    Args:
        given: the fields of it.

    Returns:
        The constraint, if there is one.

    Raises:
        BadRequest: several, or something else than a text, a list of texts, or columns and a text.
    """
    forms = {name: value for name in ("regex", "choices", "table") if (value := given.take(name)) is not None}
    if len(forms) > 1:
        raise BadRequest(
            f"{' and '.join(f'jaxuq.{name}' for name in forms)} are several forms; give one", param="jaxuq"
        )
    for name, value in forms.items():
        if name == "table":
            return _table(value)
        if name == "regex" and not isinstance(value, str):
            raise BadRequest("jaxuq.regex is a regular expression, a text", param="jaxuq")
        if name == "choices" and not _texts(value):
            raise BadRequest("jaxuq.choices is a list of texts", param="jaxuq")
        return made_constraint(f"{name}_constraint", value, f"jaxuq.{name}")
    return None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _table(value: Any) -> "Constraint":
    wrong = BadRequest(
        "jaxuq.table is an object such as {'columns': ['Person'], 'text': 'Ada met Bo.'}, with 'choices' of columns",
        param="jaxuq",
    )
    if not isinstance(value, dict):
        raise wrong
    fields = Fields(value)
    columns, text, choices = fields.take("columns"), fields.take("text"), fields.take("choices", {})
    fields.end()
    if not _texts(columns) or not isinstance(text, str) or not isinstance(choices, dict):
        raise wrong
    if not all(map(_texts, choices.values())):
        raise wrong
    return made_constraint("table_constraint", columns, "jaxuq.table", text, choices=choices)


def made_constraint(name: str, source: Any, where: str, *more: Any, **options: Any) -> "Constraint":
    """A constraint of `jaxuq.language`, or what is wrong with it."""
    from jaxuq import language

    try:
        return getattr(language, name)(source, *more, **options)
    except language.ConstraintError as error:
        raise BadRequest(f"{where}: {error}", param=where.partition(".")[0], code=_UNSUPPORTED) from None
