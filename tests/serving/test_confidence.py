"""Replies that say how sure the model is: measures, chain, calibrated probabilities, and answers that are withheld."""

import concurrent.futures
import json
import math

import httpx2
import numpy as np
import pytest

import jaxuq
from jaxuq.confidence import KeptConfidence
from jaxuq.serving import Judge, LocalBackend, make_app, serving
from tests.language.test_answers import model  # noqa: F401
from tests.serving.scripted import serve_scripted

CLIENT = httpx2.Client(timeout=120, trust_env=False)
RISK = 0.3
LETTERS = {"0": -100, "1": -100, "2": -100}  # no special tokens, which are not told


def kept(**options):
    scores = np.linspace(0.0, 0.2, 400)
    return KeptConfidence("minimum_answer_probability", scores, scores > 0.08, kind="whole", **options)


@pytest.fixture(scope="module")
def url(model):  # noqa: F811
    with serving(make_app(LocalBackend(model, judge=Judge(model, kept())))) as address:
        yield address


def ask(url, seed=0, letters="abc", **fields):
    messages = [{"role": "user", "content": letters}]
    fields = {"max_tokens": 8, "seed": seed, "logprobs": True, "jaxuq": {"confidence": True}, **fields}
    fields["logit_bias"] = LETTERS
    answer = CLIENT.post(f"{url}/chat/completions", json={"messages": messages, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"]


def test_measures_are_of_the_tokens_that_are_told(url):
    (choice,) = ask(url, seed=3, jaxuq={"confidence": True, "chain": True})
    told, said = [one["logprob"] for one in choice["logprobs"]["content"]], choice["jaxuq"]
    assert said["answer"] == choice["message"]["content"].strip()
    measures = said["measures"]
    assert measures["answer_probability"] == pytest.approx(math.exp(sum(told)), rel=1e-3)
    assert measures["minimum_answer_probability"] == pytest.approx(math.exp(min(told)), rel=1e-3)
    assert 0 <= said["interval"][0] <= said["confidence"] <= said["interval"][1] <= 1
    assert said["labelled_answers"] == 400 and said["measure"] == "minimum_answer_probability"
    assert isinstance(said["chain"], list) and "withheld" not in said
    for link in said["chain"]:
        assert set(link) == {"token", "text", "step", "source", "weight", "similarity", "kept", "probability"}


def test_a_reply_without_a_final_answer_says_so(url):
    (choice,) = ask(url, seed=3, jaxuq={"confidence": True, "kind": "number"})
    said = choice["jaxuq"]
    assert said["answer"] is None and said["confidence"] is None and "no final answer was found" in said["why"]
    assert "why" not in ask(url, seed=3)[0]["jaxuq"]


def test_they_do_not_depend_on_who_else_is_judged(url):
    alone = [ask(url, seed)[0] for seed in range(5)]
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        together = list(pool.map(lambda seed: ask(url, seed)[0], range(5)))
    for one, other in zip(alone, together):
        assert one["message"] == other["message"]
        for name, value in one["jaxuq"]["measures"].items():
            assert value == pytest.approx(other["jaxuq"]["measures"][name], abs=1e-5, rel=1e-4)


def test_in_a_stream_it_is_the_last_of_the_choice(url):
    (whole,) = ask(url, seed=4)
    body = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 8, "seed": 4, "stream": True}
    body["logit_bias"] = LETTERS
    body |= {"jaxuq": {"confidence": True}, "stream_options": {"include_usage": True}}
    lines = CLIENT.post(f"{url}/chat/completions", json=body).text.split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    choices = [event["choices"][0] for event in events if event["choices"]]
    assert choices[-1]["jaxuq"] == whole["jaxuq"] and choices[-1]["finish_reason"] is None
    assert choices[-2]["finish_reason"] in ("stop", "length") and not any("jaxuq" in one for one in choices[:-1])
    assert events[-1]["usage"]["completion_tokens"] > 0


def test_several_answers_have_verdicts_of_their_own(url):
    choices = ask(url, seed=5, n=3)
    found = [one["jaxuq"]["measures"]["answer_probability"] for one in choices]
    told = [math.exp(sum(entry["logprob"] for entry in one["logprobs"]["content"])) for one in choices]
    assert found == pytest.approx(told, rel=1e-3) and len(set(found)) == 3


@pytest.mark.parametrize("stream", [False, True])
def test_answers_below_the_promised_risk_are_withheld(model, stream):  # noqa: F811
    threshold, given, withheld = kept().threshold(RISK), 0, 0
    with serving(make_app(LocalBackend(model, judge=Judge(model, kept(), RISK)))) as url:
        for seed in range(8):
            body = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 4, "seed": seed, "stream": stream}
            answer = CLIENT.post(f"{url}/chat/completions", json={**body, "jaxuq": {"confidence": True, "chain": True}})
            if stream:
                lines = answer.text.split("\n\n")
                choices = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
                text = "".join(one["delta"].get("content", "") for one in choices)
                finish, said = (
                    next(one["finish_reason"] for one in choices if one["finish_reason"]),
                    choices[-1]["jaxuq"],
                )
            else:
                (choice,) = answer.json()["choices"]
                text, finish, said = choice["message"]["content"], choice["finish_reason"], choice["jaxuq"]
            accepted = said["measures"]["minimum_answer_probability"] >= threshold
            assert said["withheld"] == (not accepted) and said["risk"] == RISK
            assert bool(text) == accepted and (finish == "content_filter") == (not accepted)
            assert accepted or (said["answer"] is None and "chain" not in said)
            given, withheld = given + accepted, withheld + (not accepted)
    assert given and withheld


@pytest.mark.parametrize(
    "field", [{"confidence": 1}, {"chain": "yes"}, {"confidence": True, "kind": "song"}, {"loud": True}, [], True]
)
def test_what_is_asked_otherwise_is_refused_by_name(url, field):
    body = {"messages": [{"role": "user", "content": "abc"}], "jaxuq": field}
    assert CLIENT.post(f"{url}/chat/completions", json=body).status_code == 400


def test_a_model_that_cannot_say_so_does():
    with serve_scripted() as url:
        body = {"messages": [{"role": "user", "content": "abc"}], "jaxuq": {"confidence": True}}
        answer = CLIENT.post(f"{url}/chat/completions", json=body)
        assert answer.status_code == 400 and "how sure it is" in answer.json()["error"]["message"]


def test_a_risk_that_cannot_be_promised_is_refused(model):  # noqa: F811
    with pytest.raises(jaxuq.JaxuqError, match="--abstain-risk needs --confidence"):
        Judge(model, None, 0.1)
    coin = KeptConfidence("answer_probability", np.linspace(0, 1, 40), np.arange(40) % 2, kind="whole")
    with pytest.raises(jaxuq.JaxuqError, match=r"at most 0\.01 of cases"):
        Judge(model, coin, 0.01)
    with pytest.raises(jaxuq.JaxuqError, match="another model's"):
        Judge(model, kept(weights="others"))
