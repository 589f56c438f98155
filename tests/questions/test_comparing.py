"""Two answers: equal in value, different in value, and nothing that takes long or is run."""

import random

import pytest

from jaxuq import questions as q


@pytest.mark.parametrize(
    ("first", "second", "same", "by"),
    [
        ("2\\frac{1}{2}", "1", False, "number"),
        ("2\\frac{1}{2}", "\\frac52", True, "number"),
        ("2\\frac{x}{3}", "\\frac{2x}{3}", True, "reader"),
        ("2 1/2", "21/2", False, "number"),
        ("AB", "BA", False, "words"),
        ("no", "on", False, "words"),
        ("\\overline{AB}", "\\overline{CD}", False, "text"),
        ("2xy", "2yx", True, "reader"),
        ("AB + CD", "CD+AB", True, "reader"),
        ("AB + CD", "BA+CD", False, "reader"),
        ("f(x)", "x f", False, "math-verify"),
        ("\\begin{pmatrix}1 & 2\\\\ 3 & 4\\end{pmatrix}", "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}", True, "text"),
        ("\\begin{pmatrix}1\\\\ 2\\end{pmatrix}", "\\begin{pmatrix}12\\end{pmatrix}", False, "reader"),
        (
            "\\begin{pmatrix}\\frac12 \\\\ 2\\end{pmatrix}",
            "\\begin{pmatrix}0.5\\\\2\\end{pmatrix}",
            True,
            "reader",
        ),
        ("\\sqrt{(x-5)^2}", "5-x", False, "reader"),
        ("\\sqrt{(x-5)^2}", "|x-5|", True, "reader"),
        ("\\sqrt{(x-700)^2}", "700-x", False, "reader"),
        ("|x|", "x", False, "reader"),
        ("2^{40}", "2^{40}+1", False, "reader"),
        ("10^{12}\\pi", "10^{12}\\pi+1", False, "reader"),
        ("x^2+10^{-20}", "x^2", False, "reader"),
        ("\\sqrt{-4}", "2i", True, "reader"),
        ("\\sqrt[3]{x}", "x^{1/3}", True, "reader"),
        ("\\sin 30^\\circ", "\\frac12", True, "reader"),
        ("\\{1, \\frac12\\}", "\\{0.5, 1\\}", True, "reader"),
        ("3\\pm\\sqrt2", "3-\\sqrt2, 3+\\sqrt2", True, "reader"),
        ("x=1 \\text{ or } x=2", "2, 1", True, "reader"),
        ("(1,2)", "(2,1)", False, "reader"),
        ("x=5", "y=5", False, "math-verify"),
        ("y=2x+3", "y-2x=3", True, "math-verify"),
        ("(-\\infty,3)\\cup(4,5)", "(4,5)\\cup(-\\infty,3)", True, "math-verify"),
        ("[1,3]", "1\\le x\\le 3", True, "math-verify"),
        ("20 cm", "20\\text{ m}", False, "number"),
        ("20 cm^2", "20 cm^3", False, "number"),
        ("20 cm", "20 centimeters", True, "number"),
        ("9^{9^{9}}", "9^{9^{9}}", True, "text"),
        ("\\frac{1}{0}", "\\frac{2}{0}", False, "math-verify"),
    ],
)
def test_expressions_and_what_decides(first, second, same, by):
    assert q.compare_answers(first, second, "expression") == q.Verdict(same, by)
    assert q.compare_answers(second, first, "expression").equal is same


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("cafe\u0301", "café", True),
        ("O’Brien", "O'Brien", True),
        ("a\u200bb", "ab", True),
        ("ﬁn", "FIN", True),
        ("Straße", "STRASSE", True),
        ("U.S.A.", "USA", True),
        ("A", "A", True),
        ("the", "The", True),
        ("the A", "A", False),
        ("“x”", "x", True),
        ("no", "on", False),
        ("resume", "résumé", False),
    ],
)
def test_words_are_compared_as_they_are_read(first, second, same):
    assert q.equivalent_answers(first, second, "text") is same is q.equivalent_answers(second, first, "text")


def _leaf(sympy, rng, names):
    pick = rng.random()
    if pick < 0.4:
        return sympy.Integer(rng.randint(1, 12))
    return sympy.Rational(rng.randint(1, 9), rng.randint(2, 9)) if pick < 0.55 else rng.choice(names)


def _expression(sympy, rng, names, depth):
    if depth == 0:
        return _leaf(sympy, rng, names)
    one, other = (_expression(sympy, rng, names, depth - 1) for _ in range(2))
    kind = rng.randrange(7)
    if kind == 0:
        return one + other
    if kind == 1:
        return one - other
    if kind == 2:
        return one * other
    if kind == 3:
        return one / (other if other != 0 else sympy.Integer(1))
    if kind == 4:
        return one ** rng.choice((2, 3, -1))
    return sympy.sqrt(one**2 + 1) if kind == 5 else rng.choice((sympy.sin, sympy.cos, sympy.exp, sympy.Abs))(one)


def test_what_sympy_writes_is_what_it_meant():
    """200 expressions, written in two ways, are equal; changed by one they are not."""
    import sympy

    rng = random.Random(0)
    names = sympy.symbols("x y z a", real=True)
    decided = 0
    for number in range(200):
        meant = _expression(sympy, rng, names, 2 + number % 2)
        if meant.has(sympy.zoo, sympy.nan, sympy.oo):
            meant = _leaf(sympy, rng, names)
        forms = [
            sympy.latex(meant),
            sympy.latex(
                sympy.factor(meant) if number % 2 else sympy.expand(meant), fold_short_frac=True, mul_symbol="dot"
            ),
        ]
        verdict = q.compare_answers(*forms, "expression")
        assert verdict.equal, (forms, verdict)
        assert not q.equivalent_answers(forms[0], sympy.latex(meant + 1), "expression"), forms
        decided += verdict.by in ("reader", "number", "text")
    assert decided >= 190  # the rest by math-verify


SEEDS = (
    "\\boxed{\\frac{1}{2}}", "The answer is $\\begin{pmatrix}1 & 2\\\\ 3 & 4\\end{pmatrix}$.", "\\{1,2,\\frac{a}{b}\\}",
    "The answer is (A) because 3 1/2 = 3.5 cups", "(-\\infty,3)\\cup[4,\\sqrt{5}]", "20\\text{ cm}^3 = 1{,}234",
    "x = 2^{40}+\\sqrt[3]{27} \\pm 1", "1.234,50 € ≈ 3 \\times 10^5", "\\sin^2 x+\\log_2 8!",
    "The answer is St. Petersburg. It is", "y=2x+3 \\text{ or } |x-5|>3",
)  # fmt: skip
PIECES = [
    *"0123456789(){}[]\\^_!+-*/=<>.,$%€ \nxyABIe'\"–½²\u200b\u0301٣", "\ud800",
    "\\frac", "\\sqrt", "\\boxed{", "^{", "9^",
    "!!", "\\text{", "\\pm", "\\cup", "\\left(", "****", "answer is ", "####", " or ", "10^5", "999999999", "\\infty",
]  # fmt: skip


def _mutated(rng):
    text = list(rng.choice(SEEDS))
    for _ in range(rng.randint(1, 12)):
        at, way = rng.randrange(len(text) + 1), rng.random()
        if way < 0.5:
            text[at:at] = [rng.choice(PIECES)]
        elif way < 0.75:
            del text[at : at + rng.randint(1, 4)]
        else:
            begin = rng.randrange(len(text) + 1)
            text[at:at] = text[begin : begin + rng.randint(1, 20)] * rng.randint(1, 4)
    return "".join(text)


def test_five_thousand_mutations_are_graded_alike_both_ways():
    rng = random.Random(0)
    for number in range(5000):
        response, truth = _mutated(rng), rng.choice(SEEDS)
        kind = ("number", "expression", "choice", "text")[number % 4]
        found = q.find_answer(response, kind)
        assert found is None or response[found.start : found.end] == found.text
        answer = found.text if found else response
        if kind == "expression" and number % 400 != 1:  # a few go to the other program
            continue
        assert q.equivalent_answers(answer, truth, kind) == q.equivalent_answers(truth, answer, kind)
        if found and any(letter.isdigit() if kind == "number" else letter.isalnum() for letter in answer):
            assert q.equivalent_answers(answer, answer, kind), (answer, kind)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000, "(" * 100_000, "\\boxed{" * 20_000, "\\frac" * 20_000, "\\sqrt" * 20_000, "9**" * 30_000 + "9",
        "9^" * 30_000 + "9", "1/" * 50_000, "-" * 100_000 + "1", "1," * 50_000, "1" * 100_000, "\\frac{1}{0}",
        "9**9**9", "9^{9^{9^{9}}}", "(9!)!", "((9!)!)!", "10^{999999}", "2^{3000}^{3000}", "A " * 50_000, "$1" * 30_000,
        "1 = " * 30_000, "not " * 30_000, "a.b." * 30_000, "1 1/" * 30_000, "\\text{" * 20_000, "\\binom{999999}{5555}",
        "x^{64}^{64}^{64}", "\\exp(\\exp(\\exp(9)))", "1e400", "1e999999999", "** " * 30_000,
        "1 " + "is Petersburg. " * 100 + "9!", "1" + "~ \\text{m} ~" * 60 + "!",
        "1" + " / m^2" * 150 + "?", "' " * 50_000,
    ],
)  # fmt: skip
def test_work_is_bounded_before_it_begins(text):
    """A program that does what these texts say would take days: a test that ends is the proof."""
    for kind in ("number", "expression", "choice", "text"):
        for response in (text, f"The answer is {text}", f"\\boxed{{{text}}}"):
            q.find_answer(response, kind)
        assert not q.equivalent_answers(text, "3", kind)
