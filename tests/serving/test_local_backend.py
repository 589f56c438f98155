"""jaxuq's own model through its server, the same as asked directly: texts, probabilities, seeds, steering, vectors."""

import base64
import json

import httpx2
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq.extraction import ChatSettings, Request, local_chat
from jaxuq.language import GREEDY, Sampling, encode_prompt, generate, score, stop_tokens
from jaxuq.serving import LocalBackend, Patience, make_app, open_endpoint, serving
from tests.language.test_answers import model  # noqa: F401
from tests.language.tiny_decoder import logits_of

CLIENT = httpx2.Client(timeout=120, trust_env=False)
WHO = [{"role": "user", "content": "abc"}]


@pytest.fixture(scope="module")
def url(model):  # noqa: F811
    with serving(make_app(LocalBackend(model))) as address:
        yield address


def ask(url, path="chat/completions", **fields):
    fields = {"messages": WHO, "max_tokens": 16, **fields} if path[:4] == "chat" else fields
    answer = CLIENT.post(f"{url}/{path}", json=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_same_directly_and_through_the_server_whole_and_streamed(url, model):  # noqa: F811
    prompts = ["abc", "hello"]
    direct = generate(model, prompts, max_new_tokens=16, sampling=GREEDY)
    requests = [Request(({"role": "user", "content": prompt},)) for prompt in prompts]
    long = Request(({"role": "user", "content": "abc" * 40},))
    settings = ChatSettings(max_tokens=16, log_probs=True)
    local = local_chat(model, settings).ask([*requests, long])
    patience = Patience(attempts=1)
    whole = open_endpoint(url, "tiny", settings, patience=patience).ask([*requests, long])
    streamed = open_endpoint(url, "tiny", settings, patience=patience, stream=True).ask([*requests, long])
    for number, answer in enumerate(direct):
        told = [value for token, value in zip(answer.tokens, answer.log_probs.tolist()) if token > 2]  # none is special
        assert local[number].text == answer.text
        for reply in (whole[number], streamed[number]):
            assert reply.text == answer.text and reply.error == ""
            assert "".join(reply.pieces) == answer.text
            assert reply.log_probs == pytest.approx(told, abs=1e-4)
            assert reply.finish == ("length" if answer.finish == "length" else "stop")
            assert (reply.prompt_tokens, reply.completion_tokens) == (len(answer.prompt_tokens), len(answer.tokens))
    for replies in (local, whole, streamed):  # too long a conversation costs that conversation only
        assert replies[2].text == "" and "context" in replies[2].error


def test_samples_are_those_of_generate_and_do_not_depend_on_how_many(url, model):  # noqa: F811
    direct = generate(model, "abc", max_new_tokens=16, sampling=Sampling(0.9), num_samples=3, rng_key=5)
    for n in (1, 3):
        choices = ask(url, n=n, seed=5, temperature=0.9)["choices"]
        assert [one["message"]["content"] for one in choices] == [one.text for one in direct[:n]]
    texts = {ask(url, seed=seed, temperature=1.0)["choices"][0]["message"]["content"] for seed in (0, 2**32, 2**63, -1)}
    assert len(texts) == 4
    assert len({ask(url, temperature=1.0)["choices"][0]["message"]["content"] for _ in range(6)}) > 1


def test_tokens_have_bytes_and_alternatives_that_are_the_models_own(url, model):  # noqa: F811
    (choice,) = ask(url, temperature=0, logprobs=True, top_logprobs=3)["choices"]
    (direct,) = generate(model, "abc", max_new_tokens=16, sampling=GREEDY, top_alternatives=3)
    content = choice["logprobs"]["content"]
    assert bytes(byte for one in content for byte in one["bytes"]).decode() == choice["message"]["content"]
    places = [place for place, token in enumerate(direct.tokens) if token > 2]  # special tokens are no text
    assert len(places) == len(content)
    for place, one in zip(places, content):
        assert len(one["top_logprobs"]) == 3 and one["token"]
        found = [other["logprob"] for other in one["top_logprobs"]]
        np.testing.assert_allclose(found, direct.alternatives.log_probs[place], atol=1e-4)
        assert one["top_logprobs"][0]["token"] == one["token"]  # greedy


def test_a_stop_text_is_no_part_of_text_or_tokens_streamed_or_not(url):
    (free,) = ask(url, temperature=0, seed=1)["choices"]
    text = free["message"]["content"]
    stop = text[5:8]
    before = text[: text.index(stop)]
    (choice,) = ask(url, temperature=0, stop=[stop], logprobs=True)["choices"]
    told = b"".join(bytes(one["bytes"]) for one in choice["logprobs"]["content"]).decode()
    assert (choice["message"]["content"], told, choice["finish_reason"]) == (before, before, "stop")
    body = {"messages": WHO, "max_tokens": 16, "temperature": 0, "stop": stop, "stream": True, "logprobs": True}
    lines = CLIENT.post(f"{url}/chat/completions", json=body).text.split("\n\n")
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    deltas = [event["choices"][0] for event in events]
    assert "".join(one["delta"].get("content", "") for one in deltas) == before
    parts = [entry for one in deltas for entry in (one["logprobs"] or {"content": []})["content"]]
    assert b"".join(bytes(one["bytes"]) for one in parts).decode() == before


def test_biases_and_penalties_steer(url, model):  # noqa: F811
    number = model.tokenizer.convert_tokens_to_ids("k")
    (choice,) = ask(url, logit_bias={str(number): 100}, max_tokens=5, temperature=0)["choices"]
    assert choice["message"]["content"] == "kkkkk"
    prompt = encode_prompt(model.tokenizer, "abc", chat=False)
    for penalties in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.7), (2.0, 2.0)):
        said = []
        for _ in range(12):  # greedily, by the definition
            text = np.zeros((1, len(prompt) + 12), np.int32)
            text[0, : len(prompt) + len(said)] = [*prompt, *said]
            logits = logits_of(model.decoder, model.params, None, text)[0, len(prompt) + len(said) - 1]
            logits = np.array(logits, np.float64)
            for token in set(said):
                logits[token] -= penalties[0] * said.count(token) + penalties[1]
            said.append(int(logits.argmax()))
            if said[-1] in stop_tokens(model):
                break
        options = {"frequency_penalty": penalties[0], "presence_penalty": penalties[1], "temperature": 0}
        (choice,) = ask(url, "completions", prompt="abc", max_tokens=12, logprobs=0, **options)["choices"]
        kept = [token for token in said if token not in stop_tokens(model)]
        assert choice["text"] == model.tokenizer.decode(kept, skip_special_tokens=True), penalties


def test_echo_scores_what_is_given(url, model):  # noqa: F811
    text = "abcdefg"
    tokens = encode_prompt(model.tokenizer, text, chat=False)
    direct = score(model, [text[:1]], [tokens[1:]], chat=False)[0]
    for prompt in (text, tokens):
        got = ask(url, "completions", prompt=prompt, max_tokens=0, echo=True, logprobs=2)
        (choice,) = got["choices"]
        told = choice["logprobs"]
        assert choice["text"] == text and "".join(told["tokens"]) == text
        assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
        np.testing.assert_allclose(told["token_logprobs"][1:], direct.log_probs, atol=1e-4)
        assert told["text_offset"] == list(range(len(text))) and len(told["top_logprobs"][1]) == 2
        assert got["usage"] == {"prompt_tokens": 7, "completion_tokens": 0, "total_tokens": 7}


def test_completions_of_several_prompts(url, model):  # noqa: F811
    direct = generate(model, ["abc", "hello"], max_new_tokens=6, sampling=GREEDY, chat=False)
    choices = ask(url, "completions", prompt=["abc", "hello"], max_tokens=6, temperature=0, echo=True)["choices"]
    assert [one["text"] for one in choices] == ["abc" + direct[0].text, "hello" + direct[1].text]
    assert [one["index"] for one in choices] == [0, 1]


def test_embeddings_are_means_of_hidden_states(url, model):  # noqa: F811
    (entry,) = ask(url, "embeddings", input="abcd")["data"]
    tokens = jnp.asarray([encode_prompt(model.tokenizer, "abcd", chat=False)])
    hidden = model.decoder.apply(model.variables, tokens, jnp.arange(tokens.shape[1])[None]).hidden
    np.testing.assert_allclose(entry["embedding"], hidden[0].mean(0), atol=1e-4)
    packed = ask(url, "embeddings", input="abcd", encoding_format="base64")["data"][0]["embedding"]
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(packed), "<f4"), entry["embedding"], rtol=1e-6)
