"""What a task of Label Studio says of its entities, and where they are."""

from collections.abc import Mapping
from typing import Any


def as_object(value: Any, what: str) -> Mapping[str, Any]:
    """The value, if it is an object of JSON."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{what} is {value!r}; expected an object")
    return value


def label_studio_values(task: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The entities of a task, whole or minimal; None where nobody has annotated it."""
    whole = task.get("annotations", task.get("completions"))  # the latter before version 1.0
    if whole is not None:
        kept = [one["result"] for one in whole if not one.get("was_cancelled")]
        if not kept:
            return None
        values = [as_object(one.get("value", {}), "a value") for one in kept[0]]
        if any("hypertextlabels" in value for value in values):
            raise ValueError("its entities are of a HyperText; export the project with a Text tag")
        return [value for value in values if "labels" in value]
    for value in task.values():  # minimal: called as the tag that labels
        if isinstance(value, list) and value and all(isinstance(one, dict) and "labels" in one for one in value):
            return value
    return [] if "annotator" in task else None


def characters(text: str, value: Mapping[str, Any]) -> tuple[int, int] | None:
    """Where an annotation is, None if not where it says; a browser counts a sign beyond U+FFFF as two."""
    start, end, said = int(value["start"]), int(value["end"]), value.get("text")
    units = text.encode("utf-16-le")
    before, inside = units[: 2 * start], units[2 * start : 2 * end]
    if said is None:
        return start, end
    if inside.decode("utf-16-le", "replace") == said:
        first = len(before.decode("utf-16-le", "replace"))
        return first, first + len(said)
    return (start, end) if _inked(text[start:end]) == _inked(said) else None


def _inked(text: str) -> str:
    """A text without its blanks; Label Studio writes a line's end as two characters."""
    return "".join(text.replace("\\r", "").replace("\\n", "").split())
