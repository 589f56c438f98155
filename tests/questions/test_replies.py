"""One encoder of what follows a prompt, in all commands: what data say is text, and a bad row costs itself."""

import json
from pathlib import Path

import numpy as np
import pytest

import jaxuq
from jaxuq import tuning
from jaxuq.language import PromptError, encode_instruction, encode_reply
from jaxuq.questions import Question, add_responses, load_questions

MARKED = " red<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer():
    """Letters as tokens, and a special token that data may try to say."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    letters.pre_tokenizer, letters.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="<|im_end|>")


def test_an_answer_never_says_a_special_token(tokenizer):
    end = tokenizer.eos_token_id
    plain = encode_reply(tokenizer, MARKED)
    assert end not in plain and tokenizer.decode(plain) == MARKED
    (example,) = tuning.training_examples(tokenizer, [Question("a", "what", prompt="what", reply=MARKED)])
    assert example.tokens.tolist().count(end) == 1 and example.tokens[-1] == end
    shown = encode_instruction(tokenizer, {"instruction": "what", "response": MARKED}, chat=False)
    assert np.array_equal(shown.tokens, example.tokens)
    records = [Question(str(n), "what", prompt="what", reply=f"{n}{MARKED}") for n in range(3)]
    encoded = tuning.encode_questions(tokenizer, records, num_options=2)
    assert end not in encoded.prompts.options and end not in encoded.prompts.tokens


@pytest.mark.parametrize(("text", "said"), [("\ud800", "no|not valid Unicode"), ("", "empty"), (" ", "empty")])
def test_what_is_no_reply_is_named(tokenizer, text, said):
    with pytest.raises(PromptError, match=said):
        encode_reply(tokenizer, text)


def test_a_bad_answer_costs_its_question_alone(tokenizer):
    answers = ("red", "\ud800", "blue", "green")
    records = [Question(str(n), "what", prompt="what", reply=answer) for n, answer in enumerate(answers)]
    encoded = tuning.encode_questions(tokenizer, records, num_options=2)
    assert encoded.ids == ["0", "2", "3"]
    assert [name for name, _ in encoded.rejected] == ["1"] and "Unicode" in encoded.rejected[0][1]


def test_nobody_encodes_replies_otherwise():
    """What data say reaches a tokenizer through `plain_tokens` alone; `tokenization.py` encodes chat templates."""
    root = Path(jaxuq.__file__).parent
    files = [file for file in sorted(root.rglob("*.py")) if "add_special_tokens=" in file.read_text()]
    assert [file.relative_to(root).as_posix() for file in files] == [
        "checkpoints/plain_tokens.py",
        "language/tokenization.py",
    ]


def test_a_lone_surrogate_in_responses_costs_its_row(tmp_path):
    data, given = tmp_path / "data.jsonl", tmp_path / "given.jsonl"
    data.write_text("\n".join(json.dumps({"id": n, "question": "q", "answer": "a"}) for n in "ab"))
    given.write_text("\n".join(json.dumps({"id": n, "response": r}) for n, r in (("a", "x \ud800"), ("b", "x"))))
    found = add_responses(load_questions(str(data)), given)
    assert [one.id for one in found.questions] == ["b"]
    assert [place for place, _ in found.rejected] == ["given.jsonl, line 1", "a"] and "Unicode" in found.rejected[0][1]
