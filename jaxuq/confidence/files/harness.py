"""`samples_*.jsonl` of lm-evaluation-harness: a document with the answers to it and its metrics on each line.

Requests of a document that is a choice are log-likelihoods, one for each choice; their answer is the likeliest choice,
taken as one token of a vocabulary of choices. Otherwise they are texts; repeats are further answers. A document stands
in the file once for each filter of its task: the first filter's lines are read.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxuq.confidence.files.records import GivenAnswer, GivenSample, Unusable, grade, log_probability, texts_of

_METRICS = ("exact_match", "acc", "acc_norm", "em", "pass@1")


def is_harness(entry: Mapping[str, Any]) -> bool:
    """Whether a line has what the harness writes, in every of its versions."""
    return {"doc_id", "resps"} <= entry.keys() and ("doc" in entry or "target" in entry)


def filter_of(entry: Mapping[str, Any]) -> str:
    """The filter that a line is of; empty: there are none."""
    return str(entry.get("filter", ""))


def read_harness(entry: Mapping[str, Any]) -> GivenAnswer:
    """The answer of a line.

    Raises:
        Unusable: why there is none.
    """
    requests = entry["resps"]
    if not isinstance(requests, list) or not requests or not isinstance(requests[0], list):
        raise Unusable(f"`resps` is {requests!r:.40}; expected a list of the responses to each request")
    name, right = str(entry["doc_id"]), _correct(entry)
    if all(isinstance(one, list) and one and isinstance(one[0], list | tuple) and one[0] for one in requests):
        return _choice(entry, name, requests, right)
    said = [one for one in requests[0] if isinstance(one, str)]
    if not said:
        raise Unusable("`resps` has no text and no log-likelihoods")
    given = entry.get("filtered_resps")
    taken = given[0] if isinstance(given, list) and given and isinstance(given[0], str) else None
    extracted = None if taken is None or taken == said[0] or taken.startswith("[invalid") else taken
    return GivenAnswer(
        name, _asked(entry), said[0], texts_of(entry.get("target")), right, extracted,
        samples=tuple(map(GivenSample, said[1:])),
    )  # fmt: skip


def _choice(entry: Mapping[str, Any], name: str, requests: list[Any], right: bool | None) -> GivenAnswer:
    told = [log_probability(one[0][0], "a log-likelihood of `resps`") for one in requests]
    choices = _choices(entry, len(told))
    scores = np.asarray(told)
    normal = scores - np.logaddexp.reduce(scores)
    if not np.isfinite(normal).any():
        raise Unusable("no choice has a probability above 0")
    chosen = int(np.argmax(scores))
    some = normal[np.isfinite(normal)]
    entropy = max(float(-(np.exp(some) * some).sum()), 0.0)
    target = entry.get("target")
    truth = texts_of(target)
    if str(target) in map(str, range(len(choices))):
        truth = (choices[int(str(target))],)
    return GivenAnswer(
        name, _asked(entry), choices[chosen], truth, right, choices[chosen], (choices[chosen],),
        (float(normal[chosen]),), (entropy,), (tuple(sorted(map(float, some), reverse=True)),) if len(some) > 1 else (),
    )  # fmt: skip


def _arguments(entry: Mapping[str, Any]) -> list[list[Any]]:
    """The arguments of each request: prompt, and continuation or options."""
    given = entry.get("arguments")
    rows = list(given.values()) if isinstance(given, Mapping) else given if isinstance(given, list) else []
    return [list(one.values()) if isinstance(one, Mapping) else one for one in rows if isinstance(one, Mapping | list)]


def _choices(entry: Mapping[str, Any], count: int) -> list[str]:
    said = [str(one[1]).strip() for one in _arguments(entry) if len(one) > 1 and isinstance(one[1], str)]
    return said if len(said) == count and len(set(said)) == count else [str(number) for number in range(count)]


def _asked(entry: Mapping[str, Any]) -> str:
    document = entry.get("doc")
    if isinstance(document, Mapping) and isinstance(document.get("question"), str):
        return document["question"]
    rows = _arguments(entry)
    return rows[0][0] if rows and rows[0] and isinstance(rows[0][0], str) else ""


def _correct(entry: Mapping[str, Any]) -> bool | None:
    named = entry.get("metrics")
    names = [*_METRICS, *(named if isinstance(named, list) else [])]
    return next((found for one in names if (found := grade(entry.get(str(one)))) is not None), None)
