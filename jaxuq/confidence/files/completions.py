"""Completions of the OpenAI protocol (OpenAI, vLLM, jaxuq's own server): chat or text, alone or as lines of a batch.

`logprobs` give the tokens of the answer; the likeliest of each place as many as every place has. Further choices are
further answers. Beside a completion, or around it, a line may have `question`, `answer` (or `truth`, `target`) and
`correct`.
"""

from collections.abc import Mapping
from typing import Any

from jaxuq.confidence.files.records import (
    LENGTHS,
    GivenAnswer,
    GivenSample,
    Unusable,
    even,
    grade,
    texts_of,
    token_log_probability,
)

_TRUTHS = ("answer", "answers", "truth", "target", "ground_truth")
_GRADES = ("correct", "is_correct")


def _body(entry: Mapping[str, Any]) -> Any:
    """The completion of a line: itself, or within a batch's `response`, or under `completion`."""
    for name in ("response", "completion"):
        inner = entry.get(name)
        if isinstance(inner, Mapping):
            return inner.get("body") if "body" in inner or "status_code" in inner else inner
    return entry


def is_completion(entry: Mapping[str, Any]) -> bool:
    """Whether a line has a completion, or is of a batch whose request failed."""
    body = _body(entry)
    if "custom_id" in entry and "response" in entry:
        return True
    choices = body.get("choices") if isinstance(body, Mapping) else None
    return isinstance(choices, list) and all(
        isinstance(one, Mapping) and ("message" in one or "text" in one) for one in choices
    )


def read_completion(entry: Mapping[str, Any]) -> GivenAnswer:
    """The answer of a line.

    Raises:
        Unusable: why there is none.
    """
    body = _body(entry)
    choices = body.get("choices") if isinstance(body, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        failed = entry.get("error") or (body.get("error") if isinstance(body, Mapping) else None)
        raise Unusable(f"the request failed: {failed!r:.80}" if failed else "it has no `choices`")
    text, pieces, log_probs, likeliest = _choice(choices[0])
    samples = []
    for one in choices[1:]:
        said, tokens, values, _ = _choice(one, further=True)
        samples.append(GivenSample(said, len(tokens) or None, sum(values) if values else None))
    around = [one for one in (entry, body) if isinstance(one, Mapping)]
    truth = next((texts_of(one[name]) for one in around for name in _TRUTHS if name in one), ())
    right = next((grade(one[name]) for one in around for name in _GRADES if name in one), None)
    name = entry.get("custom_id") or entry.get("id") or body.get("id")
    question = next((one["question"] for one in around if isinstance(one.get("question"), str)), "")
    return GivenAnswer(
        "" if name is None else str(name), question, text, truth, right, None, pieces, log_probs, (), likeliest,
        tuple(samples),
    )  # fmt: skip


def _choice(
    choice: Any, *, further: bool = False
) -> tuple[str, tuple[str | bytes, ...], tuple[float, ...], tuple[tuple[float, ...], ...]]:
    if not isinstance(choice, Mapping):
        raise Unusable(f"a choice is {choice!r:.40}; expected an object")
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if further and text is None:  # a further answer that says nothing is one that agrees with none
        text = ""
    if not isinstance(text, str) or not (further or text.strip()):
        raise Unusable("a choice has no text")
    told = choice.get("logprobs")
    if not isinstance(told, Mapping) or all(told.get(name) is None for name in ("content", "tokens", "token_logprobs")):
        return text, (), (), ()
    if isinstance(told.get("content"), list):
        tokens = told["content"]
        if not all(isinstance(one, Mapping) for one in tokens):
            raise Unusable("`logprobs.content` holds something that is no object")
        pieces = [_piece(one) for one in tokens]
        values = [one.get("logprob") for one in tokens]
        others = [one.get("top_logprobs") for one in tokens]
        rows = [
            [one.get("logprob") for one in row if isinstance(one, Mapping)] if isinstance(row, list) else []
            for row in others
        ]
    else:
        pieces, values, others = (told.get(name) for name in ("tokens", "token_logprobs", "top_logprobs"))
        if not isinstance(pieces, list) or not isinstance(values, list) or len(pieces) != len(values):
            raise Unusable("`logprobs` has not as many `token_logprobs` as `tokens`")
        others = others if isinstance(others, list) and len(others) == len(pieces) else [None] * len(pieces)
        rows = [list(row.values()) if isinstance(row, Mapping) else [] for row in others]
        if values and values[0] is None:  # an echoed prompt has no probability of its first token
            raise Unusable("`token_logprobs` begins with none: an echoed prompt cannot be told from the answer")
    if len(pieces) > LENGTHS or not all(isinstance(one, str | bytes) for one in pieces):
        raise Unusable("`logprobs` has a token that is no text")
    known = tuple(token_log_probability(one, "a token's log-probability") for one in values)
    return (
        text,
        tuple(pieces),
        known,
        even([[token_log_probability(one, "an alternative's log-probability") for one in row] for row in rows]),
    )


def _piece(token: Mapping[str, Any]) -> Any:
    """What a token adds: its bytes, since one that ends within a character has no text of its own."""
    told = token.get("bytes")
    if isinstance(told, list) and all(isinstance(one, int) and 0 <= one < 256 for one in told):
        return bytes(told)
    return token.get("token")
