"""Where a text says its answer: in a box, after a cue, and after the words that correct what was said before."""

import re

from jaxuq.questions.words import AFTER_NAMES, BEGINNERS, SHORTENED, TITLES

_BOX = re.compile(r"\\(?:f?boxed|fbox)\s*\{")
CUE = re.compile(
    r"(?:answer|result|solution)[*_]*\s*(?:(?P<is>is|are|was|would be|should be|must be)\b[*_]*|:|=)[*_\s]*:?[*_]*\s*"
    r"|####\s*", re.I
)  # fmt: skip
CHOICE_CUE = re.compile(
    CUE.pattern + r"|(?:option|choice)[*_]*\s*(?:(?P<was>is)\b|:)[*_\s]*"
    r"|(?P<said>\bI(?:['’](?:d|ll)|\s+would|\s+will)?\s+(?:say|pick|choose|select|go\s+with|vote\s+for)"
    r"|\bmy\s+(?:pick|guess|vote|bet)\s+(?:is|would\s+be)|(?:^|[.!\n]\s*)(?:choose|pick|select))\s+"
    r"(?:it(?:['’]s|\s+is)\s+)?(?=[\"'(\[*_]{0,3}(?:option\s+|choice\s+)?[\"'(\[*_]{0,3}(?-i:[A-Z])(?![A-Za-z]))", re.I
)  # fmt: skip
_ANSWER = r"(?:answer|option|choice|result|solution|value|number|total|one|amount|letter)"
_ERROR = r"(?:wrong|incorrect|mistaken|a\s+mistake|an\s+error)"
_WRONG = "|".join(  # words by which a text takes back what it said
    (
        r"(?:oh\s+)?wait|hold\s+on|hmm+|actually|w?oops|sorry|(?:my\s+)?apologies|correct(?:ion|ed)|(?:scratch|strike)\s+that",
        r"no(?=\s*[,.:;!-]|\s+wait\b)|on\s+(?:second\s+thoughts?|reflection)|or\s+rather|make\s+that|my\s+(?:mistake|bad|error)",
        r"i\s+mean(?:t)?(?:\s+to\s+say)?|i(?:'ve|\s+have)?\s+ma[dk]e\s+an?\s+(?:\w+\s+)?(?:mistake|error|slip)",
        rf"(?:i\s+(?:was|am)|(?:that|this|it)(?:'s|\s+is|\s+was|\s+looks)?)\s+{_ERROR}",
        r"(?:that|this|it)(?:'s|\s+is|\s+was)?\s+not\s+(?:right|correct|it)|(?:that|this|it)\s+(?:is|was|can)n?'t\s+(?:be\s+)?(?:right|correct)",
        r"(?:let\s+me|i(?:'ll|\s+will|\s+must|\s+should|\s+need\s+to))\s+(?:correct|fix|revise|redo|change|recalculate|reconsider)"
        r"[^.!?:;\n]{0,40}",
        r"(?:sorry|apologies)\s+for[^.!?;\n]{0,30}",
    )
)
_SAID = (
    r"(?:(?:so|and|but|then|therefore|thus|hence|now|i think|which means)\b[\s,]*)*(?:(?:"
    rf"it|that|this|(?:the|my)(?:\s+\w+)?\s+{_ANSWER})(?:'s|\s+(?:is|was|(?:should|must|would|will)\s+be|has\s+to\s+be|"
    r"becomes|equals))(?:\s+(?:actually|really|in\s+fact))?|(?:should|must)\s+(?:be|have\s+been))(?!\w)"
)
_GAP = r"[\s,.:;!?…*_\"')(-]{0,8}"
CORRECTION = re.compile(
    rf"(?<=[.!?,;:\n(…-]){_GAP}(?P<mark>(?:(?:{_WRONG})(?!\w){_GAP}){{1,6}})(?:[^.!?\n]{{0,90}}?[.,;:]\s*(?={_SAID}))?"
    rf"(?P<said>{_SAID})?[\s:*_,]{{0,8}}",
    re.I,
)
"""Up to where a corrected answer begins, in a text of `fold`."""


def sentence_end(text: str, start: int, end: int) -> int:
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


def last_box(text: str) -> tuple[int, int] | None:
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


def last_tag(text: str) -> tuple[int, int] | None:
    """What the last `<answer>` that is closed holds."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, max(end, 0))
    return (start + len("<answer>"), end) if start >= 0 else None


def trimmed(text: str, start: int, end: int, characters: str) -> tuple[int, int]:
    """A stretch without what it begins and ends with."""
    while start < end and text[start] in characters:
        following = text[start + 1 : start + 2]
        if (text[start] == "." and following.isalnum()) or (  # .5, .NET, $3 and
            text[start] == "$" and following.isdigit() and text.count("$", start, end) % 2
        ):
            break
        start += 1
    while end > start and text[end - 1] in characters:
        end -= 1
    return start, end
