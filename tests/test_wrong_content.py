"""Arguments of the right kind with nothing in them, or the wrong things: errors of jaxuq, never of what it calls."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxuq
from jaxuq import confidence, experts, language, networks, tuning
from jaxuq.questions import Question
from tests.language.finetune_run import tiny_model
from tests.language.words import tokenizer

MODEL = tiny_model()._replace(tokenizer=tokenizer())
OWN = networks.Model(len, len)
KEY = jax.random.key(0)
ONE = Question("a", "b", prompt="a", reply="one")
TWO = [ONE, ONE._replace(id="b", reply="two")]


def _encoded():
    return tuning.encode_questions(MODEL.tokenizer, TWO, num_options=2)


REFUSED = {
    "no messages": lambda: language.generate(MODEL, [[]], max_new_tokens=1),
    "one message by itself": lambda: language.generate(MODEL, {"role": "user", "content": "a"}, max_new_tokens=1),
    "no response": lambda: language.score(MODEL, "a", [[]]),
    "chat without messages": lambda: confidence.uqac(MODEL, [[]]),
    "chat without content": lambda: confidence.uqac(MODEL, [[{"role": "user"}]]),
    "too few responses": lambda: confidence.uqac(MODEL, ["a"], []),
    "no measure": lambda: confidence.chosen_measures([]),
    "judge without samples": lambda: tuning.judged_uncertainty(lambda prompts: [], []),
    "judge of None": lambda: tuning.judged_uncertainty(lambda prompts: None, [ONE]),
    "judge of fewer": lambda: tuning.judged_uncertainty(lambda prompts: [], [ONE]),
    "judge of numbers": lambda: tuning.judged_uncertainty(lambda prompts: [3], [ONE]),
    "no questions": lambda: tuning.encode_questions(MODEL.tokenizer, []),
    "rows that there are not": lambda: tuning.take_questions(_encoded(), np.array([5])),
    "passage of one": lambda: tuning.sufficiency_records({"a": ("x",)}),  # type: ignore[dict-item]
    "grades of others": lambda: tuning.refusal_records([ONE], []),
    "no texts": lambda: tuning.verdict_prompts(MODEL.tokenizer, []),
    "a scale's loss of None": lambda: tuning.largest_scale(lambda scale: None),  # type: ignore[arg-type, return-value]
    "a scale's loss of NaN": lambda: tuning.largest_scale(lambda scale: float("nan")),
    "no votes": lambda: experts.vote([]),
    "no checkpoints": lambda: experts.gradient_features(MODEL, [], [], rng_key=KEY),
    "nothing to cluster": lambda: experts.cluster_features(np.zeros((0, 3), np.float32), rng_key=KEY),
    "vectors of None": lambda: experts.embed_sentences(["a"], encoder=lambda texts: None),
    "no adapters": lambda: language.stack_adapters([]),
    "no data": lambda: language.finetune(KEY, MODEL, [], language.FinetuneConfig(max_length=8)),
    "data of texts": lambda: language.finetune(KEY, MODEL, ["text"], language.FinetuneConfig(max_length=8)),
    "tokens of texts": lambda: language.decode_tokens(MODEL.tokenizer, ["a"]),
    "tokens below zero": lambda: language.decode_tokens(MODEL.tokenizer, [-5]),
    "tokens beyond all": lambda: language.decode_tokens(MODEL.tokenizer, [2**40]),
    "a dtype that is none": lambda: language.load_model("smollm2", dtype="float33"),
    "a model without tokenizer": lambda: language.save_model("/nowhere", MODEL._replace(tokenizer=None)),
    "a model of functions": lambda: language.save_model("/nowhere", MODEL._replace(decoder=OWN)),
    "stop tokens of None": lambda: language.stop_tokens(None),
    "adapters of None": lambda: language.merge_adapters(MODEL.params, None, networks.LoraConfig()),
    "layers that there are not": lambda: networks.stack_layers({}, 2),
    "layers of None": lambda: networks.unstack_layers(None, 2),
    "a kind that there is not": lambda: networks.quantize(jnp.ones((2, 2)), kind="x"),
}
EMPTY = {
    "prompts": lambda: language.generate(MODEL, [], max_new_tokens=1),
    "responses": lambda: language.score(MODEL, "a", []),
    "questions": lambda: confidence.uqac(MODEL, []),
    "examples": lambda: list(tuning.response_scores(MODEL, [])[0]),
    "samples": lambda: list(tuning.perplexity_uncertainty(MODEL, []).values),
    "records": lambda: tuning.training_examples(MODEL.tokenizer, []),
    "batches": lambda: language.plan_batches(np.zeros(0, np.int32), batch_size=1, max_length=4, seed=0),
    "experts' prompts": lambda: experts.answer_by_experts(MODEL, None, [], np.ones((0, 1)), max_new_tokens=1),
    "similarities": lambda: confidence.rouge_similarities([]).tolist(),
}


@pytest.mark.parametrize("what", REFUSED)
def test_it_is_refused_in_one_line(what):
    with pytest.raises(jaxuq.JaxuqError) as error:
        REFUSED[what]()
    assert str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("what", EMPTY)
def test_nothing_gives_nothing(what):
    assert EMPTY[what]() == []


def test_these_rooms_raise_no_errors_but_their_own():
    """A `ValueError` by itself is no `JaxuqError`: commands would show its traceback."""
    root = Path(jaxuq.__file__).parent
    rooms = ("networks", "checkpoints", "language", "confidence", "experts", "tuning")
    files = [file for room in rooms for file in sorted((root / room).rglob("*.py"))]
    bare = re.compile(r"raise (ValueError|TypeError|KeyError|IndexError|RuntimeError|NotImplementedError)\b")
    assert [file.relative_to(root).as_posix() for file in files if bare.search(file.read_text())] == []
