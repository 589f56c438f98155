"""Files of requests answered on this machine: the server without a network, as many side by side as it has slots."""

import asyncio
import json
import pathlib
from collections.abc import Callable
from typing import Any

from jaxuq._extras import needed_package
from jaxuq.serving.batch_files import BatchLine, read_batch, read_replies, reply_line
from jaxuq.serving.errors import ServingError
from jaxuq.serving.guard import Guard
from jaxuq.serving.responses import error_object

_PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


def answer_batch(
    app: Guard,
    requests: str | pathlib.Path,
    replies: str | pathlib.Path,
    *,
    side_by_side: int = 64,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[int, int]:
    """Answer a file of requests into a file of replies.

    A reply is written as soon as it is there, in no order. Called again after an interruption, only what has no reply
    yet is answered; a reply that says that the server failed counts as none. Lines that are no requests get an error
    as their reply; those without a name are answered under `line-N`.

    Args:
        app: of `make_app`, without a key.
        requests: see `read_batch`.
        replies: is written; JSON lines.
        side_by_side: requests under way at a time.
        on_progress: called with replies that are there and requests in all.

    Returns:
        Requests answered, and of these refused or failed, in this call.

    Raises:
        ServingError: a file cannot be read or written.
    """
    source, target = pathlib.Path(requests), pathlib.Path(replies)
    if target.resolve() == source.resolve():
        raise ServingError(f"the replies would overwrite the requests in {source}; give another --batch-output")
    lines = [one._replace(custom_id=one.custom_id or f"line-{one.number}") for one in read_batch(source)]
    kept = {} if not target.exists() else read_replies(target)
    kept = {name: record for name, record in kept.items() if _status(record) < 500}
    left = [one for one in lines if one.custom_id not in kept]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept.values())
        with target.open("w", encoding="utf-8") as file:
            file.write(whole)
            return asyncio.run(_answered(app, left, file, side_by_side, len(lines), on_progress))
    except OSError as error:
        raise ServingError(f"{target} cannot be written ({error.strerror})") from None


def _status(record: dict[str, Any]) -> int:
    response = record.get("response")
    status = response.get("status_code") if isinstance(response, dict) else None
    return status if isinstance(status, int) else 500


async def _answered(
    app: Guard,
    lines: list[BatchLine],
    file: Any,
    side_by_side: int,
    total: int,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[int, int]:
    httpx2 = needed_package("httpx2", "answering files")
    transport: Any = httpx2.ASGITransport(app=app)
    waiting, failed, done = iter(lines), 0, total - len(lines)

    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=None) as client:

        async def some() -> None:
            nonlocal failed, done
            for line in waiting:
                status, body = await _reply(client, line)
                file.write(reply_line(line.custom_id, line.number, status, body) + "\n")
                file.flush()
                failed, done = failed + (status != 200), done + 1
                if on_progress is not None:
                    on_progress(done, total)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(side_by_side, len(lines))):
                group.create_task(some())
    return len(lines), failed


async def _reply(client: Any, line: BatchLine) -> tuple[int, Any]:
    problem = line.problem
    if not problem and line.path.rstrip("/") not in _PATHS:
        problem = f"url is none of {', '.join(_PATHS)}"
    if not problem and line.body.get("stream"):
        problem = "stream is not for batches; leave it out"
    if problem:
        return 400, error_object(f"line {line.number}: {problem}", 400)
    answer = await client.post(line.path, json=line.body)
    return answer.status_code, answer.json()
