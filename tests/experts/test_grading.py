"""Reading final answers, and votes."""

import pytest

from jaxuq.experts import ANSWER_KINDS, vote
from jaxuq.questions import Question, equivalent_answers, judge_answer, read_answer


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        (r"Thus \boxed{3} and then \boxed{ \frac{1}{\sqrt{2}} }.", "boxed", r"\frac{1}{\sqrt2}"),
        (r"\boxed{3", "boxed", ""),
        ("no box", "boxed", ""),
        ("12 apples, 1,234.0 pears", "number", "1234"),
        ("minus -7.50", "number", "-7.5"),
        ("Answer: (C) since A is wrong", "choice", "c"),
        ("none here", "choice", ""),
        (" +47  UNITS ", "text", "+47 units"),
        (" ", "text", ""),
    ],
)
def test_final_answers(text, kind, answer):
    asked = Question("", "?", (answer,), ANSWER_KINDS[kind])
    found = read_answer(text, asked)
    assert judge_answer(found.text, asked).equal if answer else found is None
    for one, other in ((found.text if found else "", "another"), ("", "")):
        assert not equivalent_answers(one, other, ANSWER_KINDS[kind])


def test_votes_ignore_missing_answers_and_draw_ties_evenly():
    assert vote(["", "", "4"]) == "4"
    assert vote(["", ""]) == ""
    drawn = [vote(["a", "b", "a", "b", "c"], seed) for seed in range(200)]
    assert set(drawn) == {"a", "b"} and 70 < drawn.count("a") < 130
    with pytest.raises(ValueError, match="no answers"):
        vote([])


def test_answers_written_otherwise_are_one_vote():
    answers = ["7", "8", "1,000", "$1000", "7.5", "1000.0"]
    assert vote(answers, same=equivalent_answers) == "1,000"
