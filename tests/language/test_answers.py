"""Texts in, texts out: batches, samples, streaming, stop strings, what does not fit, and scores of given answers."""

import jax
import numpy as np
import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from jaxuq.language import (
    GREEDY,
    LanguageModel,
    PromptError,
    Sampling,
    TextStream,
    attention_rows,
    decode_tokens,
    generate,
    score,
)
from jaxuq.networks import Decoder
from tests.language.golden_decoders import load
from tests.language.tiny_checkpoints import tiny_tokenizer

ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
TEMPLATE = "{% for message in messages %}<u>{{ message['content'] }}{% endfor %}<a>"
RANDOM = Sampling(1.0)
NEW = 16


def _tokenizer(vocabulary):
    words = tokenizers.Tokenizer(models.BPE(vocabulary, []))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens(["<e>", "<u>", "<a>"])
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<e>", chat_template=TEMPLATE)


@pytest.fixture(scope="module")
def model():
    """Forty tokens: three special ones, 37 letters; Gemma 2 with a context of 64."""
    golden = load("gemma2")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJK"
    vocabulary = {"<e>": 0, "<u>": 1, "<a>": 2} | {letter: 3 + index for index, letter in enumerate(letters)}
    return LanguageModel(Decoder(golden.config), golden.params, _tokenizer(vocabulary), "tiny")


PROMPTS = ["abc", "hello", "Gd", "zzzzyyyyxxxxwwww"]


@pytest.fixture(scope="module")
def answers(model):
    return generate(model, PROMPTS, max_new_tokens=NEW, sampling=RANDOM, rng_key=3, batch_size=2, top_alternatives=2)


def test_answers_come_in_order_and_do_not_depend_on_the_batch(model, answers):
    assert [answer.prompt for answer in answers] == [0, 1, 2, 3]
    assert len({answer.text for answer in answers}) == 4
    for answer in answers:
        assert answer.text == decode_tokens(model.tokenizer, answer.tokens.tolist())
        assert answer.finish == ("stop" if answer.tokens[-1] == 0 else "length")
        assert len(answer.tokens) == NEW or answer.finish == "stop"
        assert answer.log_probs.shape == answer.entropies.shape == answer.tokens.shape
        assert answer.alternatives.tokens.shape == (len(answer.tokens), 2)
    together = generate(
        model, PROMPTS, max_new_tokens=NEW, sampling=RANDOM, rng_key=3, batch_size=4, top_alternatives=2
    )
    for one, other in zip(answers, together):
        assert one.text == other.text
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)


def test_scores_of_its_own_tokens_are_what_generation_reported(model, answers):
    scored = score(model, PROMPTS, [answer.tokens for answer in answers], batch_size=2, top_alternatives=2)
    for one, other in zip(scored, answers):
        assert (one.text, one.finish, one.prompt) == (other.text, "given", other.prompt)
        np.testing.assert_array_equal(one.prompt_tokens, other.prompt_tokens)
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
        np.testing.assert_allclose(one.entropies, other.entropies, atol=1e-4)
        np.testing.assert_array_equal(one.alternatives.tokens, other.alternatives.tokens)


def test_streaming_and_samples_and_what_is_kept(model):
    options = {"max_new_tokens": NEW, "sampling": RANDOM, "num_samples": 2, "keep_hidden": True, "keep_queries": True}
    told = []
    answers = generate(model, "hello", on_token=told.append, **options)
    silent = generate(model, [[{"role": "user", "content": "hello"}]], **options)
    assert [answer.sample for answer in answers] == [0, 1] and answers[0].text != answers[1].text
    for answer, other in zip(answers, silent):
        mine = [new for new in told if new.sample == answer.sample]
        assert [new.token for new in mine] == answer.tokens.tolist() == other.tokens.tolist()
        assert "".join(new.text for new in mine) == answer.text == other.text
        np.testing.assert_allclose([new.log_prob for new in mine], answer.log_probs)
        assert answer.hidden.shape == (len(answer.tokens), 16)
        last = len(answer.prompt_tokens) + len(answer.tokens) - 2
        rows = attention_rows(model.decoder, answer.captured, jax.numpy.asarray([[last]]))
        np.testing.assert_allclose(rows[..., : last + 1].sum(-1), 1.0, atol=1e-5)
    # The first token of both is drawn from one distribution, of one prefill.
    np.testing.assert_allclose(answers[0].hidden[0], answers[1].hidden[0], atol=1e-6)


def test_a_stop_string_ends_the_answer_and_is_not_in_it(model):
    options = {"max_new_tokens": NEW, "sampling": RANDOM, "rng_key": 3}
    whole = generate(model, "hello", **options)[0]
    at = 5
    assert len(whole.text) > 8
    stop = whole.text[at : at + 2]
    assert whole.text.find(stop) == at
    texts = [decode_tokens(model.tokenizer, whole.tokens[:count].tolist()) for count in range(NEW + 1)]
    count = next(count for count, text in enumerate(texts) if stop in text)
    told = []
    stopped, quiet = (
        generate(model, "hello", stop=("never", stop), on_token=listener, **options)[0]
        for listener in (told.append, None)
    )
    for answer in (stopped, quiet):
        assert (answer.text, answer.finish) == (whole.text[:at], "stop string")
        np.testing.assert_array_equal(answer.tokens, whole.tokens[:count])
        assert len(answer.log_probs) == count
    assert "".join(new.text for new in told) == whole.text[:at]


@pytest.mark.parametrize("text", ["naïve 漢字 🙂 end", "plain", "🙂🙂"])
@pytest.mark.parametrize("stops", [(), (" end",), ("字 🙂",), ("🙂🙂🙂", "nd.")])
def test_streams_are_whole_characters_and_hold_stop_strings_back(text, stops):
    tokenizer = _tokenizer({letter: index for index, letter in enumerate(ALPHABET)})
    tokens = tokenizer(text)["input_ids"]
    stream, pieces = TextStream(tokenizer, stops), []
    for number, token in enumerate(tokens):
        pieces.append(stream.push(token, last=number + 1 == len(tokens)))
        assert "\N{REPLACEMENT CHARACTER}" not in pieces[-1]
        if stream.stopped:
            break
    cut = min([text.find(stop) for stop in stops if stop in text], default=len(text))
    assert "".join(pieces) == stream.text == text[:cut]
    assert stream.stopped == (cut < len(text))


def test_a_text_in_broken_pieces_is_shown_at_the_end():
    tokenizer = _tokenizer({letter: index for index, letter in enumerate(ALPHABET)})
    first, second, *_ = tokenizer("🙂")["input_ids"]
    stream = TextStream(tokenizer)
    assert stream.push(first) == ""
    assert stream.push(second, last=True) == stream.text != ""


def test_a_prompt_that_does_not_fit_is_an_error_or_loses_its_beginning(model):
    long = "abcdefghij" * 6
    with pytest.raises(PromptError, match=r"62 tokens and the answer may have 16, more than the context of 64"):
        generate(model, long, max_new_tokens=NEW)
    with pytest.raises(PromptError, match="prompt 1: "):
        generate(model, ["a", long], max_new_tokens=NEW)
    with pytest.raises(PromptError, match="leave no room"):
        generate(model, "a", max_new_tokens=64)
    (answer,) = score(model, long, "abcd", overflow="truncate")
    assert len(answer.prompt_tokens) == 60
    np.testing.assert_array_equal(answer.prompt_tokens[-5:], [*model.tokenizer("ghij")["input_ids"], 2])


@pytest.mark.parametrize("prompt", ["", "   ", [[{"role": "king", "content": "a"}]], [[]]])
def test_bad_prompts_are_named(model, prompt):
    with pytest.raises(PromptError):
        generate(model, prompt, max_new_tokens=2)


def test_bad_responses_are_named(model):
    for response, said in (("", "empty"), ([3, 40], "token 40"), ([-1], "token -1"), ("\ud800", "Unicode")):
        with pytest.raises(PromptError, match=f"response 1.*{said}"):
            score(model, "a", ["b", response] if isinstance(response, str) else [[3], response])
    with pytest.raises(ValueError, match="2 prompts have 3 responses"):
        score(model, ["a", "b"], ["a", "b", "c"])


def test_special_tokens_in_a_response_are_text(model):
    (answer,) = score(model, "a", "b<e>c")
    assert 0 not in answer.tokens


def test_wrong_options_are_refused(model):
    for options, said in (
        ({"batch_size": 0}, "batch_size"),
        ({"overflow": "drop"}, "overflow"),
        ({"max_new_tokens": 0}, "an integer of at least 1"),
        ({"sampling": Sampling(-1.0)}, "temperature"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            generate(model, "a", **({"max_new_tokens": 2, "sampling": GREEDY} | options))


def test_a_stream_decodes_each_token_a_few_times_only(monkeypatch):
    """And its text is that of all tokens, after every token, whatever they are."""
    from jaxuq.language import streaming
    from jaxuq.language.tokenization import decode_tokens

    tokenizer, decoded = tiny_tokenizer(), 0

    def counting(tokenizer, tokens, **options):
        nonlocal decoded
        decoded += len(tokens)
        return decode_tokens(tokenizer, tokens, **options)

    monkeypatch.setattr(streaming, "decode_tokens", counting)
    tokens = np.random.default_rng(0).integers(0, len(tokenizer), 600).tolist()
    stream, pieces = TextStream(tokenizer), []
    for number, token in enumerate(tokens, start=1):
        pieces.append(stream.push(token, last=number == len(tokens)))
        assert stream.text == decode_tokens(tokenizer, tokens[:number])
    assert "".join(pieces) == stream.text
    assert decoded < 8 * len(tokens)  # all of them at each token would be 180,300
