"""What servers of the chat protocol send, read into replies: every field of its type, or dropped."""

import codecs
import json
from collections.abc import Iterable
from typing import Any

from jaxuq.extraction.chat import Reply

_MOST_TOKENS = 10**9
_LARGEST = 1e6  # of a log-probability


class UnreadableReply(ValueError):
    """A reply that is none; the message never repeats what was sent."""


class BrokenOff(ValueError):
    """A stream that tells of an error; the message is the server's own."""


def reply_from_json(content: bytes | str) -> Reply:
    """The reply of a whole response.

    Args:
        content: a JSON object `chat.completion`.

    Returns:
        The reply. Fields of another type than the protocol's are dropped; only the text is needed.

    Raises:
        UnreadableReply: it is no JSON, or has no text.

    Example:
        >>> reply_from_json('{"choices": [{"message": {"content": "Ada"}}], "usage": {"prompt_tokens": "many"}}')
        Reply(text='Ada', error='', finish='stop', pieces=(), log_probs=(), prompt_tokens=0, ...)
    """
    whole = _object(content, "the server's reply is no JSON")
    choice = _first(whole.get("choices"))
    message = _dict(choice.get("message"))
    if not choice or not isinstance(message.get("content"), str | None):
        raise UnreadableReply("the server's reply is no chat completion")
    pieces, log_probs = _token_log_probs(_entries(choice.get("logprobs")))
    finish = _finish(choice.get("finish_reason")) or "stop"
    return Reply(_text(message.get("content")), "", finish, pieces, log_probs, *_counts(whole.get("usage")))


def reply_from_events(lines: Iterable[str]) -> Reply:
    """The reply of a stream of server-sent events; whole only if the server says that it ends.

    Args:
        lines: of the stream.

    Returns:
        The reply.

    Raises:
        UnreadableReply: an event is no JSON, or the stream ends too early.
        BrokenOff: the server sent an error.
    """
    text: list[str] = []
    entries: list[Any] = []
    finish, done, counts = "", False, (0, 0)
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            done = True
            break
        event = _object(data, "an event of the stream is no JSON of a chat completion")
        if event.get("error"):
            error = event["error"]
            raise BrokenOff(_text(error["message"] if isinstance(error, dict) and "message" in error else error))
        counts = _counts(event["usage"]) if event.get("usage") else counts
        choice = _first(event.get("choices"))
        text.append(_text(_dict(choice.get("delta")).get("content")))
        entries += _entries(choice.get("logprobs"))
        finish = _finish(choice.get("finish_reason")) or finish
    if not done and not finish:
        raise UnreadableReply("the stream ended before the reply did")
    return Reply("".join(text), "", finish or "stop", *_token_log_probs(entries), *counts)


def reply_of_record(record: Any) -> Reply:
    """The reply of an entry of a cache.

    Args:
        record: `Reply._asdict()` as JSON gives it back.

    Returns:
        The reply, marked as cached.

    Raises:
        UnreadableReply: it is no such record.
    """
    fields = _dict(record)
    pieces, log_probs = fields.get("pieces"), fields.get("log_probs")
    if not isinstance(fields.get("text"), str) or not isinstance(pieces, list) or not isinstance(log_probs, list):
        raise UnreadableReply("an entry of the cache is no reply")
    entries = [{"token": piece, "logprob": value} for piece, value in zip(pieces, log_probs)]
    kept = _token_log_probs(entries)
    finish = _finish(fields.get("finish")) or "stop"
    return Reply(_text(fields["text"]), "", finish, *kept, *_counts(fields), cached=True)


def _object(content: bytes | str, otherwise: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        raise UnreadableReply(otherwise) from None
    if not isinstance(value, dict):
        raise UnreadableReply(otherwise)
    return value


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(value: Any) -> dict[str, Any]:
    return _dict(value[0]) if isinstance(value, list) and value else {}


def _text(value: Any) -> str:
    """Text that can be written as UTF-8; what is no text is dropped."""
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if isinstance(value, str) else ""


def _finish(value: Any) -> str:
    """A reason to end: one short word."""
    return value if isinstance(value, str) and len(value) <= 40 and value.replace("_", "").isalpha() else ""


def _count(value: Any) -> int:
    known = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if known else 0


def _counts(usage: Any) -> tuple[int, int]:
    fields = _dict(usage)
    return _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))


def _entries(part: Any) -> list[Any]:
    content = _dict(part).get("content")
    return content if isinstance(content, list) else []


def _token_log_probs(entries: Iterable[Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Pieces and their log-probabilities; nothing if one of them is not what it should be.

    A token may be a part of a character: where the bytes are known, a character belongs to the token that ends it.
    """
    pieces, values = [], []
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for entry in map(_dict, entries):
        piece, value, raw = entry.get("token"), entry.get("logprob"), entry.get("bytes")
        if not isinstance(piece, str) or isinstance(value, bool) or not isinstance(value, int | float):
            return (), ()
        if not abs(value) <= _LARGEST:
            return (), ()
        try:
            pieces.append(decoder.decode(bytes(raw)) if isinstance(raw, list) else _text(piece))
        except (TypeError, ValueError):
            return (), ()
        values.append(min(float(value), 0.0))
    return tuple(pieces), tuple(values)
