"""Clients that others wrote for the protocol: LangChain's classes, and the evaluation harness's `local-completions`."""

import pytest

from jaxuq.language import GREEDY, encode_reply, generate, save_model, score
from jaxuq.serving import LocalBackend, make_app, serving
from tests.language.test_answers import model  # noqa: F401
from tests.language.test_constraints import bytewise  # noqa: F401
from tests.serving.scripted import serve_scripted

pytestmark = pytest.mark.oracle
SAID = "Ada met Bo"


@pytest.fixture(scope="module")
def langchain():
    return pytest.importorskip("langchain_openai")


@pytest.fixture(scope="module")
def url():
    with serve_scripted() as address:
        yield address


@pytest.fixture(scope="module")
def chat(langchain, url):
    return langchain.ChatOpenAI(base_url=url, api_key="none", model="ada", max_retries=0, temperature=0)


def test_langchain_asks_whole_streamed_and_in_batches(chat):
    found = chat.invoke([("system", "Be brief"), ("human", "Who?")])
    assert found.content == SAID and found.response_metadata["finish_reason"] == "stop"
    assert found.usage_metadata["output_tokens"] == 3 and found.response_metadata["model_name"] == "ada"
    parts = list(chat.stream("Who?"))
    assert "".join(one.content for one in parts) == SAID and len([one for one in parts if one.content]) == 3
    assert [one.content for one in chat.batch(["Who?"] * 4)] == [SAID] * 4


def test_langchain_sees_probabilities_and_what_jaxuq_adds_is_asked_for_by_extra_body(chat):
    found = chat.bind(logprobs=True, top_logprobs=1).invoke("Who?")
    content = found.response_metadata["logprobs"]["content"]
    assert [one["logprob"] for one in content] == [-0.5] * 3 and content[0]["top_logprobs"][0]["token"] == "Eva"
    with pytest.raises(Exception, match="how sure it is"):
        chat.bind(extra_body={"jaxuq": {"confidence": True}}).invoke("Who?")


def test_langchain_completes_and_embeds(langchain, url):
    whole = langchain.OpenAI(base_url=url, api_key="none", model="ada", max_retries=0)
    assert whole.invoke("Who?") == SAID and "".join(whole.stream("Who?")) == SAID
    vectors = langchain.OpenAIEmbeddings(base_url=url, api_key="none", model="ada", check_embedding_ctx_length=False)
    assert vectors.embed_documents(["a", "b c"]) == [[1.0, 0.5], [3.0, 0.5]]


def test_langchains_structured_output_is_of_the_schema(langchain, bytewise):  # noqa: F811
    pytest.importorskip("llguidance")
    size = {"size": {"type": "integer", "minimum": 0, "maximum": 99}}
    schema = {"title": "Size", "description": "how large", "type": "object", "properties": size, "required": ["size"]}
    schema["additionalProperties"] = False
    with serving(make_app(LocalBackend(bytewise, slots=2, most_tokens=2048))) as address:
        asked = langchain.ChatOpenAI(base_url=address, api_key="none", model="bytes", max_retries=0, seed=1)
        found = asked.with_structured_output(schema, method="json_schema").invoke("u")
    assert set(found) == {"size"} and 0 <= found["size"] <= 99


def test_a_tool_is_refused_by_name(chat):
    with pytest.raises(Exception, match="'tools' is not supported"):
        chat.bind_tools([{"name": "f", "description": "g", "parameters": {"type": "object", "properties": {}}}]).invoke(
            "Hi"
        )


def test_the_evaluation_harness_scores_and_generates_as_the_model_does(model, tmp_path):  # noqa: F811
    completions = pytest.importorskip("lm_eval.models.openai_completions")
    from lm_eval.api.instance import Instance

    save_model(tmp_path / "tiny", model)
    pairs = [("abc", "de"), ("hello", "k"), ("abcdefgh", "ijkabc")]
    with serving(make_app(LocalBackend(model))) as address:
        harness = completions.LocalCompletionsAPI(
            base_url=f"{address}/completions", model="tiny", tokenizer=str(tmp_path / "tiny"), max_length=60,
            num_concurrent=1, max_retries=1, tokenizer_backend="huggingface",
        )  # fmt: skip
        asked = [Instance("loglikelihood", {}, pair, number) for number, pair in enumerate(pairs)]
        found = harness.loglikelihood(asked, disable_tqdm=True)
        until = Instance("generate_until", {}, ("abc", {"until": ["zz"], "max_gen_toks": 9, "temperature": 0}), 0)
        (text,) = harness.generate_until([until], disable_tqdm=True)
    replies = [encode_reply(model.tokenizer, after) for _, after in pairs]
    direct = score(model, [before for before, _ in pairs], replies, chat=False, top_alternatives=1)
    for (log_prob, greedy), one in zip(found, direct):
        assert log_prob == pytest.approx(float(one.log_probs.sum()), abs=1e-3)
        assert greedy == bool((one.alternatives.tokens[:, 0] == one.tokens).all())
    (made,) = generate(model, "abc", max_new_tokens=9, sampling=GREEDY, chat=False)
    assert text == made.text
