"""Files of the protocol's batches: a request a line, a reply a line, joined by `custom_id`; and a chat model by files.

Providers answer such files at a lower price, within a day; `jaxuq serve --batch` answers them on this machine.
"""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.chat import DEFAULT_SETTINGS, ChatModel, ChatSettings, Reply, Request, Usage
from jaxuq.serving.endpoint import guarded_reply
from jaxuq.serving.errors import ServingError
from jaxuq.serving.patience import chat_body
from jaxuq.serving.replies import UnreadableReply, reply_from_json
from jaxuq.serving.secrecy import environment_secrets
from jaxuq.study import digest, write_text

CHAT_PATH = "/v1/chat/completions"
_MOST_LINES = 50_000  # of a file, as providers have it
_MOST_BYTES = 100 * 10**6


class BatchLine(NamedTuple):
    """A line of a file of requests.

    Attributes:
        number: from 1.
        custom_id: that names it; empty where it has none.
        path: such as `/v1/chat/completions`.
        body: of the request.
        problem: what is wrong with it; empty: nothing.
    """

    number: int
    custom_id: str
    path: str
    body: Any
    problem: str = ""


class BatchWaits(ServingError):
    """Requests were written and have no replies yet; the message says what to do with them."""


def read_batch(path: str | pathlib.Path) -> Iterator[BatchLine]:
    """Requests of a file.

    Args:
        path: JSON lines, each `{"custom_id", "method": "POST", "url", "body"}`.

    Yields:
        Lines; one that is no request has a `problem`, and costs itself only.

    Raises:
        ServingError: the file cannot be read.
    """
    known: set[str] = set()
    for number, line in _lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            yield BatchLine(number, "", "", None, "the line is no JSON object")
            continue
        name, url = record.get("custom_id"), record.get("url")
        problem = ""
        if not isinstance(name, str) or not name or len(name) > 512:
            name, problem = "", "custom_id is missing; expected a text"
        elif name in known:
            problem = "another line has this custom_id"
        elif record.get("method", "POST") != "POST" or not isinstance(url, str):
            problem = "expected the method POST and a url such as /v1/chat/completions"
        elif not isinstance(record.get("body"), dict):
            problem = "body is missing; expected the request, an object"
        known.add(name)
        yield BatchLine(number, name, url if isinstance(url, str) else "", record.get("body"), problem)


def read_replies(path: str | pathlib.Path) -> dict[str, dict[str, Any]]:
    """Replies of a file by `custom_id`; lines that are none (one half written, say) are left out.

    Args:
        path: JSON lines, each `{"custom_id", "response": {"status_code", "body"}, "error"}`.

    Returns:
        Records; of several with one name the last.

    Raises:
        ServingError: the file cannot be read.
    """
    found = {}
    for _, line in _lines(path):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        named = isinstance(record, dict) and isinstance(record.get("custom_id"), str)
        if named and ("response" in record or record.get("error") is not None):
            found[record["custom_id"]] = record
    return found


def reply_line(custom_id: str, number: int, status: int, body: Any) -> str:
    """A reply as a line.

    Args:
        custom_id: of the request.
        number: of its line.
        status: of HTTP.
        body: of the reply.

    Returns:
        The line, without its end.

    Example:
        >>> json.loads(reply_line("a", 1, 200, {"object": "list"}))["response"]["status_code"]
        200
    """
    response = {"status_code": status, "request_id": str(number), "body": body}
    record = {"id": f"batch_req_{number}", "custom_id": custom_id, "response": response, "error": None}
    return json.dumps(record, ensure_ascii=False)


def batch_chat(
    folder: str | pathlib.Path,
    model: str,
    settings: ChatSettings = DEFAULT_SETTINGS,
    *,
    usage: Usage | None = None,
) -> ChatModel:
    """A model that is asked by files: what has no reply yet is written down, to be answered elsewhere.

    Replies are looked for in all `.jsonl` files of the folder. Where some are missing, their requests are written to
    `requests-1.jsonl`, `requests-2.jsonl`, ... and `BatchWaits` says so; once their replies lie in the folder, the same
    is run again. A conversation of three questions takes three rounds. Names of requests are digests of what is asked,
    so nothing is asked twice, whatever the files are called. No key is needed, and none is written.

    Args:
        folder: of the files; made if needed.
        model: name of the model at the provider.
        settings: how replies are made.
        usage: counts requests and tokens.

    Returns:
        `ChatModel`. A request whose reply is an error fails by itself; take its line out to have it asked again.

    Raises:
        ServingError: a file of the folder cannot be read.
    """
    folder = pathlib.Path(folder)
    counted = usage or Usage()

    def ask(requests: Sequence[Request]) -> list[Reply]:
        bodies = [chat_body(model, settings, request) for request in requests]
        names = [f"jaxuq-{digest(body)[:32]}" for body in bodies]
        files = sorted(folder.glob("*.jsonl")) if folder.is_dir() else []
        replies: dict[str, dict[str, Any]] = {}
        for file in files:
            replies |= read_replies(file)
        missing = {name: body for name, body in zip(names, bodies) if name not in replies}
        if missing:
            raise BatchWaits(_written(folder, files, missing))
        found = [guarded_reply(lambda record=replies[name]: _reply(record)) for name in names]
        for reply in found:
            counted.add(reply)
        return found

    return ChatModel(f"batch:{model}", ask, 10**9, digest(str(folder.resolve()), model, settings))


def _written(folder: pathlib.Path, files: Sequence[pathlib.Path], missing: dict[str, dict[str, Any]]) -> str:
    """Write requests that no file has yet; what to do."""
    waiting = [file for file in files if file.name.startswith("requests-")]
    asked = {line.custom_id: file for file in waiting for line in read_batch(file)}
    new = {name: body for name, body in missing.items() if name not in asked}
    named = sorted({asked[name].name for name in missing if name in asked})
    lines, size, last = [], 0, len(waiting)
    for place, (name, body) in enumerate(new.items(), 1):
        record = {"custom_id": name, "method": "POST", "url": CHAT_PATH, "body": body}
        lines.append(json.dumps(record, ensure_ascii=False))
        size += len(lines[-1].encode())
        if len(lines) == _MOST_LINES or size > _MOST_BYTES or place == len(new):
            last += 1
            named.append(f"requests-{last}.jsonl")
            write_text(folder / named[-1], environment_secrets().hide("\n".join(lines) + "\n"))
            lines, size = [], 0
    return (
        f"{len(missing)} requests wait for replies, in {folder}: {', '.join(named)}. Have them answered (a provider's "
        "batch, or jaxuq serve MODEL --batch FILE), put the file of replies into that folder, and run the same again"
    )


def _reply(record: dict[str, Any]) -> Reply:
    response, error = record.get("response"), record.get("error")
    if isinstance(response, dict) and response.get("status_code") == 200:
        try:
            return reply_from_json(json.dumps(response.get("body")))
        except UnreadableReply as wrong:
            return Reply("", error=str(wrong))
    body = response.get("body") if isinstance(response, dict) else error
    inner = body.get("error", body) if isinstance(body, dict) else None
    said = inner.get("message") if isinstance(inner, dict) else None
    status = f"status {response.get('status_code')}" if isinstance(response, dict) else "no response"
    return Reply("", error=f"{status}: {' '.join(str(said).split())[:300]}")


def _lines(path: str | pathlib.Path) -> Iterator[tuple[int, str]]:
    try:
        with pathlib.Path(path).open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise ServingError(f"{path} cannot be read ({error.strerror})") from None
