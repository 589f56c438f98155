r"""Units after a number: what they are, and whether two are of the same measure."""

import re

from jaxuq.questions.characters import THIN
from jaxuq.questions.spelled import SCALES
from jaxuq.questions.tree import FUNCTIONS, GREEK

FONT = (
    r"\\(?:text(?:bf|it|rm|normal|sf|tt)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname|boldsymbol|bm)"
    r"\s*\{([^{}]*)\}"
)
_POWER = r"(?:\s*\^\s*(?:\{\s*-?\d+\s*\}|-?\d)|[²³])?"
GAP = rf"(?:[\s{THIN}~]|\\[,!;: ])*"
_UNIT = re.compile(rf"(?<=[\d)\]}}%])(?:{GAP}(?:(?:/|\\cdot|\*){GAP})?{FONT}{_POWER})+{GAP}$")
_PLAIN_UNIT = re.compile(
    rf"(?<=[\d)\]}}%])(?:[\s{THIN}~]|\\[,; ])+([A-Za-zµ]+{_POWER}(?:[\s/.]+[A-Za-zµ]+{_POWER})*)[\s/.]*$"
)
_SCALE = re.compile(rf"[^A-Za-z]*(?:{'|'.join(SCALES)})s?(?![A-Za-z])", re.I)
_MEASURES = {
    name: number
    for number, names in enumerate(
        (
            "mm millimeter millimetre", "cm centimeter centimetre", "m meter metre", "km kilometer kilometre",
            "mg milligram", "g gram", "kg kilogram", "ml milliliter millilitre", "l liter litre", "s sec second",
            "min minute", "h hr hour", "day", "week", "month", "year", "inch inches", "ft foot feet", "yard", "mile",
            "cent", "dollar", "degree", "radian", "am a.m", "pm p.m",
            "pound lb", "ounce oz", "gallon", "quart", "pint",
        )
    )
    for name in names.split()
}  # fmt: skip


def without_unit(text: str) -> tuple[str, str]:
    r"""An answer without its unit, and the unit.

    Args:
        text: of `fold`.

    Returns:
        The rest, and the unit without LaTeX, in small letters.

    Example:
        >>> without_unit("20\\text{ cm}^3"), without_unit("18 eggs"), without_unit("2\\pi")
        (('20', 'cm^3'), ('18', 'eggs'), ('2\\pi', ''))
    """
    for form in (_UNIT, _PLAIN_UNIT):
        found = form.search(text)
        if found and (form is _UNIT or _is_unit(found[1])):
            if (scale := _SCALE.match(re.sub(FONT, r" \1 ", found[0]))) is not None:
                if form is _UNIT:  # read with the number, whatever else it holds
                    return text, ""
                at = found.start() + scale.end()
                return text[:at], text[at:].strip(" ." + THIN).lower()
            unit = re.sub(rf"{GAP}", "", re.sub(FONT, r"\1", found[0]).replace("\\cdot", "")).lower()
            return text[: found.start()].rstrip(), unit.translate({0xB2: "^2", 0xB3: "^3"}).strip(".{}")
    return text, ""


def _is_unit(text: str) -> bool:
    words = re.findall(r"[A-Za-zµ]+", text)
    known = {*FUNCTIONS, *GREEK, "pi", "or", "and", "e", "i", "percent", "per"}
    several = any(len(word) > 1 for word in words) or text.lower() in ("a.m", "p.m")
    return several and not known & set(words)


def same_measure(first: str, second: str) -> bool:
    """Whether two units may be the same: unknown ones may."""
    numbers = [
        (_MEASURES.get(re.sub(r"s$", "", name)) if name not in _MEASURES else _MEASURES[name], power)
        for name, _, power in (unit.partition("^") for unit in (first, second))
    ]
    return any(number is None for number, _ in numbers) or numbers[0] == numbers[1]
