"""The letters that a question may be answered by, right ones and wrong ones."""

import re

from jaxuq.questions.letters import ALPHABET
from jaxuq.questions.records import Question

_LISTED = re.compile(r"\(([A-Z])\)")


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
    if question.choices:
        return ALPHABET[: len(question.choices)]
    listed = dict.fromkeys(_LISTED.findall(question.question.rpartition("Options:")[2]))
    return "".join(listed) if len(listed) > 1 else ALPHABET


def wrong_letters(question: Question) -> tuple[str, ...]:
    """The letters of its wrong choices.

    Args:
        question: any.

    Returns:
        None for a question without choices.

    Raises:
        ValueError: the right one is not among them.
    """
    letters = letters_of(question)
    if question.kind != "choice" or letters == ALPHABET:
        return ()
    unknown = [one for one in question.answers if one not in letters]
    if unknown:
        raise ValueError(f"`answer` ({unknown[0]}) is none of the options {', '.join(letters)}")
    return tuple(letter for letter in letters if letter not in question.answers)
