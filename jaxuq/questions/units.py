r"""Units after a number: where they are; `measures` says what they are."""

import re

from jaxuq.questions.characters import THIN
from jaxuq.questions.measures import is_known
from jaxuq.questions.spelled import SCALES
from jaxuq.questions.tokens import FUNCTIONS, GREEK

FONT = (
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname|boldsymbol|bm)"
    r"\s*\{([^{}]*)\}"
)
_POWER = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d)|[²³])?"
GAP = rf"(?:[\s{THIN}~]|\\[,!;: ])*"
_UNIT = re.compile(rf"(?:(?<=[\d)\]}}%])|(?<=\\pi))(?:{GAP}(?:(?:/|\\cdot|\*){GAP})?{FONT}{_POWER})+{GAP}$")
_WORD = rf"(?:[A-Za-zµμΩ]+{_POWER}|[$€£¥₹¢°]C?F?)"
_PLAIN_UNIT = re.compile(
    rf"(?<=[\d)\]}}%])(?P<gap>(?:[\s{THIN}~]|\\[,; ])*)(?P<unit>{_WORD}(?:(?:\s*[/*]\s*|[\s.]+){_WORD})*)[\s/.]*$"
)
_DEGREES = re.compile(rf"(?<=[\d)\]}}]){GAP}(?:\^\s*\{{?\s*\\circ\s*\}}?|\\degree|°)\s*(?P<scale>[CF]?)$")
VARIABLES = (*"bBcdHpTtu",)
"""Units, too, but seldom meant by a letter alone."""
_SCALE = re.compile(rf"[^A-Za-z]*(?:{'|'.join(SCALES)})s?(?![A-Za-z])(?:\s(?:{'|'.join(SCALES)})s?(?![A-Za-z]))*", re.I)
_MONEY = re.compile(
    rf"[-+(\s{THIN}]*(?P<unit>(?:(?:US|CA|AU|NZ|HK|A|C)?\\?\$|[€£¥₹]|(?:USD|EUR|GBP|JPY|INR|CHF|CNY|AUD|CAD)(?![A-Za-z])"
    rf"|Rs(?![A-Za-z])\.?)){GAP}(?=[-+\d.\\])"
)


def without_unit(text: str, *, loose: bool = False) -> tuple[str, str]:
    r"""An answer without its unit, and the unit.

    Args:
        text: of `fold`.
        loose: whether a single letter is a unit too (`5 m`), and what follows without a space (`5cm`), if it is known.

    Returns:
        The rest, and the unit without LaTeX.

    Example:
        >>> without_unit("20\\text{ cm}^3"), without_unit("18 eggs"), without_unit("2\\pi")
        (('20', 'cm^3'), ('18', 'eggs'), ('2\\pi', ''))
        >>> without_unit("5 m"), without_unit("5 m", loose=True), without_unit("5 x", loose=True)
        (('5 m', ''), ('5', 'm'), ('5 x', ''))
    """
    if found := _UNIT.search(text):
        if _SCALE.match(re.sub(FONT, r" \1 ", found[0])) is not None:  # read with the number, whatever else it holds
            return text, ""
        unit = re.sub(rf"^{GAP}|{GAP}$", "", re.sub(FONT, r"\1", found[0]).replace("\\cdot", "*"))
        return text[: found.start()].rstrip(), unit.translate({0xB2: "^2", 0xB3: "^3"}).strip(".{}")
    if (found := _DEGREES.search(text)) and (found["scale"] or loose):
        return text[: found.start()].rstrip(), f"°{found['scale']}"
    found = _PLAIN_UNIT.search(text)
    if found is None or not _is_unit(found["unit"], bool(found["gap"]), loose):
        return text, ""
    if (scale := _SCALE.match(found[0])) is not None:
        at = found.start() + scale.end()
        return text[:at], text[at:].strip(" ." + THIN)
    return text[: found.start()].rstrip(), found["unit"].translate({0xB2: "^2", 0xB3: "^3"}).strip(".{}")


def currency_of(text: str) -> str:
    """The currency before a number, `$` or `EUR`; empty: none.

    Args:
        text: of `fold`.

    Returns:
        As written.

    Example:
        >>> currency_of("-$5"), currency_of("EUR 20"), currency_of("5")
        ('$', 'EUR', '')
    """
    found = _MONEY.match(text)
    return found["unit"].replace("\\", "") if found else ""


def without_currency(text: str) -> str:
    """A text without the letters of the currency that it begins with; signs are read with the number."""
    found = _MONEY.match(text)
    letters = re.match(r"[A-Za-z]+\.?", found["unit"]) if found else None
    if found is None or letters is None:
        return text
    return text[: found.start("unit")] + text[found.start("unit") + letters.end() :].lstrip()


def _is_unit(text: str, gap: bool, loose: bool) -> bool:
    words = re.findall(r"[A-Za-zµμΩ]+", text)
    others = {*FUNCTIONS, *GREEK, "pi", "or", "and", "e", "i", "percent", "per", "mod"}
    if (len(words) == 1 and words[0] in others) or words[:2] == ["per", "cent"] or {*words} & (others - {"per"}):
        return False
    several = any(len(word) > 1 for word in words) and gap
    alone = text in VARIABLES
    return several or (loose and not alone and is_known(text)) or bool(words == [] and is_known(text))
