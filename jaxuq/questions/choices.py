"""What a question may be answered by: its choices, by their letters, their texts, or their places."""

import re
from typing import NamedTuple

from jaxuq.questions.answers import FoundAnswer, find_answer
from jaxuq.questions.characters import plain_words, visible
from jaxuq.questions.comparing import compare_answers, letters_in
from jaxuq.questions.denials import denied
from jaxuq.questions.kinds import kind_of
from jaxuq.questions.letters import ALPHABET
from jaxuq.questions.records import Question

_LISTED = re.compile(r"\(([A-Z])\)\s*([^\n]*?)\s*(?=\([A-Z]\)|\n|$)")
_ORDER = "first second third fourth fifth sixth seventh eighth ninth tenth"
_COUNT = "one two three four five six seven eight nine ten"
_NOUN = r"(?:option|choice|answer|alternative)"
_PLACE = re.compile(
    rf"\b(?:(?P<order>{_ORDER.replace(' ', '|')}|(?P<nth>\d\d?)(?:st|nd|rd|th)|(?P<last>last|final))\s+(?:{_NOUN}|one)"
    rf"(?!\s*(?::|is\s+[A-Z]\b))|{_NOUN}\s+(?:number\s+)?#?(?P<count>\d\d?|{_COUNT.replace(' ', '|')}))(?![\w.]\w|\w)",
    re.I,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


class _Held(NamedTuple):
    start: int
    end: int
    letter: str


def _index(words: str, word: str) -> int:
    return words.split().index(word)


def choices_of(question: Question) -> dict[str, str]:
    """The choices of a question by their letters, be they its own or listed after "Options:" in what it asks.

    Args:
        question: any.

    Returns:
        Empty: there are none.

    Example:
        >>> choices_of(Question("a", "Which? Options: (A) one (B) two", ("A",), "choice"))
        {'A': 'one', 'B': 'two'}
    """
    if question.choices:
        return dict(zip(ALPHABET, question.choices))
    listed = dict(_LISTED.findall(question.question.rpartition("Options:")[2]))
    return listed if len(listed) > 1 else {}


def letters_of(question: Question) -> str:
    """The letters that a question of choices may be answered by: those of its choices, or that it lists itself.

    Args:
        question: any.

    Returns:
        Capitals; all there are, where nothing is known.

    Example:
        >>> letters_of(Question("a", "Which? Options: (A) one (B) two", ("A",), "choice"))
        'AB'
    """
    return "".join(choices_of(question)) or ALPHABET


def letter_of(answer: str, question: Question) -> str:
    """The letter that an answer stands for: its own, that of the one choice that it says, or of the place it names.

    Args:
        answer: as found, or as the truth.
        question: of choices.

    Returns:
        A capital, or several (`A and B`); empty: none.

    Example:
        >>> colour = Question("a", "Which?", ("B",), "choice", ("Red", "Green", "Blue"))
        >>> [letter_of(answer, colour) for answer in ("(b)", "green", "the last one", "option two", "yellow")]
        ['B', 'B', 'C', 'B', '']
    """
    choices = choices_of(question)
    texts = {letter: text for letter, text in choices.items() if len("".join(plain_words(text))) > 1 or text.isdigit()}
    kind = kind_of(list(choices.values())) if choices else "text"
    said = [letter for letter, text in texts.items() if compare_answers(answer, text, kind).equal]
    if len(said) == 1:
        return said[0]
    letters = letters_in(answer)
    if letters or not choices:
        return letters
    held = _held(visible(answer)[0], choices)
    return "".join(sorted({one.letter for one in held}))


def find_choice(response: str, question: Question) -> FoundAnswer | None:
    """The choice that a response names by its text or its place, or else by its letter.

    Its text counts where the answer, after a cue or in a box, is just that, or where the last sentence that names any
    choice without denying it names one.

    Args:
        response: what the model wrote.
        question: of choices.

    Returns:
        As written; `letter_of` says which. None: there is none.

    Example:
        >>> colour = Question("a", "Which?", ("B",), "choice", ("Red", "Green", "Blue"))
        >>> find_choice("The answer is Green.", colour).text, find_choice("Not red. I take the last one.", colour).text
        ('Green', 'last one')
    """
    choices = choices_of(question)
    found = find_answer(response, "choice", letters="".join(choices) or ALPHABET)
    if not choices:
        return found
    kind = kind_of(list(choices.values()))
    said = find_answer(response, kind if kind != "text" and found is None else "text")
    if said is not None and (len(said.text) > 1 or said.text.isdigit()) and len(letter_of(said.text, question)) == 1:
        if found is None or not letters_in(found.text) or not said.start <= found.start < said.end:
            return said if found is None or not letters_in(found.text) else found
        if any(plain_words(said.text) == plain_words(text) for text in choices.values()):
            return said
    if found is not None and letters_in(found.text):
        return found
    text, places = visible(response)
    end = len(text)
    for sentence in reversed(_SENTENCE.split(text)):
        begin = text.rfind(sentence, 0, end)
        end = begin
        held = _held(text, choices, begin, begin + len(sentence)) if sentence else []
        if held:
            first, last = places[min(one.start for one in held)], places[max(one.end for one in held) - 1] + 1
            return FoundAnswer(response[first:last], first, last)
    return found


def _held(text: str, choices: dict[str, str], start: int = 0, end: int | None = None) -> list[_Held]:
    """Choices that a stretch names by text or place, and does not deny; of two in one place the longer."""
    end = len(text) if end is None else end
    held = []
    for letter, choice in choices.items():
        words = visible(choice)[0].strip(" .").split()
        if len("".join(words)) < 2 or not words:
            continue
        form = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)", re.I)
        held += [_Held(*one.span(), letter) for one in form.finditer(text, start, end)]
    for one in _PLACE.finditer(text, start, end):
        order, count = (one["order"] or "").lower(), (one["count"] or "").lower()
        number = int(one["nth"] or (count if count.isdigit() else 0) or 0)
        number = len(choices) if one["last"] else number
        number = number or (_index(_ORDER, order) if order else _index(_COUNT, count)) + 1
        if number <= len(choices):
            held.append(_Held(*one.span(), ALPHABET[number - 1]))
    apart = [
        one
        for one in held
        if not any(
            other.start <= one.start and one.end <= other.end and other.end - other.start > one.end - one.start
            for other in held
        )
    ]
    return [one for one in apart if not denied(text, one.start, one.end)]


def with_letters(question: Question) -> Question:
    """A question whose right choices are given by their letters, be they given by text or by letter before.

    Args:
        question: any; one without choices stays as it is.

    Returns:
        The question.

    Raises:
        ValueError: a right one is none of the choices.

    Example:
        >>> with_letters(Question("a", "Which?", ("Green",), "choice", ("Red", "Green"))).answers
        ('B',)
    """
    letters = choices_of(question)
    if question.kind != "choice" or not letters:
        return question
    answers = (question.answers,) if isinstance(question.answers, str) else question.answers
    right = [letter_of(one, question) for one in answers]
    unknown = [one for one, letter in zip(answers, right) if letter not in letters]
    if unknown:
        raise ValueError(f"`answer` ({unknown[0]}) is none of the options {', '.join(letters)}")
    return question._replace(answers=tuple(right))


def wrong_letters(question: Question) -> tuple[str, ...]:
    """The letters of its wrong choices.

    Args:
        question: with letters as right answers.

    Returns:
        None for a question without choices.
    """
    letters = choices_of(question) if question.kind == "choice" else {}
    return tuple(letter for letter in letters if letter not in question.answers)
