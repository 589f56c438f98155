"""Finding, locating and comparing answers; bad input of every kind."""

import pytest

from jaxuq import questions as q


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("She has 16 - 3 - 4 = 9 eggs.\n#### 18", "18"),
        ("so 1200", "1200"),  # the published rule reads 0 here
        ("\\boxed{2125}", "2125"),  # and 5 here
        ("The total is $1,234.50.", "$1,234.50"),
        ("the answer is: -3.5% of all 7", "-3.5%"),
        ("it is 3/4 of all.", "3/4"),
        ("7-3", "3"),
        ("x = -3", "-3"),
        ("first \\boxed{1}, then \\boxed{ 2 }.", "2"),
        ("\\boxed{42 \\text{ apples}}", "42"),
        ("The answer is 5. Check: 2 + 2 = 4", "5"),
        ("9", "9"),
        ("about .5", ".5"),
        ("\\boxed{5", "5"),
        ("1.5e3", "1.5e3"),
        ("no number", None),
        ("", None),
        ("\\boxed{}", None),
    ],
)
def test_numbers_are_found(response, answer):
    found = q.find_answer(response)
    assert (found and found.text) == answer
    if found:
        assert response[found.start : found.end] == found.text


@pytest.mark.parametrize(
    ("response", "kind", "answer"),
    [
        ("The answer is (B).", "choice", "B"),
        ("I think (a) is wrong, so it is C", "choice", "C"),
        ("A dog would do. I say D.", "choice", "D"),
        ("nothing here", "choice", None),
        ("thus \\boxed{\\frac{1}{\\sqrt{2}}} holds", "expression", "\\frac{1}{\\sqrt{2}}"),
        ("\\boxed{\\{1,2\\}}", "expression", "\\{1,2\\}"),
        ("The answer is Paris. It is in France.", "text", "Paris"),
        ("The capital of Japan: Tokyo", "text", None),
    ],
)
def test_other_kinds_are_found(response, kind, answer):
    found = q.find_answer(response, kind)
    assert (found and found.text) == answer


@pytest.mark.parametrize(
    ("first", "second", "kind", "same"),
    [
        ("1,200", "1200.00", "number", True),
        ("$5", "5", "number", True),
        ("-5", "5", "number", False),
        ("50%", "0.5", "number", True),
        ("50%", "50", "number", True),
        ("50%", "5", "number", False),
        ("1/3", "0.333", "number", False),
        ("0.1", "1/10", "number", True),
        ("1e3", "1000", "number", True),
        ("1e9999999", "3", "number", False),
        ("1/0", "0", "number", False),
        ("abc", "abc", "number", False),
        ("\\frac12", "0.5", "expression", True),
        ("\\dfrac{\\sqrt{8}}{2}", "\\sqrt2", "expression", True),
        ("(3, \\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)", "expression", True),
        ("(1,2]", "(1,2)", "expression", False),
        ("x^2+2x+1", "(x+1)^2", "expression", True),
        ("x^2+2x", "(x+1)^2", "expression", False),
        ("x = 5", "5", "expression", True),
        ("90^\\circ", "90", "expression", True),
        ("5\\text{ cm}", "5", "expression", True),
        ("\\text{Evelyn}", "Evelyn", "expression", True),
        ("10,\\!000", "10000", "expression", True),
        ("2^{10}", "1024", "expression", True),
        ("2^{9^{9^9}}", "1", "expression", False),
        ("5!", "120", "expression", True),
        ("\\sqrt[3]{27}", "3", "expression", True),
        ("__import__('os').system('true')", "0", "expression", False),
        ("(" * 400, "0", "expression", False),
        ("", "", "expression", False),
        ("(A)", "a", "choice", True),
        ("A", "B", "choice", False),
        ("The Eiffel tower.", "eiffel Tower", "text", True),
        ("", "", "text", False),
    ],
)
def test_equivalence(first, second, kind, same):
    assert q.equivalent_answers(first, second, kind) is same
    assert q.equivalent_answers(second, first, kind) is same


def test_grades_count_what_cannot_be_read():
    grades = q.grade_answers(["#### 18", "", "It is 17."], ["so #### 18", "18", "18"])
    assert grades.correct == [True, None, False] and grades.failures == [1]
    with pytest.raises(ValueError, match="2 responses and 1 truths"):
        q.grade_answers(["1", "2"], ["1"])


def test_tokens_of_an_answer():
    pieces = ["The", " answer", " is", " 4", "2", "."]
    found = q.find_answer("".join(pieces))
    assert found is not None
    assert q.answer_tokens(pieces, found.start, found.end).tolist() == [False] * 3 + [True] * 2 + [False]
    # a flag is two characters of four bytes each, cut between and within them
    raw = "is 🇫🇷!".encode()
    cut = [raw[:5], raw[5:8], raw[8:11], raw[11:]]
    assert q.answer_tokens(cut, 3, 5).tolist() == [True, True, True, False]
    assert q.answer_tokens(cut, 5, 6).tolist() == [False, False, False, True]
    assert q.answer_tokens(["a", "", "b"], 1, 2).tolist() == [False, False, True]  # a token without text
    assert q.answer_tokens([], 0, 0).tolist() == []
