"""The protocol as its own client has it: the `openai` package, which compares every reply with its types."""

import pytest

from tests.serving.scripted import Scripted, serve_scripted

pytestmark = pytest.mark.oracle
WHO = [{"role": "user", "content": "Who?"}]
SAID = "Ada met Bo"


@pytest.fixture(scope="module")
def client():
    openai = pytest.importorskip("openai")
    with serve_scripted() as url:
        yield openai.OpenAI(base_url=url, api_key="none", max_retries=0, _strict_response_validation=True)


@pytest.fixture(scope="module")
def lenient(client):
    return client.with_options(_extra_kwargs={"_strict_response_validation": False})


def test_models(client):
    assert [one.id for one in client.models.list()] == ["ada"]
    assert client.models.retrieve("ada").owned_by == "jaxuq"


@pytest.mark.parametrize("name", ["ada", "default"])
def test_a_chat(client, name):
    found = client.chat.completions.create(model=name, messages=WHO, max_completion_tokens=9, seed=2**63, n=2)
    assert [choice.message.content for choice in found.choices] == [SAID, SAID]
    assert found.choices[0].finish_reason == "stop" and found.object == "chat.completion"
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


def test_probabilities_of_a_chat(client):
    found = client.chat.completions.create(model="ada", messages=WHO, logprobs=True, top_logprobs=1, max_tokens=2)
    (choice,) = found.choices
    assert choice.finish_reason == "length"
    assert [one.token for one in choice.logprobs.content] == ["Ada", " met"]
    assert (
        bytes(choice.logprobs.content[1].bytes) == b" met" and choice.logprobs.content[0].top_logprobs[0].logprob == -2
    )


def test_a_stream_with_its_usage(client):
    parts = list(
        client.chat.completions.create(
            model="ada", messages=WHO, stream=True, stream_options={"include_usage": True}, logprobs=True
        )
    )
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == SAID
    assert parts[0].choices[0].delta.role == "assistant" and parts[-1].usage.completion_tokens == 3
    assert [part.choices[0].finish_reason for part in parts if part.choices][-1] == "stop"


def test_the_streams_own_accumulator(client):
    with client.chat.completions.stream(model="ada", messages=WHO) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == SAID


def test_completions(client):
    found = client.completions.create(model="ada", prompt=["a", "b"], max_tokens=2, logprobs=1)
    assert [choice.text for choice in found.choices] == ["Ada met"] * 2
    assert found.choices[0].logprobs.tokens == ["Ada", " met"] and found.choices[0].logprobs.text_offset == [0, 3]


def test_what_its_types_lack_though_it_reads_it(lenient):
    """Nulls for the first token's probability and for a reason that is not there yet."""
    parts = lenient.completions.create(model="ada", prompt="a", max_tokens=3, stream=True)
    assert "".join(part.choices[0].text for part in parts) == SAID
    found = lenient.completions.create(model="ada", prompt="who", max_tokens=0, echo=True, logprobs=1)
    assert found.choices[0].text == "who"
    assert found.choices[0].logprobs.token_logprobs == [None, -1.0, -1.0]


def test_vectors(client, lenient):
    plain = client.embeddings.create(model="ada", input=["abcd", "a"], encoding_format="float")
    packed = lenient.embeddings.create(model="ada", input=["abcd", "a"])  # base64, which it unpacks
    for found in (plain, packed):
        assert [one.embedding for one in found.data] == [[4.0, 0.5], [1.0, 0.5]]


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"model": "eva"}, "NotFoundError", "model"),
        ({"temperature": -1.0}, "BadRequestError", "temperature"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "BadRequestError", "tools"),
        ({"response_format": {"type": "grammar"}}, "BadRequestError", "response_format"),
        ({"extra_body": {"jaxuq": {"loud": True}}}, "BadRequestError", "loud"),
    ],
)
def test_what_is_refused_is_an_error_of_its_kind(client, fields, kind, param):
    openai = pytest.importorskip("openai")
    with pytest.raises(getattr(openai, kind)) as raised:
        client.chat.completions.create(**{"model": "ada", "messages": WHO, **fields})
    assert raised.value.param == param and raised.value.body["message"]


def test_a_key_and_too_much_at_once():
    openai = pytest.importorskip("openai")
    with serve_scripted(Scripted(seconds=0.5, slots=1), key="abc", most_waiting=1) as url:
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=url, api_key="other", max_retries=0).models.list()
        client = openai.OpenAI(base_url=url, api_key="abc", max_retries=0)
        streams = [client.chat.completions.create(model="ada", messages=WHO, stream=True)]
        with pytest.raises(openai.RateLimitError) as raised:
            for _ in range(9):
                streams.append(client.chat.completions.create(model="ada", messages=WHO, stream=True))
        assert raised.value.response.headers["retry-after"] and raised.value.code == "busy"
        for stream in streams:
            assert "".join(part.choices[0].delta.content or "" for part in stream) == SAID
