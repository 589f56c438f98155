"""A real server on this machine, jaxuq's own model behind it, and everything that can go wrong between."""

import contextlib
import json
import threading
import time

import httpx2
import pytest

from jaxuq.extraction import ChatSettings, Request, Usage, local_chat
from jaxuq.language import GREEDY, generate
from jaxuq.serving import Patience, Piece, ServingError, language_backend, make_server, open_endpoint
from tests.language.test_answers import model  # noqa: F401

QUICK = Patience(
    concurrency=4, timeout=30.0, total=60.0, attempts=6, backoff=0.0
)  # no wait is cut short by a busy machine
REPLY = "| Person |\n|---|\n| Ada |\n"
ASK = Request(({"role": "user", "content": "Who?"},))


def say_ada(request):
    """A backend: the reply in three pieces."""
    for part in (REPLY[:8], REPLY[8:20]):
        yield Piece(part, -0.1)
    yield Piece(REPLY[20:], -0.2)
    yield Piece("", None, "stop", 7)


@contextlib.contextmanager
def serving(backend, faults=()):
    """The server of `jaxuq serve`, whose first answers are faults; gives its address and what it was asked."""
    server = make_server(backend, "ada")
    waiting, seen = list(faults), []

    class Faulty(server.RequestHandlerClass):
        def do_POST(self):
            fault = waiting.pop(0) if waiting else None
            if fault is None:
                seen.append(dict(self.headers))
                return super().do_POST()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            seen.append(fault)
            self.close_connection = not isinstance(fault, int)
            if isinstance(fault, int):
                self._fail(fault, "no: " + str(self.headers.get("Authorization")))
            elif fault == "not json":
                self._raw(b'{"choices": [{"message": ', "application/json")
            elif fault == "not a completion":
                self._raw(b'{"choices": []}', "application/json")
            elif fault == "html":
                self._raw(b"<html>busy</html>", "text/html")
            elif fault == "half a stream":
                event = {"choices": [{"delta": {"content": "| Per"}}]}
                self._raw(f"data: {json.dumps(event)}\n\ndata: ".encode(), "text/event-stream")
            elif fault == "half a body":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices"')
            elif fault == "error in the stream":
                self._raw(b'data: {"error": {"message": "out of memory"}}\n\n', "text/event-stream")
            elif fault == "silence":
                time.sleep(2.5)
            assert body
            return None

        def _raw(self, body, kind):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

    server.RequestHandlerClass = Faulty
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


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
    with serving(say_ada, FAULTS) as (url, seen):
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
    with serving(say_ada, [400, 500, 500]) as (url, _):
        chat = open_endpoint(url, "ada", patience=QUICK._replace(attempts=2, concurrency=1))
        refused, given_up, fine = chat.ask([ASK, ASK, ASK])
    assert refused.text == "" and "status 400" in refused.error
    assert "status 500" in given_up.error and "2 attempts" in given_up.error
    assert (fine.text, fine.error) == (REPLY, "")


def test_waiting_grows_and_respects_what_the_server_asks_for():
    waits = []
    with serving(say_ada, [500, 500, 500]) as (url, _):
        patience = QUICK._replace(backoff=1.0, longest=3.0)
        open_endpoint(url, "ada", patience=patience, sleep=waits.append).ask([ASK])
    assert [0.5 * 2**n <= wait <= 1.0 * 2**n or wait == 3.0 for n, wait in enumerate(waits)] == [True] * 3


@pytest.mark.parametrize(("status", "said"), [(401, "refuses the key"), (404, "knows no such")])
def test_what_no_request_can_outlive_ends_the_run_without_showing_the_key(monkeypatch, status, said):
    monkeypatch.setenv("JAXUQ_API_KEY", "sk-very-secret")
    with serving(say_ada, [status]) as (url, _), pytest.raises(ServingError, match=said) as raised:
        open_endpoint(url, "ada", patience=QUICK).ask([ASK])
    assert "sk-very-secret" not in str(raised.value) and "***" in str(raised.value)


def test_nobody_answers():
    server = make_server(say_ada, "ada")
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.server_close()
    with pytest.raises(ServingError, match="nobody answers"):
        open_endpoint(url, "ada", patience=QUICK._replace(attempts=2)).ask([ASK])


def test_nothing_is_asked_twice_and_no_key_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    other = ASK._replace(sample=1)
    with serving(say_ada) as (url, seen):
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


def test_the_server_refuses_what_is_wrong():
    with serving(say_ada) as (url, _), httpx2.Client(timeout=5) as client:
        post = lambda content: client.post(f"{url}/chat/completions", content=content)  # noqa: E731
        good = {"messages": [{"role": "user", "content": "Who?"}]}
        for wrong in (
            b"",
            b"[]",
            b"{",
            b"{}",
            b"[" * 5000,
            json.dumps({"messages": []}).encode(),
            json.dumps({"messages": [{"role": "user"}]}).encode(),
            json.dumps({"messages": [{"role": "wizard", "content": "x"}]}).encode(),
            json.dumps({**good, "temperature": "hot"}).encode(),
            json.dumps({**good, "max_tokens": 0}).encode(),
            json.dumps({**good, "n": 2}).encode(),
        ):
            answer = post(wrong)
            assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"
        assert post(json.dumps(good).encode()).json()["choices"][0]["message"]["content"] == REPLY
        assert client.get(f"{url}/models").json()["data"][0]["id"] == "ada"
        assert client.get(f"{url}/nothing").status_code == 404
        assert client.get(url.removesuffix("/v1") + "/health").json() == {"status": "ok"}


def test_a_backend_that_breaks_does_not_end_the_server():
    def breaks(request):
        yield Piece("| Per", -0.1)
        raise RuntimeError("secret detail")

    with serving(breaks) as (url, _), httpx2.Client(timeout=5) as client:
        body = {"messages": [{"role": "user", "content": "Who?"}]}
        whole = client.post(f"{url}/chat/completions", json=body)
        assert whole.status_code == 500 and "secret" not in whole.text
        chat = open_endpoint(url, "ada", patience=QUICK._replace(attempts=2), stream=True)
        assert "broke off" in chat.ask([ASK])[0].error


def test_jaxuqs_own_model_says_the_same_directly_and_through_its_server(model):  # noqa: F811
    prompts = ["abc", "hello"]
    direct = generate(model, prompts, max_new_tokens=16, sampling=GREEDY)
    requests = [Request(({"role": "user", "content": prompt},)) for prompt in prompts]
    long = Request(({"role": "user", "content": "abc" * 40},))
    settings = ChatSettings(max_tokens=16, log_probs=True)
    local = local_chat(model, settings).ask([*requests, long])
    with serving(language_backend(model)) as (url, _):
        whole = open_endpoint(url, "tiny", settings, patience=QUICK).ask([*requests, long])
        streamed = open_endpoint(url, "tiny", settings, patience=QUICK, stream=True).ask([*requests, long])
    for number, answer in enumerate(direct):
        for reply in (local[number], whole[number], streamed[number]):
            assert reply.text == answer.text and reply.error == ""
            assert "".join(reply.pieces) == answer.text
            assert reply.log_probs == pytest.approx(answer.log_probs.tolist(), abs=1e-4)
            assert reply.finish == ("length" if answer.finish == "length" else "stop")
            assert (reply.prompt_tokens, reply.completion_tokens) == (len(answer.prompt_tokens), len(answer.tokens))
    for replies in (local, whole, streamed):  # too long a conversation costs that conversation only
        assert replies[2].text == "" and "context" in replies[2].error
