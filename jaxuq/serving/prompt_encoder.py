"""Prompts to tokens and back, from any thread: a tokenizer of its own, for encoding borrows one."""

import copy
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.serving.jobs import BadRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_MARGIN = 64  # characters a token of the context may have; a longer text is refused before it is encoded


class PromptEncoder:
    """A copy of a tokenizer, for one thread at a time.

    Args:
        tokenizer: of the model.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase"):
        self._tokenizer, self._lock = copy.deepcopy(tokenizer), threading.Lock()

    def encode(self, prompt: Any, characters: int, context: int, *, chat: bool = False) -> list[int]:
        """Tokens of a prompt.

        Args:
            prompt: as `encode_prompt` takes it.
            characters: of it.
            context: tokens that the model can read.
            chat: whether a text goes into the template.

        Returns:
            The tokens.

        Raises:
            BadRequest: it is too long, or empty.
        """
        from jaxuq.language import PromptError, encode_prompt

        if characters > context * _MARGIN:
            raise BadRequest(
                f"the prompt has {characters} characters, more than the context of {context} tokens has room for",
                code="context_length_exceeded",
            )
        try:
            with self._lock:
                return encode_prompt(self._tokenizer, prompt, chat=chat)
        except PromptError as error:
            raise BadRequest(str(error), param="messages" if isinstance(prompt, list) else "prompt") from None

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        from jaxuq.language import decode_tokens

        with self._lock:
            return decode_tokens(self._tokenizer, tokens, skip_special=False)
