"""Grades, verdicts and stated confidence: what is learnt is what is asked, and probabilities are those of the words."""

import csv
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxuq import tuning
from jaxuq.language import FinetuneConfig, Instruction, ScheduledLoss, finetune, init_adapters
from jaxuq.metrics import area_under_roc
from jaxuq.networks import LoraConfig
from jaxuq.questions import Question
from jaxuq.study import Listener
from jaxuq.tuning.honesty.verdicts import VERDICTS, refusal_prompts, word_tokens
from tests.tuning.tiny import COLOURS, LETTERS, word_model, word_tokenizer, write_questions

RECORDS = [
    Question(f"{first}{second}", f"what is {first} {second}?", (COLOURS[LETTERS.index(first) % 3],), category="letters",
             prompt=f"Q: what is {first} {second}?\nA:", reply=f" {COLOURS[LETTERS.index(first) % 3]}")
    for first in LETTERS[:4] for second in LETTERS[:3]
]  # fmt: skip
CORRECT = np.arange(len(RECORDS)) % 3 == 0


@pytest.fixture(scope="module")
def asked():
    return tuning.encode_questions(word_tokenizer(), RECORDS, num_options=3)


@pytest.fixture(scope="module")
def model():
    made = word_model()
    return made._replace(decoder=made.decoder.clone(lora=LoraConfig(rank=2, targets=("query", "value"))))


@pytest.fixture(scope="module")
def graded(model, asked):
    lora = init_adapters(jax.random.key(0), model.decoder, model.params)
    return lora, tuning.graded_answers(model, lora, asked)


@jax.jit
def _logits(tokens):
    """Of the token after each, without anything of the tuning room."""
    decoder, variables = word_model().decoder, {"params": word_model().params}
    return decoder.apply(variables, decoder.apply(variables, tokens).hidden, method="logits")


def _next_token(text):
    """Probabilities of all tokens after a text."""
    tokens = word_tokenizer()(text, add_special_tokens=False)["input_ids"]
    logits = np.asarray(_logits(jnp.array([tokens + [0] * (32 - len(tokens))])))[0, len(tokens) - 1]
    return np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()


def test_answers_are_those_of_the_model_and_their_grades_true(asked, graded):
    found = graded[1]
    right = [answer == one.reply for answer, one in zip(found.answers, RECORDS)]
    assert found.correct.tolist() == right
    p = _next_token(RECORDS[4].prompt)[word_tokens(word_tokenizer(), asked.options[4])]
    assert found.answers[4] == asked.options[4][p.argmax()]
    assert float(found.confidence[4]) == pytest.approx(p.max() / p.sum(), rel=1e-4)


def test_written_answers_are_greedy_and_graded_by_what_they_hold(model, graded):
    found = tuning.written_answers(model, graded[0], RECORDS[:2])
    for text, confidence, record in zip(found.answers, found.confidence, RECORDS):
        tokens = word_tokenizer()(record.prompt, add_special_tokens=False)["input_ids"]
        begin, log_p = len(tokens), []
        while len(log_p) < 16 and tokens[-1] != word_tokenizer().eos_token_id:
            logits = np.asarray(_logits(jnp.array([tokens + [0] * (32 - len(tokens))])))[0, len(tokens) - 1]
            log_p.append(logits.max() - np.log(np.exp(logits).sum()))
            tokens = [*tokens, int(logits.argmax())]
        expected = word_tokenizer().decode(tokens[begin:], skip_special_tokens=True).strip().rstrip(".")
        assert text == f" {expected}" and float(confidence) == pytest.approx(np.exp(np.mean(log_p)), rel=1e-3)
        assert bool(found.correct[found.answers.index(text)]) == (record.answers[0] in text.split())


def test_a_confidence_is_the_share_of_its_word(model, asked, graded):
    lora, found = graded
    texts = {way: VERDICTS[way].asked(RECORDS[5].prompt, found.answers[5]) for way in ("sure", "stated")}
    confidence = tuning.asked_confidence("sure", model, lora, RECORDS, asked, found.answers)
    p = _next_token(texts["sure"])
    sure, unsure = (p[word_tokenizer().convert_tokens_to_ids(word)] for word in ("sure", "unsure"))
    assert float(confidence[5]) == pytest.approx(sure / (sure + unsure), rel=1e-4)
    stated = tuning.asked_confidence("stated", model, lora, RECORDS, asked, found.answers)
    p = _next_token(texts["stated"])[word_tokens(word_tokenizer(), list("0123456789"))]
    assert float(stated[5]) == pytest.approx((p / p.sum()) @ np.arange(10) / 9, rel=1e-4)
    prompts, refusals = refusal_prompts(word_tokenizer(), [RECORDS[5].prompt], [asked.options[5]])
    words = word_tokenizer().convert_ids_to_tokens(prompts.options[0].tolist())
    assert words[:refusals] == ["I", "This"] and {f" {word}" for word in words[refusals:]} == set(asked.options[5])
    refused = tuning.asked_confidence("refuse", model, lora, RECORDS, asked, found.answers)
    p = _next_token(RECORDS[5].prompt)[prompts.options[0]]
    assert float(refused[5]) == pytest.approx(p[refusals:].sum() / p.sum(), rel=1e-4)


def test_what_is_learnt_stands_where_it_is_asked(asked, graded):
    """The tokens before the verdict are the prompt that is asked with later, and the verdict's token follows."""
    found = graded[1]._replace(correct=CORRECT)
    for way, verdict in VERDICTS.items():
        examples, _ = tuning.taught_examples(way, word_tokenizer(), RECORDS, found)
        answers = [one.reply for one in RECORDS] if way == "sure" else found.answers
        texts = [verdict.asked(one.prompt, answer) for one, answer in zip(RECORDS, answers)]
        prompts = tuning.verdict_prompts(word_tokenizer(), texts, verdict.words)
        for row, (example, right) in enumerate(zip(examples[-len(RECORDS) :], CORRECT)):
            length = int(prompts.lengths[row])
            assert example.response.argmax() == length
            np.testing.assert_array_equal(example.tokens[:length], prompts.tokens[row, :length])
            wanted = {2: 0 if right else 1, 10: 9 if right else 0}[len(verdict.words)]
            assert example.tokens[length] == prompts.options[row, wanted]
    assert len(tuning.taught_examples("sure", word_tokenizer(), RECORDS, found)[0]) == 2 * len(RECORDS)


def test_the_loss_of_a_digit_is_the_brier_score_of_all(rng):
    logits = jnp.asarray(rng.normal(size=(2, 3, 7)), jnp.float32)
    tokens, examples = jnp.zeros((2, 3), jnp.int32), jnp.array([[0, 1, 1], [1, 0, 0]])
    correct, levels = jnp.array([1.0, 0.0]), jnp.array([4, 2, 6])
    found = jax.jit(tuning.stated_token_loss(levels, correct))(logits, tokens, examples)
    q = np.exp(np.asarray(logits)[..., [4, 2, 6]])
    distance = (np.asarray(correct)[np.asarray(examples)][..., None] - np.array([0, 0.5, 1])) ** 2
    np.testing.assert_allclose(found, (q / q.sum(-1, keepdims=True) * distance).sum(-1), rtol=1e-5)


def test_confidence_scores_are_their_definitions(rng):
    confidence, correct = rng.random(40).astype(np.float32), (rng.random(40) < 0.6).astype(np.float32)
    found = dict(zip(tuning.SCORES, np.asarray(jax.jit(tuning.confidence_scores)(confidence, correct))))
    assert found["accuracy"] == pytest.approx(correct.mean())
    nll = -np.where(correct > 0, np.log(confidence), np.log(1 - confidence)).mean()
    assert found["nll"] == pytest.approx(nll, rel=1e-4)
    assert found["brier"] == pytest.approx(((confidence - correct) ** 2).mean(), rel=1e-4)
    right, wrong = confidence[correct > 0], confidence[correct == 0]
    assert found["correctness_auroc"] == pytest.approx((right[:, None] > wrong[None]).mean(), rel=1e-4)


def test_grades_of_one_class_are_refused(graded):
    for way, said in (("sure", "all 12 answers are right"), ("refuse", "all 12 answers are right")):
        with pytest.raises(tuning.TuningError, match=said):
            tuning.taught_examples(way, word_tokenizer(), RECORDS, graded[1]._replace(correct=np.ones(12, bool)))
    with pytest.raises(tuning.TuningError, match=r"begins .* with the same token"):
        word_tokens(word_tokenizer(), [" red", " blue", " red."])


def test_smoothing_falls_linearly_over_the_steps():
    """With a learning rate of zero only the smoothing changes: the loss goes along a line towards cross entropy."""
    loss = tuning.token_loss("scheduled-smoothing", smoothing=0.4)
    assert isinstance(loss, ScheduledLoss)
    data = [Instruction(np.array([3, 7, 20, 5]), np.array([False, False, True, True]))] * 2
    config = FinetuneConfig(
        LoraConfig(rank=2), epochs=4, batch_size=2, max_length=8, learning_rate=0.0, packed=False, warmup=0.0
    )
    history = finetune(jax.random.key(0), word_model(), data, config, token_loss=loss).history.loss

    logits = np.asarray(_logits(jnp.array([[3, 7, 20, 5] + [0] * 28])))[:, 1:3]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    plain, even = -log_p[0, [0, 1], [20, 5]].mean(), -log_p.mean()
    part = 0.4 * (1 - np.arange(4) / 4)
    np.testing.assert_allclose(history, (1 - part) * plain + part * even, rtol=1e-4)
    last = jax.jit(loss)(jnp.asarray(logits), jnp.array([[20, 5]]), jnp.zeros((1, 2), jnp.int32))
    assert float(last.mean()) == pytest.approx(plain, rel=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teach")
    configuration = tuning.TuneConfiguration(
        model="tiny", data=str(write_questions(folder / "letters.jsonl")), epochs=30, learning_rate=0.03,
        max_length=32, batch_size=4, rank=4, options=3, dropout=0.0, targets=("query", "value", "output", "down"),
        teach=("true,stated", "head"), output=folder / "run",
    )  # fmt: skip
    return configuration, tuning.run_tuning(configuration, model=word_model())


@pytest.mark.long
def test_a_taught_model_tells_its_right_answers_from_its_wrong_ones(run):
    """On what it was taught with: the two stages and the asking fit together."""
    configuration, folder = run
    from jaxuq.language import load_peft
    from jaxuq.tuning.configuration import finetune_config, normalised
    from jaxuq.tuning.preparation import answerable

    made = word_model()
    lora_config = finetune_config(normalised(configuration)).adapters
    model = made._replace(decoder=made.decoder.clone(lora=lora_config))
    records = tuning.load_split(configuration.data).train
    asked = tuning.encode_questions(model.tokenizer, records, num_options=3)
    untaught = init_adapters(jax.random.key(0), model.decoder, model.params)
    graded = tuning.graded_answers(model, untaught, asked)
    lora = load_peft(folder.path / "adapters/true-0", model.decoder.config, scan=True)[1]
    told, before = (
        tuning.asked_confidence("true", model, one, answerable(asked, records), asked, graded.answers)
        for one in (lora, untaught)
    )
    assert float(area_under_roc(jnp.asarray(told), jnp.asarray(graded.correct, jnp.float32))) > 0.9
    assert ((told - graded.correct) ** 2).mean() < 0.5 * ((before - graded.correct) ** 2).mean()


@pytest.mark.long
def test_an_interrupted_run_of_teaching_ends_with_the_same_numbers(run, tmp_path):
    configuration, whole = run
    configuration = dataclasses.replace(configuration, output=tmp_path / "run", teach=("stated", "head"))
    steps = []

    def interrupt(name, done, total, said):
        steps.append(done)
        if len(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuning.run_tuning(configuration, model=word_model(), listener=Listener(progress=interrupt))
    folder = tuning.run_tuning(configuration, model=word_model(), listener=Listener(progress=interrupt))
    expected = {row["method"]: row for row in _rows(whole)}
    rows = _rows(folder)
    assert [row["method"] for row in rows] == ["answer", "stated", "head"]
    assert rows == [expected[row["method"]] for row in rows]  # another way has no influence
    assert whole.record["status"] == "complete" and "Before tuning the model is right on" in str(whole.record["notes"])


def _rows(folder):
    with (folder.path / "results.csv").open() as file:
        return list(csv.DictReader(file))
