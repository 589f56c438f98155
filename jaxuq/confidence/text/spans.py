"""Which characters each token adds to a text, however a tokenizer cuts them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxuq.language import decode_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BROKEN = "\N{REPLACEMENT CHARACTER}"


def token_pieces(tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int]) -> list[str]:
    """What each token adds to the text; together they are the text.

    A character that several tokens share comes whole with the last of them, and the others add nothing: for the tokens
    that hold a stretch of text use `tokens_within`. Special tokens add nothing either. Every token is decoded with the
    few before it only, so the work is linear in the length.
    """
    pieces: list[str] = []
    begin, settled = 0, 0  # the last two places between whole characters
    for end in range(1, len(tokens) + 1):
        before = decode_tokens(tokenizer, tokens[begin:settled])
        text = decode_tokens(tokenizer, tokens[begin:end])
        if text.endswith(_BROKEN) and end < len(tokens) and end - settled < 4:  # of UTF-8's at most four bytes
            pieces.append("")
            continue
        pieces.append(text[len(before) :])
        begin, settled = settled, end
    return pieces


def tokens_within(
    tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], pieces: Sequence[str], start: int, end: int
) -> np.ndarray:
    """Which tokens hold the characters from `start` to `end`, the tokens that share a character with others included.

    As `jaxuq.confidence.answer_tokens`, which takes bytes, for tokenizers that give no bytes.
    """
    special = set(tokenizer.all_special_ids)
    marks = np.zeros(len(tokens), bool)
    at = 0
    for index, piece in enumerate(pieces):
        length = len(piece)
        if not length and int(tokens[index]) not in special:
            length = 1  # a part of the next character
        marks[index] = length > 0 and at < end and at + length > start
        at += len(piece)
    return marks
