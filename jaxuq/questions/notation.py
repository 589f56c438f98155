r"""One thing written in many ways: LaTeX and Unicode signs, fonts, degrees, moduli, spelt in one way."""

import re
import unicodedata

from jaxuq.questions.characters import THIN, visible
from jaxuq.questions.measures import PREFIXES
from jaxuq.questions.tokens import FUNCTIONS, GREEK
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
_RAISED = {
    form: re.escape("".join(one for one in map(chr, range(0xAA, 0x2C80)) if form in unicodedata.decomposition(one)))
    for form in ("<super>", "<sub>")
}
_DASH = {0x2212: "-"}
_AROUND = re.compile(rf"\\(?:f?boxed|fbox)\s*\{{(.*)\}}|{FONT}|\$(.*)\$", re.S)
_QUANTITY = re.compile(r"\\(?:SI|qty)\s*(?:\[[^\[\]]*\])?\{([^{}]*)\}\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree|°)")
_DEGREES_OF = re.compile(rf"(\d+(?:\.\d+)?){_DEGREES.pattern}")
_MONEY = re.compile(r"\\?[$€£¥₹]|\\[()\[\]](?!\d)|\\(?:left|right)(?![a-zA-Z])")
_SAME = (
    (re.compile(r"\{:\}"), ":"),
    (re.compile(r"\\(?:[dtc]|nice|s|flat)frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\lbrack(?![a-zA-Z])"), "["),
    (re.compile(r"\\rbrack(?![a-zA-Z])"), "]"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\(cup|cap|setminus|in)(?=[\[\]])"), r"\\\1 "),
    (re.compile(r"(?<![\w)}\\])\]([^\[\](){}]+[,;][^\[\](){}]+)(?=\[(?![\w(]))"), r"(\1"),  # ]0, 1[
    (re.compile(r"(?<![\w)}\\\[(])\]([^\[\](){}]+[,;][^\[\](){}]+\])"), r"(\1"),
    (re.compile(r"([\[(])([^\[\](){},;]+);([^\[\](){},;]+)(?=[\])\[])"), r"\1\2,\3"),
    (re.compile(r"(?<=[\[(])([^\[\](){}]+,[^\[\](){}]+)\[(?![\w(])"), r"\1)"),
    (re.compile(r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}|^([^{}]*)\\over(?![a-zA-Z])([^{}]*)$"), r"\\frac{\1\3}{\2\4}"),
    (re.compile(r"\\[dt]binom(?![a-zA-Z])"), r"\\binom"),
    (re.compile(r"\{?\s*(\d+|[a-zA-Z])\s*\\choose\s*(\d+|[a-zA-Z])\s*\}?"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\binom\s*(\d)\s*(\d)"), r"\\binom{\1}{\2}"),
    (re.compile(r"\\(?:varnothing|O)(?![a-zA-Z])|\\\{\s*\\\}"), r"\\emptyset"),
    (re.compile(r"\\(?:le|ge|ne)q?(?:slant)?(?![a-zA-Z])"), lambda found: found[0][:3] + " "),
    (re.compile(r"\\(?:approx|simeq|sim|equiv)(?![a-zA-Z])|≈|≡"), "="),
)
EMPTY_SIGNS = ("\\emptyset", "\\varnothing", "∅", "\\{\\}")
_EMPTY = re.compile(
    r"(?:there (?:is|are|exist)s? )?(?:no|\\nexists) "
    r"(?:(?:real|integer|whole|rational|complex|positive|valid|possible|such|finite)(?: number| valued)? )*"
    r"(?:solutions?|roots?|zeros?|values?(?: of \w)?|numbers?|intersections?|x)(?: exists?| at all)?"
    r"|none|(?:the )?(?:empty|null) set|\{\}", re.I
)  # fmt: skip
_VECTOR = re.compile(
    r"\\(?P<mark>vec|overrightarrow|mathbf|boldsymbol|bm|hat)\s*(?:\{\s*(?P<group>\\?[A-Za-z]{1,7})\s*\}|(?P<one>[A-Za-z]))"
)
_MODULUS = re.compile(
    rf"{GAP}(?:\\pmod|\({GAP}(?:\\[bp]?mod|(?<![A-Za-z\\])mod(?:ulo)?)|(?P<bare>\\b?mod|(?<![A-Za-z\\])mod(?:ulo)?))(?![A-Za-z])"
    rf"{GAP}(?:\{{\s*(?P<group>\w+)\s*\}}|(?P<one>\d+|[a-z](?![a-z]))){GAP}\)?$"
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
    text = _MONEY.sub(" ", unpacked(visible(text)[0])).rstrip(" \n\t.,;:" + THIN).lstrip(" \n\t,;:" + THIN)
    text = _vectors(text)
    text, unit = without_unit(text)
    for _ in range(3):  # fonts in fonts
        text = re.sub(FONT, r" \1 ", text)
    text = _scripts(text.translate(_TABLE))
    if any(f"\\{name}" in text for name in FUNCTIONS[:9]):
        text = _DEGREES_OF.sub(r"(\\frac{\1\\pi}{180})", text)
    text = _DEGREES.sub("", text)
    for form, one in _SAME:
        text = form.sub(one, text)
    return "\\emptyset" if _EMPTY.fullmatch(" ".join(text.split())) else text.strip(), unit


def _vectors(text: str) -> str:
    """Vectors as names of their own, and their cross as a sign of its own, since it is no product of numbers."""
    crossed = "\\times" in text or "×" in text
    if not any(crossed or found["mark"] in ("vec", "overrightarrow") for found in _VECTOR.finditer(text)):
        return text
    marked = ("vec", "overrightarrow", *(("mathbf", "boldsymbol", "bm", "hat") if crossed or "\\cdot" in text else ()))
    named = _VECTOR.sub(
        lambda found: f" {found['group'] or found['one']}_{{vec}} " if found["mark"] in marked else found[0], text
    )
    return re.sub(r"\\times(?![a-zA-Z])|×", r"\\btimes ", named)


def unpacked(text: str) -> str:
    r"""A text without a box, font or dollars around all of it, and what siunitx's commands write.

    Args:
        text: of `fold`.

    Returns:
        The rest.

    Example:
        >>> unpacked("\\boxed{\\text{3 cm}}"), unpacked("\\SI{5}{\\kilo\\meter\\per\\second}"), unpacked("\\num{1e3}")
        ('3 cm', '5 \\text{kilometer/second}', '1e3')
    """
    text = text.strip()
    for _ in range(5):
        found = _AROUND.fullmatch(text)
        if found is None or not _balanced(inner := next(one for one in found.groups() if one is not None)):
            break
        text = inner.strip()
    text = re.sub(r"\\num\s*\{([^{}]*)\}", r"\1", text)
    return _QUANTITY.sub(lambda found: f"{found[1]} \\text{{{_spelled_unit(found[2])}}}", text)


def _balanced(text: str) -> bool:
    depth = 0
    for sign in re.findall(r"\\.|[{}$]", text):
        depth += {"{": 1, "}": -1, "$": -99}.get(sign, 0)
        if depth < 0:
            return False
    return depth == 0


def _spelled_unit(text: str) -> str:
    text = re.sub(rf"\\({'|'.join(PREFIXES)})\s*\\(?=[a-z])", r"\1", text)
    text = re.sub(r"\s*\\per\s*", "/", text)
    return re.sub(r"\\(?=squared|cubed)", " ", text).replace("\\", " ").replace(".", " ").strip().replace("/ ", "/")


def _scripts(text: str) -> str:
    """Raised and lowered characters of Unicode as LaTeX writes them."""
    if text.isascii():
        return text
    for form, sign in (("<super>", "^"), ("<sub>", "_")):
        text = re.sub(
            rf"[{_RAISED[form]}]+",
            lambda found, sign=sign: f"{sign}{{{unicodedata.normalize('NFKC', found[0]).translate(_DASH)}}}",
            text,
        )
    return text


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
    r"""A residue, and what it is modulo: `3 \\pmod{7}`, `3 (mod 7)`, `x \\equiv 3 \\bmod 7`.

    The remainder of a division (`10 \\bmod 7`) is none.

    Args:
        text: of `clean`.

    Returns:
        The text before it, and the modulus; the text and nothing if there is none.

    Example:
        >>> modulus_of("x = 3 \\pmod{7}"), modulus_of("3 (mod 7)"), modulus_of("10 \\bmod 7"), modulus_of("3")
        (('x = 3', '7'), ('3', '7'), ('10 \\bmod 7', ''), ('3', ''))
    """
    found = _MODULUS.search(text)
    if found is None or not found.start() or (found["bare"] and "=" not in text):
        return text, ""
    return text[: found.start()], found["group"] or found["one"]


def divisor_of(text: str) -> str:
    r"""What a text ends with dividing by, be it the modulus of a residue or of a remainder; empty: by nothing.

    Args:
        text: of `clean`.

    Returns:
        As written.

    Example:
        >>> divisor_of("10 \\bmod 7"), divisor_of("3 \\pmod{7}"), divisor_of("3")
        ('7', '7', '')
    """
    found = _MODULUS.search(text)
    return (found["group"] or found["one"]) if found and found.start() else ""
