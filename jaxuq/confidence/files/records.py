"""An answer as another program wrote it down, whichever program that was."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

LENGTHS = 1 << 20
"""Most tokens of an answer."""


class Unusable(ValueError):
    """A line that cannot be used, and why; it costs itself alone."""


class GivenSample(NamedTuple):
    """A further answer to a question.

    Attributes:
        text: of it.
        tokens: how many it has; None: not told.
        log_prob: of the whole; None: not told.
    """

    text: str
    tokens: int | None = None
    log_prob: float | None = None


class GivenAnswer(NamedTuple):
    """An answer, and what its file says of it.

    Attributes:
        id: of the line, or of the question if the file has one.
        question: what was asked; empty: not told.
        text: of the answer.
        truth: right answers; empty: not told.
        correct: whether it is right; None: not told.
        extracted: the final answer, where the file has taken it out of the text; None: not told.
        pieces: what each token adds to the text, as bytes where the file tells them; empty: not told.
        log_probs: of each token, nats; empty: not told.
        entropies: of the distribution at each token, where all of it was told; else empty.
        likeliest: log-probabilities of the likeliest tokens, falling, as many at every place; empty: not told.
        samples: further answers.
        scores: of the other program, by name; higher is more confident.
    """

    id: str
    question: str
    text: str
    truth: tuple[str, ...] = ()
    correct: bool | None = None
    extracted: str | None = None
    pieces: tuple[str | bytes, ...] = ()
    log_probs: tuple[float, ...] = ()
    entropies: tuple[float, ...] = ()
    likeliest: tuple[tuple[float, ...], ...] = ()
    samples: tuple[GivenSample, ...] = ()
    scores: Mapping[str, float] = MappingProxyType({})


def number(value: Any, what: str) -> float:
    """A finite number, or minus infinity; also where it was written as text.

    Raises:
        Unusable: it is none.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if math.isnan(found) or found == math.inf:
        raise Unusable(f"{what} is {value!r:.40}; expected a number")
    return found


def log_probability(value: Any, what: str) -> float:
    """A log-probability, at most 0 (but for rounding).

    Raises:
        Unusable: it is none.
    """
    found = number(value, what)
    if found > 1e-3:
        raise Unusable(f"{what} is {found:g}; a log-probability is at most 0")
    return min(found, 0.0)


_UNTOLD = -9999.0


def token_log_probability(value: Any, what: str) -> float:
    """A token's log-probability; minus infinity where the OpenAI protocol has -9999, too unlikely to be told.

    Raises:
        Unusable: it is none.
    """
    found = log_probability(value, what)
    return found if found > _UNTOLD else -math.inf


def grade(value: Any) -> bool | None:
    """Right or wrong, as programs write it down; None for what is neither."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(
            value.strip().lower()
        )
    return None


def texts_of(value: Any) -> tuple[str, ...]:
    """One right answer or several, as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ()
    listed: Sequence[Any] = value if isinstance(value, list | tuple) else [value]
    return tuple(str(one) for one in listed if isinstance(one, str | int | float) and str(one).strip())


def even(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """The likeliest of each place, falling, as many as every place has; nothing if one has none."""
    fewest = min((len(one) for one in rows), default=0)
    return tuple(tuple(sorted(one, reverse=True)[:fewest]) for one in rows) if fewest > 0 else ()
