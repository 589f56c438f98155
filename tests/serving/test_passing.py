"""Withheld answers are the larger model's, told in the same way; where that has none they stay withheld."""

import json
import threading

import httpx2
import pytest

from jaxuq.serving import Growth, LargerModel, Patience, make_app, serving
from tests.serving.scripted import Scripted, serve_scripted

CLIENT = httpx2.Client(timeout=60, trust_env=False)
WHO = [{"role": "user", "content": "Who?"}]


class Withholding(Scripted):
    """Withholds every answer but the second."""

    kinds = ("text",)

    def __init__(self):
        super().__init__()
        self.kinds = ("text",)

    def word(self, ticket):
        job, _ = self.asked.pop(ticket)
        growths = []
        for answer in range(job.answers):
            kept = answer == 1
            growths.append(Growth(answer, "small" if kept else "", (), 3, "stop" if kept else "content_filter"))
            growths.append(Growth(answer, "", (), 3, "", {"withheld": not kept, "answer": None}))
        return [(ticket, growth, growth is growths[-1]) for growth in growths]


@pytest.fixture(scope="module")
def larger():
    backend = Scripted(("Ada", " Byron", "\n", "1815"))
    with serve_scripted(backend) as url:
        yield url, backend


@pytest.fixture(scope="module")
def url(larger):
    with serving(make_app(Withholding(), larger=LargerModel(larger[0], "ada"))) as address:
        yield address


def ask(url, **fields):
    answer = CLIENT.post(f"{url}/chat/completions", json={"messages": WHO, "jaxuq": {"confidence": True}, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def test_what_is_withheld_is_the_larger_models(url, larger):
    choices = ask(url, n=3, temperature=0.4, top_p=0.9, seed=7, max_tokens=50).json()["choices"]
    assert [one["message"]["content"] for one in choices] == ["Ada Byron\n1815", "small", "Ada Byron\n1815"]
    assert [one["finish_reason"] for one in choices] == ["stop", "stop", "stop"]
    assert [one["jaxuq"].get("passed_to") for one in choices] == ["ada", None, "ada"]
    assert [one["jaxuq"]["withheld"] for one in choices] == [True, False, True]
    asked = larger[1].jobs[-2:]
    assert [(one.temperature, one.top_p, one.seed, one.max_tokens) for one in asked] == [
        (0.4, 0.9, 7, 50), (0.4, 0.9, 9, 50)
    ]  # fmt: skip


def test_tokens_are_told_where_they_are_wanted_and_stop_texts_end_it(url):
    (choice,) = ask(url, logprobs=True).json()["choices"]
    told = [(one["token"], one["logprob"]) for one in choice["logprobs"]["content"]]
    assert told == [("Ada", -0.5), (" Byron", -0.5), ("\n", -0.5), ("1815", -0.5)]
    (choice,) = ask(url, stop=["\n", "1"]).json()["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Ada Byron", "stop")


def test_in_a_stream_it_is_one_part(url):
    lines = ask(url, stream=True).text.split("\n\n")
    events = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    assert [one["delta"].get("content") for one in events if one["delta"].get("content")] == ["Ada Byron\n1815"]
    assert events[-1]["jaxuq"]["passed_to"] == "ada" and lines[-2] == "data: [DONE]"


def test_without_a_reply_it_stays_withheld_and_the_client_hears_no_reason(caplog):
    with serve_scripted(Scripted(fails_at=0)) as broken:
        named = LargerModel(broken, "ada", Patience(attempts=1))
        for larger in (named, named._replace(name="unknown"), named._replace(url="http://127.0.0.1:9/v1")):
            with serving(make_app(Withholding(), larger=larger)) as url:
                (choice,) = ask(url).json()["choices"]
            assert (choice["message"]["content"], choice["finish_reason"]) == ("", "content_filter")
            assert "passed_to" not in choice["jaxuq"]
    assert caplog.text.count("the larger model did not answer") == 3


def test_others_are_answered_while_the_larger_model_thinks(larger):
    slow = Scripted(("slow",), seconds=1.0)
    with (
        serve_scripted(slow) as far,
        serving(make_app(Withholding(), larger=LargerModel(far, "ada"))) as url,
    ):
        waiting = threading.Thread(target=ask, args=(url,))
        waiting.start()
        while not slow.jobs:
            pass
        assert CLIENT.get(url.replace("/v1", "/health")).json() == {"status": "ok"} and waiting.is_alive()
        waiting.join()
