"""Prompts of any number and length as batches of few shapes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxuq._options import check_count
from jaxuq.language.attention import Captured
from jaxuq.language.errors import PromptError
from jaxuq.language.model import LanguageModel
from jaxuq.language.tokenization import encode_prompt

Chat = Sequence[Mapping[str, str]]


def bucket(length: int) -> int:
    """16, 24, 32, 48, 64, 96, ...: few shapes, and at most half of what is asked for is wasted."""
    size = 16
    while size < length:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


def listed_prompts(prompts: str | Chat | Sequence[str | Chat]) -> list[Any]:
    """The prompts, of which a single one may be given by itself."""
    if isinstance(prompts, str | bytes) or (len(prompts) and isinstance(prompts[0], Mapping)):
        return [prompts]
    return list(prompts)


def encode_prompts(
    model: LanguageModel, prompts: Sequence[str | Chat], chat: bool, after: Sequence[int], overflow: str
) -> list[list[int]]:
    """Tokens of each prompt, which leave room for `after` tokens."""
    if overflow not in ("error", "truncate"):
        raise ValueError(f"overflow is {overflow!r}; expected 'error' or 'truncate'")
    context = model.functions.max_positions
    encoded = []
    for number, (prompt, room) in enumerate(zip(prompts, after)):
        try:
            if room >= context:
                raise PromptError(f"{room} tokens of an answer leave no room in the model's context of {context}")
            tokens = encode_prompt(model.tokenizer, prompt, chat=chat)
            if len(tokens) + room > context and overflow == "error":
                raise PromptError(
                    f"the prompt has {len(tokens)} tokens and the answer may have {room}, more than the context of "
                    f"{context}; ask for fewer, or cut the prompt's beginning off (overflow='truncate')"
                )
            encoded.append(tokens[max(0, len(tokens) + room - context) :])
        except PromptError as error:
            raise PromptError(f"prompt {number}: {error}" if len(prompts) > 1 else str(error)) from None
    return encoded


def check_batch(batch_size: int) -> None:
    """Refuse a batch without rows."""
    check_count("batch_size", batch_size)


def groups(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in order of length, `size` at a time."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    for begin in range(0, len(order), size):
        yield order[begin : begin + size]


def num_rows(count: int, size: int) -> int:
    """Rows of a batch: a power of two, so that few programs serve all numbers of prompts."""
    return min(size, 1 << (count - 1).bit_length())


def padded(texts: Sequence[Sequence[int]], rows: int) -> tuple[Array, Array]:
    """Tokens `[rows, bucket]` and lengths; rows beyond the texts have length 0."""
    tokens = np.zeros((rows, bucket(max(map(len, texts)))), np.int32)
    lengths = np.zeros(rows, np.int32)
    for row, text in enumerate(texts):
        tokens[row, : len(text)], lengths[row] = text, len(text)
    return jnp.asarray(tokens), jnp.asarray(lengths)


def captured_row(captured: Captured, row: int) -> Captured:
    """A batch of one, from a batch."""

    def one(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(layer[row : row + 1] for layer in part)
        return part[:, row : row + 1]

    return Captured(one(captured.queries), one(captured.keys), captured.positions[row : row + 1])
