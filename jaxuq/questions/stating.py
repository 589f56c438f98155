r"""Which number a sentence states, where it holds several: what it reckons with, and what it happens in, is none."""

import re

from jaxuq.questions.amounts import Quantity
from jaxuq.questions.bounds import beside
from jaxuq.questions.chains import asserted, listed, runs, stated
from jaxuq.questions.characters import THIN
from jaxuq.questions.expressions import is_named
from jaxuq.questions.measures import is_known
from jaxuq.questions.notation import clean
from jaxuq.questions.quantities import quantities
from jaxuq.questions.spelled import find_spelled
from jaxuq.questions.tokens import NotUnderstood
from jaxuq.questions.tree import read_tree
from jaxuq.questions.values import names_of

Run = list[list[Quantity]]
_NUMBER = r"(?:the\s+)?[($€£]*(?:-?\d|\\?[dt]?frac|√)"
_FRONTED = re.compile(
    rf"[\s{THIN}*_:]*(?:that\s+)?(?:after|in|for|with|at|on|by|from|until|till|since|as|when|if|where|given|over|within|"
    r"during|per|every|each|assuming|because|before|once|through|among|to|rounded\s+to|correct\s+to|using|considering|"
    r"starting|\(\s*to|between\s+[a-z]+)\b(?P<clause>[^,:;]*)$",
    re.I,
)
_LABEL = re.compile(
    r"(?:\b(?:step|question|problem|part|equation|eq\.|example|case|day|figure|fig\.|table|chapter|page|exercise|scenario|"
    r"method|line|item|stage|trial|year|week|month|grade|level|section|theorem)s?\s+[#(]*|\[)$",
    re.I,
)
_PLACES = re.compile(r"[\s-]*(?:decimals?\b|d\.?\s?p\b|significant\b|sig\b|s\.?f\b|digits?\s+after)", re.I)
_NOUN = re.compile(r"\s+[a-z]{2,}", re.I)
_ALONE = re.compile(r"[\s)]*(?:squared|cubed|factorial)\b", re.I)
_WITH = re.compile(
    r"[\s)]*(?:[a-z]+\s+)?(?:times|plus|minus|divided\s+by|multiplied\s+by|to\s+the(?:\s+power(?:\s+of)?)?|raised\s+to|"
    r"(?:more|less|fewer|greater|larger|smaller)\s+than|choose|mod|modulo|added\s+to|subtracted\s+from|"
    rf"(?:in|de)creased\s+by|reduced\s+by)\s+(?:the\s+power\s+(?:of\s+)?)?{_NUMBER}",
    re.I,
)
_OVER = re.compile(r"\s+over\s+-?\d+\s*(?:[.,;]|$)", re.I)
_PART_OF = re.compile(rf"\s+of\s+(?:the\s+)?{_NUMBER}", re.I)
_HALF_OF = re.compile(
    r"\b(?:(?:half|quarter|third|fifth|tenth|squares?|square\s+root|cubes?|cube\s+root|root|factorial|log(?:arithm)?)\s+of"
    r"|twice|double|triple|thrice)\s+(?:the\s+number\s+)?[($]*$",
    re.I,
)
_SUM_OF = re.compile(
    r"\b(?:sum|product|difference|ratio|average|mean|median|quotient|lcm|gcd|hcf|gcf|maximum|minimum|multiple|factor)\s+"
    r"(?:of|between)\s+(?:the\s+numbers?\s+)?[($]*$",
    re.I,
)
_ALSO = re.compile(r"(?:\s[a-z]+)?\s*(?:,|and|to|,\s*and)\s+[($]*$", re.I)
_GROUPS = re.compile(
    rf"(?:\s+[a-z]+){{1,3}}\s+of\s+{_NUMBER}|\s+(?:[a-z]+\s+)?(?:per|each|apiece|every|an?)\b|\s?/\s?[a-z]|\s+for\s+{_NUMBER}",
    re.I,
)
_SO = (
    r"(?:\b(?:which|that|this|it)\s+(?:is|are|equals|makes|gives|comes\s+to|results\s+in|totals)\b|\bthat's\b|\bi\.e\.?|"
    r"\bnamely\b|\bso\b|\btherefore\b|\bthus\b|\bhence\b|\bgiv(?:ing|es)\b|\bmak(?:ing|es)\b|\byield(?:ing|s)\b|\btotal(?:s|ing|ling)?\b|"
    r"\bresulting\s+in\b|\bamount(?:s|ing)\s+to\b|\bcom(?:es|ing)\s+to\b|=>|->|→|⇒|≈)"
)
_STRONG = re.compile(_SO, re.I)
_RECKONED = re.compile(rf"{_SO}|\b(?:or|is|are|equals?|equal\s+to)\b|=", re.I)
_WEAK = re.compile(rf"{_RECKONED.pattern}|[,:]", re.I)
_AMONG = re.compile(r"(?:\s+[a-z]+){0,2}\s+(?:of|per)\s+[($]*", re.I)
_WORD = re.compile(r"[A-Za-z']{2,}")
_HEDGES = re.compile(
    r"\b(?:a|an|the|total|of|about|approximately|roughly|exactly|equal|to|only|just|simply|that|there|are|is)\b", re.I
)
_REASON = re.compile(r"\b(?:because|since|as|check|where|if|whereas|while|but|not)\b|\(", re.I)
_VALUES = re.compile(
    r"(?<![A-Za-z=])(?<!\bif )(?<!\bwhen )(?<!\bfor )(?<!\bwith )(?<!\bgiven )(?<!\bsince )(?<!\bwhere )(?<!\blet )"
    r"(?P<all>(?:[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*[^,;=\n]{1,40}?[\s$]*(?:[,;]\s*(?:and\s)?|\band\b|\\text\s*\{\s*and\s*\})[\s$]*)+"
    r"[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*)$"
)
_NAME = re.compile(r"[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=\s*[$(]*$")


def said(text: str, start: int, end: int) -> tuple[int, int] | None:
    r"""The number that a stretch states, such as the rest of a sentence after "the answer is".

    It is the first, unless

    - what comes before it makes it a circumstance: `after 3 days, 45`, `in step 2: 45`, `for x = 3, 45`, `the 3rd
      number, 45`, `to 2 decimal places, 45`; then it is the first that is none, or the first if there is no other;
    - it is reckoned with: `3 squared, which is 9`, `half of 50, i.e., 25`, `the sum of 3 and 4, or 7`, `3 times 4
      gives 12`; then it is the first after what is reckoned; without one there is no answer;
    - it is a rate, or counts groups, and a total is drawn: `$18 per hour, so $54`, `3 boxes of 4, so 12`;
    - a clause of its own leads to an equation: `she needs 2 cans * 38 = 76`; then it is that one's last side.

    Of a chain of equalities it is the last side; of several that are listed (`3 or 4`, `x = 5, y = 6`) all; in words
    where no digits are. Ambiguous, and the first is taken: a number that is said again in other units (`2 hours, which
    is 120 minutes`), and what is told without a comma of a place or a time behind it (`5 boxes hold 20`).

    Args:
        text: of `fold`.
        start: of the stretch.
        end: of it.

    Returns:
        Where the number is, an empty stretch where there are only numbers that are reckoned with; None: there is none.

    Example:
        >>> for text in ("3 squared, which is 9.", "after 3 days, 45.", "45 after 3 days", "half of 50"):
        ...     place = said(text, 0, len(text))
        ...     print(repr(text[slice(*place)]))
        '9'
        '45'
        '45'
        ''
    """
    found = runs(text, asserted(text, quantities(text, start, end, spaced=True)))
    if not found:
        spelled = find_spelled(text, start, end)
        return spelled and (spelled.start, spelled.end if spelled.value is not None else spelled.start)
    free = [number for number in range(len(found)) if not _is_circumstance(text, start, end, found, number)]
    at = free[0] if free else 0
    if len(found[at]) == 1 and (chain := _told(text, start, found, at)) is not None:
        return stated(found[chain])[:2]
    if (place := _reckoned(text, end, found, at)) is not at:
        begin = found[at][0][0].start
        return (begin, begin) if place is None else _span(text, found[place:], start, end)
    return _span(text, found[at:], start, end)


def _span(text: str, found: list[Run], start: int, end: int) -> tuple[int, int] | None:
    first = found[0]
    if (last := listed(text, found, end)) is not None:
        begin = first[0][0].start
        name = _NAME.search(text, start, begin) if "=" in text[begin:last] else None
        return (name.start() if name else begin), last
    return (unreckoned(text, first[0], start, end) if len(first) == 1 else None) or stated(first)[:2]


def _told(text: str, start: int, found: list[Run], at: int) -> int | None:
    """The chain of equalities that a clause with a subject of its own ends in: `she needs 2 cans * 38 = 76`."""
    begin, stop = found[at][0][0].start, found[at][-1][-1].end
    if len(_WORD.findall(_HEDGES.sub(" ", text[start:begin]))) < 2:
        return None
    chains = [number for number in range(at + 1, len(found)) if len(found[number]) > 1]
    if not chains or _REASON.search(text, stop, found[chains[-1]][0][0].start):
        return None
    return chains[-1]


def _is_circumstance(text: str, start: int, end: int, found: list[Run], number: int) -> bool:
    """Whether a number says when, where or of what, or how it was rounded."""
    first, last = found[number][0][0], found[number][-1][-1]
    before, after = text[start : first.start], text[last.end : end]
    if _LABEL.search(before) or _PLACES.match(after):
        return True
    if re.search(r"\d(?:st|nd|rd|th)$", text[: last.end]) and _NOUN.match(after):
        return True
    fronted = _FRONTED.match(before)
    if fronted is None:
        return bool(number) and _AMONG.fullmatch(text[found[number - 1][-1][-1].end : first.start]) is not None
    return number == 0 or re.search(r"[,:;]", after) is not None


def _reckoned(text: str, end: int, found: list[Run], at: int) -> int | None:
    """The number after one that is reckoned with; the same where it is not; None where there is none."""
    first, last = found[at], at
    marks = None
    if len(first) > 1:
        return at
    begin, stop = first[0][0].start, first[-1][-1].end
    before, after = text[:begin][-60:], text[stop:end]
    several = at + 1 < len(found) and _ALSO.fullmatch(text[stop : found[at + 1][0][0].start])
    if _SUM_OF.search(before) and several:
        while last + 1 < len(found) and _ALSO.fullmatch(text[found[last][-1][-1].end : found[last + 1][0][0].start]):
            last += 1
            if re.search(r"\b(?:and|to)\b", text[found[last - 1][-1][-1].end : found[last][0][0].start]):
                break
        marks = _WEAK
    elif _HALF_OF.search(before) or _ALONE.match(after) or _OVER.match(after):
        last, marks = last + bool(_OVER.match(after)), _WEAK
    elif _WITH.match(after) or (_is_part(first[0][-1]) and _PART_OF.match(after)):
        while last + 1 < len(found) and (last == at or _WITH.match(text[found[last][-1][-1].end : end])):
            last += 1
        marks = _WEAK
        if len(found[last]) > 1:  # 10% of 50 = 5
            return last
    elif len(first[0]) > 1:
        marks = _RECKONED
    elif first[0][0].value is None and re.search(r"[a-z]{3}", text[begin:stop], re.I) and not first[0][0].formula:
        marks = _RECKONED  # 2 hours and 40 minutes, or 160 minutes
    elif group := _GROUPS.match(after):
        if re.search(r"\sof\s", group[0]) and len(found[at + 1 : at + 2] and found[at + 1]) > 1:  # 3 groups of 4 = 12
            return at + 1
        marks = _STRONG
    if marks is None:
        return at
    for number in range(last + 1, len(found)):
        if marks.search(text, found[last][-1][-1].end, found[number][0][0].start):
            return number
    return None if marks is _WEAK else at


def _is_part(one: Quantity) -> bool:
    return one.factor < 1 or (one.value is not None and 0 < one.value < 1)


def unreckoned(text: str, side: list[Quantity], start: int, end: int) -> tuple[int, int] | None:
    """What says a number without reckoning it, such as `3 * 4`."""
    begin, stop = side[0].start, side[-1].end
    if len(side) == 1:
        return None
    while text.count("(", begin, stop) < text.count(")", begin, stop) and text[begin - 1] == "(" and begin > start:
        begin -= 1
    while text.count("(", begin, stop) > text.count(")", begin, stop) and text[stop : stop + 1] == ")" and stop < end:
        stop += 1
    return (begin, stop) if "–" in text[begin:stop] or is_constant(text[begin:stop]) else None


def is_constant(text: str) -> bool:
    """Whether a text is an expression without variables."""
    try:
        return not names_of(read_tree(text))
    except NotUnderstood:
        return False


def last_number(text: str, start: int) -> tuple[int, int] | None:
    """The last number of a text that has no cue: no part of a formula, and not of how many decimals.

    With what bounds it, unless its sentence has another number (`18, which is more than 12`); with the names and values
    before it (`x = 4, y = 5`). The right of an equation that is to be solved (`2x = 4`) is none.

    Args:
        text: of `fold`.
        start: where to begin.

    Returns:
        Where it is; None: there is none.
    """
    found = [run for run in runs(text, asserted(text, quantities(text, start))) if not _is_unsolved(text, run)]
    for number, run in reversed(list(enumerate(found))):
        one = stated(run, last=True)
        part = (
            one.formula
            and one.value is None
            and not re.search(r"[=≈]\s*\$?\s*$", text[max(0, one.start - 9) : one.start])
        )
        if number and (before := found[number - 1][-1][-1]).value is not None:
            earlier = beside(text, before.start, before[:2], len(text))
            if earlier[1] >= one.end:  # 3 remainder 1
                return earlier
        rest = re.search(r"\bremainder(?:\s+of|\s+is)?\s+$", text[max(0, one.start - 20) : one.start])
        if part or (number and rest) or _PLACES.match(text, one.end):
            continue
        if values := _VALUES.search(text[max(start, one.start - 200) : one.start]):
            names = re.findall(r"([A-Za-z]\w*)\s*=", values["all"])
            if len(set(names)) == len(names):
                return one.start - len(values["all"]), one.end
        begin = max((stop.end() for stop in re.finditer(r"[.!?]\s|\n", text[start : one.start])), default=0) + start
        place = beside(text, begin, one[:2], len(text))
        if place != one[:2] and number and found[number - 1][-1][-1].end > begin and place[0] < one.start:
            continue
        return place
    return None


def _is_unsolved(text: str, run: Run) -> bool:
    """Of two sides of which the first is more than a name: `2x = 4`."""
    side = text[run[0][0].start : run[0][-1].end]
    if len(run) != 2 or not any(one.formula and one.value is None for one in run[0]):
        return False
    letters = re.findall(r"[A-Za-z]+", side)
    return not all(map(is_known, letters)) and not is_named(clean(side)[0])
