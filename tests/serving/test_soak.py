"""Ten thousand requests of mixed shapes, refused and abandoned ones among them: the memory of the server stays flat."""

import asyncio
import gc
import json
import os
import pathlib

import httpx2
import pytest

from jaxuq.serving import LocalBackend, make_app
from tests.language.test_answers import model  # noqa: F401
from tests.serving.scripted import Scripted

pytestmark = pytest.mark.long
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST = 24 * 2**20  # bytes by which it may grow after the first requests: less than 3 KB each


def resident():
    """Bytes in memory."""
    gc.collect()
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * PAGE


def request(number):
    """One of a dozen shapes, with a prompt of its own."""
    text = "abcdefghijk"[number % 7 :] * (1 + number % 3) + "xyz"[number % 3]
    chat = {"messages": [{"role": "user", "content": text}], "max_tokens": 1 + number % 5, "seed": number}
    kinds = [
        ("chat/completions", chat),
        ("chat/completions", chat | {"logprobs": True, "top_logprobs": number % 4, "n": 1 + number % 3}),
        ("chat/completions", chat | {"stream": True, "stream_options": {"include_usage": True}}),
        ("chat/completions", chat | {"stop": [text[:2]], "logit_bias": {"5": 1.0}, "frequency_penalty": 0.5}),
        ("chat/completions", chat | {"temperature": -1}),
        ("chat/completions", chat | {f"field-{number}": 1}),
        ("completions", {"prompt": [text, text[::-1]], "max_tokens": 2}),
        ("completions", {"prompt": text, "max_tokens": 0, "echo": True, "logprobs": 1}),
        ("completions", {"prompt": text, "max_tokens": 2, "model": f"model-{number}"}),
        ("embeddings", {"input": [text, "ab"]}),
        ("models/ada", None),
        (f"nothing-{number}", None),
    ]
    return kinds[number % len(kinds)]


async def ask_all(app, count, side_by_side):
    """Memory after a tenth of the requests, and after all; statuses."""
    statuses, numbers, early = {}, iter(range(count)), 0
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost", timeout=None) as client:

        async def some():
            nonlocal early
            for number in numbers:
                path, body = request(number)
                if number % 50 == 7:  # who leaves at once
                    with_limit = asyncio.create_task(client.post(f"/v1/{path}", json=body or {}))
                    await asyncio.sleep(0)
                    with_limit.cancel()
                    await asyncio.gather(with_limit, return_exceptions=True)
                    continue
                answer = await (client.get(f"/v1/{path}") if body is None else client.post(f"/v1/{path}", json=body))
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                if body is not None and body.get("stream"):
                    assert answer.text.endswith("data: [DONE]\n\n")
                elif answer.status_code == 200:
                    json.loads(answer.text)
                if number == count // 10:
                    early = resident()

        async with asyncio.TaskGroup() as group:
            for _ in range(side_by_side):
                group.create_task(some())
        metrics = (await client.get("/metrics")).text
    return early, resident(), statuses, metrics


@pytest.mark.parametrize("kind", ["scripted", "tiny"])
def test_memory_is_flat_over_ten_thousand_requests(kind, model):  # noqa: F811
    backend = Scripted() if kind == "scripted" else LocalBackend(model, slots=8, most_tokens=2048)
    early, late, statuses, metrics = asyncio.run(ask_all(make_app(backend), 10_000, 16))
    assert set(statuses) <= {200, 400, 404} and statuses[200] > 5_000 and sum(statuses.values()) == 9_800
    assert late - early < MOST, (late - early) / 2**20
    assert len(metrics.splitlines()) < 100  # labels are of few values
    assert not backend.busy
