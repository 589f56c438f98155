"""Characters that look different and mean the same: folded one by one, so that places in a text stay what they are."""

import re
import unicodedata

_DASHES = "‐‑‒–—―−﹣－"
_APOSTROPHES = "‘’‚‛′´`＇"
_QUOTES = "“”„‟″«»＂"
_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u2061\u2062\u2063\ufeff"
_FONTS = re.compile(
    r"\\(?:text|text(?:bf|it|rm|sf|tt|sc|up|normal)|math(?:rm|bf|it|sf|tt|normal)|mbox|hbox|emph|underline|operatorname)"
    r"\s*\{([^{}]*)\}"
)
_SPACED = re.compile(r"\\[ ,;:!]|\\q?quad\b|~")
_ESCAPED = re.compile(r"\\([%&#_$])")
THIN = "\u2009"
"""What a space becomes that is no ordinary one, or is invisible: it may part the thousands of a number."""
_SINGLE = {
    **dict.fromkeys(map(ord, _DASHES), "-"),
    **dict.fromkeys(map(ord, _APOSTROPHES), "'"),
    **dict.fromkeys(map(ord, _QUOTES), '"'),
    **dict.fromkeys(map(ord, _SPACES + _INVISIBLE), THIN),
    **{ord(wide): chr(ord(wide) - 0xFEE0) for wide in map(chr, range(0xFF01, 0xFF5F)) if wide not in "－＇＂"},
    ord("٫"): ".",
    ord("٬"): ",",
    ord("·"): "*",
    ord("×"): "*",
    ord("⋅"): "*",
    ord("∙"): "*",
    ord("∗"): "*",
    ord("÷"): "/",
    ord("⁄"): "/",
    ord("∕"): "/",
    ord("٪"): "%",
    ord("﹪"): "%",
    ord("≃"): "≈",
    ord("≅"): "≈",
}


def fold(text: str) -> str:
    """Dashes, quotes, digits, spaces and full-width characters as the plain ones; as long as the text.

    Args:
        text: any.

    Returns:
        A text of the same length: what is found in it has the same place in `text`.

    Example:
        >>> fold("−３\u00a0’"), len(fold("–3 ½"))
        ("-3\u2009'", 4)
    """
    folded = text.translate(_SINGLE)
    if folded.isascii():
        return folded
    return "".join(
        str(unicodedata.decimal(one)) if not one.isascii() and unicodedata.decimal(one, None) is not None else one
        for one in folded
    )


def plain_words(text: str) -> list[str]:
    """The words of a text without case, accents' spelling, invisible characters, quotes and outer punctuation.

    Articles are left out unless there is nothing else, and so is what LaTeX says of fonts and spaces.

    Args:
        text: an answer.

    Returns:
        Words to compare.

    Example:
        >>> plain_words("The “Cafe\u0301\u200b”."), plain_words("A"), plain_words("St. Petersburg")
        (['caf\u00e9'], ['a'], ['st', 'petersburg'])
    """
    text = fold("".join(one for one in text if one not in _INVISIBLE))
    for _ in range(5):  # fonts within fonts
        text, changed = _FONTS.subn(r"\1", text)
        if not changed:
            break
    text = _ESCAPED.sub(r"\1", _SPACED.sub(" ", text))
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    stripped = [word.strip(".,;:!?\"'()[]{}*_$") for word in text.replace("...", " ").split()]
    words = [word.replace(".", "") if _abbreviated(word) else word for word in stripped if word]
    return [word for word in words if word not in ("a", "an", "the")] or words


def _abbreviated(word: str) -> bool:
    """u.s.a, but not 3.5 or example.org"""
    return "." in word and all(len(part) == 1 and part.isalpha() for part in word.split("."))
