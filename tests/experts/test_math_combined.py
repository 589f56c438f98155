"""MATH-Combined from lines as the four data sets publish them."""

import gzip
import json

import pytest

from jaxuq.experts import ExpertsError, combine_math
from jaxuq.questions import find_answer

LINES = {
    "math": {"problem": "Half?", "solution": r"It is $\boxed{\frac{1}{2}}$.", "type": "Prealgebra"},
    "gsm8k": {"question": "How many?", "answer": "48/2 = <<48/2=24>>24 clips.\n#### 1,072"},
    "svamp": {"Body": "Dan had $ 3 left", "Question": "Cost?", "Equation": "( 4.0 - 3.5 )", "Answer": 0.5, "Type": "-"},
    "mathqa": {
        "problem": "the ratio ?", "rationale": '"3 / 2 answer : d"', "correct": "d", "type": "general",
        "options": "a ) 1 : 1 , b ) 1 : 87 , c ) 1 , 000 , d ) 3 : 2 , e ) 1 : 2",
    },
}  # fmt: skip


def test_every_answer_is_boxed_and_marks_are_gone(tmp_path):
    files = {}
    for name, entry in LINES.items():
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text(json.dumps(entry) + "\n")
    files["math"] = tmp_path / "math.jsonl.gz"
    files["math"].write_bytes(gzip.compress((json.dumps(LINES["math"]) + "\n{}\n").encode()))
    files["svamp"].write_text(json.dumps([LINES["svamp"]]))
    rejected = combine_math(files, tmp_path / "mix.jsonl")
    assert rejected.pop("math") == [("math.jsonl.gz, line 2", "problem is missing or no text")]
    assert rejected == {"gsm8k": [], "svamp": [], "mathqa": []}
    records = [json.loads(line) for line in (tmp_path / "mix.jsonl").read_text().splitlines()]
    answers = [find_answer(record["response"], "expression").text for record in records]
    assert answers == [r"\frac{1}{2}", "1072", "0.5", "3 : 2"]
    assert [record["source"] for record in records] == list(LINES)
    assert records[1]["response"].startswith("48/2 = 24 clips.\n") and "<<" not in records[1]["response"]
    assert records[2]["response"].startswith("( 4 - 3.5 ) = 0.5.")


def test_mistakes_are_named(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"question": "x", "answer": "no mark"}\n')
    with pytest.raises(ExpertsError, match="no final line"):
        combine_math({"gsm8k": file}, tmp_path / "out")
    with pytest.raises(ExpertsError, match="none of math, gsm8k"):
        combine_math({"aime": file}, tmp_path / "out")
    with pytest.raises(ExpertsError, match="cannot be read"):
        combine_math({"math": tmp_path / "absent"}, tmp_path / "out")
