"""Who may ask, how much, and what happens to those who leave or send nonsense."""

import concurrent.futures
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

from tests.serving.scripted import Scripted, serve_scripted

CHAT = {"model": "ada", "messages": [{"role": "user", "content": "a confidential question"}]}


@pytest.fixture(scope="module")
def url():
    with serve_scripted() as address:
        yield address


CLIENT = httpx2.Client(timeout=120, trust_env=False, limits=httpx2.Limits(max_connections=200))  # one context of TLS


def post(url, content=CHAT, path="/chat/completions", **headers):
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return CLIENT.post(f"{url}{path}", content=body, headers=headers)


def raw(url, *lines, body=b""):
    """The status of a request written by hand."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall("".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body)
        return connection.makefile("rb").readline().decode()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost@evil.example", "10.0.0.1", "", "a b"],
)
def test_a_name_rebound_to_this_machine_is_refused(url, host):
    assert " 403 " in raw(url, "GET /v1/models HTTP/1.1", f"Host: {host}", "Connection: close") or host == "a b"


def test_two_hosts_or_none_are_refused(url):
    assert " 200 " not in raw(
        url, "GET /v1/models HTTP/1.1", "Host: localhost", "Host: evil.example", "Connection: close"
    )
    assert " 200 " not in raw(url, "GET /v1/models HTTP/1.0", "Connection: close")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:80", "[::1]:80"])
def test_this_machine_by_any_of_its_names_is_served(url, host):
    assert " 200 " in raw(url, "GET /v1/models HTTP/1.1", f"Host: {host}", "Connection: close")


def test_names_that_were_allowed_are_served():
    with serve_scripted(hosts=("box.lan",)) as url:
        assert " 200 " in raw(url, "GET /v1/models HTTP/1.1", "Host: box.lan:80", "Connection: close")
        assert " 403 " in raw(url, "GET /v1/models HTTP/1.1", "Host: other.lan", "Connection: close")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content_Type": ""}, 415),
        ({"Content_Type": "application/json; charset=utf-8"}, 200),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
    ],
)
def test_pages_of_other_sites_cannot_post(url, headers, status):
    answer = post(url, **headers)
    assert answer.status_code == status
    assert (answer.json()["error"]["message"] != "") if status != 200 else answer.json()["choices"]
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_the_server_itself_may_post(url):
    assert post(url, Origin=url.removesuffix("/v1")).status_code == 200


def test_a_key_is_asked_for_where_one_is_set():
    with serve_scripted(key="sk-right") as url:
        for wrong in (
            {},
            {"Authorization": "Bearer sk-wrong"},
            {"Authorization": "sk-right"},
            {"Authorization": "Basic sk-right"},
            {"Authorization": "Bearer sk-righté".encode("latin-1").decode("latin-1")},
        ):
            answer = raw(
                url,
                "POST /v1/chat/completions HTTP/1.1",
                "Host: localhost",
                "Content-Type: application/json",
                "Content-Length: 2",
                *(f"{k}: {v}" for k, v in wrong.items()),
                "Connection: close",
                body=b"{}",
            )
            assert " 401 " in answer
        assert post(url, Authorization="Bearer sk-right").status_code == 200
        assert CLIENT.get(url.removesuffix("/v1") + "/health").status_code == 200
        assert CLIENT.get(url.removesuffix("/v1") + "/metrics").status_code == 401


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"[" * 100_000, 400),
        (b'{"a": NaN}', 400),
        (b"\xff\xfe{}", 400),
        (b'{"messages": "' + b"x" * (5 * 2**20) + b'"}', 413),
    ],
)
def test_bodies_that_are_none_are_refused_in_the_form_of_the_protocol(url, content, status):
    answer = post(url, content)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"


def test_a_body_in_pieces_is_limited_too(url):
    def pieces():
        for _ in range(6):
            yield b"x" * 2**20

    headers = {"Content-Type": "application/json"}
    try:
        answer = CLIENT.post(f"{url}/chat/completions", content=pieces(), headers=headers)
        assert answer.status_code == 413
    except (httpx2.WriteError, httpx2.ReadError):
        pass  # the connection was closed while the client still wrote


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("GET", "/v1/models/other", 404),
        ("POST", "/../../etc/passwd", 404),
    ],
)
def test_paths_that_are_none(url, method, path, status):
    answer = CLIENT.request(method, url.removesuffix("/v1") + path, headers={"Content-Type": "application/json"})
    assert answer.status_code == status and answer.json()["error"]["message"]


def test_two_hundred_connections_at_once_are_all_answered():
    backend = Scripted()
    with serve_scripted(backend) as url:
        gate = threading.Barrier(200)

        def ask(_):
            gate.wait(timeout=60)
            return post(url).status_code

        with concurrent.futures.ThreadPoolExecutor(200) as pool:
            statuses = list(pool.map(ask, range(200)))
    assert statuses == [200] * 200


def test_too_many_that_wait_are_told_to_come_again():
    backend = Scripted(seconds=0.2, slots=1)
    with serve_scripted(backend, most_waiting=1) as url, concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: post(url), range(8)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 2
    assert all("retry-after" in one.headers for one in answers if one.status_code == 429)


def test_requests_are_answered_side_by_side():
    backend = Scripted(("word",) * 20, seconds=0.01)
    with serve_scripted(backend) as url, concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(post, url)
        while not backend.made:
            time.sleep(0.001)
        said = backend.asked[1]
        late = pool.submit(post, url, {**CHAT, "max_tokens": 1}).result()
        assert late.status_code == 200 and said[1] < 20  # the first is not through
        assert first.result().json()["choices"][0]["message"]["content"] == "word" * 20


def test_told_to_stop_it_answers_whom_it_has_and_refuses_others():
    """In a process of its own, by a signal."""
    program = (
        "from tests.serving.scripted import Scripted; from jaxuq.serving import *\n"
        "listening = listen('127.0.0.1', 0); print(address_of(listening), flush=True)\n"
        "serve(make_app(Scripted(('word',) * 40, seconds=0.05)), listening); print('ended', flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = pool.submit(post, url)
            while metrics(url)["jaxuq_requests_running"] < 1:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            while (late := post(url)).status_code == 200:
                time.sleep(0.01)
            assert (
                late.status_code == 503 and "retry-after" in late.headers and late.json()["error"]["code"] == "stopping"
            )
            assert running.result().json()["choices"][0]["message"]["content"] == "word" * 40
        assert process.wait(timeout=30) == 0 and "ended" in process.stdout.read()
    finally:
        process.kill()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_the_model_and_leaves_no_traceback(stream, caplog, capfd):
    backend = Scripted(("word",) * 500, seconds=0.02)
    with serve_scripted(backend) as url:
        host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps({**CHAT, "stream": stream, "max_tokens": 500}).encode()
        with socket.create_connection((host, int(port))) as connection:
            lines = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
            head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
            connection.sendall(head.encode() + body)
            while backend.made < 3:
                time.sleep(0.005)
        answer = post(url, {**CHAT, "max_tokens": 1})
        assert answer.status_code == 200 and backend.made < 250
        metrics = CLIENT.get(url.removesuffix("/v1") + "/metrics").text
        assert "jaxuq_abandoned_total 1" in metrics
    assert "Traceback" not in caplog.text + capfd.readouterr().err


def test_a_model_that_fails_ends_one_request_and_tells_nothing_of_it(caplog, capfd):
    with caplog.at_level(logging.DEBUG), serve_scripted(Scripted(fails_at=1)) as url:
        whole = post(url)
        assert whole.status_code == 500 and whole.json()["error"]["type"] == "server_error"
        streamed = post(url, {**CHAT, "stream": True})
        last = [line for line in streamed.text.splitlines() if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["message"] and "[DONE]" not in streamed.text
        assert "secret" not in whole.text + streamed.text
        assert post(url, {**CHAT, "max_tokens": 1}).status_code == 200
    said = caplog.text + capfd.readouterr().err
    assert "RuntimeError" in said and "secret" not in said and "confidential" not in said and "Traceback" not in said


def test_counters_are_prometheus_text(url):
    before = metrics(url)
    post(url)
    after = metrics(url)
    assert after["jaxuq_generated_tokens_total"] - before.get("jaxuq_generated_tokens_total", 0) == 3
    assert after["jaxuq_prompt_tokens_total"] - before.get("jaxuq_prompt_tokens_total", 0) == 7
    assert after["jaxuq_requests_waiting"] == 0 and "ada" not in str(after)


def metrics(url):
    text = CLIENT.get(url.removesuffix("/v1") + "/metrics").text
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }
