"""The one schema of questions in files: which fields a line has, and what is said of one that does not fit."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.questions.answers import KINDS, AnswerKind
from jaxuq.questions.kinds import kind_of
from jaxuq.questions.letters import ALPHABET
from jaxuq.questions.records import Question

_ALSO = {
    "question": ("instruction",), "answer": ("answers",), "solution": (), "kind": (), "choices": (), "also": (),
    "id": (), "category": ("task",), "source": ("dataset",), "part": ("split",), "weight": (), "uncertainty": (),
    "prompt": (), "response": (),
}  # fmt: skip
_PARTS = {
    **{name: name for name in ("train", "valid", "calibrate", "test")}, "validation": "valid", "val": "valid",
    "dev": "valid", "training": "train", "calibration": "calibrate", "testing": "test",
}  # fmt: skip
_MOST_CHOICES = len(ALPHABET)


def make_question(entry: Any, name: str) -> Question:
    """A question from an object of fields, such as a line of JSON.

    | field | or | what it is |
    |---|---|---|
    | `question` | `instruction` | what is asked |
    | `answer` | `answers` | the right one: text, a number, or a list of right ones; of `choices` one, its letter or its number from 0 |
    | `also` | | further right answers, a list |
    | `solution` | `response` beside `instruction` | the right answer written out; enough without `answer` |
    | `choices` | | answers to choose from: a list, `{"A": "...", "B": "..."}`, or `{"text": [...], "label": [...]}` |
    | `kind` | | `number`, `expression`, `choice`, `text`, `whole`; else `choice` with choices, `number` or `expression` where all right answers are (with a digit, or LaTeX), `whole` for a solution alone, `text` |
    | `id`, `category`, `source` | `task`, `dataset` | text |
    | `part` | `split` | `train`, `valid`, `calibrate`, `test` |
    | `weight`, `uncertainty` | | numbers, not negative |
    | `prompt` | | text or chat messages for the model, in place of a layout |
    | `response` | | what a model answered, to be scored |

    Other fields are passed over.

    Args:
        entry: the object.
        name: its id, if it has none.

    Returns:
        `Question`, not laid out.

    Raises:
        ValueError: it cannot be used; names the field and the remedy.

    Example:
        >>> make_question({"question": "2 + 2?", "choices": ["3", "4"], "answer": "4"}, "a").answers
        ('B',)
        >>> make_question({"question": "2 + 2?", "anwser": 4}, "a")
        Traceback (most recent call last):
        ValueError: `answer` is missing (there is `anwser`): give "answer", the right one, or "solution"
    """  # noqa: E501
    if not isinstance(entry, Mapping):
        raise ValueError(f"it is {_kind_of(entry)}: expected an object with fields such as question and answer")
    given = {field: _first(entry, (field, *others)) for field, others in _ALSO.items()}
    if entry.get("question") is None and given["solution"] is None:
        given["solution"], given["response"] = given["response"], None  # as data to learn instructions from have it
    asked, solution = _text(entry, given, "question"), _text(entry, given, "solution", "")
    labels, listed = _labelled(given["choices"])
    choices, truths = _choices(listed), _answers(given["answer"], given["also"])
    if choices and truths:
        numbers = all(isinstance(one, int | float) for one in listed)
        truths = tuple(labels.index(one) if one in labels else one for one in truths)
        truths = tuple(dict.fromkeys(ALPHABET[_position(one, choices, numbers)] for one in truths))
    if not truths and not solution:
        raise ValueError(f'`answer` is missing{_near(entry, "answer")}: give "answer", the right one, or "solution"')
    prompt = given["prompt"]
    if prompt is not None and not (isinstance(prompt, list) or (isinstance(prompt, str) and prompt.strip())):
        raise ValueError(f"`prompt` is {_kind_of(prompt)}: expected text, or a list of chat messages")
    part = _PARTS.get(str(given["part"] or "").lower(), "")
    if given["part"] and not part:
        raise ValueError(f"`part` is {given['part']!r}: expected train, valid, calibrate or test")
    return Question(
        _label(given["id"]) or name, asked, tuple(map(str, truths)), _kind(given["kind"], truths, choices), choices,
        solution, _label(given["category"]), _label(given["source"]), part,
        _number(given, "weight", 1.0), _number(given, "uncertainty", None),
        response=_text(entry, given, "response", None), prompt=prompt,
    )  # fmt: skip


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _near(entry: Mapping[str, Any], field: str) -> str:
    """A name in the object that may have been meant."""
    unknown = [str(name) for name in entry if name not in _ALSO]
    near = difflib.get_close_matches(field, unknown, n=1)
    return f" (there is `{near[0]}`)" if near else ""


def _text(entry: Mapping[str, Any], given: Mapping[str, Any], field: str, usual: Any = ...) -> Any:
    value = given[field]
    if value is None:
        if usual is ...:
            raise ValueError(f'`{field}` is missing{_near(entry, field)}: give "{field}", a text')
        return usual
    if not isinstance(value, str) or not value.strip():
        named = next((name for name in (field, *_ALSO[field], "response") if entry.get(name) is not None), field)
        raise ValueError(f"`{named}` is {_kind_of(value)}: expected text")
    return value


def _answers(answer: Any, also: Any) -> tuple[Any, ...]:
    if also is not None and not isinstance(also, list):
        raise ValueError(f"`also` is {_kind_of(also)}: expected a list of further right answers")
    if answer is None and not also:
        return ()
    listed = [*(answer if isinstance(answer, list) else [] if answer is None else [answer]), *(also or [])]
    for one in listed or [None]:
        number = isinstance(one, int | float) and not isinstance(one, bool)
        number = number and (isinstance(one, int) or math.isfinite(one))
        if not number and not (isinstance(one, str) and one.strip()):
            raise ValueError(f"`answer` is {_kind_of(one)}: expected text, a number, or a list of right ones")
    return tuple(listed)


def _labelled(value: Any) -> tuple[list[Any], Any]:
    """The labels of choices that are an object, as published sets have them, and the choices."""
    if not isinstance(value, Mapping):
        return [], value
    if isinstance(texts := value.get("text"), list):
        labels = value.get("label", value.get("labels"))
        return labels if isinstance(labels, list) and len(labels) == len(texts) else [], texts
    return list(value), list(value.values())


def _choices(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    usable = isinstance(value, list) and all(
        isinstance(one, str | int | float) and str(one).strip() and not isinstance(one, bool) for one in value
    )
    texts = tuple(str(one) for one in value) if usable else ()
    if not 2 <= len(texts) <= _MOST_CHOICES or len(set(texts)) != len(texts):
        raise ValueError(f"`choices` is {_kind_of(value)}: expected a list of 2 to {_MOST_CHOICES} different answers")
    return texts


def _position(answer: Any, choices: Sequence[str], numbers: bool) -> int:
    """A number is one of choices that are numbers, and the place of one, from 0, among others."""
    if numbers and not isinstance(answer, str):
        equal = [place for place, one in enumerate(choices) if float(one) == answer]
        if equal:
            return equal[0]
        raise ValueError(
            f"`answer` is {answer}, none of the choices {', '.join(choices)}: give one of them, or its letter"
        )
    if isinstance(answer, int) and 0 <= answer < len(choices):
        return answer
    text = str(answer)
    if text in choices:
        return choices.index(text)
    letter = text.strip().strip("().").upper()
    if len(letter) == 1 and letter in ALPHABET[: len(choices)]:
        return ALPHABET.index(letter)
    if text.strip().isdecimal() and int(text) < len(choices):
        return int(text)
    raise ValueError(
        f"`answer` is {answer!r}, none of the choices {', '.join(choices)}: give one of them, its letter, or its number"
    )


def _kind(given: Any, truths: Sequence[Any], choices: Sequence[str]) -> AnswerKind:
    if given is not None:
        if given not in KINDS:
            raise ValueError(f"`kind` is {given!r}: expected one of {', '.join(KINDS)}")
        if choices and given != "choice":
            raise ValueError(f"`kind` is {given!r} beside `choices`: leave one of them out; choices ask for a letter")
        return given
    if choices:
        return "choice"
    if not truths:
        return "whole"
    return kind_of(list(map(str, truths)))


def _number(given: Mapping[str, Any], field: str, usual: float | None) -> Any:
    value = given[field]
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e30:
        shown = value if isinstance(value, int | float) else _kind_of(value)
        raise ValueError(f"`{field}` is {shown}: expected a number >= 0")
    return float(value)


def _label(value: Any) -> str:
    return "" if value is None else str(value)


def _kind_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    if value is None:
        return "missing"
    if isinstance(value, str) and not value.strip():
        return "empty"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return names.get(type(value), type(value).__name__)
