"""From JSONL to tokens and masks; bad lines cost themselves; batches hold every example once, as it was."""

import json
import tracemalloc

import numpy as np
import pytest

from jaxuq.language import (
    Instruction,
    InstructionFile,
    encode_instruction,
    encode_prompt,
    make_batch,
    plan_batches,
    survey_examples,
)
from jaxuq.language.errors import PromptError
from tests.language.words import WORDS, text_of, tokenizer


def _learnt(example):
    return text_of(example.tokens), text_of(example.tokens[example.response])


def test_an_instruction_is_a_chat_whose_answer_and_end_are_learnt():
    example = encode_instruction(tokenizer(), {"instruction": "what is a", "response": "one two", "source": "x"})
    assert _learnt(example) == ("<s> user : what is a <end> assistant : one two <end>", "one two <end>")
    prompt = encode_prompt(tokenizer(), "what is a")
    assert example.tokens[: len(prompt)].tolist() == prompt, "the model must see in training what it sees in use"
    assert not example.truncated


def test_every_turn_of_the_assistant_is_learnt():
    turns = [("system", "yes"), ("user", "a"), ("assistant", "one"), ("user", "b"), ("assistant", "two three")]
    record = {"messages": [{"role": role, "content": content} for role, content in turns]}
    text = "<s> system : yes <end> user : a <end> assistant : one <end> user : b <end> assistant : two three <end>"
    assert _learnt(encode_instruction(tokenizer(), record)) == (text, "one <end> two three <end>")
    record["messages"].append({"role": "user", "content": "c"})  # nobody answers it
    assert _learnt(encode_instruction(tokenizer(), record)) == (text, "one <end> two three <end>")


@pytest.mark.parametrize("said", ["one", "a one", "green a", "unheard of", "1"])
def test_what_a_template_writes_before_the_first_words_is_not_learnt(said):
    """Also where the assistant begins, before which there is no prompt to compare with."""
    turns = [("assistant", said), ("user", "b"), ("assistant", "two")]
    record = {"messages": [{"role": role, "content": content} for role, content in turns]}
    example = encode_instruction(tokenizer(), record)
    known = " ".join(word if word in WORDS else "<unk>" for word in said.split())
    assert _learnt(example) == (
        f"<s> assistant : {known} <end> user : b <end> assistant : two <end>", f"{known} <end> two <end>",
    )  # fmt: skip
    alone = encode_instruction(tokenizer(), {"messages": record["messages"][:1]})
    assert _learnt(alone) == (f"<s> assistant : {known} <end>", f"{known} <end>")


def test_plain_text_and_truncation():
    record = {"instruction": "a b", "response": "c d"}
    assert _learnt(encode_instruction(tokenizer(), record, chat=False)) == ("a b c d <end>", "c d <end>")
    cut = encode_instruction(tokenizer(), record, chat=False, max_length=3)
    assert _learnt(cut) == ("a b c", "c") and cut.truncated
    with pytest.raises(PromptError, match="no token of a response is left within 2 tokens"):
        encode_instruction(tokenizer(), record, chat=False, max_length=2)


BAD = {
    b"{": "is no JSON",
    b'{"instruction": "a", "response": "\xff"}': "is no JSON",
    b"[1, 2]": "holds list",
    b'{"instruction": "a"}': r"needs 'instruction' and 'response'.*\['instruction'\]",
    b'{"instruction": "a", "response": " "}': "is empty",
    b'{"instruction": "", "response": "b"}': "empty",
    b'{"instruction": 3, "response": "b"}': "must be text",
    b'{"messages": [{"role": "user", "content": "a"}]}': "there is no response",
    b'{"messages": [{"role": "wizard", "content": "a"}, {"role": "assistant", "content": "b"}]}': "wizard",
    b'{"messages": "a"}': "must be a list",
    b'{"instruction": "a", "response": "\\ud800"}': "Unicode",
}


def test_bad_lines_are_named_and_cost_only_themselves(tmp_path):
    good = b'{"instruction": "a", "response": "b"}'
    file = tmp_path / "data.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + good + b"\n\n" + b"\n".join(BAD) + b"\n" + good)
    data = InstructionFile(file, tokenizer())
    survey = survey_examples(data)
    assert len(data) == len(BAD) + 2 and survey.lengths[0] == survey.lengths[-1] == 9
    assert [item.row for item in survey.rejected] == list(range(1, len(BAD) + 1))
    for number, (item, reason) in enumerate(zip(survey.rejected, BAD.values())):
        assert f"line {number + 3} of {file}" in item.reason
        with pytest.raises(PromptError, match=reason):
            data[item.row]
    file.write_bytes(b"{\n")
    with pytest.raises(PromptError, match="none of the 1 examples can be used; first: line 1"):
        survey_examples(InstructionFile(file, tokenizer()))
    file.write_bytes(b"\n")
    with pytest.raises(PromptError, match="holds no instructions"):
        InstructionFile(file, tokenizer())
    with pytest.raises(PromptError, match="cannot be read"):
        InstructionFile(tmp_path / "nowhere", tokenizer())


def test_memory_does_not_grow_with_the_text(tmp_path):
    file = tmp_path / "data.jsonl"
    line = json.dumps({"instruction": "a " * 2000, "response": "b"}) + "\n"
    with file.open("w") as handle:
        for _ in range(150):
            handle.write(line)
    survey_examples(InstructionFile(file, tokenizer(), max_length=10**6))  # first-use allocations
    tracemalloc.start()
    data = InstructionFile(file, tokenizer(), max_length=10**6)
    survey_examples(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert file.stat().st_size > 6e5 > 2.5 * peak


def _examples(rng, count, longest=20):
    made = []
    for _ in range(count):
        length = int(rng.integers(2, longest + 1))
        response = np.arange(length) >= rng.integers(1, length)
        made.append(Instruction(rng.integers(0, len(WORDS), length).astype(np.int32), response))
    return made


@pytest.mark.parametrize("packed", [True, False], ids=["packed", "bucketed"])
def test_an_epoch_holds_every_example_once_as_it_was(rng, packed):
    data = _examples(rng, 130, longest=50)
    lengths = survey_examples(data).lengths
    lengths[7] = 0  # as if it could not be used
    plans = plan_batches(lengths, batch_size=4, max_length=64, seed=(3, 0), packed=packed)
    found = {}
    for plan in plans:
        batch = make_batch(data, plan, batch_size=4)
        assert batch.tokens.shape == (4, plan.length)
        np.testing.assert_array_equal(batch.positions >= 0, batch.examples >= 0)
        assert not batch.where[batch.examples < 0].any()
        for number in np.unique(batch.examples[batch.examples >= 0]).tolist():
            rows, columns = np.nonzero(batch.examples == number)
            assert len(set(rows.tolist())) == 1 and np.all(np.diff(columns) == 1)
            np.testing.assert_array_equal(batch.positions[rows, columns], np.arange(len(rows)))
            assert number not in found
            found[number] = batch.tokens[rows, columns], batch.where[rows, columns]
    assert sorted(found) == [number for number in range(130) if number != 7]
    for number, (tokens, where) in found.items():
        np.testing.assert_array_equal(tokens, data[number].tokens)
        np.testing.assert_array_equal(where, data[number].response)
    padding = 1 - lengths.sum() / sum(4 * plan.length for plan in plans)
    assert padding < (0.1 if packed else 0.4)
    if not packed:
        assert {plan.length for plan in plans} == {32, 48, 64} and all(len(row) == 1 for p in plans for row in p.rows)


def test_the_order_depends_on_the_seed_alone(rng):
    lengths = np.asarray([len(example.tokens) for example in _examples(rng, 60)], np.int32)

    def plan(*seed):
        return plan_batches(lengths, batch_size=2, max_length=40, seed=seed)

    assert plan(1, 0) == plan(1, 0) and plan(1, 0) != plan(1, 1) and plan(1, 0) != plan(2, 0)


def test_what_does_not_fit_is_rejected(rng):
    data = [*_examples(rng, 5, longest=6), Instruction(np.arange(30), np.ones(30, bool))]
    survey = survey_examples(data, max_length=8)
    assert survey.lengths[5] == 0 and "has 30 tokens, more than the 8" in survey.rejected[0].reason
    with pytest.raises(ValueError, match="batch_size is 0"):
        plan_batches(survey.lengths, batch_size=0, max_length=8, seed=0)
