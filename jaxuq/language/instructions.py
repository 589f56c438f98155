"""Instructions to learn from: a JSONL file, read line by line, as tokens with a mask over the responses."""

import json
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from jaxuq._arguments import typed
from jaxuq.language.errors import PromptError
from jaxuq.language.tokenization import encode_prompt, encode_reply, stop_tokens

if TYPE_CHECKING:
    import os

    from transformers import PreTrainedTokenizerBase


_OTHERS = ("a", "Yes", "1", "?", "\N{CJK UNIFIED IDEOGRAPH-4E00}")  # texts of which some begins unlike any other text


class Instruction(NamedTuple):
    """One example to learn from.

    Attributes:
        tokens: prompt and response.
        response: which of the tokens are to be learnt; never the first.
        truncated: whether the end was cut off.
    """

    tokens: Int[np.ndarray, " time"]
    response: Bool[np.ndarray, " time"]
    truncated: bool = False


class Rejected(NamedTuple):
    """An example that cannot be used.

    Attributes:
        row: its number in the data, from 0.
        reason: in words; names the line of the file, from 1.
    """

    row: int
    reason: str


@typed("record")
def encode_instruction(
    tokenizer: "PreTrainedTokenizerBase", record: Mapping[str, Any], *, chat: bool = True, max_length: int | None = None
) -> Instruction:
    """Tokens and response mask of one record.

    `{"instruction": ..., "response": ...}` is a chat of two messages, or with `chat=False` plain text followed by plain
    text; `{"messages": [{"role": ..., "content": ...}, ...]}` is a chat, of which every message of the assistant is
    learnt, given what is before it. A response ends with the token that ends a turn, which is learnt too. What a user
    or a response says never becomes special tokens.

    Args:
        tokenizer: of the model; with a chat template unless `chat` is False.
        record: as in a line of the file.
        chat: whether instructions go through the chat template.
        max_length: longer examples lose their end; None: any length.

    Returns:
        The example.

    Raises:
        PromptError: something is missing, empty or malformed, or no token of a response is left.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<s>": 0, "two": 1, "three": 2}, unk_token="<s>"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<s>")
        >>> encode_instruction(tokenizer, {"instruction": "two", "response": "three"}, chat=False)[:2]
        (array([1, 2, 0], dtype=int32), array([False,  True,  True]))
    """
    if not isinstance(record, Mapping):
        raise PromptError(f"a record is an object with 'instruction' and 'response', or 'messages'; not {record!r:.60}")
    if "messages" in record:
        tokens, response = _encode_messages(tokenizer, record["messages"])
    elif "instruction" in record and "response" in record:
        instruction, answer = record["instruction"], record["response"]
        if not isinstance(instruction, str) or not isinstance(answer, str):
            raise PromptError("instruction and response must be text")
        if chat:
            messages = [{"role": "user", "content": instruction}, {"role": "assistant", "content": answer}]
            tokens, response = _encode_messages(tokenizer, messages)
        else:
            prompt = encode_prompt(tokenizer, instruction, chat=False)
            learnt = _encode_answer(tokenizer, answer)
            tokens, response = prompt + learnt, [False] * len(prompt) + [True] * len(learnt)
    else:
        raise PromptError(f"a record needs 'instruction' and 'response', or 'messages'; this one has {sorted(record)}")
    truncated = max_length is not None and len(tokens) > max_length
    example = Instruction(
        np.asarray(tokens[:max_length], np.int32), np.asarray(response[:max_length], bool), bool(truncated)
    )
    if example.response.size:
        example.response[0] = False  # nothing predicts it
    if not example.response.any():
        raise PromptError(
            f"no token of a response is left within {max_length} tokens" if truncated else "there is no response"
        )
    return example


def _encode_messages(tokenizer: "PreTrainedTokenizerBase", messages: Any) -> tuple[list[int], list[bool]]:
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise PromptError("messages must be a list of objects with 'role' and 'content'")
    stops = set(stop_tokens(tokenizer))
    tokens: list[int] = []
    response: list[bool] = []
    for number, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        if not isinstance(message.get("content"), str) or not message["content"].strip():
            raise PromptError(f"message {number} (assistant) is empty")
        before = encode_prompt(tokenizer, messages[:number]) if number else _opening(tokenizer, message)
        if before[: len(tokens)] != tokens:
            raise PromptError(
                f"the chat template writes the turns before message {number} differently once there are more: give "
                "every turn a line of its own"
            )
        whole = encode_prompt(tokenizer, messages[: number + 1], generation_prompt=False)
        answer = whole[len(before) :]
        if whole[: len(before)] != before:  # a token spans the beginning of the answer
            answer = _encode_answer(tokenizer, message["content"])
        end = next((i for i, token in enumerate(answer) if token in stops), None)
        if end is None:
            answer = answer + _end(tokenizer)
            end = len(answer) - 1
        response += [False] * (len(before) - len(tokens)) + [i <= end for i in range(len(answer))]
        tokens = before + answer
    last = max((i for i, learnt in enumerate(response) if learnt), default=-1)
    return tokens[: last + 1], response[: last + 1]


def _opening(tokenizer: "PreTrainedTokenizerBase", message: Mapping[str, str]) -> list[int]:
    """What a template writes before the text of a chat's first message, the assistant's: nothing that is to be learnt.

    No prompt without messages can be rendered, so it is what stays when the text is another.
    """
    whole = encode_prompt(tokenizer, [message], generation_prompt=False)
    others = (encode_prompt(tokenizer, [{**message, "content": text}], generation_prompt=False) for text in _OTHERS)
    same = (
        next((at for at, pair in enumerate(zip(whole, other)) if pair[0] != pair[1]), min(len(whole), len(other)))
        for other in others
    )
    return whole[: min(same)]


def _encode_answer(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return encode_reply(tokenizer, text) + _end(tokenizer)


def _end(tokenizer: Any) -> list[int]:
    return list(stop_tokens(tokenizer)[:1]) if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]


class InstructionFile(Sequence):
    """The instructions of a JSONL file: a sequence whose items are read and tokenised when asked for.

    Blank lines are skipped. Holds 16 bytes a line, however long the lines are.
    """

    def __init__(
        self,
        path: "str | os.PathLike",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        chat: bool = True,
        max_length: int | None = None,
    ):
        """Find the lines of a file.

        Args:
            path: of the file; one JSON object a line, see `encode_instruction`.
            tokenizer: of the model.
            chat: whether instructions go through the chat template.
            max_length: longer examples lose their end.

        Raises:
            PromptError: the file cannot be read or has no lines.
        """
        self.path, self.tokenizer, self.chat, self.max_length = Path(path).expanduser(), tokenizer, chat, max_length
        self._offsets, self._lines = array("q"), array("q")
        at = 0
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        self._offsets.append(at)
                        self._lines.append(number)
                    at += len(line)
        except OSError as error:
            raise PromptError(f"{self.path} cannot be read: {error.strerror}") from error
        if not self._offsets:
            raise PromptError(f"{self.path} holds no instructions: expected one JSON object a line")

    def __len__(self) -> int:
        """How many lines there are, bad ones included."""
        return len(self._offsets)

    def line(self, row: int) -> int:
        """The line of the file, from 1."""
        return self._lines[row]

    def record(self, row: int) -> dict[str, Any]:
        """The JSON object of a row.

        Args:
            row: from 0.

        Returns:
            The object.

        Raises:
            PromptError: names the line; it is no JSON object in UTF-8.
        """
        with self.path.open("rb") as file:
            file.seek(self._offsets[row])
            line = file.readline()
        try:
            record = json.loads(line.decode("utf-8-sig"))
        except (UnicodeDecodeError, ValueError, RecursionError) as error:
            raise PromptError(f"line {self.line(row)} of {self.path} is no JSON: {error}") from error
        if not isinstance(record, dict):
            raise PromptError(f"line {self.line(row)} of {self.path} holds {type(record).__name__}, expected an object")
        return record

    def __getitem__(self, row: int) -> Instruction:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The example of a row; `PromptError`, with the line, if it cannot be used."""
        row = range(len(self))[row]
        record = self.record(row)
        try:
            return encode_instruction(self.tokenizer, record, chat=self.chat, max_length=self.max_length)
        except PromptError as error:
            raise PromptError(f"line {self.line(row)} of {self.path}: {error}") from error
