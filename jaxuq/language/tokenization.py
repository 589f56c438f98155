"""From prompts and chats to tokens and back; what a user types is text, whatever it looks like."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, SupportsInt

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.checkpoints import CheckpointError, plain_tokens, steering_tokens
from jaxuq.language.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHAT_ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")
_ENDS = (
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end_of_text|>", "<|endoftext|>"),
    *("<｜end▁of▁sentence｜>", "<|end|>"),
)
_PRIVATE = 0xF0000  # the first private character tried as a stand-in


@typed("prompt")
def encode_prompt(
    tokenizer: "PreTrainedTokenizerBase",
    prompt: str | bytes | Sequence[Mapping[str, str]],
    *,
    chat: bool = True,
    generation_prompt: bool = True,
    max_tokens: int | None = None,
    truncation: Literal["left", "right"] | None = None,
) -> list[int]:
    """The tokens of a prompt.

    Chat messages go through the tokenizer's chat template; so does a string if `chat`, as one message of a user.
    Otherwise a string is encoded as it is, after the tokens with which the tokenizer begins every text. Special tokens
    come from the template alone: `<|im_end|>` in a message is encoded as the ten characters that it is.

    Args:
        tokenizer: of the model.
        prompt: text (bytes are read as UTF-8), or messages with `role` and `content`.
        chat: whether a string is a chat message.
        generation_prompt: end a chat where the answer begins.
        max_tokens: the longest prompt that fits the model; None: any length.
        truncation: of a longer one: `left` keeps its end, `right` its beginning; None: raise.

    Returns:
        Token numbers, at least one.

    Raises:
        PromptError: an empty or too long prompt, text that is not valid Unicode, an unknown role, a chat that the
            template refuses, or a tokenizer without a template.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "you": 2}, unk_token="<unk>"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> encode_prompt(PreTrainedTokenizerFast(tokenizer_object=words), "hello you", chat=False)
        [1, 2]
    """
    if isinstance(prompt, str | bytes):
        text = _text(prompt, "the prompt")
        if not text.strip():
            raise PromptError("the prompt is empty")
        if chat:
            tokens = _encode_chat(tokenizer, [{"role": "user", "content": text}], generation_prompt)
        else:
            tokens = _plain(tokenizer, text, begin=True)
    else:
        tokens = _encode_chat(tokenizer, _messages(prompt), generation_prompt)
    return _fit([int(token) for token in tokens], max_tokens, truncation)


@typed("text")
def encode_reply(tokenizer: "PreTrainedTokenizerBase", text: str, *, what: str = "the response") -> list[int]:
    """The tokens of what follows a prompt: an answer, an option, a word.

    No tokens begin or end it, and what it says never becomes special tokens: `<|im_end|>` is ten characters.

    Args:
        tokenizer: of the model.
        text: as written, its leading space included.
        what: how messages call it.

    Returns:
        Token numbers, at least one.

    Raises:
        PromptError: it is empty, no text, or no valid Unicode.

    Example:
        >>> from tokenizers import Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> words = Tokenizer(models.WordLevel({"<unk>": 0, "hello": 1, "you": 2}, unk_token="<unk>"))
        >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
        >>> encode_reply(PreTrainedTokenizerFast(tokenizer_object=words), "you hello")
        [2, 1]
    """
    text = _text(text, what)
    tokens = _plain(tokenizer, text)
    if not tokens or not text.strip():
        raise PromptError(f"{what} is empty")
    return tokens


def _fit(tokens: list[int], max_tokens: int | None, truncation: str | None) -> list[int]:
    if truncation not in (None, "left", "right"):
        raise PromptError(f"truncation is {truncation!r}; expected 'left', 'right' or None")
    if max_tokens is None or len(tokens) <= max_tokens:
        return tokens
    if truncation is None or max_tokens < 1:
        raise PromptError(
            f"the prompt has {len(tokens)} tokens and {max_tokens} fit; shorten it, or ask for truncation ('left' "
            "keeps its end, 'right' its beginning)"
        )
    return tokens[-max_tokens:] if truncation == "left" else tokens[:max_tokens]


def _text(value: Any, what: str) -> str:
    try:
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, str):
            value.encode("utf-8")
            return value
    except UnicodeError as error:
        raise PromptError(f"{what} is not valid Unicode text: {error}") from None
    raise PromptError(f"{what} is {type(value).__name__}, expected text")


def _messages(chat: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    if not isinstance(chat, Sequence) or not all(isinstance(message, Mapping) for message in chat):
        raise PromptError(f"a chat is a list of messages such as {{'role': 'user', 'content': 'Hi'}}, not {chat!r}")
    if not chat:
        raise PromptError("the chat has no messages")
    messages = []
    for number, message in enumerate(chat):
        role, content = message.get("role"), message.get("content")
        if role not in CHAT_ROLES:
            raise PromptError(f"message {number} of the chat has the role {role!r}; roles are {', '.join(CHAT_ROLES)}")
        text = _text(content, f"the content of message {number} ({role})")
        if role == "user" and not text.strip():
            raise PromptError(f"message {number} of the chat (user) is empty")
        messages.append({"role": role, "content": text})
    return messages


def _plain(tokenizer: "PreTrainedTokenizerBase", text: str, *, begin: bool = False) -> list[int]:
    try:
        return plain_tokens(tokenizer, [text], begin=begin)[0]
    except CheckpointError as error:
        raise PromptError(str(error)) from error


def _encode_chat(
    tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]], generation_prompt: bool
) -> list[int]:
    """Render with a private character for every steering token that a user typed, so that the template's stay apart.

    The stretches between the template's special tokens that hold such characters are then encoded as plain text, and
    all else in the usual way, so that texts without special tokens are encoded just as transformers does.
    """
    steering = steering_tokens(tokenizer)
    names = sorted(steering, key=lambda name: (-len(name), name))
    pattern = re.compile("|".join(map(re.escape, names)) if names else r"(?!)")
    used = "".join(message["content"] for message in messages)
    first = _PRIVATE
    while any(chr(first + number) in used for number in range(len(names))):
        first += len(names)
    stand_in = {token: chr(first + number) for number, token in enumerate(names)}
    hidden = [
        message | {"content": pattern.sub(lambda found: stand_in[found[0]], message["content"])} for message in messages
    ]
    rendered = _render(tokenizer, hidden, generation_prompt)

    runs: list[tuple[bool, list[str]]] = []  # (typed by a user, texts and the template's special tokens in turn)
    at = 0
    for begin, end in [*(found.span() for found in pattern.finditer(rendered)), (len(rendered), len(rendered))]:
        stretch = rendered[at:begin]
        said = stretch.translate({ord(character): token for token, character in stand_in.items()})
        if said != stretch:
            runs.append((True, [said]))
            stretch = ""
        if runs and not runs[-1][0]:
            runs[-1][1].extend((stretch, rendered[begin:end]))
        else:
            runs.append((False, [stretch, rendered[begin:end]]))
        at = end
    tokens: list[int] = []
    for plain, parts in runs:
        tokens += _plain(tokenizer, parts[0]) if plain else _encode_run(tokenizer, parts, steering)
    if not tokens:
        raise PromptError("the chat template makes an empty prompt of this chat")
    return tokens


def _encode_run(tokenizer: "PreTrainedTokenizerBase", parts: Sequence[str], steering: Mapping[str, int]) -> list[int]:
    """Texts and special tokens in turn: as transformers does, unless more special tokens come of it than were written.

    A normalisation may make them of other letters.
    """
    tokens = [int(one) for one in tokenizer("".join(parts), add_special_tokens=False)["input_ids"]]
    counted = {number for number in steering.values() if number != tokenizer.unk_token_id}
    written = Counter(steering[part] for part in parts[1::2] if part)
    if not Counter(one for one in tokens if one in counted) - written:
        return tokens
    made = [[steering[part]] if number % 2 else _plain(tokenizer, part) for number, part in enumerate(parts) if part]
    return [token for some in made for token in some]


def _render(tokenizer: "PreTrainedTokenizerBase", messages: list[dict[str, str]], generation_prompt: bool) -> str:
    import jinja2

    if not tokenizer.chat_template:
        raise PromptError("this model has no chat template; give the prompt as plain text with chat=False")
    try:
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)
    except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
        raise PromptError(f"the model's chat template refuses this chat: {error}") from error
    return str(rendered)


def check_tokenizer(tokenizer: Any) -> None:
    """Raise an OptionError unless something has the tokens of a tokenizer of transformers."""
    if not hasattr(tokenizer, "added_tokens_decoder"):
        raise OptionError(
            f"the tokenizer is {type(tokenizer).__name__}; expected one of transformers, as a model of `load_model` has"
        )


@typed()
def decode_tokens(
    tokenizer: "PreTrainedTokenizerBase", tokens: Iterable[SupportsInt], *, skip_special: bool = True
) -> str:
    """The text of tokens, as it is: no spaces are cleaned up.

    Args:
        tokenizer: of the model.
        tokens: numbers; NumPy and JAX arrays will do.
        skip_special: leave special tokens out.

    Returns:
        The text. Bytes that are no UTF-8 (a character cut in two) are shown as U+FFFD.
    """
    numbers = [check_count("a token", token, 0) for token in tokens]
    if numbers and max(numbers) >= 2**31:
        raise OptionError(f"a token is {max(numbers)}; no vocabulary is as large")
    return str(tokenizer.decode(numbers, skip_special_tokens=skip_special, clean_up_tokenization_spaces=False))


def stop_tokens(model: Any) -> tuple[int, ...]:
    """The tokens that end an answer.

    These are the tokenizer's end of sequence, those of the checkpoint's `generation_config.json`, and the special
    tokens by which the common families end a turn (such as `<|im_end|>`, `<|eot_id|>`, `<end_of_turn>`).

    Args:
        model: a `LanguageModel`, or a tokenizer alone.

    Returns:
        Token numbers, sorted.
    """
    tokenizer = getattr(model, "tokenizer", model)
    check_tokenizer(tokenizer)
    named = {str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    stops = {named[token] for token in _ENDS if token in named} | set(getattr(model, "stops", ()))
    if tokenizer.eos_token_id is not None:
        stops.add(int(tokenizer.eos_token_id))
    return tuple(sorted(stops))
