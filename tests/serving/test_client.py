"""The client against servers that break in every way: what comes of it, and what it keeps."""

import contextlib
import json
import time

import pytest

from jaxuq.extraction import ChatSettings, Request, Usage
from jaxuq.serving import Patience, ServingError, open_endpoint
from jaxuq.serving.replies import reply_from_json
from tests.serving.hostile import hostile_server

QUICK = Patience(
    concurrency=4, timeout=30.0, total=60.0, attempts=6, backoff=0.0
)  # no wait is cut short by a busy machine
REPLY = "| Person |\n|---|\n| Ada |\n"
ASK = Request(({"role": "user", "content": "Who?"},))


TOKENS = [(REPLY[:8], -0.1), (REPLY[8:20], -0.1), (REPLY[20:], -0.2)]


def response(body, kind="application/json", *, status="200 OK", length=None):
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n{body}".encode()


def say_ada(stream):
    """The reply of a server that works."""
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    entries = [{"token": text, "logprob": value, "bytes": None, "top_logprobs": []} for text, value in TOKENS]
    if not stream:
        choice = {"message": {"role": "assistant", "content": REPLY}, "finish_reason": "stop"}
        return response(json.dumps({"choices": [{**choice, "logprobs": {"content": entries}}], "usage": usage}))
    events = [
        {"choices": [{"delta": {"content": one["token"]}, "finish_reason": None, "logprobs": {"content": [one]}}]}
        for one in entries
    ]
    events += [{"choices": [{"delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return response(text, "text/event-stream; charset=utf-8")


@contextlib.contextmanager
def answering(faults=()):
    """A server whose first answers are faults; gives its address and what it was asked."""
    waiting, seen = list(faults), []

    def respond(head, body):
        fault = waiting.pop(0) if waiting else None
        named = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        headers = {name.title(): value for name, value in named.items()}
        seen.append(headers if fault is None else fault)
        event = {"choices": [{"delta": {"content": "| Per"}}]}
        if fault is None:
            return say_ada(json.loads(body).get("stream", False))
        if isinstance(fault, int):
            return response(f"no: {headers.get('Authorization')}", "text/plain", status=f"{fault} Fault")
        if fault == "silence":
            time.sleep(2.5)
        return {
            "not json": response('{"choices": [{"message": '),
            "not a completion": response('{"choices": []}'),
            "html": response("<html>busy</html>", "text/html"),
            "half a stream": response(f"data: {json.dumps(event)}\n\ndata: ", "text/event-stream"),
            "half a body": response('{"choices"', length=1000),
            "error in the stream": response('data: {"error": {"message": "out of memory"}}\n\n', "text/event-stream"),
        }.get(fault, b"")

    with hostile_server(respond) as (url, _):
        yield url, seen


FAULTS = [
    429,
    500,
    503,
    "not json",
    "not a completion",
    "html",
    "half a stream",
    "half a body",
    "error in the stream",
    "silence",
    "hang up",
]


@pytest.mark.parametrize("stream", [False, True])
def test_every_fault_is_outlived(stream):
    with answering(FAULTS) as (url, seen):
        usage = Usage()
        settings = ChatSettings(log_probs=True)
        patience = QUICK._replace(timeout=2.0, total=60.0, attempts=len(FAULTS) + 1)  # silence lasts longer
        chat = open_endpoint(url, "ada", settings, patience=patience, stream=stream, usage=usage)
        (reply,) = chat.ask([ASK])
    assert (reply.text, reply.error, reply.finish) == (REPLY, "", "stop")
    assert "".join(reply.pieces) == REPLY and reply.log_probs[:3] == (-0.1, -0.1, -0.2)
    assert (reply.prompt_tokens, reply.completion_tokens) == (7, 3)
    assert seen[:-1] == FAULTS
    assert (usage.requests, usage.retries, usage.failed) == (1, len(FAULTS), 0)
    assert usage.record((1.0, 2.0))["cost"] == pytest.approx((7 + 2 * 3) / 1e6)


def test_one_request_that_fails_for_good_costs_only_itself():
    with answering([400, 500, 500]) as (url, _):
        chat = open_endpoint(url, "ada", patience=QUICK._replace(attempts=2, concurrency=1))
        refused, given_up, fine = chat.ask([ASK, ASK, ASK])
    assert refused.text == "" and "status 400" in refused.error
    assert "status 500" in given_up.error and "2 attempts" in given_up.error
    assert (fine.text, fine.error) == (REPLY, "")


def test_waiting_grows_and_respects_what_the_server_asks_for():
    waits = []
    with answering([500, 500, 500]) as (url, _):
        patience = QUICK._replace(backoff=1.0, longest=3.0)
        open_endpoint(url, "ada", patience=patience, sleep=waits.append).ask([ASK])
    assert [0.5 * 2**n <= wait <= 1.0 * 2**n or wait == 3.0 for n, wait in enumerate(waits)] == [True] * 3


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the key"), (404, "knows no such")])
def test_what_no_request_can_outlive_ends_the_run_without_showing_the_key(monkeypatch, status, said):
    monkeypatch.setenv("JAXUQ_API_KEY", "sk-very-secret")
    with answering([status]) as (url, _), pytest.raises(ServingError, match=said) as raised:
        open_endpoint(url, "ada", patience=QUICK).ask([ASK])
    assert "sk-very-secret" not in str(raised.value) and "***" in str(raised.value)


def test_nobody_answers():
    with answering() as (url, _):
        pass
    with pytest.raises(ServingError, match="nobody answers"):
        open_endpoint(url, "ada", patience=QUICK._replace(attempts=2)).ask([ASK])


def test_nothing_is_asked_twice_and_no_key_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    other = ASK._replace(sample=1)
    with answering() as (url, seen):
        usage = Usage()
        open_endpoint(url, "ada", patience=QUICK, cache=tmp_path, usage=usage).ask([ASK])
        again = open_endpoint(url, "ada", patience=QUICK, cache=tmp_path, usage=usage).ask([ASK, other])
        assert [reply.cached for reply in again] == [True, False] and len(seen) == 2
        warmer = ChatSettings(temperature=0.5)
        open_endpoint(url, "ada", warmer, patience=QUICK, cache=tmp_path, usage=usage).ask([ASK])
        assert len(seen) == 3 and seen[0]["Authorization"] == "Bearer sk-very-secret"
        entries = list(tmp_path.rglob("*.json"))
        entries[0].write_text("{damaged")
        assert len(entries) == 3
        open_endpoint(url, "ada", patience=QUICK, cache=tmp_path).ask([ASK, other])
        open_endpoint(url, "ada", warmer, patience=QUICK, cache=tmp_path).ask([ASK])
        assert len(seen) == 4
    assert (usage.requests, usage.cached, usage.completion_tokens) == (4, 1, 9)
    assert not any("secret" in file.read_text() for file in tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "expected http"),
        ("http://me:pass@localhost/v1", "not there"),
        ("http://localhost/v1?key=secret", "not there"),
    ],
)
def test_addresses_are_checked_and_secrets_in_them_not_repeated(url, said):
    with pytest.raises(ServingError, match=said) as raised:
        open_endpoint(url, "ada")
    assert "pass" not in str(raised.value).replace("password", "") and "secret" not in str(raised.value)


def test_tokens_that_are_parts_of_characters_are_put_together_from_their_bytes():
    parts = [b"A", "é".encode()[:1], "é".encode()[1:], "🙂".encode()[:3], "🙂".encode()[3:]]
    entries = [{"token": part.decode("utf-8", "replace"), "bytes": list(part), "logprob": -0.5} for part in parts]
    choice = {"message": {"content": "Aé🙂"}, "finish_reason": "stop", "logprobs": {"content": entries}}
    reply = reply_from_json(json.dumps({"choices": [choice]}))
    assert (reply.text, "".join(reply.pieces), len(reply.log_probs)) == ("Aé🙂", "Aé🙂", 5)


@pytest.mark.parametrize("number", ["7", -1, 1.5, True, None, [1], {"n": 1}, 10**400, float("nan")])
def test_fields_of_another_type_are_dropped(number):
    choice = {
        "message": {"content": "Ada"},
        "finish_reason": number,
        "logprobs": {"content": [{"token": "Ada", "logprob": "x"}]},
    }
    reply = reply_from_json(
        json.dumps({"choices": [choice], "usage": {"prompt_tokens": number, "completion_tokens": 3}})
    )
    assert (reply.text, reply.finish, reply.prompt_tokens, reply.completion_tokens) == ("Ada", "stop", 0, 3)
    assert reply.pieces == () and reply.log_probs == ()


def test_half_a_character_in_a_reply_can_be_written():
    reply = reply_from_json('{"choices": [{"message": {"content": "Ada \\ud800!"}}]}')
    assert reply.text == "Ada \N{REPLACEMENT CHARACTER}!"
