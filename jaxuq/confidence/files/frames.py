"""Data frames of uqlm (`UQResult.to_df()`), as CSV or parquet: an answer a row, further answers, the scores of uqlm."""

import ast
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.confidence.files.records import (
    GivenAnswer,
    GivenSample,
    Unusable,
    grade,
    number,
    texts_of,
    token_log_probability,
)

_PROMPTS, RESPONSES = ("prompt", "prompts"), ("response", "responses")
_SAMPLES, _LOG_PROBS = ("sampled_responses", "candidate_responses"), ("logprob", "logprobs")
_SAMPLE_LOG_PROBS = ("sampled_logprob", "sampled_logprobs", "multiple_logprobs", "multiple_logprob")
_TRUTHS, _GRADES = (
    ("answer", "answers", "ground_truth", "ideal_answer", "target"),
    ("correct", "is_correct", "response_correct"),
)
_LONGEST = 1 << 24


def is_frame(entry: Mapping[str, Any]) -> bool:
    """Whether a row has a response and what uqlm says of it: sampled responses, log-probabilities or a prompt."""
    return _has(entry, RESPONSES) and (
        _has(entry, _SAMPLES)
        or _has(entry, _LOG_PROBS)
        or (_has(entry, _PROMPTS) and any(0.0 <= one <= 1.0 for one in _scores(entry).values()))
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


def _scores(entry: Mapping[str, Any]) -> dict[str, float]:
    """Columns of numbers: uqlm's scores are those of which all are between 0 and 1."""
    known = {*_PROMPTS, *RESPONSES, *_SAMPLES, *_LOG_PROBS, *_SAMPLE_LOG_PROBS, *_TRUTHS, *_GRADES, "id", "index"}
    found = {}
    for name, value in entry.items():
        try:
            one = number(value, name) if name and name not in known and not name.startswith("Unnamed") else math.nan
        except Unusable:
            continue
        if not math.isnan(one) and name.replace("_", "").replace("-", "").isalnum():
            found[name] = one
    return found


def read_frame(entry: Mapping[str, Any]) -> GivenAnswer:
    """The answer of a row.

    Raises:
        Unusable: why there is none.
    """
    text = _text(_plain(_first(entry, RESPONSES)))
    if not text.strip():
        raise Unusable("its response is missing or empty")
    asked = listed(_first(entry, _PROMPTS))
    if isinstance(asked, list):  # messages
        said = [one.get("content") for one in asked if isinstance(one, Mapping)]
        asked = next((one for one in reversed(said) if isinstance(one, str)), "")
    further = listed(_first(entry, _SAMPLES))
    pieces, log_probs = _tokens(listed(_first(entry, _LOG_PROBS)))
    samples = []
    if isinstance(further, list):
        theirs = listed(_first(entry, _SAMPLE_LOG_PROBS))
        rows = theirs if isinstance(theirs, list) and len(theirs) == len(further) else [None] * len(further)
        for one, told in zip(further, rows):
            said = _text(one)
            if not said and one != "":
                raise Unusable(f"a sampled response is {one!r:.40}; expected text")
            _, values = _tokens(told)
            samples.append(GivenSample(said, len(values) or None, sum(values) if values else None))
    return GivenAnswer(
        "".join(texts_of(entry.get("id"))), asked if isinstance(asked, str) else "", text,
        texts_of(listed(_first(entry, _TRUTHS))), grade(_first(entry, _GRADES)), None, pieces, log_probs,
        samples=tuple(samples), scores=_scores(entry),
    )  # fmt: skip


def _tokens(given: Any) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Tokens and log-probabilities of uqlm's `logprob`: objects of the OpenAI protocol, or numbers."""
    if not isinstance(given, list) or not given:
        return (), ()
    values = [one.get("logprob") if isinstance(one, Mapping) else one for one in given]
    pieces = tuple(str(one["token"]) for one in given if isinstance(one, Mapping) and isinstance(one.get("token"), str))
    return pieces if len(pieces) == len(given) else (), tuple(
        token_log_probability(one, "a log-probability") for one in values
    )
