"""Data frames of uqlm (`UQResult.to_df()`), as CSV, JSON or parquet: an answer a row, further answers, its scores."""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxuq.confidence.files.records import (
    GivenAnswer,
    GivenSample,
    Unusable,
    even,
    grade,
    number,
    texts_of,
    token_log_probability,
)

_PROMPTS, _RESPONSES = ("prompt", "prompts"), ("response", "responses")
_SAMPLES, _LOG_PROBS = ("sampled_responses", "candidate_responses"), ("logprob", "logprobs")
_SAMPLE_LOG_PROBS = ("sampled_logprob", "sampled_logprobs", "multiple_logprobs", "multiple_logprob")
_TRUTHS, _GRADES = (
    ("answer", "answers", "ground_truth", "ideal_answer", "target"),
    ("correct", "is_correct", "response_correct"),
)
_LONGEST = 1 << 24
_UNCERTAIN = re.compile(r"(^|_)(entropy|num|index|seed|temperature)(_|$)")
_SILENT, _FAILED = "UNABLE TO GET LOGPROBS", "Unable to get response"  # as uqlm writes what a model did not give


def rows_of(entry: Any) -> list[dict[str, Any]] | None:
    """The rows of a frame that is one JSON object, as `to_json()` of pandas writes it: columns, then rows.

    Args:
        entry: that may be one; None is returned if it is not.
    """
    if not isinstance(entry, Mapping) or not all(isinstance(one, Mapping) for one in entry.values()):
        return None
    names = next((list(entry[name]) for name in _RESPONSES if name in entry), None)
    if names is None or any(list(one) != names for one in entry.values()):
        return None
    return [{column: values[name] for column, values in entry.items() if values[name] is not None} for name in names]


def is_frame(entry: Mapping[str, Any]) -> bool:
    """Whether a row has a response and what uqlm says of it: sampled responses, log-probabilities or a prompt."""
    return _has(entry, _RESPONSES) and (
        _has(entry, _SAMPLES) or _has(entry, _LOG_PROBS) or (_has(entry, _PROMPTS) and bool(score_columns([entry])))
    )


def _has(entry: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(name in entry for name in names)


def _first(entry: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


_NUMBERS = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|\bnp\.\w+\(([^()'"]*)\)|\b(inf|nan)\b""")
"""Texts, and what NumPy and Python print numbers as that are no literals."""


def _literal(found: re.Match[str]) -> str:
    if found[1] is not None:
        return found[1]
    return found[2] if found[2] is not None else {"inf": "1e999", "nan": "None"}[found[3]]


def _plain(value: Any) -> Any:
    """Arrays within arrays, as parquet files have them, as lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """A response; of a column of numbers the number."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return f"{value:.15g}"
    return value if isinstance(value, str) else ""


def listed(value: Any) -> Any:
    """A list that a cell of a CSV file holds as text; anything else as it is. Nothing in it is executed.

    Raises:
        Unusable: it begins like a list and is none.
    """
    value = _plain(value)
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    if len(value) > _LONGEST:
        raise Unusable(f"a list has {len(value)} characters; the most are {_LONGEST}")
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(_NUMBERS.sub(_literal, _NUMBERS.sub(_literal, value)))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        raise Unusable(f"{value!r:.40} is no list") from None


def _perhaps_listed(value: Any) -> Any:
    """A list, or the text itself: questions and answers may begin with a bracket."""
    try:
        return listed(value)
    except Unusable:
        return value


def score_columns(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Columns of numbers between 0 and 1: uqlm's scores, all of which are confidences, but for entropies and counts.

    Args:
        rows: of a frame; a column that leaves these bounds in one of them is no score.
    """
    known = {*_PROMPTS, *_RESPONSES, *_SAMPLES, *_LOG_PROBS, *_SAMPLE_LOG_PROBS, *_TRUTHS, *_GRADES, "id", "index"}
    within: dict[str, bool] = {}
    for row in rows:
        for name, value in row.items():
            if (
                not isinstance(name, str)
                or not name.replace("_", "").replace("-", "").isalnum()
                or (name in known or name.startswith("Unnamed") or _UNCERTAIN.search(name))
            ):
                continue
            try:
                within[name] = within.get(name, True) and 0.0 <= number(value, name) <= 1.0
            except Unusable:  # missing, which pandas writes as nothing or NaN, or a text
                within[name] = within.get(name, True) and _missing(value)
    return tuple(name for name, always in within.items() if always)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value) or str(value).strip().lower() in ("", "nan")


def _scores(entry: Mapping[str, Any], columns: Sequence[str]) -> dict[str, float]:
    return {name: number(entry[name], name) for name in columns if name in entry and not _missing(entry[name])}


def read_frame(entry: Mapping[str, Any], columns: Sequence[str] | None = None) -> GivenAnswer:
    """The answer of a row.

    Args:
        entry: the row.
        columns: with scores, `score_columns` of its frame; None: of the row alone.

    Raises:
        Unusable: why there is none.
    """
    text = _text(_plain(_first(entry, _RESPONSES)))
    if not text.strip():
        raise Unusable("its response is missing or empty")
    if text == _FAILED:
        raise Unusable("uqlm could not get a response")
    asked = _question(_first(entry, _PROMPTS))
    further = listed(_first(entry, _SAMPLES))
    pieces, log_probs, likeliest = _tokens(_first(entry, _LOG_PROBS))
    samples = []
    if isinstance(further, list):
        theirs = listed(_first(entry, _SAMPLE_LOG_PROBS))
        rows = theirs if isinstance(theirs, list) and len(theirs) == len(further) else [None] * len(further)
        for one, told in zip(further, rows):
            said = _text(one)
            if not said and one != "":
                raise Unusable(f"a sampled response is {one!r:.40}; expected text")
            _, values, _ = _tokens(told)
            samples.append(GivenSample(said, len(values) or None, sum(values) if values else None))
    columns = score_columns([entry]) if columns is None else columns
    return GivenAnswer(
        "".join(texts_of(entry.get("id"))), asked, text, texts_of(_perhaps_listed(_first(entry, _TRUTHS))),
        grade(_first(entry, _GRADES)), None, pieces, log_probs, (), likeliest, tuple(samples), _scores(entry, columns),
    )  # fmt: skip


def _question(asked: Any) -> str:
    """What was asked: a text, or the last of several messages, which langchain's classes write as they are made."""
    asked = _perhaps_listed(asked)
    if isinstance(asked, list):
        said = [one.get("content") for one in asked if isinstance(one, Mapping)]
        return next((one for one in reversed(said) if isinstance(one, str)), "")
    if not isinstance(asked, str):
        return ""
    if not asked.startswith("[") or not asked.endswith(")]") or len(asked) > _LONGEST:
        return asked
    try:
        made = ast.parse(asked, mode="eval").body
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return asked
    calls = [one for one in getattr(made, "elts", []) if isinstance(one, ast.Call)]
    values = [named.value for one in calls for named in one.keywords if named.arg == "content"]
    said = [one.value for one in values if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return said[-1] if said else asked


def _tokens(given: Any) -> tuple[tuple[str, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    """Tokens, log-probabilities and the likeliest of uqlm's `logprob`: objects of the OpenAI protocol, or numbers."""
    given = listed(given)
    if not isinstance(given, list) or not given:
        return (), (), ()
    if isinstance(given[0], Mapping) and given[0].get("token") == _SILENT:
        return (), (), ()
    values = [one.get("logprob") if isinstance(one, Mapping) else one for one in given]
    objects = [one for one in given if isinstance(one, Mapping)]
    pieces = tuple(str(one["token"]) for one in objects if isinstance(one.get("token"), str))
    others = [listed(one.get("top_logprobs")) for one in objects]
    rows = [[one.get("logprob") for one in row if isinstance(one, Mapping)] for row in others if isinstance(row, list)]
    likeliest = [[token_log_probability(one, "an alternative's log-probability") for one in row] for row in rows]
    return (
        pieces if len(pieces) == len(given) else (),
        tuple(token_log_probability(one, "a log-probability") for one in values),
        even(likeliest) if len(likeliest) == len(given) else (),
    )
