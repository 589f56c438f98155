"""Experts behind the server: the texts of the offline command, whoever is answered meanwhile; adapters by name."""

import concurrent.futures
import json

import httpx2
import jax
import numpy as np
import pytest

from jaxuq.experts import EvaluateConfiguration, ExpertsError, answer_by_experts, run_evaluation, run_training
from jaxuq.experts.pipeline.questions import read_training
from jaxuq.experts.pipeline.records import encode_records, typed_questions
from jaxuq.experts.pipeline.served_run import ServedRun, read_served
from jaxuq.language import LanguageModel, generate, save_peft, stack_adapters
from jaxuq.language.sampling import GREEDY
from jaxuq.networks import LoraConfig
from jaxuq.serving import Judge, LocalBackend, ServedAdapters, ServedExperts, ServingError, make_app, serving
from tests.experts.tiny_run import configuration, tiny_model, write_data
from tests.language.tiny_decoder import base_params, decoder_with, moved_adapters
from tests.language.words import tokenizer

CLIENT = httpx2.Client(timeout=120, trust_env=False)
QUESTIONS = ["what is red a red", "what is blue b blue", "what is green c", "one two three red blue green yes no a b c"]
MEMBERS = ("base", "expert-0", "expert-1")


def ask(url, text, **fields):
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 5, **fields}
    return CLIENT.post(f"{url}/chat/completions", json=body)


def choice(url, text, **fields):
    answer = ask(url, text, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]


def weights_of(prompt):
    """Of no meaning, but other ones for other prompts."""
    share = np.float32([sum(prompt) % 3, 1 + len(prompt) % 2, prompt[-2] % 5])
    return share / 3


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of experts that nobody trained, and its prompts' tokens."""
    decoder, params = decoder_with(), base_params()
    model = LanguageModel(decoder, params, tokenizer(), "tiny")
    experts = stack_adapters([moved_adapters(decoder, params, seed=seed) for seed in (1, 2, 3)])
    folder = tmp_path_factory.mktemp("run")
    options = configuration(folder / "none.jsonl", folder)
    found = type("Run", (), {"model": model, "configuration": options})
    return ServedRun(found, MEMBERS, experts, weights_of)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def url(run):
    served = ServedExperts(run, "elrea")
    with serving(make_app(LocalBackend(served, judge=Judge(run.run.model)))) as address:
        yield address


@pytest.fixture(scope="module")
def offline(run):
    encoded = encode_records(
        run.run.model, typed_questions(run.run.configuration, QUESTIONS), max_length=40, answers=False
    )
    prompts = [one.tokens for one in encoded.prompts]
    weights = np.stack([weights_of(prompt.tolist()) for prompt in prompts])
    return answer_by_experts(run.run.model, run.experts, prompts, weights, max_new_tokens=5, sampling=GREEDY)


def test_answers_weights_and_disagreement_are_those_of_answering_offline(url, offline):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda text: choice(url, text), QUESTIONS))
    for text, direct, shared in zip(QUESTIONS, offline, together):
        for got in (shared, choice(url, text)):
            assert got["message"]["content"] == direct.text
            said = got["jaxuq"]
            np.testing.assert_allclose([said["weights"][name] for name in MEMBERS], direct.weights, atol=1e-5)
            told = said["disagreement"]
            assert told["mutual_information"] == pytest.approx(direct.mutual_information.mean(), abs=1e-5)
            assert told["variance"] == pytest.approx(direct.variances.mean(), rel=1e-3, abs=1e-6)
            np.testing.assert_allclose(told["of_tokens"], direct.mutual_information, atol=1e-4)
            expected = {name: value for name, value in zip(MEMBERS, np.nansum(direct.member_log_probs, axis=0))
                        if direct.weights[MEMBERS.index(name)] > 0}  # fmt: skip
            assert told["logprobs"] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_in_a_stream_disagreement_comes_at_the_end(url):
    whole = choice(url, QUESTIONS[0])
    lines = ask(url, QUESTIONS[0], stream=True).text.split("\n\n")
    events = [json.loads(line[6:])["choices"][0] for line in lines if line.startswith("data: {")]
    assert events[-1]["jaxuq"] == whole["jaxuq"] and not any("jaxuq" in one for one in events[:-1])
    assert "".join(one["delta"].get("content", "") for one in events) == whole["message"]["content"]


@pytest.mark.long
def test_each_expert_answers_by_its_own_name(url, run):
    names = [one["id"] for one in CLIENT.get(f"{url}/models").json()["data"]]
    assert names == ["elrea", *MEMBERS]
    for at, name in enumerate(MEMBERS):
        alone = run.run.model._replace(lora=jax.tree.map(lambda leaf, at=at: leaf[at], run.experts))
        (direct,) = generate(alone, QUESTIONS[1] + "\n", max_new_tokens=5, sampling=GREEDY, chat=False)
        got = choice(url, QUESTIONS[1], model=name, jaxuq={"confidence": True})
        assert got["message"]["content"] == direct.text and "disagreement" not in got["jaxuq"]
        told = got["jaxuq"]["measures"]["response_probability"]
        assert told == pytest.approx(float(np.exp(direct.log_probs.sum())), rel=1e-3)
        texts = CLIENT.post(f"{url}/completions", json={
            "model": name, "prompt": QUESTIONS[1], "max_tokens": 0, "echo": True, "logprobs": 0
        })  # fmt: skip
        assert texts.status_code == 200, texts.text


def test_what_an_ensemble_cannot_be_asked_is_refused_by_name(url):
    several = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what"}]
    wrong = (
        ("chat/completions", {"messages": several}, "single instructions"),
        ("chat/completions", {"messages": several[1:], "jaxuq": {"confidence": True}}, "an ensemble"),
        ("completions", {"prompt": "what is", "echo": True, "logprobs": 0, "max_tokens": 0}, "an ensemble"),
        ("embeddings", {"input": "what is"}, "an ensemble"),
        ("load_lora_adapter", {"lora_name": "a", "lora_path": "a"}, "no adapters"),
    )
    for path, body, said in wrong:
        answer = CLIENT.post(f"{url}/{path}", json=body)
        assert answer.status_code in (400, 404) and said in answer.json()["error"]["message"], (path, answer.text)
    vectors = CLIENT.post(f"{url}/embeddings", json={"input": "what is", "model": "base"}).json()
    hidden = decoder_with().config.hidden_size
    assert vectors["model"] == "base" and len(vectors["data"][0]["embedding"]) == hidden


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Two adapters in PEFT's format, of other ranks and layers, and one of DoRA."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, options in {
        "small": LoraConfig(2, 8.0, targets=("query", "value")),
        "large": LoraConfig(4, 4.0, targets=("query", "up", "down")),
        "wide": LoraConfig(9, 4.0, targets=("query",)),
    }.items():
        decoder = decoder_with().clone(lora=options)
        save_peft(folder / name, options, moved_adapters(decoder, base_params(), seed=len(name)), base_model="tiny")
    return folder


def adapted(folder, name):
    from jaxuq.language import load_peft

    plain = tiny_model()
    config, lora = load_peft(folder / name, plain.decoder.config, scan=plain.decoder.scan)
    return plain._replace(decoder=plain.decoder.clone(lora=config), lora=lora)


@pytest.mark.long
def test_adapters_share_the_batch_come_and_go(stored):
    served = ServedAdapters(tiny_model(), most=2, rank=4, folder=stored)
    served.load("small", stored / "small")
    models = {"tiny": tiny_model(), "small": adapted(stored, "small"), "large": adapted(stored, "large")}
    prompt = "a b c d e f g one two three red green blue what is a b c d e f g one two three red green blue what is"
    direct = {
        name: generate(model, prompt, max_new_tokens=12, sampling=GREEDY)[0].text for name, model in models.items()
    }
    assert len(set(direct.values())) == 3
    backend = LocalBackend(served, judge=Judge(tiny_model()))
    with serving(make_app(backend)) as url:

        def said(name):
            return choice(url, prompt, model=name, max_tokens=12)["message"]["content"]

        def post(path, **body):
            return CLIENT.post(f"{url}/{path}", json=body)

        assert ask(url, prompt, model="large").status_code == 404
        assert said("small") == direct["small"] and said("tiny") == direct["tiny"]
        assert post("load_lora_adapter", lora_name="large", lora_path="large").json()["models"][2] == "large"
        for _ in range(2):  # the same prompt for all: its beginning is not shared by who reads it otherwise
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                assert list(pool.map(said, direct)) == [*direct.values()]
        tokens = choice(url, prompt, model="large", jaxuq={"confidence": True})["jaxuq"]["measures"]
        (alone,) = generate(models["large"], prompt, max_new_tokens=5, sampling=GREEDY)
        assert tokens["response_probability"] == pytest.approx(float(np.exp(alone.log_probs.sum())), rel=1e-3)
        full = post("load_lora_adapter", lora_name="other", lora_path="small")
        assert full.status_code == 400 and "no room" in full.json()["error"]["message"]
        assert post("unload_lora_adapter", lora_name="small").status_code == 200
        assert ask(url, prompt, model="small").status_code == 404
        assert post("unload_lora_adapter", lora_name="small").status_code == 404
        for path, error in (("wide", "rank 9"), ("..", "no folder within"), ("/etc", "no folder within"),
                            ("none", "no folder within"), ("\0", "no folder within")):  # fmt: skip
            answer = post("load_lora_adapter", lora_name="new", lora_path=path)
            assert answer.status_code == 400 and error in answer.json()["error"]["message"], path
        for body in ({}, {"lora_name": 3, "lora_path": "small"}, {"lora_name": "x", "lora_path": "small", "more": 1}):
            assert post("load_lora_adapter", **body).status_code == 400
        assert post("load_lora_adapter", lora_name="small", lora_path="large").status_code == 200
        assert said("small") == direct["large"] and said("large") == direct["large"]


def test_an_answer_that_runs_with_a_dropped_adapter_ends_as_it_began(stored):
    served = ServedAdapters(tiny_model(), most=1, rank=4)
    served.load("small", stored / "small")
    given = served.given("small", [1])
    served.drop("small")
    with pytest.raises(ServingError, match="no room"):
        served.load("large", stored / "large", {given.reading})
    served.load("large", stored / "large")
    assert served.given("large", [1]).reading != given.reading
    with pytest.raises(ServingError, match="may load no adapters"):
        served.load_from("x", "large")


@pytest.mark.long
@pytest.mark.parametrize("route", ["gradient", "embedding"])
def test_the_same_texts_as_the_offline_commands(route, tmp_path, monkeypatch):
    """A whole training, its evaluation, and the server on its folder."""
    monkeypatch.setattr("jaxuq.language.load_model", lambda name: tiny_model())
    if route == "embedding":
        words = tokenizer()

        def vectors(texts, **_):
            rows = np.stack([np.bincount(words(text)["input_ids"], minlength=40).astype(np.float32) for text in texts])
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        monkeypatch.setattr("jaxuq.experts.sentences.embed_sentences", vectors)  # imported where it is used
        monkeypatch.setattr("jaxuq.experts.pipeline.served_run.embed_sentences", vectors)
    data = write_data(tmp_path / "mix.jsonl")
    run_training(configuration(data, tmp_path / "elrea"), model=tiny_model())
    method = "elrea" if route == "gradient" else "instruction-embedding"
    if route == "embedding":
        with pytest.raises(ExpertsError, match="--baselines instruction-embedding"):
            read_served(tmp_path / "elrea", route=route)
    options = EvaluateConfiguration(
        (tmp_path / "elrea",), data=str(data), output=tmp_path / "evaluation", baselines=method, max_new_tokens=5
    )
    run_evaluation(options, model=tiny_model())
    (file,) = (tmp_path / "evaluation" / "predictions").rglob(f"*{method}.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines = [line for line in lines if "instruction" in line]
    assert len(lines) == 16 and len(read_training(tmp_path / "elrea").found.centroids) > 1
    served = ServedExperts(read_served(tmp_path / "elrea", route=route), "elrea")
    with serving(make_app(LocalBackend(served))) as url, concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda line: choice(url, line["instruction"]), lines))
    for line, got in zip(lines, answers):
        assert got["message"]["content"] == line["text"][0]
        np.testing.assert_allclose(list(got["jaxuq"]["weights"].values()), line["weights"], atol=2e-3)
        told = got["jaxuq"]["disagreement"]["mutual_information"]
        assert told == pytest.approx(line["mutual_information"], abs=1e-4)
