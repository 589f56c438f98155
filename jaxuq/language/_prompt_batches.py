"""Prompts of any kind as tokens that fit into a model."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq._errors import OptionError
from jaxuq.language.attention import Captured
from jaxuq.language.errors import PromptError
from jaxuq.language.model import LanguageModel
from jaxuq.language.tokenization import encode_prompt

Chat = Sequence[Mapping[str, str]]


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
        raise OptionError(f"overflow is {overflow!r}; expected 'error' or 'truncate'")
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


def captured_row(captured: Captured, row: int) -> Captured:
    """A batch of one, from a batch."""

    def one(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(layer[row : row + 1] for layer in part)
        return part[:, row : row + 1]

    return Captured(one(captured.queries), one(captured.keys), captured.positions[row : row + 1])
