"""The bytes that tokens stand for."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level vocabularies write bytes: printable ones as themselves, others from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = (byte for byte in range(256) if byte not in set(printable))
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_EXACT = (b"ByteLevel", b"ByteFallback", b"Metaspace")  # decoders by which a text is its tokens' bytes


class TokenBytes:
    """The bytes of every token of a vocabulary.

    Args:
        tokenizer: of the model; byte-level vocabularies, and those of SentencePiece with `▁` and `<0x0A>`.

    Attributes:
        exact: whether texts are their tokens' bytes put together (but for a space before the first); where words are
            tokens, decoders put spaces between them.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer = tokenizer
        self._added = {int(number): str(token) for number, token in tokenizer.added_tokens_decoder.items()}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        decoder = getattr(backend, "decoder", None)
        state = decoder.__getstate__() if decoder else b""
        self.exact = any(kind in state for kind in _EXACT)
        self._letters = _byte_letters() if b"ByteLevel" in state else None
        self._known: dict[int, bytes] = {}

    def __getitem__(self, token: int) -> bytes:
        if token not in self._known:
            self._known[token] = self._bytes(token)
        return self._known[token]

    def _bytes(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode()
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if not isinstance(piece, str):
            return b""  # the network has rows that the tokenizer does not name
        if self._letters is not None:
            letters = self._letters
            return b"".join(bytes([letters[one]]) if one in letters else one.encode() for one in piece)
        if found := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", piece):
            return bytes([int(found[1], 16)])
        return piece.replace("\N{LOWER ONE EIGHTH BLOCK}", " ").encode()
