"""What results follow from, written down so that a later program knows its own: facts, resolved options, defaults."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxuq._digest import digest

_LONGEST = 80  # letters of a fact that is kept as it is


class Identity(NamedTuple):
    """What some numbers follow from.

    It is the same as one that was stored if the facts are equal and every option has the same *resolved* value, so that
    a changed default is another identity. An option that only one of them knows counts as its default: a program that
    learns a new option goes on with what it has made before. (Whoever changes the default of an option that is younger
    than some results raises the formula's version.)

    Attributes:
        follows: facts by name: digests of data and weights, the entry and the version of its formula, the seed. What is
            long or no plain value is replaced by its digest.
        options: resolved, by name.
        defaults: of the options.

    Example:
        >>> old = Identity({"data": "a1", "formula": 1}, {"rate": 0.1}, {"rate": 0.1})
        >>> new = Identity({"data": "a1", "formula": 1}, {"rate": 0.1, "decay": 0.0}, {"rate": 0.1, "decay": 0.0})
        >>> new.matches(old.record()), new._replace(options={"rate": 0.2}).matches(old.record())
        (True, False)
    """

    follows: Mapping[str, Any]
    options: Mapping[str, Any] = {}
    defaults: Mapping[str, Any] = {}

    def record(self) -> dict[str, dict[str, Any]]:
        """All of it, JSON-like."""
        options, defaults = plain_values(self.options), plain_values(self.defaults)
        return {
            "follows": {name: _fact(value) for name, value in self.follows.items()},
            "options": options,
            "defaults": {name: value for name, value in defaults.items() if name in options},
        }

    @property
    def address(self) -> str:
        """A short name for what is kept of it: sixteen hexadecimal digits."""
        return address_of(self.record())

    def matches(self, record: Any) -> bool:
        """Whether what was stored under `record` follows from the same.

        Args:
            record: of `record`, as it was read; anything else matches nothing.

        Returns:
            True or False.
        """
        own = self.record()
        if not _is_record(record) or record["follows"] != own["follows"]:
            return False
        nothing = object()
        known = plain_values(self.defaults)  # of options that the stored one does not know, too
        return all(
            record["options"].get(name, known.get(name, nothing))
            == own["options"].get(name, record["defaults"].get(name, nothing))
            for name in {*record["options"], *own["options"]}
        )


def address_of(record: Any) -> str:
    """See `Identity.address`.

    Args:
        record: of `Identity.record`; one that is damaged or missing has an address, too.

    Returns:
        Sixteen hexadecimal digits, or `unknown`.
    """
    return digest(record)[:16] if _is_record(record) else "unknown"


def plain_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON keeps them: tuples are lists, paths are text.

    Args:
        values: by name.

    Returns:
        The same, JSON-like.

    Example:
        >>> plain_values({"methods": ("swag", "bbp")})
        {'methods': ['swag', 'bbp']}
    """
    return json.loads(json.dumps(dict(values), default=str))


def _fact(value: Any) -> Any:
    if value is None or isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _LONGEST):
        return value
    return digest(value)


def _is_record(record: Any) -> bool:
    return isinstance(record, dict) and all(isinstance(record.get(name), dict) for name in ("follows", *_PARTS))


_PARTS = ("options", "defaults")
