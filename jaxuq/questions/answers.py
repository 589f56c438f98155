"""Final answers in text: where they are, which tokens hold them, and whether two of them say the same."""

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

from jaxtyping import Bool
from numpy import ndarray

from jaxuq._arrays import check_choice
from jaxuq.questions.expressions import equal_expressions

AnswerKind = Literal["number", "expression", "choice", "text"]
_KINDS = ("number", "expression", "choice", "text")
_NUMBER = r"[-+−]?\s?[$€£]?\s?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+|(?<=\d))(?:[eE][-+]?\d+)?"
_QUANTITY = re.compile(rf"(?<![\w.])({_NUMBER})(?:\s*/\s*(\d+))?\s?(\\?%)?")
_CUE = re.compile(r"(?:answer|result|solution)\s*(?:is|are|:|=)\s*:?\s*|####\s*", re.I)
_CHOICE = re.compile(r"\(([A-Za-z])\)|(?<![\w'’])([B-HJ-Z]|A(?!\s+[a-z]))(?![\w'’])")


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


class Grades(NamedTuple):
    """Graded responses.

    Attributes:
        correct: for each response; None where no answer was found.
        answers: what was found, with its place.
        failures: positions of the responses without an answer: leave them out of an evaluation and report their share.
    """

    correct: list[bool | None]
    answers: list[FoundAnswer | None]
    failures: list[int]


def find_answer(response: str, kind: AnswerKind = "number") -> FoundAnswer | None:
    r"""The final answer of a response, and where it is.

    In this order: the content of the last `\boxed{}` (nested braces are followed), what comes after the last "the
    answer is" or `####`, and otherwise the last number or choice of the text. `#### 1,234` and `$-3.50` are
    numbers; 2125 is one number.

    Args:
        response: what the model wrote.
        kind: `"number"` (with separators, sign, decimals, percent, fraction), `"expression"` (LaTeX), `"choice"` (a
            letter, in brackets or alone), `"text"` (a few words).

    Returns:
        The answer; None if there is none.

    Raises:
        ValueError: if `kind` is unknown.

    Example:
        >>> find_answer("So 3 * 400 = 1,200 dollars. The answer is $1,200.")
        FoundAnswer(text='$1,200', start=42, end=48)
        >>> find_answer("thus \\boxed{\\frac{1}{2}} holds", "expression").text
        '\\frac{1}{2}'

    References:
        Cobbe et al. Training Verifiers to Solve Math Word Problems. arXiv 2110.14168, 2021 (the `####` convention).
        Hendrycks et al. Measuring Mathematical Problem Solving With the MATH Dataset. NeurIPS 2021.
    """
    check_choice("kind", kind, _KINDS)
    box = _last_box(response)
    if box is not None:
        start, end = _trimmed(response, *box, "$ \t\n\r")
        if start == end:
            return None
        if kind in ("number", "choice"):
            return _last(response, start, end, kind) or FoundAnswer(response[start:end], start, end)
        return FoundAnswer(response[start:end], start, end)
    cues = list(_CUE.finditer(response))
    if cues:
        start = cues[-1].end()
        line = response.find("\n", start)
        end = len(response) if line < 0 else line
        if kind in ("number", "choice"):
            found = _first(response, start, end, kind)
            if found is not None:
                return found
        else:
            stop = re.search(r"[.!?](?:\s|$)", response[start:end])
            start, end = _trimmed(response, start, start + stop.start() if stop else end, "$ \t*\"'.,:;")
            if start < end:
                return FoundAnswer(response[start:end], start, end)
    if kind in ("number", "choice"):
        return _last(response, 0, len(response), kind)
    return None


def _last_box(text: str) -> tuple[int, int] | None:
    for match in reversed(list(re.finditer(r"\\f?boxed\s*\{", text))):
        depth = 1
        for place in range(match.end(), len(text)):
            escaped = text[place - 1] == "\\"
            depth += {"{": 1, "}": -1}.get(text[place], 0) * (not escaped)
            if depth == 0:
                return match.end(), place
    return None


def _trimmed(text: str, start: int, end: int, characters: str) -> tuple[int, int]:
    while start < end and text[start] in characters:
        start += 1
    while end > start and text[end - 1] in characters:
        end -= 1
    return start, end


def _all(text: str, start: int, end: int, kind: str) -> list[FoundAnswer]:
    pattern = _QUANTITY if kind == "number" else _CHOICE
    found = []
    for match in pattern.finditer(text, start, end):
        if kind == "choice":
            group = 1 if match.group(1) else 2
            found.append(FoundAnswer(match.group(group), match.start(group), match.end(group)))
            continue
        first, last = _trimmed(text, match.start(), match.end(), " \t\n")
        if any(character.isdigit() for character in text[first:last]):
            previous = text[first - 1] if first else " "
            if text[first] in "-+−" and previous.isdigit():  # a difference, not a sign: "7-3"
                first += 1
            found.append(FoundAnswer(text[first:last], first, last))
    return found


def _first(text: str, start: int, end: int, kind: str) -> FoundAnswer | None:
    found = _all(text, start, end, kind)
    return found[0] if found else None


def _last(text: str, start: int, end: int, kind: str) -> FoundAnswer | None:
    found = _all(text, start, end, kind)
    return found[-1] if found else None


def _parse_number(text: str) -> tuple[Fraction, bool] | None:
    """The value as a fraction and whether a percent sign stood beside it; None if it is no number."""
    match = _QUANTITY.fullmatch(text.strip().strip("$").strip().rstrip("."))
    if not match or not any(character.isdigit() for character in match.group(1)):
        return None
    digits = re.sub(r"[\s,$€£]", "", match.group(1)).replace("−", "-")
    if len(digits) > 400 or re.search(r"[eE][-+]?\d{4}", digits):
        return None
    value = Fraction(digits)
    if match.group(2):
        if int(match.group(2)) == 0:
            return None
        value /= int(match.group(2))
    return value, bool(match.group(3))


def equivalent_answers(first: str, second: str, kind: AnswerKind = "number") -> bool:
    r"""Whether two answers say the same.

    Numbers: exact comparison of fractions (1,200 = 1200.0; 0.5 = 1/2); where one has a percent sign and the other has
    not, both as written and divided by 100 count. Expressions: equal after normalising the LaTeX, or equal in value at
    several points (no code of the answer is run). Choices: the letter. Text: words, without case, articles and outer
    punctuation.

    Args:
        first: an answer.
        second: another, such as the truth.
        kind: see `find_answer`.

    Returns:
        True if they are equivalent.

    Raises:
        ValueError: if `kind` is unknown.

    Example:
        >>> equivalent_answers("1,200", "1200.00"), equivalent_answers("\\frac12", "0.5", "expression")
        (True, True)
        >>> equivalent_answers("(A)", "a", "choice"), equivalent_answers("The Paris.", "paris", "text")
        (True, True)

    References:
        Hendrycks et al. Measuring Mathematical Problem Solving With the MATH Dataset. NeurIPS 2021.
    """
    check_choice("kind", kind, _KINDS)
    if kind == "choice":
        letters = [re.sub(r"[^A-Za-z]", "", text) for text in (first, second)]
        return bool(letters[0]) and letters[0].lower() == letters[1].lower()
    if kind == "text":
        words = [" ".join(_plain_words(text)) for text in (first, second)]
        return bool(words[0]) and words[0] == words[1]
    one, other = _parse_number(first), _parse_number(second)
    if one is not None and other is not None:
        (a, percent_a), (b, percent_b) = one, other
        return a == b or (percent_a != percent_b and (a / 100 if percent_a else a) == (b / 100 if percent_b else b))
    return kind == "expression" and equal_expressions(first, second)


def _plain_words(text: str) -> list[str]:
    words = [word.strip(".,;:!?\"'“”‘’()[]*") for word in text.lower().split()]
    return [word for word in words if word and word not in ("a", "an", "the")]


def grade_answers(responses: Sequence[str], truths: Sequence[str], kind: AnswerKind = "number") -> Grades:
    r"""Find the answer of each response and compare it with the truth.

    Args:
        responses: what the model wrote.
        truths: the right answers; a truth with its own derivation (`... #### 18`) is read like a response.
        kind: see `find_answer`.

    Returns:
        `Grades`; a response without an answer is counted, not guessed.

    Raises:
        ValueError: if the numbers of responses and truths differ, or `kind` is unknown.

    Example:
        >>> grades = grade_answers(["It is 4.", "no idea", "5"], ["4", "4", "4"])
        >>> grades.correct, grades.failures
        ([True, None, False], [1])
    """
    if len(responses) != len(truths):
        raise ValueError(f"{len(responses)} responses and {len(truths)} truths; expected one truth for each response")
    answers = [find_answer(response, kind) for response in responses]
    correct: list[bool | None] = []
    for answer, truth in zip(answers, truths):
        derived = "####" in truth or "\\boxed" in truth
        found = find_answer(truth, kind) if derived else None
        correct.append(
            None if answer is None else equivalent_answers(answer.text, found.text if found else truth, kind)
        )
    return Grades(correct, answers, [place for place, answer in enumerate(answers) if answer is None])


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
