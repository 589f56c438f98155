"""What a stated number is a share of: `80%`, `9/10`, `3 out of 5`, or a scale that was asked for."""

import math
import re

OF = r"(\s*(?:\\?%|per\s?cent\b|percentage\s+points?\b)|\s*/\s*\d+|\s+out\s+of\s+(?:a\s+)?\d+)?"
"""Behind a number, what it is of, as a group of a pattern."""
_SCALE = re.compile(r"(?<![\w.])[01](?:\.0)?\s*(?:-|–|—|\.\.|to|and)\s*(?:1|10|100)(?:\s*%|\.0)?(?![\w]|\.\d)", re.I)


def share(number: float, of: str | None, whole: float) -> float:
    """A number as a share.

    Args:
        number: as stated.
        of: what `OF` found behind it.
        whole: of the scale that was asked for, where nothing is said.

    Returns:
        In [0, 1]; NaN where it is more than all, or not clear: 0.9 on a scale of ten may be nine tenths.

    Example:
        >>> [share(*given, 10.0) for given in ((9.0, "/10"), (80.0, "%"), (50.0, "/ 50"), (8.0, None), (0.9, None))]
        [0.9, 0.8, 0.5, 0.8, nan]
    """
    total, said = whole, (of or "").strip().lstrip("\\")
    if said == "%" or said.lower().startswith("per"):
        total = 100.0
    elif said:
        total = float(re.sub(r"\D", "", said))
        if number == total == 50:  # fifty-fifty
            return 0.5
    elif whole > 1 and 0 < number < 1:
        return math.nan
    return number / total if total > 0 and 0.0 <= number <= total else math.nan


def without_scale(reply: str) -> str:
    """A reply without the scale that it repeats, which is no number of its own; all else stays in its place.

    Example:
        >>> without_scale("Confidence (0-100): 85")
        'Confidence (     ): 85'
    """
    return _SCALE.sub(lambda said: " " * len(said[0]), reply)
