"""Requests to the server, batch files, and replies of another server."""

import importlib
import json
import pathlib
from typing import Any

from readers.files import Reader, any_text, lines, once, texts, value_of

_BACKEND = "tests.serving.scripted"
_REQUESTS = {
    "chat.json": {
        "model": "ada",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}],
        "n": 2,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["x"],
        "logit_bias": {"5": 1.0},
        "logprobs": True,
        "top_logprobs": 2,
        "stream": True,
        "stream_options": {"include_usage": True},
        "seed": 3,
        "max_tokens": 5,
    },
    "form.json": {
        "messages": [{"role": "user", "content": "Who?"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        },
    },
    "text.json": {"prompt": ["ab", "c"], "max_tokens": 3, "logprobs": 1, "echo": True, "n": 1, "best_of": 1},
    "embedding.json": {"input": ["ab", "c"], "encoding_format": "base64"},
    "loading.json": {"lora_name": "mine", "lora_path": "mine"},
}


def _requests(folder: pathlib.Path) -> None:
    for name, content in _REQUESTS.items():
        (folder / name).write_text(json.dumps(content))


def _read_requests(folder: pathlib.Path) -> Any:
    from jaxuq.serving import BadRequest
    from jaxuq.serving.requests import read_chat, read_completion, read_embedding, read_loading

    backend = once("backend", importlib.import_module(_BACKEND).Scripted)
    reads = (read_chat, read_chat, read_completion, read_embedding, lambda value, _: read_loading(value, drop=False))
    for name, read in zip(_REQUESTS, reads, strict=True):
        try:
            read(value_of(folder, name), backend)
        except BadRequest as error:
            if not 400 <= error.status < 500:
                raise AssertionError(f"status {error.status}") from error


def _posted(folder: pathlib.Path) -> Any:
    """The bytes of a request, through the application: its status is never that of a fault of ours."""
    import asyncio

    import httpx2

    from jaxuq.serving import make_app

    app = once("app", lambda: make_app(importlib.import_module(_BACKEND).Scripted()))

    async def post() -> Any:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:
            answers = [
                await client.post(
                    f"/v1/{place}", content=(folder / name).read_bytes(), headers={"content-type": "application/json"}
                )
                for place, name in (
                    ("chat/completions", "chat.json"),
                    ("completions", "text.json"),
                    ("embeddings", "embedding.json"),
                )
            ]
            return [answer.status_code for answer in answers]

    found = asyncio.run(post())
    if any(status >= 500 for status in found):
        raise AssertionError(f"statuses {found}")
    return found


_BATCH = lines(
    *(
        {
            "custom_id": f"q{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]},
        }
        for n in range(3)
    )
)
_BATCH_REPLIES = lines(
    *(
        {
            "id": f"r{n}",
            "custom_id": f"q{n}",
            "error": None,
            "response": {
                "status_code": 200,
                "request_id": "r",
                "body": {
                    "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": "Ada"}, "finish_reason": "stop"}
                    ]
                },
            },
        }
        for n in range(3)
    )
)


def _batch(folder: pathlib.Path) -> Any:
    from jaxuq.serving.batch_files import read_batch, read_replies

    list(read_batch(folder / "requests.jsonl"))
    return read_replies(folder / "replies.jsonl")


_STREAM = (
    'data: {"choices": [{"delta": {"content": "Ada"}, "logprobs": {"content": [{"token": "Ada", "logprob": -0.1}]}}]}'
    '\n\ndata: {"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}\n\ndata: [DONE]\n\n'
)

_ENTRY = json.dumps(
    {"text": "Ada", "error": "", "finish": "stop", "pieces": ["A", "da"], "log_probs": [-0.1, -0.2], "cached": False}
)


def _server_replies(folder: pathlib.Path) -> Any:
    from jaxuq.serving.endpoint import guarded_reply
    from jaxuq.serving.replies import reply_from_events, reply_from_json, reply_of_record

    whole, lines = (folder / "reply.json").read_bytes(), any_text(folder, "stream.txt").split("\n")
    guarded_reply(lambda: reply_from_json(whole))
    guarded_reply(lambda: reply_from_events(lines))
    return guarded_reply(lambda: reply_of_record(value_of(folder, "entry.json")))


READERS: dict[str, Reader] = {
    "server: requests": Reader(tuple(_REQUESTS), _requests, _read_requests),
    "server: bytes of requests": Reader(("chat.json", "text.json", "embedding.json"), _requests, _posted, share=0.2),
    "server: batch files": Reader(
        ("requests.jsonl", "replies.jsonl"),
        texts(requests__jsonl=_BATCH, replies__jsonl=_BATCH_REPLIES),
        _batch,
        ("answer_batch", "batch_chat"),
    ),
    "server: replies of another": Reader(
        ("reply.json", "stream.txt", "entry.json"),
        texts(
            reply__json=lines(json.loads(_BATCH_REPLIES.split("\n")[0])["response"]["body"]),
            stream__txt=_STREAM,
            entry__json=_ENTRY,
        ),
        _server_replies,
        ("open_endpoint",),
    ),
}
"""By name, as the page shows them."""
