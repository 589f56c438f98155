"""Answers of a given form: each is whole, its probability is that of brute force, and company changes nothing."""

import itertools
import json
import re
import sys

import jax
import jax.numpy as jnp
import jsonschema
import numpy as np
import pytest

from jaxuq import JaxuqError
from jaxuq._extras import MissingPackageError
from jaxuq.language import (
    GREEDY,
    Ask,
    ConstraintError,
    LanguageModel,
    RunningBatch,
    Sampling,
    choice_probabilities,
    choices_constraint,
    encode_prompt,
    generate,
    regex_constraint,
    schema_constraint,
    stop_tokens,
    weigh_answers,
)
from jaxuq.language.masking import mask_logits
from jaxuq.networks import Decoder, DecoderConfig
from tests.language.test_answers import ALPHABET, _tokenizer, model  # noqa: F401
from tests.language.tiny_decoder import logits_of
from tests.language.words import tokenizer as word_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK"
NESTED = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["x", 'a "b"', None, 3.5]},
        "size": {"type": "integer", "minimum": -5, "maximum": 120},
        "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-c]{1,2}$"}, "minItems": 1, "maxItems": 2},
        "more": {"$ref": "#/$defs/pair"},
    },
    "required": ["kind", "size", "tags", "more"],
    "additionalProperties": False,
    "$defs": {"pair": {"anyOf": [{"type": "boolean"}, {"type": "object", "properties": {"a": {"const": 1}},
                                                       "required": ["a"], "additionalProperties": False}]}},
}  # fmt: skip
SCHEMAS = [
    NESTED,
    {"type": "string", "format": "date"},
    {"type": "number", "minimum": 0.5, "maximum": 2},
    {"type": "null"},
]
PATTERNS = [r"\d{4}-\d\d|x+", "(yes|no)( sure)?", 'a/b"\n?[^a-z]{2}é', "日本[語人]?"]

llguidance = pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def bytewise():
    """Every byte is a token, and some pairs are; nothing is learnt."""
    pairs = ['{"', '":', ", ", "ab", "é"[:1], "12"]
    vocabulary = {"<e>": 0, "<u>": 1, "<a>": 2} | {letter: 3 + index for index, letter in enumerate(ALPHABET)}
    vocabulary |= {pair: len(vocabulary) + index for index, pair in enumerate(pairs) if pair not in vocabulary}
    config = DecoderConfig(len(vocabulary) + 7, 8, 8, num_layers=1, num_heads=2, num_kv_heads=1, head_dim=4)
    decoder = Decoder(config)
    variables = jax.jit(decoder.init)(jax.random.key(3), jnp.zeros((1, 2), jnp.int32))
    return LanguageModel(decoder, variables["params"], _tokenizer(vocabulary), "bytes")


def next_log_probs(model, prompt, beginnings):  # noqa: F811
    """By the model itself, after the prompt and each beginning: `[beginnings, vocab]`."""
    tokens = encode_prompt(model.tokenizer, prompt)
    width = len(tokens) + max(map(len, beginnings))
    text = np.zeros((len(beginnings), width), np.int32)
    for row, beginning in enumerate(beginnings):
        text[row, : len(tokens) + len(beginning)] = [*tokens, *beginning]
    logits = np.asarray(logits_of(model.decoder, model.params, None, text), np.float64)
    last = logits[np.arange(len(beginnings)), [len(tokens) + len(one) - 1 for one in beginnings]]
    return last - np.logaddexp.reduce(last, axis=1, keepdims=True)


def number(letter):
    return 3 + LETTERS.index(letter)


@pytest.fixture(scope="module")
def brute(model):  # noqa: F811
    """Of every text of `[ab]{1,3}|xyz`: its log-probability, and the log-mass allowed at each place, by enumeration."""
    texts = ["".join(one) for n in (1, 2, 3) for one in itertools.product("ab", repeat=n)] + ["xyz"]
    beginnings = sorted({text[:at] for text in texts for at in range(len(text) + 1)})
    rows = dict(zip(beginnings, next_log_probs(model, "abc", [[*map(number, one)] for one in beginnings])))
    allowed = {
        one: [number(text[len(one)]) for text in texts if text.startswith(one) and len(text) > len(one)]
        + [0] * (one in texts)
        for one in beginnings
    }
    mass = {one: np.logaddexp.reduce(rows[one][sorted(set(allowed[one]))]) for one in beginnings}
    found = {}
    for text in texts:
        places = [text[:at] for at in range(len(text) + 1)]
        chosen = [*map(number, text), 0]
        log_probs = [rows[place][token] for place, token in zip(places, chosen)]
        found[text] = sum(log_probs), [mass[place] for place in places]
    return found


def test_probabilities_of_a_constrained_answer_are_those_of_brute_force(model, brute):  # noqa: F811
    total = np.logaddexp.reduce([log_prob for log_prob, _ in brute.values()])
    drawn = sum(np.exp(log_prob - sum(masses)) for log_prob, masses in brute.values())
    assert drawn == pytest.approx(1, abs=1e-9)  # the enumeration is whole
    answers = generate(
        model, "abc", max_new_tokens=5, num_samples=400, batch_size=400, rng_key=7,
        constraint=regex_constraint("[ab]{1,3}|xyz"),
    )  # fmt: skip
    for answer in answers:
        log_prob, masses = brute[answer.text]
        assert answer.finish == "stop" and answer.tokens[-1] == 0
        assert answer.log_probs.sum() == pytest.approx(log_prob, abs=2e-4)
        np.testing.assert_allclose(answer.allowed_log_probs, masses, atol=1e-4)
    shares = weigh_answers(answers)
    assert sum(shares.shares.values()) == pytest.approx(1)
    square = sum(np.exp(log_prob + sum(masses)) for log_prob, masses in brute.values())  # of the weight, on average
    assert abs(shares.mass - np.exp(total)) < 4 * np.sqrt((square - np.exp(2 * total)) / len(answers))
    weights = {text: sum(np.exp(sum(brute[text][1])) for one in answers if one.text == text) for text in brute}
    for text, weight in weights.items():  # by brute force; drawn with q, of which weight / n tends to p
        assert shares.shares.get(text, 0.0) == pytest.approx(weight / sum(weights.values()), rel=1e-3)


def test_choices_have_the_probabilities_of_brute_force_and_beginnings_keep_theirs(model):  # noqa: F811
    choices = ["a", "ab", "xyz"]
    for prompt, found in zip(["abc", "hello"], choice_probabilities(model, ["abc", "hello"], choices)):
        wanted = []
        for choice in choices:
            tokens = [*map(number, choice), 0]
            rows = next_log_probs(model, prompt, [tokens[:at] for at in range(len(tokens))])
            wanted.append(sum(row[token] for row, token in zip(rows, tokens)))
        total = np.logaddexp.reduce(wanted)
        np.testing.assert_allclose(found.probabilities, np.exp(wanted - total), atol=1e-5)
        assert found.mass == pytest.approx(np.exp(total), rel=1e-3)


@pytest.mark.parametrize(
    "sampling",
    [
        pytest.param(Sampling(), id="plain"),
        pytest.param(GREEDY, id="greedy", marks=pytest.mark.long),
        pytest.param(Sampling(2.0, 40, 0.9, 0.01), id="cut", marks=pytest.mark.long),
    ],
)
def test_every_text_that_came_to_its_end_is_of_the_form(bytewise, sampling):
    whole = 0
    for schema in SCHEMAS:
        for answer in made(bytewise, schema_constraint(schema), sampling):
            jsonschema.validate(json.loads(answer.text), schema, format_checker=jsonschema.FormatChecker())
            whole += 1
    for pattern in PATTERNS:
        for answer in made(bytewise, regex_constraint(pattern), sampling):
            assert re.fullmatch(pattern, answer.text), (pattern, answer.text)
            whole += 1
    choices = ["a", "ab", "cé (x)\n| \\d", "日本", ".*"]
    for answer in made(bytewise, choices_constraint(choices), sampling):
        assert answer.text in choices
        whole += 1
    assert whole >= 20 or sampling == GREEDY  # which may say one digit for ever


def made(model, constraint, sampling):  # noqa: F811
    answers = generate(
        model, "u", max_new_tokens=120, num_samples=4, sampling=sampling, constraint=constraint, batch_size=4
    )
    assert {answer.finish for answer in answers} <= {"stop", "length"}
    return [answer for answer in answers if answer.finish == "stop"]


def test_alone_and_in_company_it_is_the_same(model):  # noqa: F811
    forms = [
        None,
        regex_constraint("[ab]{1,9}|xyz"),
        None,
        choices_constraint(["abc", "abd", "k"]),
        regex_constraint("[a-e]+"),
    ]
    key, prompts = jax.random.key(2), ["abc", "hello", "Gd", "zzz", "K"]
    from jaxuq.language.constraints import ready_grammar

    encoded = [encode_prompt(model.tokenizer, prompt) for prompt in prompts]
    batch = RunningBatch(
        model.functions, model.variables, stop_tokens=stop_tokens(model), most_rows=4, most_tokens=2048
    )
    found: dict = {}
    for at, form in enumerate(forms):
        grammar = None if form is None else ready_grammar(form, model)
        batch.add(Ask(encoded[at], 12, jax.random.fold_in(key, 0), 2, Sampling(1.3), grammar=grammar))
        collect(batch.advance(), found)
    while batch.busy:
        collect(batch.advance(), found)
    for at, form in enumerate(forms):
        direct = generate(
            model, prompts[at], max_new_tokens=12, num_samples=2, sampling=Sampling(1.3), rng_key=key, constraint=form
        )
        for answer in direct:
            tokens, log_probs, allowed, finish = found[at, answer.sample]
            assert tokens == answer.tokens.tolist() and finish == answer.finish
            np.testing.assert_allclose(log_probs, answer.log_probs, atol=1e-4)
            if form is not None:
                np.testing.assert_allclose(allowed, answer.allowed_log_probs, atol=1e-4)


def collect(grown, found):
    for one in grown:
        old = found.setdefault((one.ticket, one.sample), [[], [], [], ""])
        old[0] += one.tokens.tolist()
        old[1] += one.log_probs.tolist()
        old[2] += [] if one.allowed_log_probs is None else one.allowed_log_probs.tolist()
        old[3] = one.finish


def test_where_no_token_can_follow_the_answer_ends_and_weighs_nothing(model):  # noqa: F811
    answers = generate(
        model, "abc", max_new_tokens=6, num_samples=64, batch_size=64, constraint=regex_constraint("a\N{EURO SIGN}|b")
    )
    assert {(answer.text, answer.finish) for answer in answers} == {("a", "dead end"), ("b", "stop")}
    assert list(weigh_answers(answers).shares) == ["b"]


HOSTILE = [
    (lambda: schema_constraint({"not": {"type": "string"}}), r"the schema cannot be used: Unimplemented keys: \[.not"),
    (lambda: schema_constraint({"oneOf": [{"type": "integer"}, {"type": "number"}]}), "oneOf"),
    (lambda: schema_constraint({"x-guidance": {"lenient": True}, "uniqueItems": True, "type": "array"}), "uniqueItems"),
    (lambda: schema_constraint({"$ref": "http://127.0.0.1:1/x"}), "cannot be used"),
    (lambda: schema_constraint({"$ref": "#"}), "no text of this model's tokens fits the schema"),
    (lambda: schema_constraint({"type": "string", "pattern": "(?=a)b"}), "look-around"),
    (lambda: schema_constraint(json.loads('{"items":' * 900 + "{}" + "}" * 900)), "schema"),
    (lambda: schema_constraint({"enum": ["x" * 100] * 10_000}), "1[0-9]{6} characters; at most 100000"),
    (lambda: schema_constraint({"enum": [float("nan")]}), "no JSON"),
    (lambda: schema_constraint(False), "nothing fits"),
    (lambda: regex_constraint("(a{1000}){1000}"), "the expression is too complex"),
    (lambda: regex_constraint("(((((a{100}){100}){100}){100}){100})"), "the expression is too complex"),
    (lambda: regex_constraint("a{1000000000}"), "the expression is too complex"),
    (lambda: regex_constraint("a" * 100_001), "100001 characters"),
    (lambda: regex_constraint("("), "the expression cannot be used: unclosed group"),
    (lambda: regex_constraint(r"(a|b)\1"), "backreferences are not supported"),
    (lambda: regex_constraint("[^\\x00-\\U0010FFFF]"), "no text of this model's tokens fits the expression"),
    (lambda: choices_constraint([]), "needs a list of texts"),
    (lambda: choices_constraint("ab"), "expected a list of texts"),
    (lambda: choices_constraint(["a", ""]), "none of them empty"),
    (lambda: choices_constraint(["a", "a"]), "the same"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), HOSTILE, ids=[said for _, said in HOSTILE])
def test_what_cannot_be_is_refused_by_name_and_costs_little(bytewise, make, said):
    with pytest.raises(JaxuqError, match=said) as caught:
        generate(bytewise, "u", max_new_tokens=4, constraint=make())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_name_of_a_token_that_steers_is_a_text_like_any_other(bytewise):
    """What a schema says never becomes such a token, however surely it must come."""
    (answer,) = generate(bytewise, ["x"], max_new_tokens=12, constraint=choices_constraint(["<a>"]))
    assert answer.text == "<a>" and len(answer.tokens) >= 3
    assert not set(map(int, answer.tokens[:-1])) & set(bytewise.tokenizer.all_special_ids)


def test_words_are_no_bytes(model):  # noqa: F811
    wordy = model._replace(tokenizer=word_tokenizer())
    with pytest.raises(ConstraintError, match="tokenizer of bytes or of pieces"):
        generate(wordy, "a b", max_new_tokens=4, constraint=regex_constraint("a"), chat=False)


def test_without_the_package_one_line_says_what_to_install(model, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'jaxuq\[constrained\]'"):
        generate(model, "abc", max_new_tokens=4, constraint=regex_constraint("never used before"))


def test_shares_are_of_constrained_answers_to_one_prompt(model):  # noqa: F811
    free = generate(model, ["abc", "K"], max_new_tokens=2)
    for answers, said in ((free, "one prompt"), (free[:1], "without a constraint"), ([], "one prompt")):
        with pytest.raises(JaxuqError, match=said):
            weigh_answers(answers)


@pytest.mark.parametrize("vocabulary", [1, 32, 70])
def test_masks_and_masses_are_those_of_numpy(vocabulary):
    cut = jax.jit(mask_logits)
    for seed, spread in enumerate([0.1, 1.0, 8.0, 60.0] * 5):
        rng = np.random.default_rng(seed)
        logits = np.float32(rng.normal(size=(3, vocabulary)) * spread)
        mask = rng.random((3, vocabulary)) < 0.5
        mask[:, rng.integers(vocabulary)] = True
        mask[2] = True
        filled = np.pad(mask, ((0, 0), (0, -vocabulary % 32)))
        bits = np.packbits(filled, axis=1, bitorder="little").view(np.uint32)
        kept, mass = cut(jnp.asarray(logits), jnp.asarray(bits))
        np.testing.assert_array_equal(np.isfinite(kept), mask)
        inside = np.logaddexp.reduce(np.where(mask, np.float64(logits), -np.inf), axis=1)
        wanted = inside - np.logaddexp.reduce(np.float64(logits), axis=1)
        np.testing.assert_allclose(mass, wanted, atol=2e-6, rtol=2e-5)
        assert mass[2] == 0
