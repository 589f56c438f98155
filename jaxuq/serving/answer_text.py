"""From token numbers to what clients see: bytes of tokens, and the text of an answer as it grows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jaxuq.serving.jobs import Growth, TokenText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from jaxuq.language.token_bytes import TokenBytes


def shown_token(
    token_bytes: "TokenBytes", token: int, log_prob: float | None, alternatives: Sequence[tuple[int, float]] = ()
) -> TokenText:
    """A token as the protocol shows it.

    Args:
        token_bytes: of the vocabulary.
        token: the number.
        log_prob: its log-probability.
        alternatives: numbers and log-probabilities of others.

    Returns:
        The token with its text.
    """
    raw = token_bytes[token]
    others = tuple(shown_token(token_bytes, number, value) for number, value in alternatives)
    return TokenText(raw.decode("utf-8", "replace"), raw, log_prob, others)


class AnswerText:
    """One answer as its tokens come in.

    Tokens are told once their first byte is part of the text that is shown, so that those of a stop text never are, and
    that all bytes told, put together, begin with those of the text.

    Args:
        answer: its index.
        tokenizer: of the model.
        token_bytes: of its vocabulary.
        stop: texts that end it.
    """

    def __init__(
        self, answer: int, tokenizer: "PreTrainedTokenizerBase", token_bytes: "TokenBytes", stop: Sequence[str]
    ):
        from jaxuq.language import TextStream

        self.answer, self.ended = answer, False
        self._bytes, self._stream = token_bytes, TextStream(tokenizer, stop)
        added = tokenizer.added_tokens_decoder.items()
        self._special = {*tokenizer.all_special_ids, *(number for number, token in added if token.special)}
        self._waiting: list[tuple[int, TokenText]] = []
        self._read = self._shown = 0

    @property
    def tokens(self) -> list[int]:
        """Numbers of the tokens so far."""
        return self._stream.tokens

    @property
    def count(self) -> int:
        """Tokens so far."""
        return len(self._stream.tokens)

    @property
    def stopped(self) -> bool:
        """Whether a stop text was met."""
        return self._stream.stopped

    def push(self, token: int, log_prob: float, alternatives: Sequence[tuple[int, float]], finish: str = "") -> Growth:
        """Add a token.

        Args:
            token: the number.
            log_prob: of it.
            alternatives: the likeliest in its place.
            finish: `stop` or `length` if it is the last one.

        Returns:
            What the answer has grown by.
        """
        text = self._stream.push(token, last=bool(finish))
        if token not in self._special:
            shown = shown_token(self._bytes, token, log_prob, alternatives)
            if self._read == 0 and shown.raw.startswith(b" ") and not self._stream.text.startswith(" "):
                shown = shown._replace(text=shown.text[1:], raw=shown.raw[1:])  # decoders drop the space before a text
            self._waiting.append((self._read, shown))
            self._read += len(shown.raw)
        self._shown += len(text.encode())
        ready = [one for begin, one in self._waiting if begin < self._shown and one.raw]
        self._waiting = [pair for pair in self._waiting if pair[0] >= self._shown]
        self.ended = bool(finish) or self.stopped
        return Growth(self.answer, text, tuple(ready), self.count, "stop" if self.stopped else finish)
