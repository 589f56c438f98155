"""Every field of a request is read, or the request is refused by the field's name."""

import pytest

from jaxuq.serving import BadRequest
from jaxuq.serving.requests import read_chat, read_completion, read_embedding
from tests.serving.scripted import Scripted

BACKEND = Scripted()
USER = {"role": "user", "content": "Who?"}


def chat(**fields):
    return read_chat({"messages": [USER], **fields}, BACKEND)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", "hot"), ("temperature", -1), ("temperature", True), ("temperature", [1]), ("top_p", 2),
        ("top_p", "x"), ("max_tokens", 0), ("max_tokens", 1.5), ("max_tokens", "9"), ("max_tokens", 10**12),
        ("max_completion_tokens", -1), ("n", 0), ("n", 1000), ("n", "2"), ("n", True), ("seed", "x"), ("seed", 2**64),
        ("seed", 1.5), ("stop", 7), ("stop", [""]), ("stop", [1]), ("stop", ["x"] * 17), ("stream", "yes"),
        ("stream", 1), ("stream_options", "x"), ("stream_options", {"include_usage": True}), ("logprobs", 1),
        ("top_logprobs", 2), ("logit_bias", [1]), ("logit_bias", {"x": 1}), ("logit_bias", {"100": 1}),
        ("logit_bias", {"1": 101}), ("logit_bias", {"1": "2"}), ("logit_bias", {"-1": 1}),
        ("logit_bias", {"\u00b2": 1}), ("frequency_penalty", 3),
        ("presence_penalty", "x"), ("top_k", -1), ("min_p", 2), ("model", "other"),
        ("model", 7), ("model", ["ada"]),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(field, value):
    with pytest.raises(BadRequest, match=field if field != "model" else "no such model") as raised:
        chat(**{field: value})
    assert 400 <= raised.value.status < 500 and raised.value.param == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("response_format", {"type": "grammar"}), ("tools", [{}]), ("tool_choice", "required"), ("audio", {}),
        ("functions", [{}]), ("modalities", ["audio"]), ("prediction", {}), ("reasoning_effort", "low"),
        ("store", True), ("web_search_options", {}), ("best_of", 2), ("guided_json", {}), ("anything", 0),
        ("echo", True), ("prompt", "x"), ("service_tier", "flex"), ("x" * 5000, 1),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name_never_ignored(field, value):
    with pytest.raises(BadRequest, match="not supported") as raised:
        chat(**{field: value})
    assert raised.value.param == field[:60] and raised.value.code == "unsupported_parameter"
    assert chat(seed=1, **{field: None}) == chat(seed=1)


@pytest.mark.parametrize(
    "messages",
    [
        None, [], "x", [7], [{}], [{"role": "wizard", "content": "x"}], [{"role": "user"}],
        [{"role": "user", "content": None}], [{"role": "user", "content": 7}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
        [{"role": "user", "content": [{"type": "text"}]}], [{"role": "user", "content": ["x"]}],
        [{"role": "assistant", "content": None, "tool_calls": [{}]}], [{"role": "user", "content": "x", "name": "Bo"}],
    ],
)  # fmt: skip
def test_messages_of_other_forms_are_refused(messages):
    with pytest.raises(BadRequest, match="messages"):
        chat(messages=messages)


def test_messages_of_every_allowed_form():
    seen = []

    class Listening(Scripted):
        def encode_chat(self, messages):
            seen.extend(messages)
            return [1]

    parts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief"}]
    messages = [{"role": "developer", "content": parts}, USER, {"role": "assistant", "content": None, "refusal": None},
                {"role": "tool", "content": "4", "tool_call_id": "a"}]  # fmt: skip
    read_chat({"messages": messages}, Listening())
    assert [(one["role"], one["content"]) for one in seen] == [
        ("system", "Be brief"), ("user", "Who?"), ("assistant", ""), ("tool", "4")]  # fmt: skip


def test_null_is_absent_and_either_name_of_the_longest_answer_counts():
    assert chat(max_tokens=None, max_completion_tokens=5).jobs[0].max_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=None).jobs[0].max_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=5).jobs[0].max_tokens == 5
    with pytest.raises(BadRequest, match="differ"):
        chat(max_tokens=5, max_completion_tokens=6)
    plain = chat(seed=1)
    names = ("temperature", "top_p", "n", "stop", "stream", "stream_options", "logprobs", "logit_bias", "tools", "user")
    assert chat(seed=1, **dict.fromkeys(names)) == plain
    assert chat(seed=1, user="me", store=False, metadata={"a": "b"}, response_format={"type": "text"}) == plain


def test_a_seed_that_is_absent_is_a_fresh_one():
    assert len({chat().jobs[0].seed for _ in range(50)}) == 50
    assert chat(seed=0).jobs[0].seed == 0 and chat(seed=2**64 - 1).jobs[0].seed == 2**64 - 1


def test_what_does_not_fit_the_context_says_so():
    with pytest.raises(BadRequest, match="context") as raised:
        chat(max_tokens=4000)
    assert raised.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    "prompt", [None, "", [], [""], [[]], [1, "x"], [100], [-1], [True], 7, [[1], "x", None], {"a": 1}]
)
def test_prompts_and_inputs_of_other_forms_are_refused(prompt):
    with pytest.raises(BadRequest, match="prompt"):
        read_completion({"prompt": prompt}, BACKEND)
    with pytest.raises(BadRequest, match="input"):
        read_embedding({"input": prompt}, BACKEND)


@pytest.mark.parametrize(("prompt", "number"), [("ab", 1), (["a", "b"], 2), ([1, 2], 1), ([[1], [2, 3]], 2)])
def test_prompts_of_every_allowed_form(prompt, number):
    assert len(read_completion({"prompt": prompt}, BACKEND).jobs) == number
    assert len(read_embedding({"input": prompt}, BACKEND).inputs) == number


@pytest.mark.parametrize(
    "fields", [{"suffix": "x"}, {"best_of": 3}, {"echo": True, "stream": True}, {"logprobs": True}, {"max_tokens": 0}]
)
def test_completions_refuse_what_they_cannot(fields):
    with pytest.raises(BadRequest):
        read_completion({"prompt": "a", **fields}, BACKEND)
