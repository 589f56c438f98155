"""Which program wrote a file of answers, by what its lines hold; and its answers."""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxuq._extras import missing_package
from jaxuq.confidence.files.completions import is_completion, read_completion
from jaxuq.confidence.files.frames import is_frame, read_frame, rows_of, score_columns
from jaxuq.confidence.files.harness import filter_of, grading_metrics, is_harness, read_harness
from jaxuq.confidence.files.records import GivenAnswer, Unusable
from jaxuq.questions import QuestionError, Rejected
from jaxuq.questions.reading import read_entries


class Kind(NamedTuple):
    """A program's way to write answers down.

    Attributes:
        name: for people.
        knows: whether a line is of it.
        reader: makes, of all lines of a file that are of the kind, what reads the answer of a line.
        part: of the file that a line is of, of which the first is read; empty: there are no parts.
    """

    name: str
    knows: Callable[[Mapping[str, Any]], bool]
    reader: Callable[[Sequence[Mapping[str, Any]]], Callable[[Mapping[str, Any]], GivenAnswer]]
    part: Callable[[Mapping[str, Any]], str] = lambda entry: ""


KINDS = (
    Kind(
        "samples of lm-evaluation-harness", is_harness,
        lambda lines: functools.partial(read_harness, metrics=grading_metrics(lines)), filter_of,
    ),
    Kind("completions of the OpenAI protocol", is_completion, lambda lines: read_completion),
    Kind("a data frame of uqlm", is_frame, lambda rows: functools.partial(read_frame, columns=score_columns(rows))),
)  # fmt: skip
"""In the order in which they are tried."""


class GivenAnswers(NamedTuple):
    """What a file holds.

    Attributes:
        kind: of the file, for people.
        answers: of it, each with an id of its own.
        rejected: lines that cost themselves, and why.
    """

    kind: str
    answers: list[GivenAnswer]
    rejected: list[Rejected]


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    if path.name.lower().endswith((".parquet", ".pq")):
        import pandas as pd

        try:
            frame = pd.read_parquet(path)
        except ImportError:
            raise QuestionError(str(missing_package("pyarrow", f"the parquet file {path}"))) from None
        except (OSError, ValueError, KeyError) as error:
            raise QuestionError(f"{path} cannot be read ({error})") from None
        for place, row in enumerate(frame.to_dict("records"), 1):
            yield f"{path.name}, row {place}", {str(name): value for name, value in row.items() if value is not None}
        return
    for place, entry in read_entries(path):
        rows = rows_of(entry)
        if rows is None:
            yield place, entry
        else:
            yield from ((f"{place}, row {number}", row) for number, row in enumerate(rows, 1))


def kind_of(path: Path) -> Kind | None:
    """The kind of the first line that is of one; None: of no other program, so it is jaxuq's own `id` and `response`.

    Args:
        path: of a file of responses.

    Raises:
        QuestionError: it cannot be read, or is of neither.
    """
    if not path.is_file():
        return None
    first = ""
    for place, entry in _entries(path):
        if isinstance(entry, Mapping):
            own = "response" in entry and "id" in entry
            found = next((kind for kind in KINDS if kind.knows(entry)), None)
            if found is not None or own:
                return found
        first = first or f"{place}: {_shown(entry)}"
    known = "; ".join(kind.name for kind in KINDS)
    raise QuestionError(
        f"{path} has no answer in a form that is known ({first or 'it is empty'}); expected lines with `id` and "
        f"`response`, or one of these: {known}"
    )


def _shown(entry: Any) -> str:
    if isinstance(entry, Mapping) and entry:
        return "an object with " + ", ".join(f"`{name:.40}`" for name in list(entry)[:6])
    return str(entry) if isinstance(entry, ValueError) else f"{entry!r:.80}"


def read_answers(path: Path, kind: Kind) -> GivenAnswers:
    """The answers of a file.

    Args:
        path: of it.
        kind: of `kind_of`.

    Returns:
        `GivenAnswers`.

    Raises:
        QuestionError: it has none.
    """
    answers: list[GivenAnswer] = []
    rejected: list[Rejected] = []
    used: dict[str, int] = {}
    entries = list(_entries(path))
    own = [entry for _, entry in entries if isinstance(entry, Mapping) and kind.knows(entry)]
    first = kind.part(own[0]) if own else ""
    read = kind.reader([entry for entry in own if kind.part(entry) == first])
    for place, entry in entries:
        try:
            if isinstance(entry, ValueError):
                raise Unusable(str(entry))
            if not isinstance(entry, Mapping) or not kind.knows(entry):
                raise Unusable(f"it is not of {kind.name}, as lines before it are")
            if kind.part(entry) != first:
                raise Unusable(f"it is of the filter {kind.part(entry)!r}; {first!r}, the first, is read")
            one = read(entry)
        except Unusable as error:
            rejected.append(Rejected(place, str(error)))
            continue
        answers.append(one._replace(id=_unlike(one.id or f"{len(answers) + 1}", used)))
    if not answers:
        reason = f"; the first: {rejected[0].reason}" if rejected else ""
        raise QuestionError(f"{path} was taken for {kind.name}, and has no answer{reason}")
    return GivenAnswers(kind.name, _alike(answers), rejected)


def _unlike(name: str, used: dict[str, int]) -> str:
    """A name that no answer before has: the second "a" is "a (2)", unless there is one already."""
    found, number = name, used.get(name, 0)
    while found in used:
        number += 1
        found = f"{name} ({number})"
    used[name] = max(number, 1)
    used.setdefault(found, 1)
    return found


def _alike(answers: list[GivenAnswer]) -> list[GivenAnswer]:
    """As many of the likeliest tokens as most answers have: a mean over three is no match for one over five."""
    sizes = Counter(len(one.likeliest[0]) for one in answers if one.likeliest)
    size = max(sizes, key=lambda size: (sizes[size], size), default=0)
    return [one._replace(likeliest=tuple(row[:size] for row in one.likeliest if len(row) >= size)) for one in answers]
