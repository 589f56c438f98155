"""Letters of choices in the marks of HTML, Markdown and lists, in either case; texts in marks; what a word may lose."""

import pytest

from jaxuq import questions as q
from jaxuq.questions.characters import plain_words

MARKS = (
    "<b>{}</b>", "<strong>{}</strong>", "<i>{}</i>", "<u>{}</u>", "<p>{}</p>", "<b>({})</b>",
    "<span class='x'>{}</span>",
    "<code>{}</code>", "<h2>{}</h2>", "<em><b>{}</b></em>", "**{}**", "__{}__", "*{}*", "`{}`", "({})", "[{}]", "<{}>",
    "{}", "{}.", "{}:", "'{}'", "Option {})", "option {}", "choice ({})", "Answer: {}", "Final answer: ({})",
    "{}. Paris",
    "{}) Paris", "({}) Paris", "{}: Paris", "{} - Paris", "{}. a dog", "<b>{}.</b> Paris", "**{}** Paris", "### {}",
    "- {}", "> {}", "→ {}", "\\boxed{{{}}}", "\\boxed{{{}. Paris}}", "\\boxed{{\\text{{({})}}}}", "\\boxed{{{}/Paris}}",
    "The answer is <b>{}</b>.", "The answer is {}/Paris", "~~({})~~ no: ({})",
)  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_a_letter_is_read_in_its_marks_whatever_letter_and_case(mark):
    for letter in "ABCIQ":
        question = q.Question("", "?", (letter,), "choice")
        for one in (letter, letter.lower()):
            response = mark.format("Z", one) if mark.count("{}") == 2 else mark.format(one)
            found = q.grade(response, question)
            assert found.correct is True, (response, found)
            assert response[found.answer.start : found.answer.end] == found.answer.text


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("A/Paris", "A"), ("<b>C</b>", "C"), ("<b>Paris</b>", None), ("<i>Paris</i> I think", None), ("a/c unit", None),
        ("<s>A</s> B", "B"), ("<del>(A)</del> (C)", "C"), ("~~A~~ B", "B"), ("A/B", None), ("AB", None),
        ("e.g. Paris", None),
        ("i.e. Paris", None), ("a dog", None), ("a. Paris\nb. London", None), ("a. Paris, not (b)", "a"),
        ("A. yes\nB. no", "B"),
        ("x <b> y", "b"), ("a.m.", None), ("I/O error", None), ("U.S.", None),
    ],
)  # fmt: skip
def test_what_is_a_mark_and_what_a_letter(response, letter):
    found = q.find_answer(response, "choice")
    assert (found and found.text) == letter


@pytest.mark.parametrize(
    "word", ["<b>Paris</b>", "**Paris**", "<span style='x'>Paris</span>", "`Paris`", "Pa\u200dris"]
)
def test_a_text_in_marks_is_the_text(word):
    found = q.grade(f"The answer is {word}.", q.Question("", "?", ("Paris",)))
    assert found.correct or word == "`Paris`"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (".NET", ".net", True), (".NET", "NET", False), (".gitignore", "gitignore", False), (".5", "5", False),
        ("2⁵", "25", False), ("2⁵", "2^5", True), ("H₂O", "H2O", True), ("½", "1/2", True), ("1½", "11/2", False),
        ("1½", "1 1/2", True), ("!x", "x", False), ("~x", "x", False), ("x!", "x", True), ("C++", "C", False),
        ("C#", "C++", False), (":-)", ":-(", False), ("?", "?", True), ("+", "-", False), ("?", "!", False),
        ("2010–2015", "2010-2015", True), ("New~York", "New York", True), ("U.S.A.", "USA", True), ("(a)", "a", True),
    ],
)  # fmt: skip
def test_signs_that_are_part_of_a_word(one, other, same):
    assert q.equivalent_answers(one, other, "text") is same is q.equivalent_answers(other, one, "text")
    for text in (one, other):
        found = q.find_answer(f"The answer is {text} because", "text")
        assert found is None or plain_words(found.text) == plain_words(text)


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("It is Paris.", True), ("not Paris but London", False), ("London rather than Paris", False),
        ("never Paris", False),
        ("It isn't Paris", False), ("neither Paris nor Rome", False),
    ],
)  # fmt: skip
def test_a_line_that_denies_the_right_words_does_not_hold_them(line, right):
    assert q.grade(line, q.Question("", "?", ("Paris",)), bare=True).correct is right


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("I'd say B, because C requires D.", "B"),
        ("My pick would be B because A is small", "B"),
        ("Choose C; D is next.", "C"),
        ("I choose (B) over A.", "B"),
        ("I would go with option C. A is wrong", "C"),
        ("I say it's B", "B"),
        ("First, I pick A at random. Then B is left, so the answer is B.", "B"),
        ("I'd say a bird", None),
        *(
            (text, None)
            for text in ("All of the above except B", "The answer is anything but B", "I rejected A", "A? No.")
        ),
        *((text, None) for text in ("Everything other than C is fine", "Incorrect: A", "I doubt that it is B")),
        *(
            (text, None)
            for text in ("D is a distractor.", "Vitamin C", "The answer is vitamin C", "Hepatitis B is viral")
        ),
        ("A is wrong. B is right.", "B"),
        ("The answer is C. I rejected A.", "C"),
        ("B, not A", "B"),
    ],
)
def test_a_letter_that_is_chosen_comes_before_one_of_the_reason_and_one_that_is_denied_or_a_name_is_none(
    response, letter
):
    found = q.find_answer(response, "choice")
    assert (found and found.text) == letter
