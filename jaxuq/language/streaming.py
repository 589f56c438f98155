"""Text that grows token by token: whole characters only, and nothing of a stop string."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxuq.language.tokenization import decode_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TextStream:
    """The text of an answer as its tokens come in.

    A token may be part of a character, and a decoder may drop the blank before the first word, so a token is decoded
    with those before it back to the last whole word or so, not with the whole answer. What `push` returns, put
    together, is `text`.

    Attributes:
        tokens: so far.
        text: of the tokens, without special tokens, cut before the first stop string.
        stopped: whether a stop string has been met; further tokens are not wanted then.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", stops: Sequence[str] = ()):
        self._tokenizer, self._stops, self._shown = tokenizer, tuple(stops), 0
        self._context, self._read = 0, 0  # tokens[context:read] are decoded again, as the context of tokens[read:]
        self._context_text, self._whole = "", ""  # of the context; of all tokens before `read`
        self.tokens: list[int] = []
        self.text = ""
        self.stopped = False

    def push(self, token: int, *, last: bool = False) -> str:
        """Add a token.

        Args:
            token: the number.
            last: whether no other follows, so that nothing need be held back.

        Returns:
            What can be shown now. Held back are characters in pieces, and what may begin a stop string.
        """
        self.tokens.append(token)
        self.text = self._decoded()
        found = [at for stop in self._stops if (at := self.text.find(stop, self._shown)) >= 0]
        if found:
            self.stopped, self.text = True, self.text[: min(found)]
        end = len(self.text) if self.stopped or last else self._settled()
        shown, self._shown = self.text[self._shown : end], max(self._shown, end)
        return shown

    def _decoded(self) -> str:
        window = decode_tokens(self._tokenizer, self.tokens[self._context :])
        new = window[len(self._context_text) :]
        text = self._whole + new
        if new.strip() and not new.endswith("\N{REPLACEMENT CHARACTER}"):  # visible, so that it is a context itself
            self._context, self._read = self._read, len(self.tokens)
            self._context_text = decode_tokens(self._tokenizer, self.tokens[self._context :])
            self._whole = text
        return text

    def _settled(self) -> int:
        settled = self.text.rstrip("\N{REPLACEMENT CHARACTER}")
        beginnings = (n for stop in self._stops for n in range(1, len(stop)) if settled.endswith(stop[:n]))
        return len(settled) - max(beginnings, default=0)
