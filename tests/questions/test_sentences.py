"""Which number a sentence states after "the answer is", among those that it reckons with or happens in."""

import pytest

from jaxuq import questions as q

STATED = [
    ("3 squared, which is 9.", "9"), ("after 3 days, 45.", "45"), ("2 to the power of 5, which is 32.", "32"),
    ("5 times 4, which equals 20.", "20"), ("half of 50, i.e., 25.", "25"), ("10% of 50, that is, 5.", "5"),
    ("10% of 50, or 5.", "5"), ("10% of 50 = 5.", "5"), ("the sum of 3 and 4, which is 7.", "7"),
    ("3 plus 4, so 7.", "7"), ("3 plus 4, giving 7.", "7"), ("3 more than 4, namely 7.", "7"),
    ("5 factorial, or 120.", "120"), ("18, because 3 * 6 = 18.", "18"), ("18 since 20 - 2 = 18", "18"),
    ("18 eggs per day.", "18"), ("18 (that is 3 times 6).", "18"), ("18, which is 3 times 6.", "18"),
    ("18, i.e., 9 pairs.", "18"), ("45 after 3 days.", "45"), ("in 3 days, 45.", "45"), ("for 3 people, $45.", "45"),
    ("with 2 boxes, 10 apples.", "10"), ("for the first 3 days: 45.", "45"),
    ("that after 3 hours there are 12 left.", "12"), ("that she has 5 apples after giving away 3.", "5"),
    ("that he needs 4 of the 10 boxes.", "4"), ("5 of the 12 students.", "5"),
    ("that in 2020 there were 300 people.", "300"), ("in 2 hours he drives 120 km.", "120"),
    ("$18 per hour for 3 hours, so $54.", "54"), ("3 boxes of 4, so 12 in total.", "12"), ("12 in 3 boxes.", "12"),
    ("5, which is 2 more than 3.", "5"), ("5 (2 + 3).", "5"), ("50 out of 100, that's 50%.", "0.5"),
    ("at step 2, 7.", "7"), ("on day 5, 32.", "32"), ("by 2030, 45 million.", "45000000"),
    ("x = 5 (see step 2).", "5"), ("given by equation 2: 14.", "14"), ("2 hours (120 minutes).", "2"),
    ("1 hour, or 60 minutes.", "1"), ("the 3rd number, 17.", "17"), ("the second, 8.", "8"),
    ("17, the 3rd number.", "17"), ("between step 1 and step 2, 9.", "9"), ("not 5. It is 6.", "6"),
    ("5. In 3 days it is 6.", "5"), ("5; check: 2+3.", "5"), ("5 - not 6.", "5"), ("5 and not 6.", "5"),
    ("5 for 3 of them.", "5"), ("therefore 3 x 4, i.e. 12", "12"), ("about 3 times 4, which makes 12.", "12"),
    ("5, as 10 / 2 = 5.", "5"), ("as 10 / 2 = 5, 5.", "5"), ("since 10 / 2 = 5, five.", "5"),
    ("given 2 cars and 3 bikes, 5 vehicles.", "5"), ("if n = 3, 9.", "9"), ("when x = 3, y = 9.", "9"),
    ("for x=2: 4.", "4"), ("10 - 3, or 7 apples.", "7"), ("3 + 4 or 7.", "7"),
    ("the difference of 10 and 3, 7.", "7"), ("the product of 3 and 4: 12.", "12"),
    ("the ratio of 3 to 4, which is 0.75.", "0.75"), ("the average of 2, 3 and 4, which is 3.", "3"),
    ("the square root of 16, which is 4.", "4"), ("the square of 3, or 9.", "9"), ("3 cubed, or 27.", "27"),
    ("twice 5, i.e. 10.", "10"), ("double 6, so 12.", "12"), ("question 3 is 15.", "15"),
    ("15 for question 3.", "15"), ("obtained in step 3: 15", "15"), ("15 miles in 2 hours.", "15"),
    ("15 miles, in 2 hours.", "15"), ("15, in 2 hours.", "15"), ("15, after 3 days.", "15"),
    ("15, for 3 people.", "15"), ("15, with 2 left over.", "15"), ("15, with a remainder of 2.", "15"),
    ("15 (rounded to 2 decimals).", "15"), ("15.25, rounded to 2 decimal places.", "15.25"),
    ("rounded to 2 decimal places, 15.25.", "15.25"), ("to 2 decimal places 15.25.", "15.25"),
    ("to 2 decimal places, 15.25.", "15.25"), ("(to 2 d.p.) 15.25", "15.25"), ("5 (see 3).", "5"), ("5 [2].", "5"),
    ("5 apples and that leaves 3.", "5"), ("5 apples, leaving 3.", "5"), ("5, then 3 are left.", "5"),
    ("5 + 3 which gives 8", "8"), ("5+3, giving 8", "8"), ("3 x 4 x 5, for a total of 60.", "60"),
    ("3 groups of 5 for a total of 15.", "15"), ("a total of 15.", "15"), ("a total of 15 over 3 days.", "15"),
    ("over 3 days, a total of 15.", "15"), ("15 = 3 * 5", "15"), ("3 * 5 => 15", "15"), ("3 * 5 -> 15", "15"),
    ("3 * 5 → 15", "15"), ("3 * 5 is 15", "15"), ("3 times 5 is 15", "15"), ("3 times 5 equals 15", "15"),
    ("3 multiplied by 5, 15.", "15"), ("15 is 3 times 5", "15"), ("15, being 3 * 5", "15"),
]  # fmt: skip
RECKONED = [
    "the sum of 3 and 4.", "3 squared.", "half of 50.", "5 times 4.", "10% of 50.", "3 more than 4.", "twice 5.",
    "1 less than 10.", "the square root of 16.", "5 minus 2.", "3 plus 4.", "5 divided by 2.", "two plus two.",
    "three squared, which is nine.",
]  # fmt: skip


@pytest.mark.parametrize(("said", "number"), STATED)
def test_the_number_that_a_sentence_states(said, number):
    for response in (f"The answer is {said}", f"We add 77 and 88. So the answer is {said}\nDone."):
        found = q.find_answer(response)
        assert found is not None and q.equivalent_answers(found.text, number), found
        assert response[found.start : found.end] == found.text


@pytest.mark.parametrize("said", RECKONED)
def test_what_is_only_reckoned_with_is_no_answer(said):
    assert q.find_answer(f"We add 77 and 88. The answer is {said}") is None


@pytest.mark.parametrize(
    ("said", "parts"),
    [
        ("3π.", "3"), ("3 pi", "3"), ("$3\\pi$.", "3"), ("$3\\sqrt{2}$.", "32"), ("3√2.", "32"), ("3x.", "3"),
        ("3x + 2.", "325"), ("-x+3", "3"), ("2^n.", "2"), ("e^2.", "2"), ("5 choose 2.", "52"), ("log 5.", "5"),
        ("$\\log_2 5$.", "25"), ("sin 30", "30"), ("1/√2.", "12"), ("n/2.", "2"), ("2/x", "2"), ("5 mod 3.", "53"),
        ("3i.", "3"), ("3 + 4i.", "347"), ("2π/3.", "23"), ("12B", "12"), ("5G.", "5"), ("3D", "3"),
    ],
)  # fmt: skip
def test_a_number_within_a_formula_is_none(said, parts):
    """... whatever of it stands alone: the formula is the answer."""
    found = q.find_answer(f"The answer is {said}")
    assert found is not None and found.text.strip("$") == said.strip("$.")
    assert not any(q.equivalent_answers(found.text, one) for one in (*parts, parts))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("So it is 15.25, rounded to 2 decimal places.", "15.25"), ("12 apples, of 3x + 1.", "12"), ("so x = 3π", "3π"),
        ("She is 12 (see 2b).", "12"), ("12 345", "12345"), ("sqrt(16)", "4"), ("|−5|", "5"), ("five apples", "5"),
    ],
)  # fmt: skip
def test_the_last_number_is_part_of_nothing_else(text, number):
    found = q.find_answer(text)
    assert found is not None and q.equivalent_answers(found.text, number), found
