"""Answers as objects of the protocol."""

import base64
import secrets
import struct
import time
from collections.abc import Sequence
from typing import Any

from jaxuq.serving.fields import finite
from jaxuq.serving.jobs import Growth, TokenText
from jaxuq.serving.requests import Completion


def head(request: Completion, model: str, *, chunk: bool = False) -> dict[str, Any]:
    """What every object of one answer begins with.

    Args:
        request: that is answered.
        model: its name.
        chunk: whether it is an event of a stream.

    Returns:
        `id`, `object`, `created`, `model`.
    """
    kind = ("chat.completion.chunk" if chunk else "chat.completion") if request.chat else "text_completion"
    prefix = "chatcmpl" if request.chat else "cmpl"
    return {"id": f"{prefix}-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Numbers of tokens.

    Args:
        prompt: tokens read.
        completion: tokens generated.

    Returns:
        The field `usage`.
    """
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def chat_log_probs(tokens: Sequence[TokenText]) -> dict[str, Any]:
    """The field `logprobs` of a chat.

    Args:
        tokens: with their probabilities.

    Returns:
        `content`: token, bytes, log-probability and alternatives of each.
    """
    return {
        "content": [{**_entry(one), "top_logprobs": list(map(_entry, one.alternatives))} for one in tokens],
        "refusal": None,
    }


def _entry(token: TokenText) -> dict[str, Any]:
    return {"token": token.text, "bytes": list(token.raw), "logprob": finite(token.log_prob)}


def text_log_probs(tokens: Sequence[TokenText], offset: int) -> dict[str, Any]:
    """The field `logprobs` of a completion.

    Args:
        tokens: with their probabilities.
        offset: characters of the text before them.

    Returns:
        `tokens`, `token_logprobs`, `top_logprobs`, `text_offset`, one entry a token. Of alternatives that read the
        same, such as halves of different characters, the likeliest is told.
    """
    offsets, read = [], b""
    for one in tokens:
        offsets.append(offset + len(read.decode("utf-8", "ignore")))
        read += one.raw
    return {
        "tokens": [one.text for one in tokens],
        "token_logprobs": [finite(one.log_prob) for one in tokens],
        "top_logprobs": [
            {other.text: finite(other.log_prob) for other in reversed(one.alternatives)} if one.alternatives else None
            for one in tokens
        ],
        "text_offset": offsets,
    }


def whole_choice(
    request: Completion, index: int, grown: Sequence[Growth], before: Sequence[TokenText] = (), text: str = ""
) -> dict[str, Any]:
    """One answer.

    Args:
        request: that is answered.
        index: of the choice.
        grown: the answer's parts.
        before: tokens of the prompt, for `echo`.
        text: of the prompt, for `echo`.

    Returns:
        An entry of `choices`.
    """
    said, finish = "".join(one.text for one in grown), next((one.finish for one in grown if one.finish), "length")
    tokens = [token for one in grown for token in one.tokens]
    choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": None}
    verdicts = [one.verdict for one in grown if one.verdict is not None]
    if verdicts:
        choice["jaxuq"] = {name: value for verdict in verdicts for name, value in verdict.items()}
    if request.chat:
        choice["message"] = {"role": "assistant", "content": said, "refusal": None}
        choice["logprobs"] = chat_log_probs(tokens) if request.log_probs else None
    else:
        choice["text"] = text + said
        choice["logprobs"] = text_log_probs([*before, *tokens], 0) if request.log_probs else None
    return choice


def part_choice(request: Completion, index: int, grown: Growth, offset: int) -> dict[str, Any]:
    """What an answer has grown by, as an entry of `choices` of an event.

    Args:
        request: that is answered.
        index: of the choice.
        grown: the part.
        offset: characters of the answer before it.

    Returns:
        The entry.
    """
    choice: dict[str, Any] = {"index": index, "finish_reason": grown.finish or None, "logprobs": None}
    if grown.verdict is not None:
        choice["jaxuq"] = dict(grown.verdict)
    if request.chat:
        choice["delta"] = {"content": grown.text} if grown.text or grown.tokens else {}
        choice["logprobs"] = chat_log_probs(grown.tokens) if request.log_probs and grown.tokens else None
    else:
        choice["text"] = grown.text
        choice["logprobs"] = text_log_probs(grown.tokens, offset) if request.log_probs and grown.tokens else None
    return choice


def embedding_list(vectors: Sequence[Any], model: str, tokens: int, as_base64: bool) -> dict[str, Any]:
    """Vectors.

    Args:
        vectors: of each input.
        model: its name.
        tokens: read.
        as_base64: as base64 of little-endian float32.

    Returns:
        The object.
    """
    shown = [
        base64.b64encode(struct.pack(f"<{len(one)}f", *one)).decode() if as_base64 else [float(x) for x in one]
        for one in vectors
    ]
    data = [{"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def error_object(message: str, status: int, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """What is wrong, in the protocol's form.

    Args:
        message: for people.
        status: of HTTP.
        param: the field.
        code: for programs.

    Returns:
        The object.
    """
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
