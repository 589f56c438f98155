"""Reading final answers, and votes."""

import pytest

from jaxuq.experts import final_answer, vote


@pytest.mark.parametrize(
    ("text", "kind", "answer"),
    [
        (r"Thus \boxed{3} and then \boxed{ \frac{1}{\sqrt{2}} }.", "boxed", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed{3", "boxed", ""),
        ("no box", "boxed", ""),
        ("12 apples, 1,234.0 pears", "number", "1234"),
        ("minus -7.50", "number", "-7.5"),
        ("Answer: (C) since A is wrong... B", "choice", "B"),
        ("none here", "choice", ""),
        (" +47  UNITS ", "text", "+47 units"),
    ],
)
def test_final_answers(text, kind, answer):
    assert final_answer(text, kind) == answer


def test_votes_ignore_missing_answers_and_draw_ties_evenly():
    assert vote(["", "", "4"]) == "4"
    assert vote(["", ""]) == ""
    drawn = [vote(["a", "b", "a", "b", "c"], seed) for seed in range(200)]
    assert set(drawn) == {"a", "b"} and 70 < drawn.count("a") < 130
    with pytest.raises(ValueError, match="no answers"):
        vote([])
