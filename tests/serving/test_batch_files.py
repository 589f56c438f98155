"""Files of requests and replies: the replies of the server, resumed where they broke off; and extraction by files."""

import csv
import json

import httpx2
import pytest

from jaxuq.cli.main import main
from jaxuq.extraction import Request
from jaxuq.serving import BatchWaits, ServingError, answer_batch, batch_chat, make_app
from tests.extraction.test_command import TABLE, arguments, files  # noqa: F401
from tests.serving.scripted import Scripted, serve_scripted

CHAT = {"model": "ada", "messages": [{"role": "user", "content": "Hi"}]}


def line(name, body=CHAT, url="/v1/chat/completions", **more):
    return json.dumps({"custom_id": name, "method": "POST", "url": url, "body": body, **more})


def read(path):
    return {one["custom_id"]: one["response"] for one in map(json.loads, path.read_text().splitlines())}


def plain(body):
    """Without what every answer has of its own."""
    return {name: value for name, value in body.items() if name not in ("id", "created")}


def test_replies_are_those_of_the_server_and_bad_lines_cost_themselves(tmp_path):
    good = {
        "a": (CHAT, "chat/completions"),
        "b": ({"prompt": "x", "max_tokens": 2}, "completions"),
        "c": ({"input": ["x", "y z"]}, "embeddings"),
        "d": (CHAT | {"n": 99}, "chat/completions"),
        "e": (CHAT | {"logprobs": True, "top_logprobs": 1}, "chat/completions"),
    }
    lines = [line(name, body, f"/v1/{path}") for name, (body, path) in good.items()]
    bad = ["{", "[]", line(""), line("a"), line("f", url="/v1/files"), line("g", body=3), line("h", method="GET"),
           line("i", CHAT | {"stream": True}), '{"custom_id": "j"}', "\0"]  # fmt: skip
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join([*lines[:2], *bad, "", *lines[2:]]) + "\n")
    assert answer_batch(make_app(Scripted()), source, target, side_by_side=3) == (15, 11)
    found = read(target)
    with serve_scripted() as url, httpx2.Client(trust_env=False) as client:
        for name, (body, path) in good.items():
            answer = client.post(f"{url}/{path}", json=body)
            assert (found[name]["status_code"], plain(found[name]["body"])) == (
                answer.status_code,
                plain(answer.json()),
            )
    for name in ("line-3", "line-4", "line-5", "f", "g", "h", "i", "j", "line-12"):
        assert found[name]["status_code"] == 400 and "line " in found[name]["body"]["error"]["message"], name


def test_what_is_missing_is_answered_and_nothing_else(tmp_path):
    source, target, backend = tmp_path / "in.jsonl", tmp_path / "out.jsonl", Scripted()
    source.write_text("\n".join(line(str(number)) for number in range(9)))
    assert answer_batch(make_app(backend), source, target) == (9, 0)
    kept = target.read_text().splitlines()
    failed = json.dumps({"custom_id": "8", "response": {"status_code": 500, "body": {}}, "error": None})
    target.write_text("\n".join([*kept[:5], failed, kept[6][:40]]))  # killed while it wrote
    backend, told = Scripted(), []
    answer_batch(make_app(backend), source, target, on_progress=lambda *now: told.append(now))
    assert len(backend.jobs) == 4 and told[-1] == (9, 9) and len(read(target)) == 9
    assert target.read_text().splitlines()[:5] == kept[:5]
    assert answer_batch(make_app(Scripted(fails_at=0)), source, target) == (0, 0)
    with pytest.raises(ServingError, match="overwrite"):
        answer_batch(make_app(Scripted()), source, source)


def test_a_chat_model_by_files(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXUQ_API_KEY", "sk-very-secret")
    model = batch_chat(tmp_path / "files", "ada")
    requests = [Request(({"role": "user", "content": text},)) for text in ("a", "b", "sk-very-secret", "a")]
    for _ in range(2):  # the second time nothing more is written
        with pytest.raises(BatchWaits, match=r"3 requests wait for replies.* requests-1\.jsonl\. Have them"):
            model.ask(requests)
    (file,) = (tmp_path / "files").iterdir()
    assert len(file.read_text().splitlines()) == 3 and "sk-very" not in file.read_text()
    with pytest.raises(BatchWaits, match=r"4 requests .* requests-1\.jsonl, requests-2\.jsonl"):
        model.ask([*requests, Request(({"role": "user", "content": "c"},))])
    names = [json.loads(one)["custom_id"] for one in file.read_text().splitlines()]
    ok = {"choices": [{"message": {"content": "Ada sk-very-secret"}, "finish_reason": "stop"}]}
    answers = [
        {"custom_id": names[0], "response": {"status_code": 200, "body": ok}, "error": None},
        {"custom_id": names[1], "response": {"status_code": 429, "body": {"error": {"message": "sk-very-secret"}}}},
        {"custom_id": names[2], "response": None, "error": {"code": "expired", "message": "too late"}},
    ]
    (tmp_path / "files" / "out.jsonl").write_text("\n".join(map(json.dumps, answers)) + "\n{")
    replies = model.ask(requests)
    assert [bool(one.error) for one in replies] == [False, True, True, False]
    assert replies[0].text.startswith("Ada") and "sk-very" not in str(replies)
    assert "status 429" in replies[1].error and "too late" in replies[2].error


def test_extraction_by_files_finds_what_it_finds_at_a_server(files, capsys):  # noqa: F811
    with serve_scripted(Scripted((TABLE,))) as url:
        main(arguments(files, chat=url))
    rounds = 0
    capsys.readouterr()
    while rounds < 9:
        main([*arguments(files, chat=f"batch:{files}/batch")[:-1], f"{files}/again"])
        if "requests wait" not in capsys.readouterr().err:
            break
        rounds += 1
        source = files / "batch" / f"requests-{rounds}.jsonl"
        answer_batch(make_app(Scripted((TABLE,))), source, files / "batch" / f"out-{rounds}.jsonl")
    assert rounds == 3  # ask, clean up, organise
    scores = [[*csv.DictReader((files / name / "results.csv").read_text().splitlines())] for name in ("run", "again")]
    assert scores[0] == scores[1]
    usage = json.loads((files / "again" / "run.json").read_text())["usage"]
    assert usage["requests"] >= 6 and usage["failed"] == 0
