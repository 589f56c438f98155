"""Answers judged by what the running batch saw of them: the same as by reading them once more, whoever else runs."""

import concurrent.futures

import httpx2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq.confidence.measures import chosen_measures
from jaxuq.confidence.text import answering
from jaxuq.confidence.text.assess import Plan
from jaxuq.confidence.text.given_tokens import SeenTokens, assess_seen, assess_tokens
from jaxuq.language import Ask, RunningBatch, Sampling, stop_tokens
from jaxuq.networks import CapabilityError
from jaxuq.parallel import rung
from jaxuq.questions import FoundAnswer, Question
from jaxuq.serving import Judge, LocalBackend, judging, make_app, serving, verdicts
from tests.language.test_answers import model  # noqa: F401
from tests.serving.test_confidence import LETTERS

CLIENT = httpx2.Client(timeout=120, trust_env=False)
PROMPTS = [np.random.default_rng(seed).integers(4, 30, length).tolist() for seed, length in enumerate((3, 17, 40, 60))]


def run(batch, tickets):
    """All that is said, and the states of watched answers at their end, read on the spot."""
    said, states = {}, {}
    while batch.busy:
        for grown in batch.advance():
            key = grown.ticket, grown.sample
            said.setdefault(key, []).append(grown)
            if grown.finish and tickets[grown.ticket].watched:
                length = len(tickets[grown.ticket].prompt) + sum(len(one.tokens) for one in said[key])
                states[key] = {width: batch.states(*key, width=width) for width in {rung(length, least=32), 128}}
    return said, states


def joined(some, name):
    return np.concatenate([getattr(one, name) for one in some])


@pytest.fixture(scope="module")
def answers(model):  # noqa: F811
    """Watched answers and others, of several lengths, that come and go in one batch."""
    batch = RunningBatch(
        model.functions, model.variables, stop_tokens=stop_tokens(model), most_rows=4, most_tokens=4096
    )
    tickets = {}
    for number, prompt in enumerate([*PROMPTS, *PROMPTS]):
        ask = Ask(
            prompt, 5 + 4 * number, jax.random.key(number), 1 + number % 2, Sampling(1.0), watched=number % 3 != 1
        )
        tickets[batch.add(ask)] = ask
    said, states = run(batch, tickets)
    assert len(states) == 7 and len(said) == 12
    return [(tickets[key[0]], said[key], states[key]) for key in states]


@pytest.mark.long
def test_states_are_those_of_reading_the_text(model, answers):  # noqa: F811
    for ask, said, states in answers:
        text = [*ask.prompt, *joined(said, "tokens").tolist()]
        for width, seen in states.items():
            tokens = np.zeros((1, width), np.int32)
            tokens[0, : len(text)] = text
            slots = np.arange(width)[None]
            positions = np.where(slots < len(text), slots, -1)
            hidden, cache, queries = model.functions.read(model.variables, jnp.asarray(tokens), jnp.asarray(positions))
            own = slice(len(ask.prompt) - 1, len(text))  # from the last token of the prompt on
            np.testing.assert_allclose(seen.hidden[0, own], hidden[0, own], atol=1e-4, rtol=1e-4)
            for mine, read in zip(seen.queries, queries):
                np.testing.assert_allclose(mine[..., own, :, :], read[..., own, :, :], atol=1e-4, rtol=1e-4)
            for mine, read in zip(seen.cache.keys, cache.keys):
                whole = slice(0, len(text))
                np.testing.assert_allclose(mine[..., whole, :], read[..., whole, :], atol=1e-4, rtol=1e-4)
            np.testing.assert_array_equal(seen.cache.positions, positions)


@pytest.fixture
def last_letters(monkeypatch):
    """The answer is the last three letters of a response, so that there is something before it."""
    monkeypatch.setattr(answering, "read_answer", lambda text, _: FoundAnswer(text[-3:], len(text) - 3, len(text)))


@pytest.mark.long
def test_measures_are_those_of_reading_the_answer(model, answers, last_letters):  # noqa: F811
    measures = tuple(one for one in chosen_measures(["single"]) if "states" not in one.needs)  # cosines less cosines
    plan, question, links = Plan(measures=measures), Question("", ""), 0
    for ask, said, states in answers:
        reply = joined(said, "tokens").tolist()
        seen = SeenTokens(states.__getitem__, joined(said, "log_probs"), joined(said, "entropies"))
        found = assess_seen(model, question, ask.prompt, reply, seen, plan=plan)
        (wanted,) = assess_tokens(model, [question], [ask.prompt], [reply], plan=plan, rows=1)
        assert found.found == wanted.found and found.measures.keys() == wanted.measures.keys()
        for name, value in wanted.measures.items():
            assert found.measures[name] == pytest.approx(value, abs=1e-5, rel=1e-4, nan_ok=True), name
        assert [link[:3] + link[4:5] for link in found.chain] == [link[:3] + link[4:5] for link in wanted.chain]
        links += len(found.chain)
    assert links > 10


def test_states_are_asked_of_who_has_just_grown_and_is_watched(model):  # noqa: F811
    batch = RunningBatch(model.functions, model.variables)
    watched, other = (batch.add(Ask([5, 6], 40, jax.random.key(0), watched=watches)) for watches in (True, False))
    with pytest.raises(jaxuq.JaxuqError, match=f"sample 0 of ticket {watched}"):
        batch.states(watched, 0, width=32)
    batch.advance()
    assert batch.states(watched, 0, width=32).hidden.shape[:2] == (1, 32)
    with pytest.raises(jaxuq.JaxuqError, match=f"sample 0 of ticket {other}"):
        batch.states(other, 0, width=32)
    with pytest.raises(jaxuq.JaxuqError, match="rows have 128 slots"):
        batch.states(watched, 0, width=192)
    blind = RunningBatch(model.functions._replace(attention=None), model.variables)
    with pytest.raises(CapabilityError, match="attention"):
        blind.add(Ask([5, 6], 4, jax.random.key(0), watched=True))


def test_nothing_is_kept_where_nobody_watches(model):  # noqa: F811
    batch = RunningBatch(model.functions, model.variables, most_rows=4)
    batch.add(Ask([5, 6], 40, jax.random.key(0)))
    batch.advance()
    assert batch._slots.watched is None
    batch.add(Ask([5, 6], 3, jax.random.key(0), watched=True))
    batch.advance()
    assert batch._slots.watched is not None
    while batch.running > 1:
        batch.advance()
    batch.add(Ask([7, 6], 3, jax.random.key(0)))
    batch.advance()
    assert batch._slots.watched is None


def ask_all(url, bodies):
    def one(body):
        messages = [{"role": "user", "content": "abc" * (1 + body["seed"])}]
        answer = CLIENT.post(f"{url}/chat/completions", json={"messages": messages, "logit_bias": LETTERS, **body})
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"]

    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, bodies))


@pytest.mark.long
def test_the_server_reads_no_answer_again_and_says_the_same(model, monkeypatch, last_letters):  # noqa: F811
    asked = {"confidence": True, "chain": True}
    bodies = [{"seed": seed, "max_tokens": most, "jaxuq": asked, "n": 1 + seed % 2}
              for seed, most in enumerate((1, 2, 9, 20, 30))]  # fmt: skip
    bodies += [{"seed": 9, "max_tokens": 24, "jaxuq": asked, "stop": ["a", "e"]}, {"seed": 3, "max_tokens": 24}]
    with monkeypatch.context() as patch:
        patch.setattr(judging.Judge, "_read", None)
        with serving(make_app(LocalBackend(model, judge=Judge(model)))) as url:
            seen = ask_all(url, bodies)
    monkeypatch.setattr(verdicts, "_answered", lambda batch, running, sample: judging.Answered(
        running.job.prompt, running.texts[sample].tokens, running.job.confidence))  # fmt: skip
    with serving(make_app(LocalBackend(model, judge=Judge(model)))) as url:
        read = ask_all(url, bodies)
    for mine, other in zip(seen, read):
        for one, two in zip(mine, other):
            assert one["message"] == two["message"] and ("jaxuq" in one) == ("jaxuq" in two)
            for name, value in two.get("jaxuq", {}).get("measures", {}).items():
                assert one["jaxuq"]["measures"][name] == pytest.approx(value, abs=1e-5, rel=1e-4), name
            chains = [[link["token"] for link in part.get("jaxuq", {}).get("chain", [])] for part in (one, two)]
            assert chains[0] == chains[1]
    assert any(one.get("jaxuq", {}).get("chain") for mine in seen for one in mine)
