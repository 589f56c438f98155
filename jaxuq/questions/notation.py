r"""One thing written in many ways: LaTeX and Unicode signs, fonts, degrees, moduli, spelt in one way."""

import re
import unicodedata

from jaxuq.questions.characters import THIN, fold
from jaxuq.questions.tree import FUNCTIONS, GREEK
from jaxuq.questions.units import FONT, GAP, without_unit

_SIGNS = {
    "±": "\\pm ", "≤": "\\le ", "≥": "\\ge ", "≠": "\\ne ", "∪": "\\cup ", "∩": "\\cap ", "∞": "\\infty ",
    "∈": "\\in ", "∅": "\\emptyset ", "ℝ": "\\mathbb{R}", "ℤ": "\\mathbb{Z}", "∖": "\\setminus ",
}  # fmt: skip
_GREEK = {
    ord(unicodedata.lookup(f"GREEK {case} LETTER {name.upper().replace('LAMBDA', 'LAMDA')}")): f"\\{name} "
    for name in GREEK
    for case in ("CAPITAL" if name[0].isupper() else "SMALL",)
    if not name.startswith(("var", "ell"))
}
_TABLE = {ord(sign): command for sign, command in _SIGNS.items()} | _GREEK
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree|°)")
_DEGREES_OF = re.compile(rf"(\d+(?:\.\d+)?){_DEGREES.pattern}")
_MONEY = re.compile(r"\\?[$€£¥₹]|\\[()\[\]](?!\d)|\\(?:left|right)(?![a-zA-Z])")
_SAME = (
    (re.compile(r"\{:\}"), ":"),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}|^([^{}]*)\\over(?![a-zA-Z])([^{}]*)$"), r"\\frac{\1\3}{\2\4}"),
    (re.compile(r"\\[dt]binom(?![a-zA-Z])"), r"\\binom"),
    (re.compile(r"\{?\s*(\d+|[a-zA-Z])\s*\\choose\s*(\d+|[a-zA-Z])\s*\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\binom\s*(\d)\s*(\d)"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\(?:varnothing|O)(?![a-zA-Z])|\\\{\s*\\\}"), r"\\emptyset"),
    (re.compile(r"\\(?:le|ge|ne)q?(?:slant)?(?![a-zA-Z])"), lambda found: found[0][:3] + " "),
    (re.compile(r"\\(?:approx|simeq|sim|equiv)(?![a-zA-Z])|≈|≡"), "="),
)
_MODULUS = re.compile(
    rf"{GAP}\(?{GAP}(?:\\[bp]mod|\\mod|(?<![A-Za-z\\])mod(?:ulo)?){GAP}(?:\{{\s*(\w+)\s*\}}|(\d+|[a-z](?![a-z]))){GAP}\)?$"
)


def clean(text: str) -> tuple[str, str]:
    r"""An answer without fonts, sizes, currencies and signs of Unicode, and its unit, which comes second.

    Args:
        text: an answer.

    Returns:
        The rest, and the unit.

    Example:
        >>> clean("$\\dfrac12 \\text{ cm}$"), clean("±3")
        (('\\frac12', 'cm'), ('\\pm 3', ''))
    """
    text = _MONEY.sub(" ", fold(text)).strip(" \n\t.,;:" + THIN)
    text, unit = without_unit(text)
    for _ in range(3):  # fonts in fonts
        text = re.sub(FONT, r" \1 ", text)
    text = text.translate(_TABLE)
    if any(f"\\{name}" in text for name in FUNCTIONS[:9]):
        text = _DEGREES_OF.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _DEGREES.sub("", text)
    for form, one in _SAME:
        text = form.sub(one, text)
    return text.strip(), unit


def plain(text: str) -> str:
    """Of `clean`, with spaces only where they part numbers or words."""
    text = re.sub(rf"(?:[\s{THIN}~]|\\[,!;: ](?<!\\\\ )|\\q?quad(?![a-zA-Z]))+", " ", text)
    text = re.sub(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])|(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])", "", text)
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt(\w)", r"\\sqrt{\1}", text)
    return re.sub(r"\\(?:cdot|times)", "*", text)


def base_of(text: str) -> tuple[str, str]:
    r"""Digits, and the base that they are written in: `1011_2`, `2A_{16}`.

    Args:
        text: of `clean`.

    Returns:
        The digits, and the base; the text and nothing if there is none.

    Example:
        >>> base_of("1011_{2}"), base_of("x_1")
        (('1011', '2'), ('x_1', ''))
    """
    found = re.fullmatch(r"(\d[\dA-Fa-f]*)\s*_\s*(?:\{\s*(\d+)\s*\}|(\d+))", text)
    return (found[1], found[2] or found[3]) if found else (text, "")


def modulus_of(text: str) -> tuple[str, str]:
    r"""A residue, and what it is modulo: `3 \pmod{7}`, `3 (mod 7)`, `x \equiv 3 \bmod 7`.

    Args:
        text: of `clean`.

    Returns:
        The text before it, and the modulus; empty if there is none.

    Example:
        >>> modulus_of("x = 3 \\pmod{7}"), modulus_of("3 mod 7"), modulus_of("3")
        (('x = 3', '7'), ('3', '7'), ('3', ''))
    """
    found = _MODULUS.search(text)
    return (text[: found.start()], found[1] or found[2]) if found and found.start() else (text, "")
