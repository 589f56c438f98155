"""Fields of a request, each of its type and range, or refused by name."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from jaxuq.serving.jobs import BadRequest

# Fields that say nothing about the answer: who asks, and where it may be kept.
_ABOUT = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key"})
# Values that ask for what is done anyway.
_AS_IT_IS: dict[str, tuple[Any, ...]] = {
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "tools": ([],),
    "functions": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
}


class Fields:
    """A request's JSON object, of which every field must be read or refused.

    A field that is null counts as absent, as the protocol has it.

    Args:
        content: the JSON.
    """

    def __init__(self, content: Any):
        if not isinstance(content, dict):
            raise BadRequest("the request is no JSON object")
        self._content = {name: value for name, value in content.items() if value is not None}
        self._read: set[str] = set()

    def take(self, name: str, otherwise: Any = None) -> Any:
        """A field as it is."""
        self._read.add(name)
        return self._content.get(name, otherwise)

    def number(self, name: str, otherwise: float, low: float, high: float) -> float:
        """A number of a range."""
        value = self.take(name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value)

    def integer(self, name: str, otherwise: int, low: int, high: int) -> int:
        """A whole number of a range."""
        value = self.take(name, otherwise)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(name, f"a whole number from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """True or false; false where it is absent."""
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A text or a list of texts, none of them empty."""
        value = self.take(name, [])
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or len(value) > 16 or not all(isinstance(one, str) and one for one in value):
            raise self._wrong(name, "a text or a list of at most 16 texts, none of them empty")
        return tuple(value)

    def end(self) -> None:
        """Refuse by name what nobody has read."""
        for name, value in self._content.items():
            known = name in self._read or name in _ABOUT or any(_same(value, one) for one in _AS_IT_IS.get(name, ()))
            if not known:
                raise BadRequest(
                    f"{name[:60]!r} is not supported; leave it out", param=name[:60], code="unsupported_parameter"
                )

    def _wrong(self, name: str, expected: str) -> BadRequest:
        value = self._content.get(name)
        shown = f"is {value!r}" if isinstance(value, bool | int | float) and abs(value) < 1e18 else "is something else"
        return BadRequest(f"{name} {shown}; expected {expected}", param=name)


def _same(value: Any, other: Any) -> bool:
    return type(value) is type(other) and value == other


def read_messages(value: Any) -> list[dict[str, str]]:
    """Messages with `role` and `content`, as chat templates have them.

    `developer` is another name of `system`; parts of text are put together; an assistant's content may be null.

    Args:
        value: the field `messages`.

    Returns:
        Messages.

    Raises:
        BadRequest: something else than text, or an unknown role.

    Example:
        >>> read_messages([{"role": "developer", "content": [{"type": "text", "text": "Be brief"}]}])
        [{'role': 'system', 'content': 'Be brief'}]
    """
    if not isinstance(value, list) or not value:
        raise BadRequest("messages is missing; expected a list with at least one message", param="messages")
    return [_message(message, f"messages[{number}]") for number, message in enumerate(value)]


def _message(message: Any, where: str) -> dict[str, str]:
    roles = ("system", "developer", "user", "assistant", "tool")
    if not isinstance(message, dict) or message.get("role") not in roles:
        raise BadRequest(f"{where} needs a role: {', '.join(roles)}", param=f"{where}.role")
    role = message["role"]
    allowed = {"role", "content"} | ({"tool_call_id"} if role == "tool" else set())
    for name, value in message.items():
        if name not in allowed and value not in (None, []):
            raise BadRequest(
                f"{where}.{name[:60]} is not supported; leave it out", param=where, code="unsupported_parameter"
            )
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, list):
        content = "".join(_part(part, f"{where}.content[{number}]") for number, part in enumerate(content))
    if not isinstance(content, str):
        raise BadRequest(
            f"{where} needs content that is text or a list of parts that are text", param=f"{where}.content"
        )
    return {"role": "system" if role == "developer" else role, "content": content}


def _part(part: Any, where: str) -> str:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind != "text":
        shown = f"is of type {kind[:40]!r}" if isinstance(kind, str) else "has no type"
        raise BadRequest(f"{where} {shown}; only parts of type 'text' are supported", param=where)
    if not isinstance(part.get("text"), str):
        raise BadRequest(f"{where} has no text", param=where)
    return part["text"]


def read_bias(value: Any, vocabulary: int) -> dict[int, float]:
    """The field `logit_bias`.

    Args:
        value: token numbers, as texts, to numbers from -100 to 100.
        vocabulary: tokens that there are.

    Returns:
        Numbers of tokens to what is added.

    Raises:
        BadRequest: something else.

    Example:
        >>> read_bias({"7": -100}, 10)
        {7: -100.0}
    """
    wrong = BadRequest(
        f"logit_bias needs token numbers from 0 to {vocabulary - 1} with numbers from -100 to 100", param="logit_bias"
    )
    if not isinstance(value, Mapping):
        raise wrong
    bias = {}
    for token, number in value.items():
        known = token.isascii() and token.isdigit() and len(token) < 10 and int(token) < vocabulary
        if not known or isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) <= 100:
            raise wrong
        bias[int(token)] = float(number)
    return bias


def read_inputs(value: Any, name: str, vocabulary: int) -> list[str | list[int]]:
    """One or several texts or lists of token numbers.

    Args:
        value: the field.
        name: its name.
        vocabulary: tokens that there are.

    Returns:
        Texts and lists.

    Raises:
        BadRequest: something else, or none.

    Example:
        >>> read_inputs([1, 2], "prompt", 10)
        [[1, 2]]
    """
    listed = [value] if isinstance(value, str) or _tokens(value, vocabulary) else value
    if not isinstance(listed, list) or not 0 < len(listed) <= 2048:
        raise BadRequest(f"{name} is missing; expected a text, or a list of 1 to 2048 of them", param=name)
    for one in listed:
        if not (isinstance(one, str) and one) and not _tokens(one, vocabulary):
            raise BadRequest(
                f"{name} needs texts, or lists of token numbers from 0 to {vocabulary - 1}, none of them empty",
                param=name,
            )
    return listed


def _tokens(value: Any, vocabulary: int) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and len(value) > 0
        and all(isinstance(one, int) and not isinstance(one, bool) and 0 <= one < vocabulary for one in value)
    )


def refuse_constants(name: str) -> Any:
    """For `json.loads(parse_constant=)`: NaN and infinities are no JSON."""
    raise ValueError(f"{name} is no JSON")


def finite(value: float | None) -> float | None:
    """A number that JSON has: the lowest of the protocol in place of minus infinity."""
    return value if value is None or math.isfinite(value) else -9999.0
