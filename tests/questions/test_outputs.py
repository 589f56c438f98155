"""What models write to questions as in GSM8K, SVAMP, MATH, TheoremQA, MMLU and TriviaQA, graded by people."""

import pytest

from jaxuq import questions as q

# right answer, response, whether it is right
NUMBERS = [
    ("72", "Natalia sold 48/2 = 24 clips in May.\nNatalia sold 48+24 = 72 clips altogether.\n#### 72", True),
    ("10", "She earned $12/60 = $0.2 per minute. In 50 minutes she earned 50 x 0.2 = $10.", True),
    ("5", "So Betty needs $5 more to buy the wallet.", True),
    ("42", "The answer is 42 pages each day for the remaining 2 days.", True),
    ("624", "He writes 3*2*2*52 = 624 pages a year. The answer is 624.", True),
    ("18", "She makes 9 * $2 = $18 every day at the farmer's market. **Answer: $18**", True),
    (
        "3",
        "It takes 2/2=1 bolt of white fiber. So the total is 2+1=3 bolts of fabric. The final answer is: $\\boxed{3}$",
        True,
    ),
    ("70000", "The profit is $200,000 - $130,000 = $70,000. The answer is $70,000.00.", True),
    ("540", "He runs 3*3=9 sprints, 9*60 = 540 meters.\n\nFinal Answer: 540 meters per week", True),
    ("20", "Therefore, in the final meal of the day she needs 20 cups.", True),
    ("64", "The answer is $64 for 16 glasses.", True),
    ("260", "Together they have 20+80+160 = **260** sheep.", True),
    ("160", "It takes 100 + 20 + 40 = 160 minutes. The answer is 2 hours and 40 minutes, or 160 minutes.", True),
    ("45", "The answer is that after 4 hours he is 45 miles from home.", True),
    ("460", "Regular pay $400 plus overtime 5 x $12 = $60, so Eliza's earnings are $460 this week.", True),
    ("366", "Answer: 366 downloads over the 3 months", True),
    ("13", "The answer is 13 years (he will be 13 years older).", True),
    ("18", "The answer is 17 or 18.", False),
    ("18", "The answer is 18 or 19.", False),
    ("60", "The answer is 60%.", True),
    ("125", "The answer is 125% of the original.", True),
    ("57500", "The answer is $57,500 per year.", True),
    ("7", "The answer is 7, since 15 - 8 = 7.", True),
    ("7", "The answer is seven (7) slices.", True),
    ("6", "The answer is half of 12, which is 6.", True),
    ("6", "So the answer is: 12 / 2 = 6 apples", True),
    ("8", "The answer is 2^3 = 8.", True),
    ("8", "x = 8", True),
    ("8", "Let x be the number. 3x + 2 = 26, so x = 8. Therefore the answer is x = 8.", True),
    ("1/3", "The probability is 1/3.", True),
    ("1/3", "The answer is 1 in 3.", True),
    ("0.25", "The answer is a quarter.", True),
    ("1200", "The answer is 1.2 thousand dollars.", True),
    ("16", "The answer is approximately 16 (15.97 rounded up).", True),
    ("15.97", "The answer is approximately $15.97.", True),
    ("-3", "The answer is −3°C.", True),
    ("14", "14 students (14 = 20 - 6)", True),
    ("14", "We get 20 - 6 = 14 students remaining in 2 classes.", False),
    ("25", "The answer is twenty-five.", True),
    ("25", "The answer is twenty five dollars and fifty cents.", False),
    ("2", "The answer is 2 boxes, with 3 left over.", True),
    ("9", "The answer is 9 AM.", True),
    ("9", "The answer is 9:00 a.m.", True),
    ("9", "The answer is 9:30.", False),
    ("48", "The answer is 4 dozen eggs, or 48 eggs.", True),
    ("48", "The answer is 4 dozen.", True),
    ("6", "The answer is $6.00/hour * 1 hour = $6.00.", True),
    ("100", "The answer is $100.", True),
    ("100", "I'm 100% sure the answer is 50.", False),
    ("50", "I'm 100% sure the answer is 50.", True),
    ("50", "The answer is 50. I'm 100% sure.", True),
    ("5", "Answer: 5.\n\nLet me double check: 3+2 = 5. Yes.", True),
    ("12", "The answer is 3 groups of 4 = 12.", True),
    ("12", "The answer is 12 (3 groups of 4).", True),
    ("12", "The answer is: twelve", True),
    ("12", "<answer>\n12\n</answer>", True),
    ("12", "<answer>$12.00</answer>", True),
    ("12", "Answer: \\[12\\]", True),
    ("12", "The answer is \\(12\\).", True),
    ("12", "The answer is $$12$$", True),
    ("12", "Final answer: $\\boxed{\\$12}$", True),
    ("12", "\\boxed{12 \\text{ dollars}}", True),
    ("12", "\\boxed{\\text{12 dollars}}", True),
    ("12", "\\boxed{12.}", True),
    ("8.0", "There are 8 more peaches.", True),
    ("8", "8.0", True),
    ("8", "(12 - 4) = 8.0", True),
    ("0.3", "The probability is therefore 0.30.", True),
    ("-2.5", "The answer is -2.5 V.", True),
    ("6.02e23", "The answer is 6.02 × 10^{23} mol^{-1}.", True),
    ("3.0e8", "The answer is 3.0 x 10^8 m/s.", True),
    ("0.0001", "The answer is 1e-4.", True),
    ("0.0001", "The answer is $10^{-4}$.", True),
    ("1.5", "The answer is 3/2.", True),
    ("2", "The answer is \\( \\sqrt{4} \\).", True),
    ("1.41", "The answer is \\sqrt{2}.", False),
    ("2", "The answer is log_2(4) = 2.", True),
    ("24", "The answer is 4! = 24.", True),
    ("24", "The answer is 4!, which is 24.", True),
    ("10", "The answer is C(5,2) = 10.", True),
    ("10", "The answer is \\binom{5}{2} = 10.", True),
    ("3", "The rank of the matrix is 3.", True),
    ("3", "The rank is 3, so the nullity is 2. The answer is 3.", True),
]
EXPRESSIONS = [
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "so $(r,\\theta) = \\boxed{(3, \\pi/2)}$.", True),
    ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{\\left(\\frac{\\pi}{2}, 3\\right)}", False),
    ("p - q", "\\boxed{p-q}", True),
    ("p - q", "\\boxed{q-p}", False),
    ("\\frac{14}{3}", "\\boxed{4\\frac{2}{3}}", True),
    ("\\frac{14}{3}", "\\boxed{4.67}", False),
    ("\\frac{14}{3}", "\\boxed{\\frac{14}3}", True),
    ("\\frac{14}{3}", "$$\\boxed{\\dfrac{14}{3}}$$", True),
    ("\\text{Evelyn}", "\\boxed{Evelyn}", True),
    ("\\text{Evelyn}", "\\boxed{\\text{Evelyn has the greatest speed}}", False),
    ("42", "\\boxed{42\\text{ cm}^2}", True),
    ("27", "\\boxed{27^\\circ}", True),
    ("90^\\circ", "\\boxed{90}", True),
    ("90^\\circ", "\\boxed{90 \\text{ degrees}}", True),
    ("3\\sqrt{13}", "\\boxed{\\sqrt{117}}", True),
    ("3\\sqrt{13}", "\\boxed{10.82}", False),
    ("\\sqrt{51}", "\\boxed{\\sqrt{51}\\text{ units}}", True),
    ("6 - 5i", "\\boxed{-5i+6}", True),
    ("6 - 5i", "\\boxed{6+5i}", False),
    ("x^3 + 3x - 6", "\\boxed{x^3+3x-6}", True),
    ("x^3 + 3x - 6", "The answer is $x^3+3x-6$.", True),
    ("x^3+3x-6", "\\boxed{f(x) = x^3+3x-6}", True),
    ("(5,\\infty)", "\\boxed{x>5}", True),
    ("(5,\\infty)", "\\boxed{x\\geq 5}", False),
    ("(5,\\infty)", "\\boxed{(5, +\\infty)}", True),
    ("\\left[-\\frac{\\pi}{2},\\frac{\\pi}{2}\\right]", "\\boxed{[-\\pi/2, \\pi/2]}", True),
    ("[-2,7]", "\\boxed{-2\\le x\\le 7}", True),
    ("[-2,7]", "\\boxed{(-2,7)}", False),
    ("\\begin{pmatrix} 4 \\\\ -1 \\end{pmatrix}", "\\boxed{\\begin{bmatrix}4\\\\-1\\end{bmatrix}}", True),
    ("\\begin{pmatrix} 4 \\\\ -1 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}-1\\\\4\\end{pmatrix}}", False),
    ("\\{-1, 2\\}", "\\boxed{-1, 2}", True),
    ("-1,2", "\\boxed{x=-1 \\text{ or } x=2}", True),
    ("-1,2", "\\boxed{x=2, x=-1}", True),
    ("-1,2", "\\boxed{-1}", False),
    ("2k+2", "\\boxed{2(k+1)}", True),
    ("\\frac{3}{56}", "\\boxed{3/56}", True),
    ("\\frac{3}{56}", "\\boxed{0.0536}", False),
    ("10\\%", "\\boxed{10}", True),
    ("10,080", "\\boxed{10080}", True),
    ("11,\\! 111,\\! 111,\\! 100", "\\boxed{11111111100}", True),
    ("1,2,3", "\\boxed{123}", False),
    ("y = 2x + 3", "\\boxed{2x+3}", True),
    ("2x - y + 3 = 0", "\\boxed{y = 2x+3}", True),
    ("2220_5", "\\boxed{2220}", True),
    ("2220_5", "\\boxed{2220_{6}}", False),
    ("\\text{June 20}", "\\boxed{\\text{June }20}", True),
    ("\\text{June 20}", "\\boxed{\\text{June 21}}", False),
    ("\\text{(C)}", "\\boxed{C}", True),
    ("\\text{(C)}", "\\boxed{\\text{(B)}}", False),
    ("\\text{C}", "\\boxed{\\text{(C)}}", True),
    ("-\\frac{1}{3}", "\\boxed{\\frac{-1}{3}}", True),
    ("-\\frac13", "\\boxed{\\frac{1}{-3}}", True),
    ("\\frac{x+2}{7}", "\\boxed{\\frac{1}{7}(x+2)}", True),
    ("\\frac{x+2}{7}", "\\boxed{\\frac17 x + \\frac27}", True),
    ("(x+2)/7", "\\boxed{x/7+2/7}", True),
    ("3 \\text{ or } 4", "\\boxed{3,4}", True),
    ("1 \\pm \\sqrt{19}", "\\boxed{1+\\sqrt{19}, 1-\\sqrt{19}}", True),
    ("1\\pm\\sqrt{19}", "\\boxed{1 + \\sqrt{19}}", False),
    ("e^{x}", "\\boxed{\\exp(x)}", True),
    ("\\log_2 3", "\\boxed{\\frac{\\ln 3}{\\ln 2}}", True),
    ("\\ln 2", "\\boxed{\\log 2}", False),
    ("\\tan x", "\\boxed{\\frac{\\sin x}{\\cos x}}", True),
    ("\\csc x", "\\boxed{1/\\sin x}", True),
    ("\\frac{\\sqrt{3}}{3}", "\\boxed{\\frac{1}{\\sqrt{3}}}", True),
    ("\\$32,\\!348", "\\boxed{\\$32{,}348}", True),
    ("5.4 \\text{ cents}", "\\boxed{5.4}", True),
    ("6\\text{ hours}", "\\boxed{6}", True),
    ("12\\pi", "\\boxed{12\\pi\\text{ cm}^2}", True),
    ("12\\pi", "\\boxed{37.7}", False),
    ("\\frac{21}{4}", "\\boxed{5.25}", True),
    ("0.1\\overline{6}", "\\boxed{\\frac16}", True),
    ("\\text{undefined}", "\\boxed{0}", False),
    ("[1, 2, 3]", "The answer is [1,2,3].", True),
    ("[1, 2, 3]", "The answer is [3,2,1].", False),
    ("(1, 2)", "The answer is (1,2).", True),
]
TEXTS = [
    ("True", "The answer is true.", True),
    ("True", "The answer is False.", False),
    ("David Seville", "The answer is David Seville.", True),
    ("Scorpio", "The answer is **Scorpio**.", True),
    ("Sunset Boulevard", 'The answer is "Sunset Boulevard".', True),
    ("Campbell-Bannerman", "The answer is Campbell-Bannerman.", True),
    ("Mickey Mantle", "The answer is Mickey Mantle, who played for the Yankees.", True),
    ("The Beatles", "The answer is Beatles", True),
    ("Jean-Paul Sartre", "The answer is Jean–Paul Sartre.", True),
    ("Dr. No", "The answer is Dr. No.", True),
    ("St. Louis", "The answer is St. Louis, because it hosts it.", True),
    ("1984", "The answer is 1984.", True),
    ("M*A*S*H", "The answer is M*A*S*H.", True),
    ("7-Up", "The answer is 7-Up.", True),
    ("Côte d'Ivoire", "The answer is Côte d’Ivoire.", True),
    ("AC/DC", "The answer is AC/DC.", True),
    ("U2", "The answer is U2.", True),
    ("Se7en", "The answer is Se7en.", True),
    ("Who's Afraid of Virginia Woolf?", "The answer is Who's Afraid of Virginia Woolf?", True),
    ("Oliver!", "The answer is Oliver!", True),
    ("Washington, D.C.", "The answer is Washington, D.C.", True),
    ("Yahoo!", "The answer is Yahoo! It was founded in 1994.", True),
    ("$1 million", "The answer is $1 million.", True),
    ("10%", "The answer is 10%.", True),
    ("C", "The answer is C++.", False),
    ("Henry VIII", "The answer is Henry VIII.", True),
    ("Henry VIII", "The answer is Henry VII.", False),
    ("no", "The answer is no.", True),
]
CHOICES = [
    ("B", "The answer is (B).", True),
    ("B", "B", True),
    ("B", "B. Mitochondria", True),
    ("B", "The correct answer is B: mitochondria.", True),
    ("B", "Answer: B\n\nExplanation: A is wrong because...", True),
    ("B", "**B) Mitochondria**", True),
    ("B", "I would choose option B.", True),
    ("B", "The answer is B, not A.", True),
    ("B", "\\boxed{B}", True),
    ("B", "\\boxed{\\text{B}}", True),
    ("B", "(B) Mitochondria", True),
    ("B", "A is incorrect. C is incorrect. D is incorrect. Therefore, B.", True),
    ("B", "The answer is A or B.", False),
    ("A", "A cell is the basic unit. The answer is A.", True),
    ("C", "It can't be A or B, and D is too small, so the best choice is C.", True),
    ("D", "None of the above (D)", True),
    ("D", "D: All of the above", True),
    ("B", "Among the options, B is the most accurate.", True),
    ("B", "Option (b) is correct.", True),
    ("B", "<b>B</b>. Mitochondria", True),
    ("B", "Correct answer: <strong>b</strong>", True),
    ("B", "The correct choice is: **(B)**", True),
    ("B", "B\nB\nB", True),
    ("B", "Answer:B", True),
    ("B", "answer is b)", True),
    ("B", "The answer: B) It is the powerhouse.", True),
    ("C", "Vitamin C is found in... The answer is B.", False),
]
ALL = [
    (kind, *one)
    for kind, listed in (("number", NUMBERS), ("expression", EXPRESSIONS), ("choice", CHOICES), ("text", TEXTS))
    for one in listed
]


@pytest.mark.parametrize(("kind", "truth", "response", "right"), ALL)
def test_what_models_write_is_graded_as_people_do(kind, truth, response, right):
    found = q.grade(response, q.Question("", "?", (truth,), kind))
    assert (found.correct is True) is right, found
    assert found.answer is None or response[found.answer.start : found.answer.end] == found.answer.text


def published(name):
    return q.read_published(name, q.find_published(name), [])


@pytest.mark.data
def test_the_last_sentences_of_gsm8k_state_their_answers():
    """... as they are, and after a cue that they were not written for: 97 and 92 of a hundred."""
    plain, cued = 0, 0
    asked = published("gsm8k")[:700]
    for one in asked:
        last = [line for line in one.solution.splitlines() if line.strip()][-1]
        plain += q.grade(one.solution, one).correct is True
        cued += q.grade(f"The answer is {last}", one).correct is True
    assert plain >= 0.97 * len(asked) and cued >= 0.92 * len(asked)


@pytest.mark.data
def test_answers_of_math_are_themselves_and_no_others():
    answers = list(dict.fromkeys(one.answers[0] for one in published("math")))
    assert all(q.equivalent_answers(one, one, "expression") for one in answers)
    for one, other in zip(answers, answers[1:] + answers[:1]):
        assert not q.equivalent_answers(one, other, "expression"), (one, other)
    for one in answers:
        for response in (f"so it is $\\boxed{{{one}}}$.", f"\\[\\boxed{{{one}}}\\]", f"$\\fbox{{ {one} }}$"):
            assert q.grade(response, q.Question("", "?", (one,), "expression")).correct, response
