"""Final answers in text: where they are, and which tokens hold them."""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from jaxtyping import Bool
from numpy import ndarray

from jaxuq._options import check_choice
from jaxuq.questions.chains import listed, runs
from jaxuq.questions.characters import THIN, visible
from jaxuq.questions.clocks import time_of
from jaxuq.questions.expressions import is_named
from jaxuq.questions.letters import ALPHABET, as_letters, find_letter
from jaxuq.questions.notation import clean
from jaxuq.questions.quantities import parse_quantity, quantities
from jaxuq.questions.spelled import find_spelled
from jaxuq.questions.stating import is_constant, last_number, said
from jaxuq.questions.units import without_unit
from jaxuq.questions.words import AFTER_NAMES, BEGINNERS, SHORTENED, TITLES

AnswerKind = Literal["number", "expression", "choice", "text", "whole"]
KINDS: tuple[AnswerKind, ...] = ("number", "expression", "choice", "text", "whole")
_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*\{")
_CUE = re.compile(
    r"(?:answer|result|solution)[*_]*\s*(?:(?P<is>is|are|was|would be|should be|must be)\b[*_]*|:|=)[*_\s]*:?[*_]*\s*"
    r"|####\s*", re.I
)  # fmt: skip
_CHOICE_CUE = re.compile(
    _CUE.pattern + r"|(?:option|choice)[*_]*\s*(?:(?P<was>is)\b|:)[*_\s]*"
    r"|(?P<said>\bI(?:['’](?:d|ll)|\s+would|\s+will)?\s+(?:say|pick|choose|select|go\s+with|vote\s+for)"
    r"|\bmy\s+(?:pick|guess|vote|bet)\s+(?:is|would\s+be)|(?:^|[.!\n]\s*)(?:choose|pick|select))\s+"
    r"(?:it(?:['’]s|\s+is)\s+)?(?=[\"'(\[*_]{0,3}(?:option\s+|choice\s+)?[\"'(\[*_]{0,3}(?-i:[A-Z])(?![A-Za-z]))", re.I
)  # fmt: skip
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
    after the last "the answer is" or `####`, and otherwise the last number or choice of the text. Numbers are read as
    people and LaTeX write them: `$-3.50`, `1{,}234`, `1.234,50`, `3 1/2`, `\frac{1}{2}`, `3 \times 10^5`, `5 million`,
    `0.\overline{3}`, a Unicode minus, and where there are no digits, but a cue, in words (`twelve`); of a chain of
    equalities, exact or not, the last side counts; units are left out; a formula (`3\pi`) is read as a whole. After a
    cue it is the first number that is neither reckoned with nor told as a circumstance (`3 squared, which is 9`, `after
    3 days, 45`); a number that is said again in other units (`2 hours, which is 120 minutes`) is ambiguous, and the
    first is taken. A letter is read alike whichever it is, and in marks of HTML and Markdown.

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
    place = _in_box(folded, kind, letters) or _after_cue(folded, kind, letters)
    if place is None and kind == "number":
        place = _alone(folded) or last_number(folded, max(0, len(folded) - _END))
    elif place is None and kind == "choice":
        alone = "colon" if re.fullmatch(r"\W*[A-Za-z]\W*", folded) else ""
        letter = find_letter(folded, max(0, len(folded) - _END), len(folded), letters, cue=alone, last=True)
        if letter is None and _LABELLED.match(folded) and len(_LABELLED.findall(folded)) == 1:  # a. Paris
            letter = find_letter(folded, 0, len(folded), letters, cue="colon")
        place = (letter.start, letter.start + len(letter.text)) if letter else None
    if place is None or place[0] >= place[1]:
        return None
    start, end = places[place[0]], places[place[1] - 1] + 1
    return FoundAnswer(response[start:end], start, end)


def _alone(text: str) -> tuple[int, int] | None:
    """Of a text that is a number, or a number in words and perhaps its unit."""
    if len(text) > _SHORT:
        return None
    if parse_quantity(text) is not None and (found := next(quantities(text, spaced=True), None)) is not None:
        return found[:2]
    spelled = find_spelled(text)
    if spelled is None or spelled.value is None or not re.fullmatch(r"\W*", text[: spelled.start]):
        return None
    return spelled[:2] if re.fullmatch(r"(?:\s[A-Za-z]+)?\W*", text[spelled.end :]) else None


def _in_box(text: str, kind: AnswerKind, letters: str) -> tuple[int, int] | None:
    box = _last_box(text) or _last_tag(text)
    if box is None:
        return None
    start, end = trimmed(text, *box, _OUTER)
    if kind != "expression":
        end = min(end, start + _LONGEST)
    if start == end:
        return start, start  # an empty box is no answer, whatever is elsewhere
    if kind == "choice":
        letter = find_letter(text, start, end, letters, cue="is")
        return (letter.start, letter.start + len(letter.text)) if letter else (start, end)
    return _number_in_box(text, start, end) if kind == "number" else (start, end)


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


def _after_cue(text: str, kind: AnswerKind, letters: str) -> tuple[int, int] | None:
    cues = list((_CHOICE_CUE if kind == "choice" else _CUE).finditer(text))
    if not cues:
        return None
    cue = cues[-1]
    start = cue.end()
    line = text.find("\n", start)
    end = min(len(text) if line < 0 else line, start + _LONGEST)
    if kind == "number":
        stop = min(_sentence_end(text, start, end) + 1, end)
        return said(text, start, stop) or said(text, stop, end)
    if kind == "choice":
        how = (
            "is" if any(name in ("is", "was", "said") for name, value in cue.groupdict().items() if value) else "colon"
        )
        letter = find_letter(text, start, end, letters, cue=how)
        return (letter.start, letter.start + len(letter.text)) if letter else None
    end = _sentence_end(text, start, end)
    if kind == "text" and (reason := _REASON.search(text, start + 1, end)):
        end = reason.start()
    return trimmed(text, start, end, _QUOTES)


def _sentence_end(text: str, start: int, end: int) -> int:
    """Where a sentence ends: no abbreviation (`St. Petersburg`), initial (`J. Rowling`) or number (`No. 5`) does it."""
    for stop in re.finditer(r"[.!?](?=[\"')\]*_]*(?:\s|$))", text[start:end]):
        place = start + stop.start()
        if text[place] == "!" and re.match(r"!\s*[-=+*/^≈]", text[place:end]):  # 4! = 24
            continue
        if text[place] != ".":
            return place
        word = re.search(r"[\w.]*$", text[max(start, place - 30) : place])
        before = word[0].lower() if word else ""
        if before.endswith("..") and re.match(r"\s+[a-z]", text[place + 1 : end]):  # ... or so
            continue
        following = re.match(r"[\"')\]*_\s]*([\w']+)", text[place + 1 : end])
        if following is None:
            return place
        after = following[1]
        name = after[0].isupper() and after.lower() not in BEGINNERS
        if before in TITLES or before in SHORTENED or (before == "no" and after[0].isdigit()):
            continue
        if (before in AFTER_NAMES or re.fullmatch(r"(?:[a-z]\.)*[a-z]", before)) and (name or after[0].islower()):
            continue
        return place
    return end


def _last_box(text: str) -> tuple[int, int] | None:
    """The content of the last box that is closed, in one pass."""
    boxes = {found.end() - 1: found.end() for found in _BOX.finditer(text)}
    if not boxes:
        return None
    found, opened, at = None, [], min(boxes)
    for sign in re.finditer(r"\\.|[{}]", text[at:], re.S):
        place = at + sign.start()
        if sign[0] == "{":
            opened.append(place)
        elif sign[0] == "}" and opened:
            begin = opened.pop()
            if begin in boxes and (found is None or begin > found[0] - 1):
                found = boxes[begin], place
    return found


def _last_tag(text: str) -> tuple[int, int] | None:
    """What the last `<answer>` that is closed holds."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, max(end, 0))
    return (start + len("<answer>"), end) if start >= 0 else None


def trimmed(text: str, start: int, end: int, characters: str) -> tuple[int, int]:
    """A stretch without what it begins and ends with."""
    while start < end and text[start] in characters:
        if text[start] == "." and text[start + 1 : start + 2].isalnum():  # .5, .NET
            break
        start += 1
    while end > start and text[end - 1] in characters:
        end -= 1
    return start, end


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
