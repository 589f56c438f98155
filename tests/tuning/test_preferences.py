"""Pairs for preference learning, and which to ask for, against loops and known utilities."""

import copy
import dataclasses
import inspect
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxuq import tuning
from jaxuq._errors import ArrayError, OptionError
from jaxuq.language import (
    BatchPlan,
    ChoiceProbabilities,
    FinetuneConfig,
    PromptError,
    choice_probabilities,
    finetune,
    make_batch,
    response_loss,
    score,
)
from jaxuq.networks import LoraConfig
from jaxuq.tuning import listener
from tests.tuning.tiny import COLOURS, word_model

CONFIG = FinetuneConfig(
    LoraConfig(rank=4), epochs=8, batch_size=4, max_length=16, packed=False, learning_rate=2e-2, decay=False
)
WORTH = {(1, 1): 1.0, (0, 0): 1.0, (1, 0): -0.5, (0, 1): -1.0}


def _all_pairs(questions, trust, correct):
    """Every pair that LACIE's rule allows, by loops over the answers of a question."""
    accepted = trust > np.median(trust)
    for i, j in itertools.permutations(range(len(trust)), 2):
        worth = [WORTH[int(correct[k]), int(accepted[k])] for k in (i, j)]
        if questions[i] == questions[j] and worth[0] > worth[1] and abs(trust[i] - trust[j]) >= 0.1:
            yield i, j


def test_listener_pairs_are_those_of_the_rule_and_balanced_by_kind():
    rng = np.random.default_rng(3)
    questions, trust, correct = np.repeat(np.arange(30), 10), rng.random(300), rng.random(300) < 0.5
    allowed = set(_all_pairs(questions, trust, correct))
    key = jax.random.key(1)
    whole = tuning.listener_pairs(key, questions, trust, correct, per_question=90, balanced=False)
    assert set(zip(whole.chosen.tolist(), whole.rejected.tolist())) == allowed
    few = tuning.listener_pairs(key, questions, trust, correct, balanced=False)
    assert set(zip(few.chosen.tolist(), few.rejected.tolist())) <= allowed
    assert max(np.bincount(questions[few.chosen])) == 3
    even = tuning.listener_pairs(key, questions, trust, correct)
    counts = {kind: even.kinds.count(kind) for kind in even.kinds}
    assert len(set(counts.values())) == 1 and len(counts) == len(set(few.kinds)) == 5
    again = tuning.listener_pairs(key, questions, trust, correct)
    np.testing.assert_array_equal(even.chosen, again.chosen)


def test_listener_pairs_of_nothing_and_of_other_lengths():
    none = np.zeros(0)
    assert tuning.listener_pairs(jax.random.key(0), none.astype(int), none, none.astype(bool)).kinds == []
    with pytest.raises(ArrayError, match="2 questions, 1 trusts"):
        inspect.unwrap(tuning.listener_pairs)(jax.random.key(0), np.zeros(2, int), np.ones(1), np.ones(2, bool))


def test_hedged_pairs_doubt_what_is_wrong_and_what_is_right():
    found = tuning.hedged_pairs([["A.", "B.", "C."], []], [[True, False, True], []], hedge=lambda claim: f"({claim})")
    assert found == [("A. (B.) C.", "(A.) B. (C.)")]
    with pytest.raises(ArrayError, match="one grade a claim"):
        tuning.hedged_pairs([["A."]], [[]])


def _chosen_by_loops(information, features, acquired, count, k, weight, degrees):
    n, asked, chosen = len(features), [*acquired], []
    reach = []
    for i in range(n):
        apart = sorted(np.linalg.norm(features[i] - features[j]) for j in range(n) if j != i)
        reach.append(apart[min(k, n - 1) - 1])
    for _ in range(count):
        values = {}
        for i in set(range(n)) - set(chosen):
            inside = sum(np.linalg.norm(features[i] - one) < reach[i] for one in asked)
            values[i] = information[i] + weight * (np.log(2 * reach[i] + 1e-4) - special.digamma(inside + 1) / degrees)
        chosen.append(max(values, key=lambda i: (values[i], -i)))
        asked.append(features[chosen[-1]])
    return chosen


def test_the_worked_number_of_a_diverse_preference():
    assert 0.05 + 0.01 * (np.log(2 * 0.8 + 1e-4) - special.digamma(3)) == pytest.approx(0.045473, abs=1e-6)


@pytest.mark.parametrize(("k", "weight"), [(1, 0.05), (4, 0.5), (30, 0.2)])
def test_diverse_preferences_are_those_of_a_loop(k, weight):
    rng = np.random.default_rng(k)
    features, acquired = rng.normal(size=(20, 3)), rng.normal(size=(6, 3))
    information = rng.random(20) / 5
    found = tuning.diverse_preferences(
        *(jnp.asarray(one, jnp.float32) for one in (information, features, acquired)),
        count=8, neighbours=k, weight=weight, degrees=2.0,
    )  # fmt: skip
    assert found.tolist() == _chosen_by_loops(information, features, acquired, 8, k, weight, 2.0)


def test_what_may_not_be_chosen_is_not_and_the_rest_is_none():
    information, features = jnp.arange(4.0), jnp.eye(4)
    where = jnp.array([True, False, True, False])
    found = tuning.diverse_preferences(information, features, features[:1], count=3, where=where)
    assert sorted(found.tolist()) == [-1, 0, 2]
    with pytest.raises(OptionError, match="count is 5, but the pool has 4"):
        tuning.diverse_preferences(information, features, features[:1], count=5)


def test_a_tenth_apart_is_apart_whatever_it_is_rounded_to():
    for kind in (np.float64, np.float32):
        trust = np.array([0.3, 0.2, 0.6, 0.5, 0.9, 0.81], kind)
        found = tuning.listener_pairs(
            jax.random.key(0), np.repeat(np.arange(3), 2), trust, np.array([True, False] * 3), threshold=0.0,
            balanced=False,
        )  # fmt: skip
        assert found.chosen.tolist() == [0, 2] and found.rejected.tolist() == [1, 3]


def test_one_without_a_number_costs_itself():
    """An answer whose trust is NaN is in no pair, and changes none; a pair without information is not asked for."""
    rng = np.random.default_rng(4)
    questions, trust, correct = np.repeat(np.arange(8), 5), rng.random(40), rng.random(40) < 0.5
    options = {"per_question": 90, "balanced": False}
    expected = tuning.listener_pairs(jax.random.key(0), questions, trust, correct, **options)
    more = (np.append(one, value) for one, value in ((questions, 3), (trust, np.nan), (correct, True)))
    found = tuning.listener_pairs(jax.random.key(0), *more, **options)
    assert set(zip(found.chosen, found.rejected)) == set(zip(expected.chosen, expected.rejected))
    features = jnp.array([[0.0], [1.0], [3.0], [jnp.nan]])
    found = tuning.diverse_preferences(
        jnp.array([jnp.nan, 0.4, 0.5, 0.9]), features, jnp.zeros((0, 1)), count=3, neighbours=1, weight=0.0
    )
    assert found.tolist() == [2, 1, -1]
    gap = tuning.base_tuned_gap(jnp.array([0.1, jnp.nan, 0.3, 0.2]), jnp.array([0.5, 0.2, 0.9, jnp.nan]), 0.5)
    np.testing.assert_array_equal(gap, [0, np.nan, 1, np.nan])


@pytest.mark.long
def test_fewer_preferences_are_asked_for_than_by_chance_where_the_utilities_are_known():
    """A linear utility, prompts in ten copies: pairs asked for until the reward orders 0.9 of new ones rightly."""
    asked = {"chance": [], "bald": [], "diverse": []}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        truth = 3 * rng.normal(size=6)
        prompts = np.repeat(rng.normal(size=(30, 6)), 10, axis=0)
        first, second = prompts + rng.normal(size=(300, 6)), prompts + rng.normal(size=(300, 6))
        test = rng.normal(size=(2000, 6))
        wins = rng.random(300) < special.expit((first - second) @ truth)
        best = np.where(wins[:, None], first, second), np.where(wins[:, None], second, first)
        for way, needed in asked.items():
            known = list(rng.permutation(300)[:4])
            while len(known) < 120:
                mask = np.zeros(300, bool)
                mask[known] = True
                heads = tuning.fit_reward_heads(
                    jax.random.key(len(known)),
                    *(jnp.asarray(one, jnp.float32) for one in best),
                    where=jnp.asarray(mask),
                )
                if np.mean((test @ np.asarray(heads.centre) > 0) == (test @ truth > 0)) >= 0.9:
                    break
                free = jnp.asarray(~mask)
                rewards = jnp.asarray(heads.weights) @ jnp.asarray(np.concatenate([first, second]), jnp.float32).T
                told = tuning.preference_information(rewards, jnp.arange(300), jnp.arange(300) + 300).information
                if way == "chance":
                    known += list(rng.permutation(np.flatnonzero(~mask))[:4])
                else:
                    old = jnp.asarray(prompts[known], jnp.float32)
                    found = tuning.diverse_preferences(
                        told, jnp.asarray(prompts, jnp.float32), old, count=4,
                        weight=0.0 if way == "bald" else 0.01, where=free,
                    )  # fmt: skip
                    known += found.tolist()
            needed.append(len(known))
    means = {way: float(np.mean(needed)) for way, needed in asked.items()}
    assert means["bald"] < means["chance"] and means["diverse"] < means["chance"], means
    print(means)


def _records():
    """Of two colours the one that comes later in the alphabet is preferred."""
    return [
        {"prompt": f"what is {letter}", "chosen": max(pair), "rejected": min(pair)}
        for letter in "abcd"
        for pair in itertools.combinations(COLOURS, 2)
    ]


def _examples(records=None):
    records = _records() if records is None else records
    return tuning.encode_preferences(word_model().tokenizer, records, chat=False)


def test_the_reference_is_what_scoring_each_text_alone_gives():
    model, records = word_model(), _records()
    found = tuning.preference_log_probs(model, _examples(), batch_size=5)
    for number, record in enumerate(records[:4]):
        for side, name in enumerate(("chosen", "rejected")):
            tokens = [*model.tokenizer(record[name]).input_ids, model.tokenizer.eos_token_id]
            alone = score(model, record["prompt"], [np.array(tokens)], chat=False)[0]
            np.testing.assert_allclose(found[number, side], alone.log_probs.sum(), rtol=1e-5)


def test_the_first_loss_is_that_of_the_equation_and_tuning_widens_the_margins():
    model, examples = word_model(), _examples()
    before = tuning.preference_log_probs(model, examples)
    shifted = before - np.array([[0.5, -0.25]], np.float32)  # of another reference, so that the loss is not log 2
    loss = tuning.preference_loss(shifted, beta=0.4, flipped=0.1)
    whole = dataclasses.replace(CONFIG, batch_size=len(before), max_steps=1)
    started = finetune(jax.random.key(0), model, examples, whole, token_loss=loss)
    margin = 0.4 * (0.5 + 0.25)
    expected = -0.9 * math.log(1 / (1 + math.exp(-margin))) - 0.1 * math.log(1 / (1 + math.exp(margin)))
    np.testing.assert_allclose(started.history.loss[0], expected, rtol=1e-4)
    assert started.history.tokens[0] == len(before)

    tuned = finetune(jax.random.key(0), model, examples, CONFIG, token_loss=tuning.preference_loss(before))
    after = tuning.preference_log_probs(tuned.model, examples)
    margins = (after - before) @ np.array([1.0, -1.0])
    assert (margins > 0).mean() > 0.9 and tuned.history.loss[-1] < tuned.history.loss[0]


def test_micro_batches_of_pairs_and_a_resumed_run_change_nothing(tmp_path):
    model, examples = word_model(), _examples()
    loss = tuning.preference_loss(tuning.preference_log_probs(model, examples))
    short = dataclasses.replace(CONFIG, epochs=2)
    whole = finetune(jax.random.key(0), model, examples, short, token_loss=loss)
    parts = finetune(
        jax.random.key(0), model, examples, dataclasses.replace(short, micro_batch_size=2), token_loss=loss
    )
    np.testing.assert_allclose(parts.history.loss, whole.history.loss, rtol=1e-4)
    for _ in range(2):  # the second reads what the first kept
        kept = finetune(jax.random.key(0), model, examples, short, token_loss=loss, checkpoint=tmp_path / "run")
        np.testing.assert_array_equal(kept.history.loss, whole.history.loss)
    with pytest.raises(ValueError, match="a run with another loss"):
        finetune(jax.random.key(0), model, examples, short, checkpoint=tmp_path / "run")


@pytest.mark.parametrize("kind", [jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit])
def test_pairs_divided_over_devices_learn_the_same(kind):
    model, examples = word_model(), _examples()
    loss = tuning.preference_loss(tuning.preference_log_probs(model, examples))
    once = dataclasses.replace(CONFIG, epochs=1)
    alone = finetune(jax.random.key(0), model, examples, once, token_loss=loss)
    mesh = jax.make_mesh((2,), ("data",), axis_types=(kind,), devices=jax.devices()[:2])
    divided = finetune(jax.random.key(0), model, examples, once, token_loss=loss, mesh=mesh)
    np.testing.assert_allclose(divided.history.loss, alone.history.loss, atol=1e-5)
    here, there = (tuning.preference_log_probs(model, examples, batch_size=5, mesh=one) for one in (None, mesh))
    np.testing.assert_allclose(there, here, atol=1e-4)


def test_a_pair_with_a_bad_response_is_left_out_whole():
    model, examples = word_model(), _examples()
    reference = tuning.preference_log_probs(model, examples)
    long = examples[3]._replace(tokens=np.zeros(20, np.int32), response=np.arange(20) > 0)
    damaged = [*examples[:3], long, *examples[4:]]
    one = dataclasses.replace(CONFIG, epochs=1, batch_size=64)
    tuned = finetune(jax.random.key(0), model, damaged, one, token_loss=tuning.preference_loss(reference))
    assert tuned.history.tokens[0] == len(reference) - 1
    assert [one.row for one in tuned.rejected] == [3]
    with pytest.raises(PromptError, match=r"none of the 1 pairs can be used; first: example 1 has 20 tokens"):
        finetune(jax.random.key(0), model, [examples[2], long], one, token_loss=tuning.preference_loss(reference[:1]))


def test_pairs_that_are_none_are_refused():
    model, examples = word_model(), _examples()
    loss = tuning.preference_loss(tuning.preference_log_probs(model, examples))
    with pytest.raises(OptionError, match="there are 3 examples; expected pairs"):
        finetune(jax.random.key(0), model, examples[:3], CONFIG, token_loss=loss)
    with pytest.raises(OptionError, match=r"FinetuneConfig\(packed=False\)"):
        finetune(jax.random.key(0), model, examples, dataclasses.replace(CONFIG, packed=True), token_loss=loss)
    with pytest.raises(ArrayError, match="there are 3 examples; expected pairs"):
        tuning.preference_log_probs(model, examples[:3])
    with pytest.raises(OptionError, match="there are 2 pairs, and the loss was made for 12"):
        finetune(jax.random.key(0), model, examples[:4], CONFIG, token_loss=loss)
    odd = make_batch(examples, BatchPlan(((0,), (1,), (2,)), 16), batch_size=3)
    with pytest.raises(OptionError, match="there are 3 rows; expected pairs"):
        response_loss(model.decoder, model.variables, odd, token_loss=loss)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "what", "chosen": "red"}, "preference 0 has no rejected; it has prompt, chosen"),
        ({"prompt": "what", "chosen": "red", "rejected": 3}, "preference 0, rejected: prompt and responses must be"),
        ({"prompt": 5, "chosen": "red", "rejected": "blue"}, "preference 0, chosen: prompt and responses must be"),
        ({"prompt": "what", "chosen": "", "rejected": "blue"}, "preference 0, chosen: "),
    ],
)
def test_bad_preferences_name_their_number_and_side(record, message):
    with pytest.raises(PromptError, match=message):
        _examples([record])


def test_of_several_turns_only_the_response_counts():
    tokenizer = copy.copy(word_model().tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ 'Q' if m.role == 'user' else 'A' }} {{ m.content }} <end> {% endfor %}"
        "{% if add_generation_prompt %}A {% endif %}"
    )
    turns = [("user", "what is a"), ("assistant", "red"), ("user", "what is b")]
    prompt = [{"role": role, "content": text} for role, text in turns]
    record = {"prompt": prompt, "chosen": [{"role": "assistant", "content": "blue"}], "rejected": "green"}
    chosen, rejected = tuning.encode_preferences(tokenizer, [record])
    said = [tokenizer.convert_ids_to_tokens(one.tokens[one.response]) for one in (chosen, rejected)]
    assert said == [["blue", "<end>"], ["green", "<end>"]]


def _hearing(trusted):
    """A listener that says yes as often as it is told to, and what it heard."""
    heard = []

    def choose(model, prompts, choices, *, chat, batch_size, mesh):
        heard.extend((prompt, tuple(choices), chat) for prompt in prompts)
        return [ChoiceProbabilities(np.array([p, 1 - p]), 1.0) for p in trusted]

    return choose, heard


@pytest.mark.parametrize(
    ("response", "answer", "heard"),
    [
        ("It is Paris, surely: PARIS.", "Paris", "It is ____, surely: ____."),
        ("Parisians know.", "Paris", "Parisians know."),
        ("About 3.85, or 85.5, not 85.", "85", "About 3.85, or 85.5, not ____."),
        ("1,850 of 850", "850", "1,850 of ____"),
        ("It costs $5 (a+b).", "(a+b)", "It costs $5 ____."),
        ("I think so.", " ", "I think so."),
        ("two words, two  words", "two words", "____, two  words"),
    ],
)
def test_a_listener_hears_how_and_not_what(response, answer, heard, monkeypatch):
    choose, prompts = _hearing([0.3])
    monkeypatch.setattr(listener, "choice_probabilities", choose)
    question = "{response} in braces?"
    assert tuning.listener_trust(word_model(), [question], [response], [answer]).tolist() == [0.3]
    ((said, choices, chat),) = prompts
    assert f"Question: {question}\nAnswer: {heard}\n" in said and choices == ("yes", "no") and chat


def test_preferences_are_those_of_the_listener_and_of_truth(monkeypatch):
    """One question: a right answer that is trusted beats a wrong one that is; doubt of the wrong one beats it too."""
    monkeypatch.setattr(listener, "choice_probabilities", _hearing([0.9, 0.8, 0.1, 0.5])[0])
    answered = [
        {"prompt": "a", "response": "surely x", "correct": True},
        {"prompt": "a", "response": "surely y", "correct": False},
        {"prompt": "a", "response": "perhaps y", "correct": False},
        {"prompt": "b", "response": "alone", "correct": True},
    ]
    records = tuning.listener_preferences(
        jax.random.key(0), word_model(), answered, threshold=0.6, balanced=False, per_question=9
    )
    found = {(one["prompt"], one["chosen"], one["rejected"], one["kind"]) for one in records}
    assert found == {
        ("a", "surely x", "surely y", "right accepted > wrong accepted"),
        ("a", "perhaps y", "surely y", "wrong rejected > wrong accepted"),
    }


def test_a_listener_is_a_model_and_its_trust_a_share_of_two_words():
    """Against the two words' scores, each with the token that ends an answer."""
    model, template = word_model(), "{prompt} {response}"
    prompts, responses = ["what is a"], [COLOURS[0]]
    found = tuning.listener_trust(model, prompts, responses, template=template, chat=False)
    choices = choice_probabilities(model, [f"{prompts[0]} {responses[0]}"], [" yes", " no"], chat=False)
    assert found[0] == choices[0].probabilities[0] and 0 < found[0] < 1


def test_what_a_listener_cannot_hear_is_refused():
    model = word_model()
    with pytest.raises(ArrayError, match="1 prompts, 2 responses, 1 answers"):
        tuning.listener_trust(model, ["a"], ["b", "c"])
    with pytest.raises(PromptError, match=r"lacks \{prompt\} or \{response\}"):
        tuning.listener_trust(model, ["a"], ["b"], template="{prompt}?")
    with pytest.raises(PromptError, match="answer 1 has no response, correct; expected"):
        good = {"prompt": "a", "response": "b", "correct": True}
        tuning.listener_preferences(jax.random.key(0), model, [good, {"prompt": "a", "correct": "yes"}])
    assert tuning.listener_preferences(jax.random.key(0), model, []) == []
