"""One answer in the many ways that people, models and LaTeX write it, and what only looks like it."""

import pytest

from jaxuq import questions as q

NUMBERS = [
    # currencies, thousands, decimal commas
    ("£1,200.", "1200"), ("€1.200,50", "1200.5"), ("USD 25.", "25"), ("Rs. 450.", "450"), ("₹1,50,000.", "150000"),
    ("CHF 12'500.", "12500"), ("R$ 30.", "30"), ("1_000.", "1000"), ("1\u202f200.", "1200"), ("0,5.", "0.5"),
    # words of size
    ("5 million.", "5000000"), ("2.5 billion dollars.", "2500000000"), ("£5M.", "5000000"), ("5k.", "5000"),
    ("-5 million.", "-5000000"), ("3 dozen.", "36"),
    ("$5\\text{ million dollars}$", "5000000"),
    # signs
    ("−3.", "-3"), ("﹣3.", "-3"), ("－3.", "-3"), ("minus 3.", "-3"), ("negative 12 degrees.", "-12"), ("+5.", "5"),
    ("minus five.", "-5"), ("−½.", "-1/2"), ("$-2\\frac12$.", "-2.5"),
    # fractions, periods, roots
    ("½.", "0.5"), ("2½ cups.", "2.5"), ("1⁄2.", "1/2"), ("$1\\tfrac12$.", "1.5"), ("$\\dfrac{3}{4}$.", "0.75"),
    ("$0.\\overline{3}$.", "1/3"), ("$0.1\\overline{6}$", "1/6"), ("$-0.\\bar{3}$", "-1/3"), ("√16.", "4"),
    ("√(16).", "4"), ("$\\sqrt{16}$.", "4"),
    # powers of ten
    ("3e5.", "300000"), ("3E+5.", "300000"), ("3·10^5.", "300000"), ("3 x 10^5.", "300000"), ("3x10^5", "300000"),
    ("3 × 10⁵.", "300000"), ("3*10**5.", "300000"), ("$3 \\times 10^{-2}$.", "0.03"), ("10⁻².", "0.01"),
    # units, percents, angles
    ("$60\\text{ km/h}$.", "60"), ("12\\,\\text{cm}^2", "12"), ("20 km².", "20"), ("$45^\\circ$.", "45"),
    ("45°.", "45"), ("-5°C.", "-5"), ("12\\%", "12"), ("12％.", "0.12"), ("12 per cent.", "0.12"),
    # words
    ("twelve.", "12"), ("Twenty-one apples.", "21"), ("one hundred and five.", "105"), ("three-quarters.", "3/4"),
    ("two and a half.", "2.5"), ("a hundred.", "100"), ("zero.", "0"), ("7 (seven).", "7"),
    ("that one of the cars costs 5 dollars", "5"),
    # other digits
    ("１２３.", "123"), ("٣.", "3"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "truth"), NUMBERS)
def test_numbers_in_all_their_ways(said, truth):
    question = q.Question("", "?", (truth,), "number")
    for response in (f"The answer is {said}", f"\\boxed{{{said.rstrip('.')}}}", f"<answer>{said}</answer>"):
        found = q.grade(response, question)
        assert found.correct is True, found
        assert response[found.answer.start : found.answer.end] == found.answer.text


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("The answer is 5 million", "5 billion"), ("The answer is 12.5.", "0.125"), ("so 10 minus 3", "-3"),
        ("The answer is 5!", "120"), ("The answer is $0.\\overline{3}$.", "0.3"), ("The answer is minus 3", "3"),
        ("The answer is five hundredths", "5"), ("The answer is two thirds", "2"), ("2 thousand", "2001"),
    ],
)  # fmt: skip
def test_numbers_that_only_look_like_it(response, truth):
    assert q.grade(response, q.Question("", "?", (truth,), "number")).correct is False


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("12 inches", "12 feet", False), ("12 inches", "12 inch", True), ("3 lb", "3 ounces", False),
        ("3 lbs", "3 pounds", True), ("2 gallons", "2 quarts", False),
        ("12\\text{ inches}", "12\\text{ feet}", False), ("5 apples", "5 pears", True),
    ],
)  # fmt: skip
def test_other_measures_are_not_the_same(one, other, same):
    assert q.equivalent_answers(one, other) is same is q.equivalent_answers(one, other, "expression")


@pytest.mark.parametrize("response", ["The answer is one of them.", "The answer is no one knows", "one two three"])
def test_words_that_are_no_numbers(response):
    assert q.find_answer(response) is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("±3", "-3, 3", True), ("x = \\pm 3", "\\{3,-3\\}", True), ("1\\pm\\sqrt5", "\\{1-\\sqrt5,1+\\sqrt5\\}", True),
        ("\\pm 3", "3", False),
        ("3 \\pmod{7}", "3", True), ("x\\equiv 3\\pmod 7", "x \\equiv 3 \\bmod 7", True),
        ("x\\equiv 3 (\\text{mod }7)", "3 \\pmod{7}", True), ("10 \\pmod{7}", "3 \\pmod{7}", True),
        ("3 \\pmod{7}", "3 \\pmod{5}", False), ("3 \\pmod{7}", "4 \\pmod{7}", False),
        ("10_2", "10_3", False), ("1011_2", "1011_{2}", True), ("1011_2", "1011", True),
        ("{5 \\choose 2}", "10", True), ("\\dbinom{5}{2}", "10", True), ("\\binom52", "10", True),
        ("\\emptyset", "\\varnothing", True), ("∅", "\\{\\}", True), ("\\emptyset", "0", False),
        ("3{:}00\\text{ p.m.}", "3:00 p.m.", True), ("3:00 \\text{ a.m.}", "3:00 p.m.", False),
        ("θ", "\\theta", True), ("2α+1", "1+2\\alpha", True), ("θ", "\\alpha", False),
        ("x ≤ 3", "x \\leq 3", True), ("x\\leqslant 3", "x \\le 3", True), ("x \\le 3", "x<3", False),
        ("(−∞, 3) ∪ (5, ∞)", "(-\\infty,3)\\cup(5,\\infty)", True), ("x ≠ 3", "x \\neq 3", True),
        ("x ≠ 3", "x=3", False), ("x≥3", "3", False), ("(1,2]", "\\left(1,2\\right]", True), ("-2<x<5", "(-2,5)", True),
        ("0.\\overline{142857}", "\\frac17", True), ("√16", "4", True), ("√2", "\\sqrt{2}", True),
        ("x²+1", "x^2+1", True),
        ("\\begin{bmatrix}1&2\\\\3&4\\end{bmatrix}", "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", True),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{pmatrix} 1 & 2 \\end{pmatrix}", False),
        ("\\frac{1}{i}", "-i", True), ("2e^{i\\pi/2}", "2i", True), ("3-4i", "3+4i", False),
    ],
)  # fmt: skip
def test_expressions_in_all_their_ways(one, other, same):
    assert q.equivalent_answers(one, other, "expression") is same is q.equivalent_answers(other, one, "expression")


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("The answer is A)", "A"), ("Answer: **B**", "B"), ("(c)", "c"), ("The correct option is Option I.", "I"),
        ("<answer>B</answer>", "B"), ("<answer> (B) because</answer>", "B"), ("\\boxed{\\textbf{(B)}\\ 12}", "B"),
        ("The answer is Ⓑ.", "Ⓑ"), ("The answer is 𝐁.", "𝐁"), ("The answer is Ｂ.", "Ｂ"), ("（B）", "B"),
        ("The answer is А.", "А"), ("The answer is Β.", "Β"),  # Cyrillic, Greek
        ("答案是B", "B"), ("正确答案是：Ｃ。", "Ｃ"), ("選択肢Dです", "D"),
        ("C is correct. A is not because it", "C"), ("It isn't A. It is B.", "B"), ("B is right, A is wrong.", "B"),
        ("The answer is A/B", None), ("Ответ: В 1990", None), ("neither A", None),
    ],
)  # fmt: skip
def test_letters_in_all_their_ways(response, letter):
    found = q.find_answer(response, "choice")
    assert (found and found.text) == letter
    if letter:
        assert q.judge_answer(found.text, q.Question("", "?", (q.find_answer(letter, "choice").text,), "choice")).equal


_JOINED = (
    "{} and {}", "{} or {}", "{}, {}", "{},{}", "{} & {}", "{}; {}", "({}) and ({})", "({}), ({})",
    "**{}** and **{}**", "'{}' or '{}'", "option {} and option {}", "options {} and {}", "either {} or {}",
    "both {} and {}", "only {} and {}", "{} as well as {}", "{} plus {}", "{} through {}", "{} to {}",
    "{} and/or {}", "{} or possibly {}", "{} (or {})", "between {} and {}", "likely {} or {}", "{} vs {}",
    "{}, or else {}", "{} and {} because both float", "{} and {} are right", "\\text{{{} and {}}}",
    "{} \\text{{ and }} {}", "${}$ and ${}$", "[{}] / [{}]",
)  # fmt: skip


@pytest.mark.parametrize("cue", ["Answer: {}", "The answer is {}.", "\\boxed{{{}}}", "<answer>{}</answer>"])
def test_several_letters_are_no_single_one(cue):
    """They are one answer, equal to the same letters in any order, and to none of them."""
    for said in _JOINED:
        for one, other in (("A", "B"), ("B", "A"), ("I", "A"), ("C", "E")):
            response = cue.format(said.format(one, other))
            found = q.read_answer(response, q.Question("", "?", (one,), "choice"))
            assert found is not None and response[found.start : found.end] == found.text, response
            assert not any(q.equivalent_answers(found.text, letter, "choice") for letter in "ABCEI"), response
            assert q.equivalent_answers(found.text, f"({other}), ({one})", "choice"), response


@pytest.mark.parametrize(
    ("response", "letter"),
    [
        ("none of A, B", None), ("none of A, B; so C", "C"), ("not A or B but C", "C"), ("Answer: not B", None),
        ("Answer: neither A nor B, but C", "C"), ("A and B are wrong, so C", "C"),
        ("A, B and C are out. D", "D"), ("I pick D. B and C are wrong.", "D"),
        ("It cannot be A or B. It must be C.", "C"), ("The answer isn't A", None),
        ("The answer is A and not B", "A"), ("The answer is A, B is wrong", "A"),
        ("The answer is A, since B sinks", "A"), ("The answer is A and I am sure", "A"),
        ("The answer is A, I believe.", "A"), ("the answer is b and a dog", "b"),
        ("The answer is A rather than B", "A"), ("A over B", "A"), ("A instead of B", "A"),
        ("D) none of A and B", "D"), ("D. Both A and B", "D"), ("The answer is D (both A and B)", "D"),
        ("The answer is C, both A and B", "C"), ("(D) A and B", "D"), ("The answer is D: none of A, B, C", "D"),
        ("Answer: E) All of A, B, C and D", "E"), ("Options A and B are out; the answer is D", "D"),
        ("Eliminate A, B, C. Answer: D", "D"), ("Not B", None), ("Choose from A, B, C, D.", None),
        ("Both A and C are correct", None), ("A or B", None), ("B, D", None),
        ("The answer is B, option B", "B"), ("Answer: A, i.e., Paris", "A"),
        ("The answer is C, C++ is it", "C"), ("The answer is A = B", None), ("Rule out C: it is B", "B"),
        ("The answer is D, never E", "D"),
    ],
)  # fmt: skip
def test_letters_that_are_denied_or_listed_are_no_answers(response, letter):
    found = q.find_answer(response, "choice")
    assert (found and found.text) == letter


@pytest.mark.parametrize(
    "said",
    [
        "5:30", "5:30 p.m.", "17:05", "12:05:30", "3:2", "5{:}30", "2020-01-05", "2 hours 30 minutes",
        "2 hours and 30 minutes", "2h 30min", "5 ft 6 in", "5'6\"", "5 minutes, 20 seconds",
        "3 dollars and 50 cents", "3 or 4", "3 and 4", "3, 4", "3, 4 and 5", "3 or 4 apples", "3 to 4",
        "between 3 and 4", "3; 4", "$3$ or $4$", "3 \\text{ or } 4", "±5", "1,2,3",
    ],
)  # fmt: skip
def test_what_is_not_one_number_is_none_of_those_in_it(said):
    for response in (f"The answer is {said}.", f"\\boxed{{{said}}}", f"#### {said}", f"<answer>{said}</answer>"):
        found = q.find_answer(response)
        assert found is not None and response[found.start : found.end] == found.text, response
        for part in ("1", "2", "3", "4", "5", "6", "17", "12", "20", "30", "50", "1/5", "2020"):
            assert not q.equivalent_answers(found.text, part), (response, part)
        same = any(q.equivalent_answers(found.text, one) for one in (said, said.removeprefix("between ")))
        assert same or "{" in said or "$" in said, response


@pytest.mark.parametrize(
    ("response", "number"),
    [
        ("At 5:30 he has 7 apples.", "7"), ("It is 6, not 5.", "6"), ("The answer is not 5 but 6", "6"),
        ("The answer is 5, not 6", "5"), ("It is 6 rather than 5", "6"), ("x = 6, x ≠ 5", "6"), ("not 5", None),
        ("The answer is not 5.", None), ("It isn't 5. So 6, instead of 7", "6"), ("x \\neq 5", None),
        ("The answer is 3 and 1/2", "7/2"), ("The answer is 3 and a half cups", "7/2"), ("\\boxed{3 and ½}", "7/2"),
        ("The answer is 2 and three quarters", "2"), ("The answer is 0.(3)", "1/3"),
        ("The answer is 12.(45)", "137/11"), ("The answer is 5‰", "0.005"), ("The answer is _3_", "3"),
        ("The answer is __3__.", "3"), ("x_3 = 4", "4"), ("The answer is 3 * 4.", "12"),
        ("The answer is (3 + 4) * 2.", "14"), ("The answer is 3 × 10−5", "25"), ("#### 10 / 4", "2.5"),
        ("The answer is 3 * 4 = 12.", "12"), ("The answer is 60 minutes or 1 hour.", "60"),
        ("The answer is 18, 6 of which are red", "18"), ("The answer is 18 and 20 is too large", "18"),
        ("The answer is 5, since 2 + 3 = 5", "5"), ("The answer is 0.5 or 50%.", "0.5"),
        ("The answer is 5 or 5.0", "5"), ("The answer is 24, 2 per box.", "24"),
        ("The answer is 3, because 4 is too big", "3"), ("\\boxed{\\binom{5}{2}}", "10"),
        ("\\boxed{\\lfloor 3.7 \\rfloor}", "3"), ("\\boxed{{3 \\over 4}}", "3/4"),
        ("\\boxed{-\\dbinom{5}{2}}", "-10"), ("\\boxed{\\lceil 3.2 \\rceil}", "4"), ("Step 1: 5", "5"),
    ],
)  # fmt: skip
def test_the_number_that_is_stated(response, number):
    found = q.find_answer(response)
    assert (found is None) is (number is None), found
    assert number is None or q.equivalent_answers(found.text, number), found


@pytest.mark.parametrize(
    "content",
    ["(3, -1)", "2, 3, \\text{ and } 4", "(-4, 27);(2, 15)", "\\left( \\frac{11}{5}, \\frac25, 5 \\right)", "2\\sin x"],
)
def test_a_box_of_several_numbers_or_a_function_is_read_whole(content):
    found = q.find_answer(f"so it is $\\boxed{{{content}}}$.")
    assert found is not None and found.text == content
