"""Words of a text with their places."""

import re

_WORD = re.compile(r"\d+(?:[.,]\d+)*|\w+(?:['’]\w+)*|[^\w\s]")


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of a text are.

    Runs of letters and digits (with apostrophes inside), numbers with their points, and every other sign by itself.

    Args:
        text: any text; control characters and right-to-left text included.

    Returns:
        First character and one behind the last of each.

    Example:
        >>> text = "A gap of 1.6 eV."
        >>> [text[start:end] for start, end in word_places(text)]
        ['A', 'gap', 'of', '1.6', 'eV', '.']
    """
    return [match.span() for match in _WORD.finditer(text)]
