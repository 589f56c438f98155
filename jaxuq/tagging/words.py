"""Words of a text with their places."""

import functools
import re
import unicodedata

_JOINERS = "\u00ad\u200c\u200d\u2060"  # within words, and of no width
_BLANKS = "\u200b\ufeff"  # of no width, between words
# Scripts without blanks between words, and syllables to which particles are joined: every character is a word.
_ALONE = "\u0e01-\u0e3a\u0e40-\u0eff\u1000-\u109f\u1780-\u17b3\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_ALONE += "\uac00-\ud7a3\uf900-\ufaff\U00020000-\U000323af"


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are.

    Runs of letters and digits with the marks on them (and apostrophes inside), numbers with their points, every
    character of Han, kana, Hangul, Thai, Lao, Burmese and Khmer, and every other sign by itself.

    Args:
        text: any text; control characters and right-to-left text included.

    Returns:
        First character and one behind the last of each.

    Example:
        >>> text = "A gap of 1.6 eV, 東京."
        >>> [text[start:end] for start, end in word_places(text)]
        ['A', 'gap', 'of', '1.6', 'eV', ',', '東', '京', '.']
    """
    return [match.span() for match in _words().finditer(text)]


@functools.cache
def _words() -> re.Pattern[str]:
    marks, start = [], None
    for code in range(0x300, 0x1F000):  # combining marks, as ranges
        if unicodedata.category(chr(code))[0] == "M":
            start = code if start is None else start
        elif start is not None:
            marks.append(f"{chr(start)}-{chr(code - 1)}")
            start = None
    inner = f"{''.join(marks)}\ufe00-\ufe0f{_JOINERS}"
    run = f"[^\\W{_ALONE}][^\\W{_ALONE}]*(?:[{inner}]+[^\\W{_ALONE}]*)*"
    return re.compile(
        rf"\d+(?:[.,]\d+)*(?![{inner}])|[{_ALONE}][{inner}]*|{run}(?:['’]{run})*|[^\w\s{_BLANKS}{inner}][{inner}]*|[{inner}]+"
    )
