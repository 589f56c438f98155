"""`samples_*.jsonl` of lm-evaluation-harness: a document with the answers to it and its metrics on each line.

Requests of a document that is a choice are log-likelihoods, one for each choice; their answer is the likeliest choice,
taken as one token of a vocabulary of choices, and right if `acc` says so: `acc_norm`, `acc_bytes` and `acc_mutual_info`
grade another answer, and `exact_match` of choices whether the right one is what greedy decoding writes. Otherwise
requests are texts; repeats are further answers. A document stands in the file once for each filter of its task: the
first filter's lines are read. The likelihood of one continuation, or of a whole text, is no answer.
"""

import ast
import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq.confidence.files.records import GivenAnswer, GivenSample, Unusable, grade, log_probability, texts_of

_METRICS = ("exact_match", "acc", "em", "pass@1")
_NOT_OF_THE_LIKELIEST = ("exact_match", "acc_norm", "acc_bytes", "acc_mutual_info")
_DEGREES = re.compile(r"(?!.*_acc$).*(?:bleu|rouge|chrf|f1|perplexity|bits_per|brier|mcc|loss|bypass|wer$|cer$|ter$)")
"""Metrics whose 0 and 1 are not wrong and right."""
_OF_TEXTS = {"word_perplexity", "byte_perplexity", "bits_per_byte"}
_VOTE = re.compile("maj|vote|consist", re.IGNORECASE)


def is_harness(entry: Mapping[str, Any]) -> bool:
    """Whether a line has what the harness writes, in every of its versions."""
    return {"doc_id", "resps"} <= entry.keys() and ("doc" in entry or "target" in entry)


def filter_of(entry: Mapping[str, Any]) -> str:
    """The filter that a line is of; empty: there are none."""
    return str(entry.get("filter", ""))


def grading_metrics(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Metrics that are 0 or 1 on every line that has them, the best known first, and of which 1 is best.

    `acc` is one in any case: a line of which it is a share costs itself. A metric of degrees, such as F1, is 0 or 1 now
    and then: were it read there, only the extremes would be graded.

    Args:
        entries: lines of a file.
    """
    graded: dict[str, bool] = dict.fromkeys(_METRICS, True)
    for entry in entries:
        for name in (*_METRICS, *_named(entry)):
            if name in entry and name != "acc" and not _DEGREES.match(name):
                graded[name] = graded.get(name, True) and grade(entry[name]) is not None
    return tuple(name for name, always in graded.items() if always)


def read_harness(entry: Mapping[str, Any], metrics: Sequence[str] | None = None) -> GivenAnswer:
    """The answer of a line.

    Args:
        entry: the line.
        metrics: of its file, `grading_metrics`; None: of the line alone.

    Raises:
        Unusable: why there is none.
    """
    requests = entry["resps"]
    if not isinstance(requests, list) or not requests or not isinstance(requests[0], list):
        raise Unusable(f"`resps` is {requests!r:.40}; expected a list of the responses to each request")
    metrics = grading_metrics([entry]) if metrics is None else metrics
    if all(isinstance(one, list) and one and isinstance(one[0], list | tuple) and one[0] for one in requests):
        return _choice(entry, requests, metrics)
    said = [one for one in requests[0] if isinstance(one, str)]
    if _OF_TEXTS & set(_named(entry)) or (len(requests) == 1 and [len(one) for one in _arguments(entry)] == [1]):
        raise Unusable("it has the likelihood of a whole text, which is no answer")
    if not said:
        raise Unusable("`resps` has no text and no log-likelihoods")
    given = entry.get("filtered_resps")
    taken = given[0] if isinstance(given, list) and given and isinstance(given[0], str) else None
    if not taken or taken.startswith("[invalid"):
        taken = None
    place = 0 if taken is None else _place(said, taken, filter_of(entry))
    return GivenAnswer(
        str(entry["doc_id"]), _asked(entry), said[place], _truths(entry.get("target")), _correct(entry, metrics),
        None if taken == said[place] else taken,
        samples=tuple(GivenSample(one) for at, one in enumerate(said) if at != place),
    )  # fmt: skip


def _place(said: Sequence[str], taken: str, name: str) -> int:
    """Which response a filter took its answer from: the first, unless it is another's, as where they vote."""
    if taken in said:
        return said.index(taken)
    ends = [at for at, one in enumerate(said) if one.rstrip(" \n.!)*$").endswith(taken)]
    has = [at for at, one in enumerate(said) if taken in one]
    return min(has, default=0) if 0 in has and not _VOTE.search(name) else next(iter([*ends, *has]), 0)


def _choice(entry: Mapping[str, Any], requests: list[Any], metrics: Sequence[str]) -> GivenAnswer:
    if "acc_mutual_info" in entry and len(requests) % 2 == 0:  # then the choices once more, without the question
        requests = requests[: len(requests) // 2]
    if len(requests) == 1:
        raise Unusable("it has the likelihood of one continuation, which is no answer")
    share = entry.get("acc")
    if isinstance(share, float) and 0.0 < share < 1.0:
        raise Unusable(f"its `acc` is {share:g}, a share of several right choices: neither right nor wrong")
    told = [log_probability(one[0][0], "a log-likelihood of `resps`") for one in requests]
    arguments = [one for one in _arguments(entry) if len(one) > 1 and isinstance(one[1], str)][: len(told)]
    before, after = ([str(one[side]).strip() for one in arguments] for side in (0, 1))
    turned = len(set(after)) == 1 < len(set(before))  # the choices stand in the question, as in WinoGrande
    choices = before if turned else after
    if len(choices) != len(told) or len(set(choices)) != len(told):
        choices, turned = [str(number) for number in range(len(told))], False
    scores = np.asarray(told)
    if not np.isfinite(scores).any():
        raise Unusable("no choice has a probability above 0")
    normal = scores - np.logaddexp.reduce(scores)
    chosen = int(np.argmax(scores))
    some = normal[np.isfinite(normal)]
    entropy = max(float(-(np.exp(some) * some).sum()), 0.0)
    gold = [] if turned else _gold(entry.get("target"), choices)
    right = _correct(entry, [one for one in metrics if one not in _NOT_OF_THE_LIKELIEST])
    if right is None and gold and "acc" not in entry:
        right = chosen in gold
    truth = tuple(choices[one] for one in gold) or ((choices[chosen],) if right else ())
    return GivenAnswer(
        str(entry["doc_id"]), after[0] if turned else _asked(entry), choices[chosen], () if right is None else truth,
        right, choices[chosen], (choices[chosen],), (float(normal[chosen]),), (entropy,),
        (tuple(sorted(map(float, some), reverse=True)),) if len(some) > 1 else (),
    )  # fmt: skip


def _gold(target: Any, choices: Sequence[str]) -> list[int]:
    """The right choices: `target` is the number of one, or its text, or a list; nothing where it might be either."""
    target = _listed(target)
    found = []
    for one in map(str, target if isinstance(target, list) else [target]):
        of_text = {at for at, choice in enumerate(choices) if choice == one.strip()}
        of_number = {int(one)} & set(range(len(choices))) if one.isdecimal() and len(one) < 9 else set()
        either = of_text | of_number
        if len(either) != 1:
            return []
        found += either
    return found


def _named(entry: Mapping[str, Any]) -> list[str]:
    """The metrics of a line."""
    named = entry.get("metrics")
    return [str(one) for one in named] if isinstance(named, list) else []


def _truths(target: Any) -> tuple[str, ...]:
    """Right answers; newer versions write a list of them as its text."""
    found = _listed(target)
    return texts_of(found if isinstance(found, list) and all(isinstance(one, str) for one in found) else target)


def _listed(target: Any) -> Any:
    """The list that a text is; anything else as it is."""
    if isinstance(target, str) and target.startswith("[") and len(target) < 10_000:
        with contextlib.suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            return ast.literal_eval(target)
    return target


def _arguments(entry: Mapping[str, Any]) -> list[list[Any]]:
    """The arguments of each request: prompt, and continuation or options."""
    given = entry.get("arguments")
    rows = list(given.values()) if isinstance(given, Mapping) else given if isinstance(given, list) else []
    return [list(one.values()) if isinstance(one, Mapping) else one for one in rows if isinstance(one, Mapping | list)]


def _asked(entry: Mapping[str, Any]) -> str:
    document = entry.get("doc")
    if isinstance(document, Mapping) and isinstance(document.get("question"), str):
        return document["question"]
    rows = _arguments(entry)
    return rows[0][0] if rows and rows[0] and isinstance(rows[0][0], str) else ""


def _correct(entry: Mapping[str, Any], metrics: Sequence[str]) -> bool | None:
    return next((found for one in metrics if (found := grade(entry.get(one))) is not None), None)
