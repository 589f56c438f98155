"""Corrections, bounds, remainders, amounts in two units, choices by their text, words that are denied or listed."""

import pytest

from jaxuq import questions as q

CORRECTED = [
    ("choice", "The answer is A. Actually, it is C.", "C"), ("choice", "The answer is A. Wait, no: B", "B"),
    ("choice", "The answer is A. Hmm, that is wrong. It should be D.", "D"),
    ("choice", "Answer: A. Correction: B.", "B"),
    ("choice", "Hmm, A? That is wrong. The answer is B", "B"), ("choice", "I think A. Scratch that, C.", "C"),
    ("choice", "The answer is C. Actually, that is easy to see since A floats.", "C"),
    ("choice", "The answer is C. No other option fits.", "C"), ("choice", "B, or rather D", "D"),
    ("number", "The answer is 12. Wait, I made a mistake; it is 14.", "14"),
    ("number", "The answer is 12. Sorry, 14.", "14"),
    ("number", "\\boxed{12} Wait, I made an error: it is 14.", "14"), ("number", "\\boxed{12} No, \\boxed{14}", "14"),
    ("number", "The answer is 12. Wait, I forgot one, so it should be 14.", "14"),
    ("number", "The answer is 12. Let me check: 3*4 = 12. Correct.", "12"),
    ("number", "The answer is 12. Actually, in 3 hours she makes that.", "12"),
    ("text", "The answer is Paris. Actually, it is London.", "London"),
    ("text", "The answer is Paris. No wait, London.", "London"), ("text", "The answer is Paris. It is old.", "Paris"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "response", "answer"), CORRECTED)
def test_what_corrects_an_answer_takes_its_place(kind, response, answer):
    found = q.find_answer(response, kind)
    assert found is not None and found.text == answer and response[found.start : found.end] == answer


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("B. This contrasts with A", "B"), ("B. Unlike A, it floats.", "B"), ("B because A is too small", "B"),
        ("C - A is too small", "C"), ("B\n\nWhy not A? It sinks.", "B"), ("A. Hmm, it sinks. So it must be B", "B"),
        ("A bird would do, so D", "D"), ("A. yes\nB. no", "B"), ("B? No, C", "C"), ("A is wrong. B is right.", "B"),
    ],
)  # fmt: skip
def test_the_letter_that_opens_a_reply_is_its_answer(response, letter):
    found = q.find_answer(response, "choice")
    assert found is not None and found.text == letter


PAIRS = [
    ("5 billion", "5000000000", True), ("5 million", "5", False), ("5k", "5000", True), ("5k", "5", False),
    ("2.5M", "2500000", True), ("$5M", "5", False), ("2.5B", "2500000000", True), ("3 dozen", "36", True),
    *((bound, "3", False) for bound in ("less than 3", "at least 3", "> 3", "more than 3", "up to 3", "3 or more",
      "\\ge 3", "no more than 3", "3 at most", "x > 3", "3 cups or fewer", "below 3")),
    ("about 3", "3", True), ("at least 3", "≥ 3", True), ("more than 3", "> 3", True), ("3 or less", "at most 3", True),
    ("at least 3", "at most 3", False), ("at least 3", "at least 4", False),
    ("3 remainder 1", "3", False), ("3 R 1", "3 remainder 1", True), ("3R1", "3 r 1", True), ("3 R 1", "3 R 2", False),
    ("3 remainder 1", "1", False), ("3 with remainder 1", "3 remainder 1", True),
    ("x = 4, y = 5", "4", False), ("x = 4, y = 5", "5", False), ("x = 4, y = 5", "y = 5 and x = 4", True),
    ("$3 and 50 cents", "3.5", True), ("$3 and 50 cents", "$3.50", True), ("5 cents", "$5", False),
    ("5 cents", "$0.05", True), ("5 cents", "5", True), ("3 hours and 30 minutes", "3.5 hours", True),
    ("3 hours and 30 minutes", "210 minutes", True), ("3 hours and 30 minutes", "210", True),
    ("3 hours and 30 minutes", "3.5", True), ("3 hours and 30 minutes", "3", False), ("2 hours", "120 minutes", True),
    ("3 hours and 30 minutes", "30", False), ("5 feet 6 inches", "66 inches", True), ("5'6\"", "5.5 feet", True),
    ("1 lb 4 oz", "20 oz", True), ("1 lb 4 oz", "1", False), ("1 km 200 m", "1.2 km", True),
    ("2 h 15 min", "135", True),
    ("3 hours 30 minutes", "3 hours", False), ("1 m 20 s", "80 seconds", True), ("5 inches", "5 feet", False),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "same"), PAIRS)
def test_numbers_with_something_beside_them(one, other, same):
    assert q.equivalent_answers(one, other) is same is q.equivalent_answers(other, one)
    for form in ("The answer is {}.", "\\boxed{{{}}}", "#### {}", "{}"):
        response = form.format(one)
        found = q.grade(response, q.Question("", "?", (other,), "number"))
        assert (found.correct is True) is same, (response, found)
        assert response[found.answer.start : found.answer.end] == found.answer.text


def test_amounts_in_two_units_are_their_sum_whatever_the_units():
    import itertools

    from jaxuq.questions.measures import ratio_of

    rows = ("weeks days hours minutes", "yards feet inches", "kg g mg", "gallons quarts")
    for large, small in (pair for row in rows for pair in itertools.combinations(row.split(), 2)):
        many = ratio_of(large, small)
        for number in (1, 2, 7):
            total = number * many + 1
            assert q.equivalent_answers(f"{number} {large} and 1 {small}", f"{total} {small}"), (large, small)
            assert not q.equivalent_answers(f"{number} {large} and 1 {small}", f"{total + 1} {small}"), (large, small)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("She needs at least 5 eggs.", "5"), ("He can buy at most 8", "8"), ("18, which is more than 12", "18"),
        ("bringing the total up to 22", "22"), ("15, with a remainder of 2.", "15"),
        ("There are more than 20 eggs.", "more than 20"),
    ],
)  # fmt: skip
def test_a_bound_that_is_asked_for_is_a_number(text, said):
    found = q.find_answer(text)
    assert found is not None and found.text == said


@pytest.mark.parametrize(
    ("response", "kind", "said"),
    [
        ("2x = 4", "number", None), ("2x = 4, so x = 2", "number", "2"), ("so we get \\frac12", "number", "\\frac12"),
        ("so we get \\frac{1}{2}", "expression", "\\frac{1}{2}"), ("so it is $\\sqrt{2}$.", "expression", "\\sqrt{2}"),
        ("x^2 + 1", "expression", "x^2 + 1"), ("Thus x = \\sqrt{2}.", "expression", "\\sqrt{2}"),
        ("\\frac{x}{2} + \\frac{\\pi}{7} = 5", "number", None), ("nothing to say", "expression", None),
    ],
)  # fmt: skip
def test_a_formula_at_the_end_is_read_and_an_equation_is_no_number(response, kind, said):
    found = q.find_answer(response, kind)
    assert (found and found.text) == said


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("x = 4, y = 5", "x = 5, y = 4", False), ("x=4, y=5", "(4,5)", True), ("y=5, x=4", "(4,5)", True),
        ("x=4, y=5", "(5,4)", False), ("\\vec a\\cdot\\vec b", "\\vec a\\times\\vec b", False),
        ("\\vec{a}\\cdot\\vec{b}", "\\vec b \\cdot \\vec a", True),
        ("\\vec{a}\\times\\vec{b}", "\\vec{b}\\times\\vec{a}", False),
        ("\\mathbf{a}\\cdot\\mathbf{b}", "\\mathbf{a}\\times\\mathbf{b}", False), ("3 \\times 4", "12", True),
        ("\\vec{a}+\\vec{b}", "\\vec{b}+\\vec{a}", True), ("\\vec a", "a", False),
        ("A\\cup B", "B\\cup A", True), ("A\\cap B", "B\\cap A", True), ("A\\setminus B", "B\\setminus A", False),
        ("A\\cup B", "A\\cap B", False), ("A ∪ B", "B \\cup A", True), ("(A\\cup B)\\cup C", "C\\cup(B\\cup A)", True),
        ("\\overline{A\\cup B}", "A^c\\cap B^c", True), ("A \\setminus B", "A\\cap B^c", True),
        ("A\\cup B\\cap C", "A\\cup(B\\cap C)", False), ("p \\land q", "q \\land p", True),
        ("p\\land q", "p\\lor q", False),
        ("\\text{no solution}", "\\emptyset", True), ("no real solutions", "\\varnothing", True),
        ("none", "\\{\\}", True),
        ("no solution", "none", True), ("\\emptyset", "0", False), ("None of the above", "\\emptyset", False),
        ("x \\in \\emptyset", "no solution", True), ("no solution", "5", False),
        ("\\langle 1,2\\rangle", "(1,2)", True), ("\\langle 1,2\\rangle", "\\langle 2,1\\rangle", False),
    ],
)  # fmt: skip
def test_vectors_sets_pairs_and_what_is_empty(one, other, same):
    assert q.equivalent_answers(one, other, "expression") is same is q.equivalent_answers(other, one, "expression")


def test_formulas_of_sets_are_those_of_python():
    """De Morgan and all others: 150 random formulas, each against Python's sets on every choice of members."""
    import itertools
    import random

    from jaxuq.questions.set_algebra import same_sets

    rng = random.Random(0)

    def formula(depth):
        if depth == 0 or rng.random() < 0.2:
            return (name := rng.choice("ABC")), lambda at: at[name]
        (one, mine), (other, theirs) = formula(depth - 1), formula(depth - 1)
        sign, made = rng.choice((("cup", set.union), ("cap", set.intersection), ("setminus", set.difference)))
        return f"({one} \\{sign} {other})", lambda at: made(mine(at), theirs(at))

    members = [dict(zip("ABC", row)) for row in itertools.product(*[[set(), {0}]] * 3)]
    seen = set()
    for _ in range(150):
        (one, mine), (other, theirs) = formula(3), formula(3)
        said = same_sets(one, other)
        if said is not None:
            assert said is all(mine(at) == theirs(at) for at in members), (one, other)
            seen.add(said)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("Paris? No.", False), ("Paris, London and Rome", False), ("Paris or London", False), ("It is Paris", True),
        ("Maybe Paris, maybe London", False), ("I doubt it is Paris", False), ("Not sure, Paris or Rome", False),
        ("It might be Paris.", True), ("Paris is wrong", False), ("Paris, France", True), ("Anything but Paris", False),
        ("Paris, not London", True), ("Paris, and it is old", True), ("Paris. It lies on the Seine.", True),
        ("between Paris and Rome", False), ("I don't think it is Paris", False), ("Paris. Actually, Rome.", False),
    ],
)  # fmt: skip
def test_a_bare_line_that_denies_doubts_or_lists_is_not_right(line, right):
    assert q.grade(line, q.Question("", "?", ("Paris",)), bare=True).correct is right


COLOUR = q.Question("", "Colour?", ("B",), "choice", ("Red", "Green", "Blue"))


@pytest.mark.parametrize(
    ("response", "right"),
    [
        ("The answer is Green.", True), ("It's the second option", True), ("option two", True), ("Option 2", True),
        ("The answer is B) Green", True), ("Green", True), ("The answer is Red.", False), ("The first one", False),
        ("I would say green", True), ("\\boxed{Green}", True), ("It is the last option", False),
        ("Definitely the 2nd choice.", True), ("Not green but blue", False), ("red or green", False),
        ("Red is too warm. It is green.", True), ("C", False), ("nothing", None),
    ],
)  # fmt: skip
def test_the_text_of_a_choice_stands_for_its_letter(response, right):
    for question in (COLOUR, COLOUR._replace(answers=("Green",)), COLOUR._replace(answers=("(b)",))):
        found = q.grade(response, question)
        assert found.correct is right, found
    listed = q.Question("", "Colour? Options: (A) Red (B) Green (C) Blue", ("B",), "choice")
    assert q.grade(response, listed).correct is right


def test_a_number_that_is_one_choice_is_its_letter():
    asked = q.Question("", "2 + 2?", ("B",), "choice", ("3", "4", "5"))
    assert q.grade("The answer is 4.", asked).correct and not q.grade("The answer is 5.", asked).correct
    bird = q.Question("", "Which?", ("B",), "choice", ("a dog", "A bird"))
    assert q.grade("The answer is A bird.", bird).correct and not q.grade("The answer is A.", bird).correct


@pytest.mark.parametrize(
    "entry",
    [
        {"answers": ["Green"], "choices": ["Red", "Green"]}, {"answer": "B", "choices": {"A": "Red", "B": "Green"}},
        {"answer": "Green", "choices": {"A": "Red", "B": "Green"}},
        {"answer": "2", "choices": {"1": "Red", "2": "Green"}},
        {"answer": "y", "choices": {"text": ["Red", "Green"], "label": ["x", "y"]}},
    ],
)  # fmt: skip
def test_choices_may_have_labels_and_answers_be_many(entry):
    (one,) = q.load_questions([{"question": "Colour?", **entry}]).questions
    assert one.choices == ("Red", "Green") and one.answers == ("B",)


def test_a_right_choice_by_its_text_is_laid_out_by_its_letter():
    (one,) = q.load_questions([q.Question("a", "?", ("Green",), "choice", ("Red", "Green"))], layout="line").questions
    assert (one.answers, one.reply, one.wrong) == (("B",), " B", (" A",))
