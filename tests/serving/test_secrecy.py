"""No key leaves the client but in the header that it is for, whatever a server says."""

import json
import logging
import random

import pytest

from jaxuq.cli import main
from jaxuq.extraction import Request
from jaxuq.serving import Patience, Secrets, ServingError, key_for, open_endpoint
from tests.serving.hostile import all_at_once, disguises, hostile_server, in_pieces, reply, shows

KEY = "sk-Vq7/+very&secret-0815"
ASK = Request(({"role": "user", "content": "Who?"},))
ONCE = Patience(concurrency=4, timeout=10.0, attempts=1, backoff=0.0)


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("JAXUQ_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("disguise", disguises(KEY))
@pytest.mark.parametrize("around", ["{}", "wrong key: {}!", "Ada\n{}\n| x |"])
def test_a_secret_is_found_in_every_disguise(disguise, around):
    hidden = Secrets(KEY).hide(around.format(disguise))
    assert "***" in hidden and not shows(hidden.encode(), KEY)


def test_what_is_no_secret_stays():
    text = "Ada met Bo; 0815 is very secret, None of it a key. aGVsbG8gd29ybGQ= %20 &amp; \\u0041 deadbeefdeadbeef"
    assert Secrets(KEY, "", "EMPTY", "none").hide(text) == text
    assert Secrets("k3y").hide("the k3y, monk3ys") == "the ***, monk3ys"


@pytest.mark.parametrize("length", range(3, len(KEY)))
def test_an_end_that_was_cut_shows_no_half_of_a_secret(length):
    assert Secrets(KEY).hide(f"wrong: {KEY[:length]}", cut=True) == "wrong: ***"


def run_against_hostile_replies(folder, capsys, caplog, replies, seed, slow=False):
    """`jaxuq extract` as often as it takes; gives all that it wrote, said and logged."""
    rng = random.Random(seed)
    asked = 0
    texts = [{"id": str(number), "text": "Ada met Bo.", "entities": []} for number in range(min(replies, 200))]
    (folder / "news.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts))
    (folder / "types.json").write_text(json.dumps(["person"]))
    written = b""
    pace, patience = (in_pieces(rng, 0.3), "0.2") if slow else (all_at_once, "5")  # seconds; some replies take longer
    with hostile_server(lambda *_: reply(rng, KEY), pace=pace) as (url, seen):
        while len(seen) < replies:
            options = ["--attempts", str(1 + asked % 2), "--timeout", patience, "--cache", str(folder / "cache")]
            options += ["--formats", "jsonl", "bio", "brat", "tagging", "--seed", str(asked)]
            options += ["--stream"] * (asked % 2)
            command = ["extract", "--model", url, "--data", f"{folder}/news.jsonl", "--types", f"{folder}/types.json"]
            with caplog.at_level(logging.DEBUG):
                try:
                    main([*command, "--output", f"{folder}/run{asked}", *options])
                except SystemExit as ended:
                    assert ended.code in (0, 1, 2)
            asked += 1
            said = capsys.readouterr()
            written += (said.out + said.err + caplog.text).encode()
            caplog.clear()
        assert all(f"authorization: bearer {KEY}".encode().lower() in head.lower() for head in seen)
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            assert not shows(file.name.encode(), KEY)
            written += file.read_bytes()
    return written


@pytest.mark.parametrize(
    ("replies", "seed", "slow"),
    [
        (100, 0, False),
        *(pytest.param(2000, seed, False, marks=pytest.mark.long) for seed in range(1, 6)),
        *(pytest.param(2000, seed, True, marks=pytest.mark.long) for seed in range(6, 9)),
    ],
)
def test_hostile_replies_never_bring_the_key_out(keyed, tmp_path, capsys, caplog, monkeypatch, replies, seed, slow):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "kept")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    written = run_against_hostile_replies(tmp_path, capsys, caplog, replies, seed, slow)
    assert b"conversations.jsonl" in written or b"conversations in" in written
    assert (
        b"***" in written and b"HTTP Request: POST" in written
    )  # the key was said, and there were records to hide it in
    assert shows(written, KEY) == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_and_named(keyed, status):
    with hostile_server(lambda *_: b"") as (elsewhere, reached):
        location = f"{elsewhere}/chat/completions?key={KEY}".replace("127.0.0.1", "localhost")
        head = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        with hostile_server(lambda *_: head.encode()) as (url, _):
            (answer,) = open_endpoint(url, "ada", patience=ONCE).ask([ASK])
    assert reached == [] and f"status {status}" in answer.error
    assert "localhost" in answer.error and not shows(answer.error.encode(), KEY)


def test_a_run_in_which_every_conversation_failed_ends_with_1_and_says_why(keyed, tmp_path, capsys):
    (tmp_path / "news.txt").write_text("Ada met Bo.\n")
    (tmp_path / "types.json").write_text('["person"]')
    head = b"HTTP/1.1 307 Moved\r\nLocation: https://elsewhere.org/v1\r\nContent-Length: 0\r\n\r\n"
    with hostile_server(lambda *_: head) as (url, _), pytest.raises(SystemExit) as ended:
        options = ["--data", f"{tmp_path}/news.txt", "--types", f"{tmp_path}/types.json", "--output", f"{tmp_path}/run"]
        main(["extract", "--model", url, *options])
    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 1 and "status 307" in last and "https://elsewhere.org/v1" in last


@pytest.mark.parametrize(
    ("url", "variable", "base", "sent"),
    [
        ("https://example.org/v1", "JAXUQ_API_KEY", "", True),
        ("http://127.0.0.1:1/v1", "JAXUQ_API_KEY", "", True),
        ("http://[::1]:1/v1", "JAXUQ_API_KEY", "", True),
        ("https://api.openai.com/v1", "OPENAI_API_KEY", "", True),
        ("https://api.openai.com.example.org/v1", "OPENAI_API_KEY", "", False),
        ("https://notopenai.com/v1", "OPENAI_API_KEY", "", False),
        ("https://example.org/v1", "OPENAI_API_KEY", "https://example.org/v1", True),
        ("https://other.org/v1", "OPENAI_API_KEY", "https://example.org/v1", False),
        ("http://localhost:1/v1", "OPENAI_API_KEY", "", True),
        ("http://example.org/v1", "OPENAI_API_KEY", "", False),
    ],
)
def test_a_key_goes_to_the_host_that_it_belongs_to(monkeypatch, url, variable, base, sent):
    for name in ("JAXUQ_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY if name == variable else "")
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    assert key_for(url) == (KEY if sent else "")


@pytest.mark.parametrize("url", ["http://example.org/v1", "http://10.0.0.1/v1", "http://127.0.0.1.example.org/v1"])
def test_a_key_by_plain_http_to_another_machine_is_refused(keyed, url):
    with pytest.raises(ServingError, match="--insecure") as raised:
        open_endpoint(url, "ada")
    assert not shows(str(raised.value).encode(), KEY)
    assert key_for(url, insecure=True) == KEY


@pytest.mark.parametrize("key", ["sk-with\nbreak", "sk-ünicode-key", "sk with space"])
def test_a_key_that_no_header_holds_is_refused_unseen(monkeypatch, key):
    monkeypatch.setenv("JAXUQ_API_KEY", key)
    with pytest.raises(ServingError, match="set it again") as raised:
        open_endpoint("https://example.org/v1", "ada")
    assert not shows(str(raised.value).encode(), key)


@pytest.mark.parametrize(("url", "model"), [(f"https://example.org/{KEY}/v1", "ada"), ("https://example.org", KEY)])
def test_a_key_in_an_address_or_a_name_is_refused_unseen(keyed, url, model):
    with pytest.raises(ServingError, match="JAXUQ_API_KEY") as raised:
        open_endpoint(url, model)
    assert not shows(str(raised.value).encode(), KEY)


def test_no_proxy_stands_between_this_machine_and_itself(keyed, monkeypatch):
    body = b'{"choices": [{"message": {"content": "Ada"}}]}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    with hostile_server(lambda *_: b"") as (proxy, reached), hostile_server(lambda *_: answer) as (url, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.removesuffix("/v1"))
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert open_endpoint(url, "ada", patience=ONCE).ask([ASK])[0].text == "Ada"
    assert reached == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_key_cut_into_tokens_is_not_kept_in_pieces(keyed, stream):
    parts = [KEY[:7], KEY[7:], " Ada"]
    logprobs = {"content": [{"token": part, "logprob": -0.1} for part in parts]}
    choice = {"message": {"content": "Ada"}, "delta": {"content": "Ada"}, "finish_reason": "stop", "logprobs": logprobs}
    body, kind = json.dumps({"choices": [choice]}), "application/json"
    if stream:
        body, kind = f"data: {body}\n\ndata: [DONE]\n\n", "text/event-stream"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with hostile_server(lambda *_: (head + body).encode()) as (url, _):
        (answer,) = open_endpoint(url, "ada", patience=ONCE, stream=stream).ask([ASK])
    assert (answer.text, answer.pieces, answer.log_probs) == ("Ada", (), ())
