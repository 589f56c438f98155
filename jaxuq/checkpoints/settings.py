"""The settings in a model's file, read one by one: each is used, known to have no effect, or refused.

What a file says about a computation and a reader passes over gives wrong numbers without a word. So a reader asks
`Settings` for every value, by name, type and range, and at the end `finish` looks at what nobody asked for.
"""

import warnings
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.checkpoints.errors import CheckpointError, CheckpointWarning
from jaxuq.networks.activations import Activation

REQUIRED: Any = object()
ACTIVATION_NAMES: Mapping[str, Activation] = MappingProxyType(  # Hugging Face's, of what we have
    {
        "silu": "silu",
        "swish": "silu",
        "gelu": "gelu",
        "gelu_python": "gelu",
        "gelu_new": "gelu_tanh",
        "gelu_fast": "gelu_tanh",
        "gelu_pytorch_tanh": "gelu_tanh",
        "relu": "relu",
    }
)
_LARGEST = 2**31 - 1


class Settings:
    """Values by name, of which it is known which were asked for.

    A value of None counts as absent, as in Hugging Face's files.

    Attributes:
        source: the file, named in messages.
    """

    def __init__(self, content: Mapping[str, Any], source: Any):
        if not isinstance(content, Mapping):
            raise CheckpointError(f"{source} holds {type(content).__name__}, expected an object of settings")
        self._content, self._read, self.source = content, set(), source

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """A value of any type."""
        self._read.add(key)
        value = self._content.get(key)
        if value is not None:
            return value
        if default is REQUIRED:
            raise CheckpointError(f"{self.source} lacks {key!r}")
        return default

    def typed(self, key: str, kind: type, default: Any = REQUIRED) -> Any:
        """A value of one type: `str`, `bool`, `list` or `dict`."""
        value = self.get(key, default)
        if value is not default and not isinstance(value, kind):
            raise CheckpointError(f"{self.source} has a {type(value).__name__} as {key!r}, expected {kind.__name__}")
        return value

    def count(self, key: str, default: Any = REQUIRED, *, minimum: int = 1) -> Any:
        """A whole number below 2**31."""
        value = self.get(key, default)
        if value is default:
            return default
        try:
            count = check_count(key, value, minimum)
        except OptionError as error:
            raise CheckpointError(f"{self.source}: {error}") from None
        if count > _LARGEST:
            raise CheckpointError(f"{self.source}: {key} is {count}, larger than any model's")
        return count

    def number(self, key: str, default: Any = REQUIRED, low: float = 0.0, *, open_low: bool = False) -> Any:
        """A finite number of at least (or above) `low`."""
        value = self.get(key, default)
        if value is default:
            return default
        try:
            return check_number(key, value, low, open_low=open_low)
        except (OptionError, OverflowError) as error:
            raise CheckpointError(f"{self.source}: {error}") from None

    def refuse(self, key: str, what: str, *harmless: Any) -> None:
        """Refuse a setting by name unless it is absent, or equal to one of the values that ask for nothing."""
        value = self.get(key, None)
        if value is not None and not any(type(value) is type(one) and value == one for one in harmless):
            raise CheckpointError(f"{self.source}: {key} is {str(value)[:200]!r}: {what} not supported")

    def finish(self, *, irrelevant: Collection[str] = (), strict: Collection[str] = ()) -> None:
        """Look at what was not asked for.

        Args:
            irrelevant: keys known to have no effect on what is computed.
            strict: beginnings of keys that describe the computation; an unknown one is refused (`""`: every key).

        Raises:
            CheckpointError: an unknown key under one of `strict`.

        Warns:
            CheckpointWarning: names all other unknown keys that say something.
        """
        known = self._read | set(irrelevant)
        unknown = sorted(str(key) for key, value in self._content.items() if key not in known and value is not None)
        refused = [key for key in unknown if key.startswith(tuple(strict))]
        if refused:
            raise CheckpointError(
                f"{self.source} says {', '.join(refused)}, which this reader does not know and which may change what "
                "the model computes"
            )
        if unknown:
            warnings.warn(
                f"{self.source} says {', '.join(unknown)[:400]}, which no such model is known to read: left out",
                CheckpointWarning,
                stacklevel=3,
            )
