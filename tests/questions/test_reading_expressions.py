"""Expressions: functions and powers, matrices, brackets, scripts; what has two readings is equal to itself alone."""

import itertools
import random

import pytest

from jaxuq import questions as q

EQUAL = [
    ("3!!", "3"), ("5!!", "15"), ("6!!", "48"), ("(3!)!", "720"), ("2^{3!}", "64"), ("\\log x^2", "2\\log x"),
    ("\\sin x^2", "\\sin(x^2)"), ("\\sin^2 x", "(\\sin x)^2"), ("\\ln 2x", "\\ln 2+\\ln x"), ("7 \\bmod 3", "1"),
    ("2^{10} \\bmod 7", "2"), ("10 mod 4", "2"), ("n \\bmod 2", "(n+2) \\bmod 2"), ("\\max(1,2)", "2"), ("max(1,2)",
    "2"),
    ("\\min\\{1,2\\}", "1"), ("\\gcd(12,18)", "6"), ("\\operatorname{lcm}(4,6)", "12"), ("\\mathrm{lcm}(4,6)", "12"),
    ("\\max\\{x,y\\}", "\\max\\{y,x\\}"), ("\\max(x,y)", "\\frac{x+y+|x-y|}{2}"), ("\\lfloor 3.7\\rfloor", "3"),
    ("⌈3.2⌉", "4"), ("\\frac172", "2/7"), ("\\frac1{72}", "1/72"), ("\\nicefrac{1}{2}", "0.5"), ("\\sfrac12",
    "\\frac12"),
    ("\\tfrac12", "0.5"), ("\\dfrac{x}{2}", "x/2"), ("\\flatfrac{x}{2}", "\\frac x2"), ("\\boxed{5}", "5"),
    ("\\text{3 apples}", "3"), ("]0,1[", "(0,1)"), ("[0, 1[", "[0,1)"), ("]0;1]", "(0,1]"), ("[0;1]", "[0,1]"),
    ("]0,1[\\cup]2,3[", "(0,1)\\cup(2,3)"), ("\\left]0,1\\right[", "]0,1["), ("\\lbrack 0,1 )", "[0,1)"),
    ("\\left\\lbrace 1,2\\right\\rbrace", "\\{2,1\\}"), ("\\lbrace 1,2\\rbrace", "\\{1,2\\}"),
    ("\\langle 1,2\\rangle", "\\left\\langle 1, 2\\right\\rangle"), ("\\{1,2\\}\\cup\\{3\\}", "\\{1,2,3\\}"),
    ("x₁", "x_1"), ("x₁+x₂", "x_2+x_1"), ("x₁²", "x_1^2"), ("xⁿ", "x^n"), ("x¹⁰", "x^{10}"), ("2ⁿ⁺¹", "2^{n+1}"),
    ("x⁻¹", "\\frac1x"), ("aₙ", "a_n"), ("a₁₂", "a_{12}"), ("H₂O", "H_2O"), ("H₂O", "H2O"), (".5x", "x/2"),
    ("x=5 or x=6", "5, 6"), ("x=5\\text{ or }x=6", "6,5"), ("x=5 \\lor x=6", "5,6"), ("x\\in\\{5,6\\}", "5,6"),
    ("x=5, y=6", "y=6, x=5"), (".NET", ".net"),
    ("x=4", "4"), ("AB=4", "4"), ("\\angle A = 30^\\circ", "30"), ("f(x)=2x", "2x"), ("P(A)=1/2", "\\frac12"),
    ("3+4=7", "7"), ("\\text{area} = 6", "6"), ("|AB|=5", "5"), ("[ABC]=6", "6"), ("\\frac{dy}{dx}=2x", "2x"),
    ("n=5!", "120"), ("A = (1,2)", "(1,2)"), ("(x,y) = (1,2)", "(1,2)"), ("S = \\{1,2\\}", "\\{2,1\\}"),
    ("x=5, y=6", "5,6"), ("x_1=6, x_2=5", "5,6"),
]  # fmt: skip
DIFFERENT = [
    ("\\log x^2", "(\\log x)^2"), ("\\sin x^2", "(\\sin x)^2"), ("3!!", "720"), ("3!!", "6"), ("5!!!", "5!"),
    ("n \\bmod 2", "n"), ("n mod 2", "n"), ("a \\bmod b", "a"), ("7 \\bmod 3", "7"), ("n \\bmod 2", "n \\bmod 3"),
    ("3 \\bmod 7", "3 \\pmod 5"), ("\\max(1,2)", "(1,2)"), ("\\max(a,b)", "\\min(a,b)"), ("\\max\\{x,y\\}",
    "\\{x,y\\}"),
    ("\\gcd(12,18)", "12"), ("\\lfloor x\\rfloor", "x"), ("\\lfloor x\\rfloor", "\\lceil x\\rceil-1"),
    ("\\lfloor x \\rfloor + 1", "\\lceil x\\rceil"), ("\\frac172", "1/72"), ("\\frac{dy}{dx}", "\\frac yx"),
    ("\\frac{d}{dx}", "\\frac1x"), ("\\frac{d y}{d x}", "y/x"), ("]0,1[", "[0,1]"), ("]0,1[", "]0,1]"), ("[0,1[",
    "[0,1]"),
    ("\\langle 1,2\\rangle", "\\langle 2,1\\rangle"), ("\\{1,1\\}", "\\{1,2\\}"), ("\\{1,1\\}", "\\{1\\}"),
    ("x₁", "x_2"), ("x²", "x2"), ("10³", "103"), ("5–6", "-1"), ("2–3", "-1"), (".NET", "NET"), ("C#", "C++"),
    ("C++", "C"), (".5x", "5x"), ("0x1F", "0"), ("x=5, y=6", "x=6, y=5"), ("AB", "BA"), ("f'(x)", "f(x)"),
    ("x^2+y^2=4", "4"), ("2x=4", "4"), ("2x=4", "2x"), ("xy=6", "6"), ("x+y=3", "x+y"), ("x=6, y=5", "5,6"),
]  # fmt: skip
TWO_READINGS = [
    ("\\sin(x)^2", "\\sin^2 x", "\\sin(x^2)"), ("\\log(x)^2", "2\\log x", "(\\log x)^2"), ("1/2x", "x/2",
    "\\frac{1}{2x}"),
    ("x/2y", "\\frac{xy}{2}", "\\frac{x}{2y}"), ("6/2(1+2)", "9", "1"), ("\\sin\\pi/6", "0", "\\frac12"),
    ("\\ln x/2", "\\frac{\\ln x}{2}", "\\ln\\frac x2"), ("a + b \\bmod c", "(a+b) \\bmod c", "a + (b \\bmod c)"),
]  # fmt: skip
ROWS = "1&2{}3&4"
MATRICES = [
    *(f"\\begin{{{kind}}}{ROWS.format(row)}\\end{{{kind}}}" for kind in ("pmatrix", "bmatrix", "matrix", "psmallmatrix")
      for row in ("\\\\", "\\\\[2pt]", "\\\\*", " \\\\ [1ex] ")),
    "\\left[\\begin{array}{cc}1&2\\\\3&4\\end{array}\\right]",
    "\\left(\\begin{smallmatrix}1&2\\\\3&4\\end{smallmatrix}\\right)",
    "\\begin{array}{rr}1 & 2 \\\\ 3 & 4 \\\\ \\end{array}", "[[1,2],[3,4]]",
    "\\begin{pmatrix}1&\\frac42\\\\3&2^2\\end{pmatrix}",
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_equal(one, other):
    assert q.equivalent_answers(one, other, "expression") and q.equivalent_answers(other, one, "expression")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different(one, other):
    assert not q.equivalent_answers(one, other, "expression") and not q.equivalent_answers(other, one, "expression")
    assert q.equivalent_answers(one, one, "expression") and q.equivalent_answers(other, other, "expression")


@pytest.mark.parametrize(("text", "one", "other"), TWO_READINGS)
def test_what_has_two_readings_is_equal_to_itself_alone(text, one, other):
    assert q.equivalent_answers(text, text, "expression")
    assert not any(
        q.equivalent_answers(*pair, "expression") for each in (one, other) for pair in ((text, each), (each, text))
    )
    assert not q.equivalent_answers(one, other, "expression")


def test_matrices_are_compared_cell_by_cell():
    for one, other in itertools.product(MATRICES, repeat=2):
        assert q.equivalent_answers(one, other, "expression"), (one, other)
    changed = [
        "\\begin{pmatrix}1&2\\\\3&5\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}",
        "\\begin{vmatrix}1&2\\\\3&4\\end{vmatrix}", "\\begin{pmatrix}1&2&3&4\\end{pmatrix}", "[[1,2],[4,3]]",
        "\\begin{pmatrix}1&2\\end{pmatrix}", "\\begin{Bmatrix}1&2\\\\3&4\\end{Bmatrix}",
    ]  # fmt: skip
    for one, other in itertools.product(MATRICES, changed):
        assert not q.equivalent_answers(one, other, "expression"), (one, other)


def test_matrices_that_sympy_writes_are_equal_to_themselves_alone():
    import sympy

    rng = random.Random(1)
    x = sympy.symbols("x")
    for _ in range(20):
        shape = rng.randint(1, 3), rng.randint(1, 3)
        meant = sympy.Matrix(
            *shape, lambda i, j: rng.choice((x, 1)) * sympy.Rational(rng.randint(-9, 9), rng.randint(1, 5))
        )
        forms = [
            sympy.latex(meant, mat_str=kind, mat_delim=delim) for kind, delim in (("matrix", "["), ("smallmatrix", "("))
        ]
        forms.append(sympy.latex(meant, mat_str="array", mat_delim="["))
        assert all(q.equivalent_answers(one, other, "expression") for one, other in itertools.product(forms, repeat=2))
        other = meant.copy()
        other[0, 0] += 1
        assert not q.equivalent_answers(forms[0], sympy.latex(other), "expression")
        if shape[0] != shape[1]:
            assert not q.equivalent_answers(forms[0], sympy.latex(meant.T), "expression")


def test_values_of_sympy_are_ours():
    import sympy

    rng = random.Random(2)
    for _ in range(25):
        a, b, c = (rng.randint(1, 60) for _ in range(3))
        ratio = sympy.Rational(a, b)
        values = {
            f"{a} \\bmod {b}": a % b, f"\\gcd({a}, {b}, {c})": sympy.gcd_list([a, b, c]),
            f"{a % 20}!!": sympy.factorial2(a % 20),
            f"\\operatorname{{lcm}}({a},{b})": sympy.lcm(a, b),
            f"\\lfloor \\frac{{{a}}}{{{b}}} \\rfloor": sympy.floor(ratio),
            f"\\lceil -{a}/{b} \\rceil": sympy.ceiling(-ratio), f"\\max\\{{{a}, {b}, {c}\\}}": max(a, b, c),
            f"\\min({a}, -{b})": -b,
        }  # fmt: skip
        for written, value in values.items():
            assert q.equivalent_answers(written, str(value), "expression"), written
            assert not q.equivalent_answers(written, str(value + 1), "expression"), written


def test_scripts_of_unicode_are_those_of_latex():
    """Every raised or lowered digit, sign and letter that Unicode says is one of ASCII."""
    import unicodedata

    tried = 0
    for character in map(chr, range(0xA0, 0x2100)):
        form, _, plain = unicodedata.decomposition(character).partition(" ")
        if form not in ("<super>", "<sub>") or " " in plain:
            continue
        base = chr(int(plain, 16))
        if not (base.isascii() and base.isalnum()) or base in "ªº":
            continue
        sign = "^" if form == "<super>" else "_"
        assert q.equivalent_answers(f"z{character}+1", f"1+z{sign}{{{base}}}", "expression"), character
        assert base == "1" or not q.equivalent_answers(f"z{character}", f"z{base}", "expression"), character
        tried += 1
    assert tried > 40
