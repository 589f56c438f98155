"""Final answers in text: where they are, and which tokens hold them."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from jaxtyping import Bool
from numpy import ndarray

from jaxuq._options import check_choice
from jaxuq.questions.bounds import beside, bounded
from jaxuq.questions.chains import listed, runs
from jaxuq.questions.characters import THIN, visible
from jaxuq.questions.clocks import time_of
from jaxuq.questions.cues import CHOICE_CUE, CORRECTION, CUE, last_box, last_tag, sentence_end, trimmed
from jaxuq.questions.expressions import is_formula, is_named
from jaxuq.questions.formulas import formulas
from jaxuq.questions.letters import ALPHABET, Letter, as_letters, find_letter
from jaxuq.questions.notation import clean
from jaxuq.questions.quantities import parse_quantity, quantities
from jaxuq.questions.spelled import find_spelled
from jaxuq.questions.stating import is_constant, last_number, said
from jaxuq.questions.units import without_unit
from jaxuq.questions.words import BEGINNERS, WORDS_AFTER

AnswerKind = Literal["number", "expression", "choice", "text", "whole"]
KINDS: tuple[AnswerKind, ...] = ("number", "expression", "choice", "text", "whole")
_LABELLED = re.compile(r"^[ \t*>_\"'(\[]{0,9}[A-Za-z](?:[.:)]|\s-)\s+\S", re.M)
_RELATION = re.compile(r"=|≈|\\(?:approx|simeq|sim)(?![a-zA-Z])")
_SHORT, _LONGEST, _END = 200, 2000, 20000  # characters, that are read of an answer, and of the end without a cue
_JOINED = re.compile(  # x = 5 or x = 6
    r"(?:^|\{|,|;|(?<![A-Za-z])(?:or|and)(?![A-Za-z])|\})[\s$~{]*[A-Za-z](?:_\{?\w{1,3}\}?)?\s*="
    r"(?=[^,;=]*(?:[,;]|or|and|\}|$))"
)
_FUNCTION = re.compile(
    r"\\(?:[dt]?binom|choose|over|lfloor|lceil|max|min|gcd|lcm|log|ln|exp|sin|cos|tan|sum|prod|int|lim|pm|mp)(?![a-zA-Z])"
)
_OUTER = "$ \t\n\r" + THIN
_QUOTES = "$ \t*_\"'.,:;" + THIN
_REASON = re.compile(
    r"[\s,]+(?:because|since it|since the|as it is|as the|which is)\b|,\s+(?:which|who|whose|where|when)\b", re.I
)

_FILLERS = re.compile(
    r"(?:[\W_]|(?:about|approximately|actually|just|only|equal|to|exactly|the|an?|total|of|option|choice|answer|letter|in\s+fact)"
    r"(?![A-Za-z])|\\(?:text|mathrm|boxed)\{)*", re.I
)  # fmt: skip
_CONCLUDED = re.compile(
    r"\b(?:so|thus|therefore|hence|must be|leaves|choose|pick|select|go with)\b[^.\n]{0,25}?"
    r"(?<![A-Za-z'])(?-i:[A-Z])(?!['\w])",
    re.I,
)
_PROSE = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{2,}\s|(?<![\\A-Za-z{])[A-Za-z]{4,}")
_MATHEMATICS = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$([^$\n]+?)\$(?!\d)", re.S)


class FoundAnswer(NamedTuple):
    """A final answer and its place.

    Attributes:
        text: the answer as written.
        start: of `text` in the response, in characters.
        end: one past its last character.
    """

    text: str
    start: int
    end: int


def find_answer(response: str, kind: AnswerKind = "number", *, letters: str = ALPHABET) -> FoundAnswer | None:
    r"""The final answer of a response, and where it is.

    In this order: the content of the last `\boxed{}` (nested braces are followed) or `<answer></answer>`, what comes
    after the last "the answer is" or `####`, and otherwise the last number, formula or choice of the text, or the
    letter that opens it. What corrects any of these later (`Wait, I made a mistake; it is 14`) takes its place. A bound
    (`at least 3`), a remainder (`3 R 1`) and several names with values (`x = 4, y = 5`) are one answer. Numbers are
    read as people and LaTeX write them: `$-3.50`, `1{,}234`, `1.234,50`, `3 1/2`, `\frac{1}{2}`, `3 \times 10^5`,
    `5 million`, `0.\overline{3}`, a Unicode minus, and where there are no digits, but a cue, in words (`twelve`);
    of a chain of equalities, exact or not, the last side counts; units are left out; a formula (`3\pi`) is read as a
    whole. After a cue it is the first number that is neither reckoned with nor told as a circumstance (`3 squared,
    which is 9`, `after 3 days, 45`); a number that is said again in other units (`2 hours, which is 120 minutes`) is
    ambiguous, and the first is taken. A letter is read alike whichever it is, and in marks of HTML and Markdown.

    Args:
        response: what the model wrote.
        kind: `"number"`, `"expression"` (LaTeX), `"choice"` (a letter), `"text"` (a few words), `"whole"` (all of it).
        letters: of the choices, capitals.

    Returns:
        The answer; None if there is none. Of choices it may be several letters (`A and B`), which are no single one.

    Raises:
        ValueError: if `kind` is unknown.

    Example:
        >>> find_answer("So 3 * 400 = 1,200 dollars. The answer is $1,200.")
        FoundAnswer(text='$1,200', start=42, end=48)
        >>> find_answer("thus \\boxed{\\frac{1}{2}} holds").text, find_answer("The answer is A because", "choice").text
        ('\\frac{1}{2}', 'A')

    References:
        Cobbe et al. Training Verifiers to Solve Math Word Problems. arXiv 2110.14168, 2021 (the `####` convention).
        Hendrycks et al. Measuring Mathematical Problem Solving With the MATH Dataset. NeurIPS 2021.
    """
    check_choice("kind", kind, KINDS)
    if kind == "whole":
        whole = response.strip()
        start = response.find(whole)
        return FoundAnswer(whole, start, start + len(whole)) if whole else None
    folded, places = visible(response)
    if kind == "choice":
        folded = as_letters(folded)
    place, start = _announced(folded, kind, letters)
    place = (
        _corrected(folded, start, kind, letters) or place or (None if start else _unannounced(folded, kind, letters))
    )
    if place is None or place[0] >= place[1]:
        return None
    begin, end = places[place[0]], places[place[1] - 1] + 1
    return FoundAnswer(response[begin:end], begin, end)


def _announced(text: str, kind: AnswerKind, letters: str) -> tuple[tuple[int, int] | None, int]:
    """What is in a box or after a cue, and where the text goes on; 0: there is none of these."""
    box = last_box(text) or last_tag(text)
    if box is not None:
        return _in_box(text, box, kind, letters), box[0]
    cues = list((CHOICE_CUE if kind == "choice" else CUE).finditer(text))
    return (_after_cue(text, cues[-1], kind, letters), cues[-1].end()) if cues else (None, 0)


def _corrected(text: str, start: int, kind: AnswerKind, letters: str) -> tuple[int, int] | None:
    """What stands right after the last words that correct what was said after a place; None: nothing does."""
    for mark in reversed(list(CORRECTION.finditer(text, start))):
        at = mark.end()
        if not any(map(str.isalnum, text[start : mark.start("mark")])):
            continue
        end = sentence_end(text, at, _line_end(text, at))
        if kind == "number":
            place = said(text, at, min(end + 1, len(text)))
            place = place and beside(text, at, place, end)
        elif kind == "choice":
            letter = find_letter(text, at, end, letters, cue="is")
            place = (letter.start, letter.start + len(letter.text)) if letter else None
        else:
            place = trimmed(text, at, end, _QUOTES)
            words = text[slice(*place)].split()
            named = mark["said"] or (0 < len(words) < 5 and words[0].lower() not in BEGINNERS)
            right = named if kind == "text" else is_formula(clean(text[slice(*place)])[0])
            place = place if right else None
        if place is not None and place[0] < place[1] and _FILLERS.fullmatch(text, at, place[0]):
            return place
    return None


def _line_end(text: str, start: int) -> int:
    line = text.find("\n", start)
    return min(len(text) if line < 0 else line, start + _LONGEST)


def _unannounced(text: str, kind: AnswerKind, letters: str) -> tuple[int, int] | None:
    if kind == "number":
        return _alone(text) or last_number(text, max(0, len(text) - _END))
    if kind == "expression":
        return _last_formula(text, max(0, len(text) - _END))
    if kind != "choice":
        return None
    alone = "colon" if re.fullmatch(r"\W*[A-Za-z]\W*", text) else ""
    letter = _opening(text, letters) or find_letter(
        text, max(0, len(text) - _END), len(text), letters, cue=alone, last=True
    )
    if letter is None and len(_LABELLED.findall(text)) == 1 and _LABELLED.match(text):  # a. Paris
        letter = find_letter(text, 0, len(text), letters, cue="colon")
    return (letter.start, letter.start + len(letter.text)) if letter else None


def _opening(text: str, letters: str) -> Letter | None:
    """The letter that a text opens with, before a pause or a reason, if it concludes nothing else: `B. Unlike A`."""
    letter = find_letter(text, 0, len(text), letters, cue="colon")
    if letter is None or len(letter.letters) > 1 or re.search(r"\w", text[: letter.start]):
        return None
    after = re.compile(r"[)\]}\"'*_]*\s*(?:[.,:;!—–)-]|\n|([a-z']+))").match(text, letter.start + 1)
    if not letter.text.isupper() or after is None or (after[1] and after[1] not in WORDS_AFTER):
        return None
    return None if len(_LABELLED.findall(text)) > 1 or _CONCLUDED.search(text, after.end()) else letter


def _last_formula(text: str, start: int) -> tuple[int, int] | None:
    """All of a text that is a formula, what is last between signs of mathematics, or else the last formula; nothing
    where a box was begun and not ended."""
    if re.search(r"\\f?boxed\s*\{[^{}]*$", text[start:]):
        return None
    whole = trimmed(text, start, len(text), _OUTER + ".")
    if len(text) <= _SHORT and not _PROSE.search(text) and is_formula(clean(text[slice(*whole)])[0]):
        return whole
    marked = [found.span(found.lastindex or 0) for found in _MATHEMATICS.finditer(text, start)]
    listed_ = [one[:2] for one in (*formulas(text, start), *quantities(text, start))]
    last = max((one for one in marked or listed_), key=lambda one: one[1], default=None)
    return last and trimmed(text, *last, _OUTER + ".,;")


def _alone(text: str) -> tuple[int, int] | None:
    """Of a text that is a number, or a number in words and perhaps its unit."""
    if len(text) > _SHORT:
        return None
    mark, rest = bounded(text.strip(_QUOTES))
    if mark and parse_quantity(rest) is not None:
        return trimmed(text, 0, len(text), _QUOTES)
    if parse_quantity(text) is not None and (found := next(quantities(text, spaced=True), None)) is not None:
        return found[:2]
    spelled = find_spelled(text)
    if spelled is None or spelled.value is None or not re.fullmatch(r"\W*", text[: spelled.start]):
        return None
    return spelled[:2] if re.fullmatch(r"(?:\s[A-Za-z]+)?\W*", text[spelled.end :]) else None


def _in_box(text: str, box: tuple[int, int], kind: AnswerKind, letters: str) -> tuple[int, int]:
    start, end = trimmed(text, *box, _OUTER)
    if kind != "expression":
        end = min(end, start + _LONGEST)
    if start == end:
        return start, start  # an empty box is no answer, whatever is elsewhere
    if kind == "choice":
        letter = find_letter(text, start, end, letters, cue="is")
        return (letter.start, letter.start + len(letter.text)) if letter else (start, end)
    return beside(text, start, _number_in_box(text, start, end), end) if kind == "number" else (start, end)


def _number_in_box(text: str, start: int, end: int) -> tuple[int, int]:
    """The last side of a chain, without its unit: a number, or an expression without variables."""
    if len(_JOINED.findall(text[start:end])) > 1:
        return start, end
    constant, begin = None, end
    for sign in reversed([None, *_RELATION.finditer(text, start, end)]):
        stop, begin = begin, start if sign is None else sign.end()
        begin, stop = trimmed(text, begin, stop, _OUTER)
        whole, stop = stop, begin + len(without_unit(text[begin:stop])[0])
        if sign is not None and not is_named(clean(text[start : sign.start()].strip(_OUTER).rpartition("=")[2])[0]):
            return start, end  # 2x = 4 is no 4
        if time_of(text[begin:whole]) is not None:
            return begin, whole  # of a time the half of the day is no unit
        quantity = parse_quantity(text[begin:stop])
        if quantity is not None:
            return said(text, begin, stop) or (begin, stop)
        if constant is None and begin < stop and is_constant(text[begin:stop]):
            constant = begin, stop
        begin = start if sign is None else sign.start()
    if constant is not None:
        return constant
    several = listed(text, runs(text, quantities(text, start, end, spaced=True)), end) is not None
    return (None if several or _FUNCTION.search(text, start, end) else said(text, start, end)) or (start, end)


def _after_cue(text: str, cue: re.Match[str], kind: AnswerKind, letters: str) -> tuple[int, int] | None:
    start = cue.end()
    end = _line_end(text, start)
    if kind == "number":
        stop = min(sentence_end(text, start, end) + 1, end)
        for begin, last in ((start, stop), (stop, end)):
            if (place := said(text, begin, last)) is not None:
                return beside(text, begin, place, last) if place[0] < place[1] else place
        return None
    if kind == "choice":
        how = (
            "is" if any(name in ("is", "was", "said") for name, value in cue.groupdict().items() if value) else "colon"
        )
        letter = find_letter(text, start, end, letters, cue=how)
        return (letter.start, letter.start + len(letter.text)) if letter else None
    end = sentence_end(text, start, end)
    if kind == "text" and (reason := _REASON.search(text, start + 1, end)):
        end = reason.start()
    return trimmed(text, start, end, _QUOTES)


def answer_tokens(pieces: Sequence[str | bytes], start: int, end: int) -> Bool[ndarray, " tokens"]:
    r"""Which tokens hold the characters from `start` to `end` of a response.

    A token counts if it holds any part of them, so a token that joins a space or a piece of a character with the
    answer does too. Pieces of characters (tokens that split a UTF-8 sequence) must come as bytes.

    Args:
        pieces: what each token adds to the text, in order; together they are the response.
        start: first character of the answer.
        end: one past its last.

    Returns:
        A NumPy array.

    Example:
        >>> answer_tokens(["The", " answer", " is", " 4", "2", "."], 14, 16).tolist()
        [False, False, False, True, True, False]
    """
    import numpy as np

    raw = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    text = b"".join(raw).decode(errors="replace")
    first, last = len(text[:start].encode()), len(text[:end].encode())
    ends = np.cumsum([len(piece) for piece in raw]) if raw else np.zeros(0, int)
    starts = ends - np.array([len(piece) for piece in raw], int)
    return (starts < last) & (ends > first) & (ends > starts) & (last > first)
