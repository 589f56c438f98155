"""Words of a text with their places, so that every span can be verified: `text[start:end]`."""

import functools
import re
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxuq._extras import needed_package
from jaxuq.extraction.errors import ExtractionError
from jaxuq.tagging.words import word_places

if TYPE_CHECKING:
    from spacy.tokenizer import Tokenizer

TOKENIZERS = ("words", "spacy")


_LOOSE = re.compile(" (?=[\u0300-\u036f])")  # an accent by itself decomposes into a blank and the accent
_PLAIN = str.maketrans({
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f"),  # nothing to see
    **dict.fromkeys("‐‑‒–—―−﹣", "-"),
    **dict.fromkeys("‘’‚‛′ʼ", "'"),
    **dict.fromkeys("“”„‟″«»", '"'),
    **dict.fromkeys("\u2044\u2215", "/"),
})  # fmt: skip


def plain_text(text: str) -> str:
    """Text in the letters that a model may write it with: one form for all that reads alike.

    Compatible characters decomposed (NFKD: full width, sub- and superscripts, ligatures, accents), signs of no width
    dropped, dashes and quotes in their ASCII forms. For comparing only: places are always those of the text itself.

    Args:
        text: any.

    Returns:
        The text, which may have another length.

    Example:
        >>> plain_text("Ｈ₂Ｏ"), plain_text("e\u0301") == plain_text("é"), plain_text("co\u200b‑op")
        ('H2O', True, 'co-op')
    """
    return _LOOSE.sub("", unicodedata.normalize("NFKD", text)).translate(_PLAIN)


class TokenizedText(NamedTuple):
    """A text and its tokens.

    Attributes:
        text: as given.
        tokens: the words and signs.
        starts: first character of each token.
        ends: one behind the last character of each token; `text[starts[i]:ends[i]] == tokens[i]`.
    """

    text: str
    tokens: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """The character span of tokens `start` to `end` (exclusive, at least one token)."""
        return self.starts[start], self.ends[end - 1]

    def token_span(self, start: int, end: int) -> tuple[int, int] | None:
        """The tokens that a character span touches; None where it touches none."""
        touched = [i for i, (s, e) in enumerate(zip(self.starts, self.ends)) if s < end and e > start]
        return (touched[0], touched[-1] + 1) if touched else None


def tokenize(text: str, tokenizer: str = "words") -> TokenizedText:
    """Cut a text into tokens.

    `"words"`: runs of letters and digits (with apostrophes inside), numbers with their points, and every other sign by
    itself. `"spacy"`: spaCy's English rules, which the published system used; it needs the package, not a model.

    Args:
        text: any text; control characters and right-to-left text included.
        tokenizer: `"words"` or `"spacy"`.

    Returns:
        `TokenizedText`.

    Raises:
        ExtractionError: an unknown tokenizer, or spaCy is not installed.

    Example:
        >>> tokenize("A gap of 1.6 eV.").tokens
        ('A', 'gap', 'of', '1.6', 'eV', '.')
    """
    if tokenizer == "words":
        found = word_places(text)
    elif tokenizer == "spacy":
        found = [(token.idx, token.idx + len(token.text)) for token in _spacy()(text)]
    else:
        raise ExtractionError(f"tokenizer is {tokenizer!r}; expected one of {', '.join(TOKENIZERS)}")
    starts, ends = tuple(start for start, _ in found), tuple(end for _, end in found)
    return TokenizedText(text, tuple(text[start:end] for start, end in found), starts, ends)


def join_tokens(tokens: Sequence[str]) -> TokenizedText:
    """A text made of given tokens, with a space between each two.

    Args:
        tokens: none of them empty.

    Returns:
        `TokenizedText`.

    Raises:
        ExtractionError: a token is empty.

    Example:
        >>> join_tokens(["Ada", "wrote"]).ends
        (3, 9)
    """
    if not all(tokens):
        raise ExtractionError(f"token {[bool(token) for token in tokens].index(False)} is empty; leave it out")
    starts, at = [], 0
    for token in tokens:
        starts.append(at)
        at += len(token) + 1
    ends = tuple(start + len(token) for start, token in zip(starts, tokens))
    return TokenizedText(" ".join(tokens), tuple(tokens), tuple(starts), ends)


@functools.cache
def _spacy() -> "Tokenizer":
    return needed_package("spacy.lang.en", "cutting a text into spaCy's tokens").English().tokenizer
