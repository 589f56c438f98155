"""`jaxuq extract` and `jaxuq serve` from the command line to the files."""

import contextlib
import csv
import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from jaxuq.cli import main
from jaxuq.language import save_model
from tests.language.test_answers import model  # noqa: F401
from tests.serving.scripted import Scripted, serve_scripted

TEXTS = [
    {
        "id": "a",
        "text": "Ada met Bo.",
        "entities": [{"type": "person", "pos": [0, 3]}, {"type": "person", "pos": [8, 10]}],
    },
    {"id": "b", "text": "Rome burned.", "entities": []},
]
TABLE = "| Person |\n|---|\n| Ada |\n"


def conversation(name, reply):
    return {"id": name, "type": "person", "messages": [{"role": "assistant", "content": reply}] * 3}


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "compiled"))
    (tmp_path / "news.jsonl").write_text("".join(json.dumps(text) + "\n" for text in TEXTS))
    (tmp_path / "types.json").write_text(json.dumps(["person"]))
    stored = [conversation("a", TABLE), conversation("b", "| Person |\n|---|\n| None |\n")]
    (tmp_path / "stored.jsonl").write_text("".join(json.dumps(one) + "\n" for one in stored))
    return tmp_path


def arguments(files, *more, chat="replay:stored.jsonl"):
    chat = chat.replace("replay:", f"replay:{files}/")
    needed = ["--data", f"{files}/news.jsonl", "--types", f"{files}/types.json", "--output", f"{files}/run"]
    return ["extract", "--model", chat, *needed, *more]


def test_a_replay_gives_scores_a_page_and_files(files, capsys):
    main(arguments(files, "--formats", "jsonl", "bio"))
    (row,) = csv.DictReader((files / "run" / "results.csv").read_text().splitlines())
    assert (row["dataset"], row["method"]) == ("news", "gno")
    assert (float(row["full_precision"]), float(row["full_recall"])) == (1.0, 0.5)
    assert float(row["partial_f1"]) == pytest.approx(2 / 3, abs=1e-4)
    said = capsys.readouterr()
    assert "0.6667" in said.out and "report.html" in said.err
    assert "Ada\tB-person" in (files / "run" / "extractions.bio").read_text()
    before = (files / "run" / "results.csv").read_bytes()
    main(arguments(files))  # goes on: nothing is left to ask
    assert "2 of them kept from before" in capsys.readouterr().err
    assert (files / "run" / "results.csv").read_bytes() == before


def test_a_server_is_asked_and_the_cache_saves_the_second_time(files, capsys, monkeypatch):
    monkeypatch.setenv("JAXUQ_API_KEY", "sk-very-secret")

    server = contextlib.ExitStack()
    url = server.enter_context(serve_scripted(Scripted((TABLE,))))
    more = ["--cache", f"{files}/cache", "--prices", "1", "2", "--stream"]
    main(arguments(files, *more, chat=url))
    assert "6 requests (0 from the cache" in capsys.readouterr().err
    main([*arguments(files, *more, chat=url)[:-1], "--no-stream", "--output", f"{files}/again"])
    server.close()
    assert "6 requests (6 from the cache" in capsys.readouterr().err
    entity = json.loads((files / "run" / "extractions.jsonl").read_text().splitlines()[0])["entities"][0]
    assert entity["confidence"] == pytest.approx(0.6065, abs=1e-3)
    usage = json.loads((files / "run" / "run.json").read_text())["usage"]
    assert usage["cost"] == pytest.approx((42 + 2 * 6) / 1e6)
    assert not [f for f in files.rglob("*") if f.is_file() and b"sk-very-secret" in f.read_bytes()]


def test_jaxuqs_own_model_runs_and_texts_too_long_for_it_are_counted(files, model, capsys):  # noqa: F811
    save_model(files / "tiny", model)
    with pytest.raises(SystemExit) as ended:
        main(arguments(files, "--max-tokens", "8", chat=str(files / "tiny")))
    said = capsys.readouterr().err
    assert ended.value.code == 1 and "2 gave no answer" in said  # its context is 64 tokens
    assert said.splitlines()[-1].startswith("jaxuq: every conversation failed: the conversation has")
    (row,) = csv.DictReader((files / "run" / "results.csv").read_text().splitlines())
    assert [float(row[name]) for name in ("texts", "failed_texts", "full_recall")] == [2, 2, 0]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--types", "nowhere.json"], "no file nowhere.json of types"),
        (["--data", "nowhere.jsonl"], "no file nowhere.jsonl of texts"),
        (["--data", "types.xml"], "no file types.xml of texts"),
        (["--data", "{}/texts.xml"], "no .txt, .json or .jsonl file"),
        (["--prompts", "nowhere.toml"], "no file nowhere.toml of prompts"),
        (["--model", "replay:nowhere.jsonl"], "no file nowhere.jsonl of conversations"),
        (["--model", "ftp://somewhere"], "expected http"),
        (["--model", "http://127.0.0.1:9/v1", "--attempts", "1"], "nobody answers"),
        (["--model", "no/such/model.gguf"], "no/such/model.gguf"),
        (["--samples", "0"], "start at 1"),
        (["--model", "http://127.0.0.1:9/v1", "--samples", "2", "--temperature", "0"], "add --temperature"),
        (["--temperature", "-1"], "--temperature is -1.0"),
        (["--least-agreement", "2"], "--least-agreement is 2.0"),
        (["--strategy", "aeio"], "two types of them or more"),
    ],
)
def test_mistakes_are_one_line(files, capsys, more, said):
    (files / "texts.xml").write_text("<p>Ada met Bo.</p>")
    more = [one.format(files) for one in more]
    with pytest.raises(SystemExit) as ended:
        main(arguments(files, *more))
    error = capsys.readouterr().err
    assert ended.value.code == 2 and said in error
    assert error.count("\n") == 1 and error.startswith("jaxuq: ")


def test_another_run_is_not_overwritten(files, capsys):
    main(arguments(files))
    with pytest.raises(SystemExit) as ended:
        main(arguments(files, "--strategy", "one_step"))
    assert ended.value.code == 2 and "strategy: 'gno' there, 'one_step' here" in capsys.readouterr().err


def test_serve_says_where_answers_and_ends_what_it_began(files, model):  # noqa: F811
    save_model(files / "tiny", model)
    command = [sys.executable, "-m", "jaxuq", "serve", str(files / "tiny"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        url = said.split(" at ")[1].split()[0]
        with urllib.request.urlopen(f"{url}/models", timeout=30) as answer:
            assert json.load(answer)["data"][0]["id"] == str(files / "tiny")
        again = subprocess.run([*command[:-1], url.split(":")[2].removesuffix("/v1")], capture_output=True, text=True)
        assert again.returncode == 2 and "choose another --port" in again.stderr and again.stderr.count("\n") == 1
        body = {"messages": [{"role": "user", "content": "abc"}], "stream": True, "max_tokens": 40, "temperature": 0}
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/chat/completions", json.dumps(body).encode(), head)
        with urllib.request.urlopen(request, timeout=60) as answer:
            first = answer.readline()
            process.send_signal(signal.SIGTERM)  # while it answers
            rest = answer.read().decode()
        assert first.startswith(b"data: ") and rest.rstrip().endswith("data: [DONE]")
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == "ended\n"
