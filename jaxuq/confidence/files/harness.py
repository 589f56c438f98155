"""`samples_*.jsonl` of lm-evaluation-harness: a document with the answers to it and its metrics on each line.

Requests of a document that is a choice are log-likelihoods, one for each choice; their answer is the likeliest choice,
taken as one token of a vocabulary of choices. Otherwise they are texts; repeats are further answers. A document stands
in the file once for each filter of its task: the first filter's lines are read.
"""

import ast
import contextlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxuq.confidence.files.records import GivenAnswer, GivenSample, Unusable, grade, log_probability, texts_of

_METRICS = ("exact_match", "acc", "acc_norm", "em", "pass@1")
_DEGREES = re.compile(r"(?!.*_acc$).*(?:bleu|rouge|chrf|f1|perplexity|bits_per|brier|mcc|loss|bypass|wer$|cer$|ter$)")
"""Metrics whose 0 and 1 are not wrong and right."""
_OF_TEXTS = {"word_perplexity", "byte_perplexity", "bits_per_byte"}


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
    name = str(entry["doc_id"])
    if all(isinstance(one, list) and one and isinstance(one[0], list | tuple) and one[0] for one in requests):
        return _choice(entry, name, requests, _chosen_right(entry))
    said = [one for one in requests[0] if isinstance(one, str)]
    if _OF_TEXTS & set(_named(entry)):
        raise Unusable("it tells how likely a text is (perplexity), and has no answer")
    if not said:
        raise Unusable("`resps` has no text and no log-likelihoods")
    given = entry.get("filtered_resps")
    taken = given[0] if isinstance(given, list) and given and isinstance(given[0], str) else None
    extracted = None if not taken or taken == said[0] or taken.startswith("[invalid") else taken
    return GivenAnswer(
        name, _asked(entry), said[0], _truths(entry.get("target")), _correct(entry), extracted,
        samples=tuple(map(GivenSample, said[1:])),
    )  # fmt: skip


def _choice(entry: Mapping[str, Any], name: str, requests: list[Any], right: bool | None) -> GivenAnswer:
    if "acc_mutual_info" in (*_named(entry), *entry):  # the second half are the choices without their question
        requests = requests[: (len(requests) + 1) // 2]
    told = [log_probability(one[0][0], "a log-likelihood of `resps`") for one in requests]
    if len(told) < 2:
        raise Unusable("it has the log-likelihood of one text alone, which is no answer among several")
    choices = _choices(entry, len(told))
    scores = np.asarray(told)
    if not np.isfinite(scores).any():
        raise Unusable("no choice has a probability above 0")
    normal = scores - np.logaddexp.reduce(scores)
    chosen = int(np.argmax(scores))
    some = normal[np.isfinite(normal)]
    entropy = max(float(-(np.exp(some) * some).sum()), 0.0)
    target = str(entry.get("target")).strip()
    # The target may be the number of a choice or its text; of choices that are numbers, the grade tells which.
    meant = [int(target)] if target in map(str, range(len(choices))) else []
    meant += [choices.index(target)] if target in choices else []
    meant = [one for one in meant if right in (None, one == chosen)] or meant
    truth = (choices[meant[0]],) if meant else _truths(entry.get("target"))
    if right is None and meant:
        right = meant[0] == chosen
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
    said = [str(one[1]).strip() for one in _arguments(entry)[:count] if len(one) > 1 and isinstance(one[1], str)]
    return said if len(said) == count and len(set(said)) == count else [str(number) for number in range(count)]


def _asked(entry: Mapping[str, Any]) -> str:
    document = entry.get("doc")
    if isinstance(document, Mapping) and isinstance(document.get("question"), str):
        return document["question"]
    rows = _arguments(entry)
    return rows[0][0] if rows and rows[0] and isinstance(rows[0][0], str) else ""


def _named(entry: Mapping[str, Any]) -> list[str]:
    """The metrics of a line."""
    named = entry.get("metrics")
    return [str(one) for one in named] if isinstance(named, list) else []


def _correct(entry: Mapping[str, Any]) -> bool | None:
    names = [one for one in (*_METRICS, *_named(entry)) if not _DEGREES.match(one)]
    return next((found for one in names if (found := grade(entry.get(one))) is not None), None)


def _chosen_right(entry: Mapping[str, Any]) -> bool | None:
    """Whether the likeliest choice is right: `acc` alone says so, the others are of other choices (`acc_norm`).

    Raises:
        Unusable: it says a share, as where several choices are right.
    """
    told = entry.get("acc")
    if isinstance(told, float) and 0.0 < told < 1.0:
        raise Unusable(f"its `acc` is {told:g}, a share of several right choices: neither right nor wrong")
    return grade(told)


def _truths(target: Any) -> tuple[str, ...]:
    """Right answers; newer versions write a list of them as its text."""
    if isinstance(target, str) and target.startswith("["):
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            listed = ast.literal_eval(target)
            if isinstance(listed, list) and listed and all(isinstance(one, str) for one in listed):
                return texts_of(listed)
    return texts_of(target)
