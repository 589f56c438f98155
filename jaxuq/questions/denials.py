"""What denies an answer, before it or behind it, be it a letter, a number or words; and what makes one of several."""

import re

from jaxuq.questions.words import BEGINNERS

_NAMES = r"(?:options?|choices?|letters?|alternatives?|answers?)"
_BEFORE = re.compile(
    r"(?:(?:\b(?:not|never|cannot|none of|neither(?: of)?|nor|rather than|instead of|except(?: for)?|other than|unlike|"
    r"(?:eliminat|exclud)(?:e|es|ed|ing)|rul(?:e|es|ed|ing) out|reject(?:s|ed|ing)?|(?:any|every)thing but|no longer|"
    r"far from|as opposed to|in contrast to|different from|incorrect:|wrong:)|n't)(?:\s+(?:be|equal\s+to|even))?\s+"
    r"|(?:(?:\bdoubt|(?:\bnot|n't)\s+(?:think|believe|say|know|sure|certain))\b|\bwhether\b)[^.,;:!?]{0,30}\s"
    r"|(?:≠|!=|\\neq?(?![a-z]))\s*)"
    rf"(?:(?:the\s+)?{_NAMES}\s+|(?:the|an?|in)\s+)?[(\[\"'*_$]*$",
    re.I,
)
_AFTER = re.compile(
    r"[)\]\"'*_$]*(?:\s+(?:(?:is|was|are|were|would be|must be)\s+"
    r"(?:(?:all|both|also|clearly|definitely|certainly)\s+)?(?:not|wrong|incorrect|false|out|eliminated|"
    r"excluded|ruled out|a distractor)\b|(?:is|was|are|were)n't\b)"
    r"|\s?\?+[\"')]*\s*(?:no(?:pe)?\b|not\b|wrong\b|never\b|i (?:doubt|do not|don't) )|,\s+no\b)",
    re.I,
)
_ALTERNATIVE = re.compile(
    r"[)\]\"'*_]*\s*(?:/|(?:,\s*)?\b(?:and/or|or|versus|vs\.?|possibly|maybe|perhaps)\b"
    r"|(?:,[^,.;:!?]{1,40})*,?\s+(?:and|&|or)\s+(?P<other>[\w']+)(?P<rest>[^,.;:!?]*))",
    re.I,
)
_SECOND = re.compile(r"(?:/|\b(?:either|between|and/or|or|and|&|versus|vs\.?))\s+(?:the\s+|an?\s+)?[(\[\"'*_]*$", re.I)


def denied(text: str, start: int, end: int) -> bool:
    """Whether what is between two places is denied: `not B`, `anything but Paris`, `5? No`, `A is wrong`.

    Args:
        text: of `fold`.
        start: of what may be denied.
        end: of it.

    Returns:
        True if it is.

    Example:
        >>> [denied(text, text.index("5"), text.index("5") + 1) for text in ("not 5", "5? No.", "It is 5", "x ≠ 5")]
        [True, True, False, True]
    """
    return bool(_BEFORE.search(text[max(0, start - 60) : start]) or _AFTER.match(text, end))


def one_of_several(text: str, start: int, end: int) -> bool:
    """Whether words are one of several that a text names: `Paris or Rome`, `Paris, London and Rome`.

    What `and` joins is another one if it is a name, or no more than two words that no sentence begins with. After a
    comma alone there may be more about the same (`Paris, France`).

    Args:
        text: of `fold`.
        start: of the words.
        end: of them.

    Returns:
        True if they are.

    Example:
        >>> [one_of_several(text, 0, 5) for text in ("Paris or Rome", "Paris, Nice and Rome", "Paris, and it is old")]
        [True, True, False]
    """
    more = _ALTERNATIVE.match(text, end)
    if more is not None and more["other"]:
        named = more["other"].lower() not in BEGINNERS
        more = more if named and (more["other"][0].isupper() or len(more["rest"].split()) < 2) else None
    return more is not None or _SECOND.search(text[:start]) is not None
