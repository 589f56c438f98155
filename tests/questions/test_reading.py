"""The answer of a response: every notation, its place, and letters read alike."""

import itertools

import pytest

from jaxuq import questions as q

NOTATIONS = {  # a number as it may be written, and its value
    "\\frac{1}{2}": "1/2",
    "-\\dfrac{3}{4}": "-3/4",
    "\\tfrac12": "0.5",
    "2\\frac{1}{2}": "5/2",
    "3 1/2": "7/2",
    "2½": "2.5",
    "¾": "0.75",
    "1{,}234": "1234",
    "1,\\!234": "1234",
    "10\\,000": "10000",
    "1\u2009234\u2009567": "1234567",
    "1’234.5": "1234.5",
    "1.234,50": "1234.5",
    "1.234.567": "1234567",
    "12,34,567": "1234567",
    "0,125": "1/8",
    "3,5": "7/2",
    "10 000": "10000",
    "–3": "-3",
    "−3": "-3",
    "－３": "-3",
    "１２": "12",
    "٣٤": "34",
    "3 \\times 10^5": "300000",
    "3×10⁵": "300000",
    "6.02 x 10^{23}": "602e21",
    "2e-3": "1/500",
    "2^10": "1024",
    "2^{10}": "1024",
    "10⁻²": "0.01",
    "50\\%": "0.5",
    "50 percent": "0.5",
    "$-3.50": "-3.5",
    "-$3.50": "-3.5",
    "€1,200": "1200",
    "+5": "5",
    ".5": "1/2",
}
FRAMES = (
    "The answer is {}.",
    "so it is {}",
    "#### {}",
    "\\boxed{{{}}}",
    "Answer: **{}**",
    "$x = {}$",
    "thus ≈ {}",
    "({})",
)


@pytest.mark.parametrize("frame", FRAMES)
def test_every_notation_is_read_in_every_frame(frame):
    for written, value in NOTATIONS.items():
        if frame == "({})" and written in ("0,125", "3,5"):  # a pair
            continue
        if frame.startswith("$") and "$" in written:  # money in a formula
            continue
        response = frame.format(written)
        found = q.find_answer(response)
        assert found is not None and response[found.start : found.end] == found.text, response
        assert q.equivalent_answers(found.text, value) and found.text.strip("$") == written.strip("$"), response


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 3 * 4 = 12.", "12"),
        ("The answer is 12 = 3 * 4.", "12"),
        ("2^10 = 1024", "1024"),
        ("\\boxed{12 = 3 \\cdot 4}", "12"),
        ("The answer is 2/3 ≈ 0.667", "0.667"),
        ("The answer is (3 + 4) * 2 = 14 apples", "14"),
        ("The answer is 2 cm = 20 mm.", "20"),
        ("\\boxed{20\\text{ cm}^3}", "20"),
        ("\\boxed{18\\,\\mathrm{m/s}^2}", "18"),
        ("a volume of 20 cm^3 or 5 m²", "5"),
        ("3 1/2 cups of H2O", "3 1/2"),
        ("1.234,50 € in all", "1.234,50"),
        ("x_1 = 7, as x_{12}^{2} is small", "7"),
        ("\\boxed{2\\sqrt{3}\\text{ cm}}", "2\\sqrt{3}"),
        ("\\boxed{\\text{18 apples}}", "18"),
        ("\\boxed{x = 5}", "5"),
        ("\\boxed{\\left(-\\frac12\\right)}", "-\\frac12"),
        ("on page B-52 from 10-12", "12"),
        ("The total – 3 apples", "3"),
        ("Rs.500", "500"),
        ("version 1.2.3 of v4", "1.2"),
        ("It is 1,2,3", "3"),
        ("$12$ and $13$", "13"),
        ("\\boxed{1 and }{ \\boxed{8}", "8"),
        ("Answer:\n\n5", "5"),
    ],
)
def test_a_chain_has_a_last_side_and_units_are_no_numbers(response, answer):
    found = q.find_answer(response)
    assert found is not None and found.text == answer and response[found.start : found.end] == answer


TEMPLATES = (
    "The answer is {}.",
    "The answer is {}",
    "The answer is {} because it floats",
    "The answer is {}, since {} sinks.",
    "The answer is ({}).",
    "The answer is '{}'.",
    "The answer is “{}” as we saw",
    "**Answer: {}**",
    "Answer: **{}**",
    "\\boxed{{{}}}",
    "\\boxed{{\\text{{{}}}}}",
    "\\boxed{{\\text{{({}) Paris}}}}",
    "Answer: {}) Paris",
    "option {} is right",
    "The correct option is {}: it floats",
    "I think ({}) is wrong, so it is {}",
    "{}",
    "{}. Paris",
    "The answer is {} Paris",
    "The answer is {} floats",
    "The answer is not {} but {}",
    "It is {}, I believe",
    "The answer is {} dog",
    "{} dog would do",
    "{} do not know",
    "{} think that it rains",
    "apple({})",
    "Answer: {} dog",
    "#### {}",
    "The answer is {} and not {}",
    "The solution is {}-level",
    "20 {}",
    "The answer is {} given that it rains",
    "the answer would be {} in this case",
)


@pytest.mark.parametrize("case", [str.upper, str.lower])
def test_letters_are_read_alike(case):
    for template, letters in itertools.product(TEMPLATES, (("A", "B"), ("I", "A"), ("B", "I"), ("Q", "C"), ("D", "E"))):
        names = [case(letter) for letter in letters]
        places = []
        for one in (("X", "Y"), letters):
            response = template.format(*(case(letter) for letter in one))
            found = q.find_answer(response, "choice")
            places.append(None if found is None else (found.start, found.end))
            assert found is None or response[found.start : found.end] == found.text
        assert places[0] == places[1], (template, names)


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The answer is A because it floats", "A"),
        ("The answer is A because B is wrong", "A"),
        ("The answer is a because it floats", "a"),
        ("the answer is 'b'.", "b"),
        ("The answer is I", "I"),
        ("The answer is I think B", "B"),
        ("Answer: I think B", "B"),
        ("I do not know", None),
        ("A dog", None),
        ("answer: a dog", None),
        ("The answer is not B but C", "C"),
        ("Option A floats but option B sinks", "B"),
        ("**Answer: C**", "C"),
        ("b", "b"),
    ],
)
def test_an_article_and_a_pronoun_are_no_letters(response, letter):
    found = q.find_answer(response, "choice")
    assert (found and found.text) == letter


def test_letters_are_those_of_the_choices():
    assert q.find_answer("B is vitamin K", "choice", letters="ABCD").text == "B"
    assert q.find_answer("The answer is I", "choice", letters="ABCD") is None
    assert q.find_answer("The answer is R.", "choice", letters="ABCDEFGHIJKLMNOPQR").text == "R"


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is St. Petersburg.", "St. Petersburg"),
        ("The answer is J. K. Rowling. She wrote it.", "J. K. Rowling"),
        ("The answer is Washington D.C. It is the capital.", "Washington D.C"),
        ("The answer is Martin Luther King Jr. He was", "Martin Luther King Jr"),
        ("The answer is No. Because it rains.", "No"),
        ("The answer is No. 5.", "No. 5"),
        ("The answer is “Paris”, because it is.", "Paris"),
        ("The answer is vitamin C. It helps.", "vitamin C"),
        ("The answer is 3.5 m. That is long.", "3.5 m"),
    ],
)
def test_a_sentence_ends_where_it_ends(response, answer):
    found = q.find_answer(response, "text")
    assert found is not None and found.text == answer and response[found.start : found.end] == answer
