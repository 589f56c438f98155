"""Answers as layouts and data have them: LaTeX's fonts, pairs, choices that are numbers, numbers of any size."""

import pytest

from jaxuq.questions import Question, find_answer, grade, load_questions
from jaxuq.questions.characters import plain_words
from jaxuq.questions.grading import compare_answers


@pytest.mark.parametrize(
    "response",
    [
        r"\boxed{\text{Paris}}", r"\boxed{\textbf{Paris}}", r"\boxed{\mathrm{Paris}}", r"\boxed{$\text{Paris}$}",
        r"\boxed{\text{\textbf{Paris}}}", r"\boxed{\text{the Paris}.}", r"The answer is \boxed{Paris}",
    ],
)  # fmt: skip
def test_a_text_in_a_font_is_the_text(response):
    assert grade(response, Question("a", "?", ("Paris",))).correct
    assert not grade(response, Question("a", "?", ("London",))).correct


@pytest.mark.parametrize(("one", "other"), [("New~York", "New York"), (r"50\% off", "50% off"), (r"R\&D", "R&D")])
def test_spaces_and_escapes_of_latex_are_those_of_words(one, other):
    assert plain_words(one) == plain_words(other)


@pytest.mark.parametrize(
    ("pair", "number"),
    [("(3,4)", "3.4"), ("(1,2)", "1.2"), ("(1,234)", "1234"), ("(2,100)", "2100"), (r"\left(3,4\right)", "3.4")],
)
def test_a_pair_is_no_number_with_a_comma(pair, number):
    for kind in ("expression", "number"):
        assert not compare_answers(pair, number, kind).equal
        assert compare_answers(pair, pair.replace(",", ", "), kind).equal
    assert compare_answers("(3)", "3", "expression").equal and compare_answers("(-3.5)", "-3.5", "number").equal


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [([1, 2, 3], 2, "B"), ([1.0, 2.0, 3.0], 2, "B"), ([0, 2, 1], 1, "C"), (["x", "y", "z"], 2, "C"),
     ([1, 2, 3], "2", "B"), ([1, 2, 3], "C", "C"), (["1", "2", "3"], "2", "B")],
)  # fmt: skip
def test_a_number_is_one_of_choices_that_are_numbers(choices, answer, letter):
    (question,) = load_questions([{"question": "1+1", "choices": choices, "answer": answer}]).questions
    assert question.answers == (letter,)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"question": "q", "choices": [1, 2], "answer": 5}, "none of the choices 1, 2"),
        ({"question": "q", "choices": ["3", "4"], "answer": "4", "kind": "number"}, "beside `choices`"),
    ],
)
def test_what_is_not_clear_is_refused(entry, said):
    found = load_questions([entry, {"question": "q", "answer": int("1" + 400 * "0")}])
    assert len(found.questions) == 1 and said in str(found.rejected)


@pytest.mark.parametrize("name", ["Sen. Obama", "Mme. Curie", "Gov. Brown", "Adm. Nelson", "Maj. Tom", "St. Paul"])
def test_a_title_ends_no_answer(name):
    found = find_answer(f"The answer is {name}. He was first.", "text")
    assert found is not None and plain_words(found.text) == plain_words(name)
