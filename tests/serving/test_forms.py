"""Answers of a given form through the server: as asked directly, with what the form allowed; all else is refused."""

import json
import math
import re

import httpx2
import jsonschema
import numpy as np
import pytest

from jaxuq.language import generate, regex_constraint, schema_constraint
from jaxuq.serving import LocalBackend, make_app, serving
from tests.language.test_answers import model  # noqa: F401
from tests.language.test_constraints import bytewise  # noqa: F401

CLIENT = httpx2.Client(timeout=120, trust_env=False)
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["x", "y"]}, "size": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["kind", "size"],
    "additionalProperties": False,
}

pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def url(bytewise):  # noqa: F811
    with serving(make_app(LocalBackend(bytewise, slots=4, most_tokens=2048))) as address:
        yield address


def post(url, path="chat/completions", **fields):
    body = {"messages": [{"role": "user", "content": "u"}]} if path[:4] == "chat" else {"prompt": "u"}
    return CLIENT.post(f"{url}/{path}", json={**body, "max_tokens": 90, "seed": 4, **fields})


def schema_format(schema=SCHEMA, **more):
    return {"type": "json_schema", "json_schema": {"name": "it", "schema": schema, "strict": True, **more}}


def test_a_schema_is_kept_to_whole_and_streamed_as_by_generate(url, bytewise):  # noqa: F811
    direct = generate(bytewise, "u", max_new_tokens=90, num_samples=3, rng_key=4, constraint=schema_constraint(SCHEMA))
    choices = post(url, response_format=schema_format(), n=3).json()["choices"]
    for one, other in zip(choices, direct):
        assert (one["message"]["content"], one["finish_reason"]) == (other.text, other.finish)
        allowed = float(other.allowed_log_probs.sum(dtype=float))
        assert one["jaxuq"]["allowed_logprob"] == pytest.approx(allowed, abs=1e-3)
        if other.finish == "stop":
            jsonschema.validate(json.loads(other.text), SCHEMA)
    assert any(one.finish == "stop" for one in direct)
    lines = post(url, response_format=schema_format(), n=1, stream=True).text.split("\n\n")
    events = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    assert "".join(one["delta"].get("content", "") for one in events) == direct[0].text
    (told,) = [one["jaxuq"] for one in events if "jaxuq" in one]
    assert told == {"allowed_logprob": pytest.approx(choices[0]["jaxuq"]["allowed_logprob"], abs=1e-4)}


def test_objects_choices_and_expressions(url, bytewise):  # noqa: F811
    (choice,) = post(url, response_format={"type": "json_object"}, max_tokens=40).json()["choices"]
    assert choice["message"]["content"].startswith("{")
    for choice in post(url, jaxuq={"choices": ["yes", "no", "not"]}, n=8).json()["choices"]:
        assert choice["message"]["content"] in ("yes", "no", "not") and choice["finish_reason"] == "stop"
    (direct,) = generate(
        bytewise, "u", max_new_tokens=9, rng_key=4, constraint=regex_constraint("[ab]{1,6}"), chat=False
    )
    (choice,) = post(url, "completions", jaxuq={"regex": "[ab]{1,6}"}, max_tokens=9).json()["choices"]
    assert choice["text"] == direct.text and math.isfinite(choice["jaxuq"]["allowed_logprob"])
    assert np.isclose(choice["jaxuq"]["allowed_logprob"], direct.allowed_log_probs.sum(), atol=1e-3)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"response_format": "json"}, "response_format is an object"),
        (
            {"response_format": {"type": "grammar"}},
            "response_format.type is 'grammar', which is not supported; expected text, json_object or",
        ),
        ({"response_format": {"type": "json_schema"}}, "needs a schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}}, "needs a schema"),
        ({"response_format": schema_format(extra=1)}, "'extra' is not supported"),
        ({"response_format": {"type": "text", "json_schema": {}}}, "needs the type json_schema"),
        ({"response_format": schema_format({"not": {}})}, 'response_format: the schema cannot be used: Unimpl.*"not"'),
        ({"response_format": schema_format({"enum": ["x" * 200_000]})}, "characters; at most 100000"),
        ({"jaxuq": {"regex": "(a{1000}){1000}"}}, "jaxuq: the expression is too complex"),
        ({"jaxuq": {"regex": 3}}, "jaxuq.regex is a regular expression"),
        ({"jaxuq": {"choices": ["a", "a"]}}, "jaxuq.choices: some choices are the same"),
        ({"jaxuq": {"choices": [1]}}, "jaxuq.choices is a list of texts"),
        ({"jaxuq": {"choices": ["a"], "regex": "a"}}, "several forms"),
        ({"jaxuq": {"table": {"columns": ["a"]}}}, "jaxuq.table is"),
        ({"jaxuq": {"table": {"columns": ["a|b"], "text": "x"}}}, "cannot stand in a table"),
        ({"jaxuq": {"table": {"columns": ["a"], "text": "x", "rows": 3}}}, "not supported"),
        ({"jaxuq": {"choices": ["a"]}, "response_format": {"type": "json_object"}}, "two forms"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(url, fields, said):
    answer = post(url, **fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert re.search(said, error["message"]), error["message"]
    assert error["param"].split(".")[0] in ("response_format", "jaxuq", "extra", "rows")
