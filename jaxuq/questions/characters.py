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
_SPACED = re.compile(r"\\[ ,;:!]|\\q?quad\b|(?<=\w)~(?=\w)")
_ESCAPED = re.compile(r"\\([%&#_$])")
_STRUCK = re.compile(r"~~(?=\S)[^~\n]+~~")
_TAG = re.compile(
    r"<(?P<closing>/?)(?P<name>b|i|u|em|strong|p|span|code|mark|center|big|small|tt|kbd|h[1-6]|li|div|font|s|del|strike)"
    r"(?:\s[^<>]*)?>",
    re.I,
)
_ENDS = re.compile(r"<\|[a-z_]{1,20}\|>|</s>\s*$|<(?:eos|end_of_turn)>|\[/INST\]")  # what models end with, as text
_LEADING = re.compile(r"^(?:[\"'(\[{*_$,;:?]|\.(?!\w))+(?=.)")
_NOTED = {  # what a compatible character would say otherwise: `2⁵` is no `25`, `1½` no `11/2`
    **{raised: f"^{plain}" for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")},
    **{one: f" {unicodedata.normalize('NFKC', one)}" for one in "½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒"},
}
THIN = "\u2009"
"""What a space becomes that is no ordinary one, or is invisible: it may part the thousands of a number."""
_RANGE = re.compile(r"(?<=\d)[–—‒―](?=\d)")
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

    Of dashes that right between digits is a range (`5–6`), and stays, as `–`.

    Args:
        text: any.

    Returns:
        A text of the same length: what is found in it has the same place in `text`.

    Example:
        >>> fold("−３\u00a0’"), len(fold("–3 ½"))
        ("-3\u2009'", 4)
    """
    if text.isascii():
        return text.translate(_SINGLE)
    folded = _RANGE.sub("\x00", text).translate(_SINGLE).replace("\x00", "–")
    return "".join(
        str(unicodedata.decimal(one)) if not one.isascii() and unicodedata.decimal(one, None) is not None else one
        for one in folded
    )


def visible(text: str) -> tuple[str, list[int]]:
    """A text folded, without invisible characters, tags of fonts and what is struck out, and where its characters were.

    A zero-width space between letters parts words, and stays, as `THIN`.

    Args:
        text: any.

    Returns:
        The text, and a place in `text` for each of its characters, and one for its end.

    Example:
        >>> visible("1\u200b2\u2060"), visible("<b>A</b>")[0], visible("~~A~~ B")[0]
        (('12', [0, 2, 4]), 'A', ' B')
    """
    folded = fold(text)
    gone = {
        place
        for place, one in enumerate(text if any(one in text for one in _INVISIBLE) else "")
        if one in _INVISIBLE and not (one == "\u200b" and any(map(str.isalpha, text[max(place - 1, 0) : place + 2])))
    }
    gone.update(place for begin, end in _marks(text) for place in range(begin, end))
    if not gone:
        return folded, list(range(len(text) + 1))
    kept = [place for place in range(len(text)) if place not in gone]
    return "".join(folded[place] for place in kept), [*kept, len(text)]


def _marks(text: str) -> list[tuple[int, int]]:
    """Where tags are that are closed, ends of turns, and what is struck out."""
    found = [struck.span() for struck in _STRUCK.finditer(text)] if "~~" in text else []
    found += [end.span() for end in _ENDS.finditer(text)]
    opened: dict[str, list[re.Match[str]]] = {}
    for tag in _TAG.finditer(text) if "</" in text else ():
        name, stack = tag["name"].lower(), opened.setdefault(tag["name"].lower(), [])
        if not tag["closing"]:
            stack.append(tag)
        elif stack:
            begin = stack.pop()
            struck = name in ("s", "del", "strike")
            found += [(begin.start(), tag.end())] if struck else [begin.span(), tag.span()]
    return found


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
    text = visible("".join(one for one in text if one not in _INVISIBLE))[0].replace("–", "-")
    for _ in range(5):  # fonts within fonts
        text, changed = _FONTS.subn(r"\1", text)
        if not changed:
            break
    text = _ESCAPED.sub(r"\1", _SPACED.sub(" ", text))
    text = "".join(_NOTED.get(one, one) for one in text) if not text.isascii() else text
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).replace("⁄", "/")
    bare = [_LEADING.sub("", word.rstrip(".,;:!?\"')]}*_$")) for word in text.replace("...", " ").split()]
    stripped = [word.rstrip(".,;:!?\"')]}*_$") for word in bare]
    words = [word.replace(".", "") if _abbreviated(word) else word for word in stripped if word]
    return [word for word in words if word not in ("a", "an", "the")] or words or text.split()


def _abbreviated(word: str) -> bool:
    """u.s.a, but not 3.5 or example.org"""
    return "." in word and all(len(part) == 1 and part.isalpha() for part in word.split("."))
