"""Questions to tune on and to be tested on: the packaged facts, or a user's JSONL file."""

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxuq.questions.files import load_questions
from jaxuq.study import json_lines
from jaxuq.tuning.errors import TuningError

SHIFTED_FACTS = ("arithmetic", "two-steps")
_LETTERS = "ABCDEFGHIJ"


class Record(NamedTuple):
    """A question with its answer.

    Attributes:
        id: unique within its file.
        prompt: text that the answer continues.
        answer: as the model should write it, with its leading space.
        others: wrong answers of the question's own; empty: taken from the category when the options are made.
        category: of the question.
        uncertainty: from the user's column; None: there is none.
    """

    id: str
    prompt: str
    answer: str
    others: tuple[str, ...]
    category: str
    uncertainty: float | None


class Split(NamedTuple):
    """What a study works with.

    Attributes:
        name: of the data.
        train: to tune on.
        test: of the same kind, never tuned on.
        shifted: of another kind; may be empty.
        rejected: place and reason of every line that was left out.
    """

    name: str
    train: list[Record]
    test: list[Record]
    shifted: list[Record]
    rejected: list[tuple[str, str]]


def load_split(
    data: str, *, test: str | os.PathLike | None = None, shifted: str | os.PathLike | None = None, seed: int = 0
) -> Split:
    """Read data and divide them; the division depends on `seed` alone.

    `facts` are the packaged questions: sums and two-step questions are the shifted part, and of each other category
    one half is for tuning and one for the test. A JSONL file has `question` and `answer` on each line, and may have
    `choices` (answers to choose from; `answer` is then one of them, its letter or its number from 0), `uncertainty`
    (a number >= 0), `category` and `id`; without a file for the test, one half of it is kept for that.

    `mmlu:/path` and `bbh:/path` are folders in their published layout, see `jaxuq.tuning.read_benchmark`; the first is
    divided as published.

    Args:
        data: `facts`, a file, or one of these.
        test: a file to test on instead of half of the data.
        shifted: a file of questions of another kind.
        seed: of the division.

    Returns:
        `Split`; a line that cannot be read costs itself alone.

    Raises:
        TuningError: a missing file, or one without two usable lines.

    Example:
        >>> split = load_split("facts")
        >>> len(split.train), len(split.test), len(split.shifted), split.train[0].prompt
        (103, 105, 100, 'Q: What is the capital of France?\\nA:')
    """
    rejected: list[tuple[str, str]] = []
    name, other, divided = Path(data).stem, [], []
    if data == "facts":
        found = load_questions("facts").questions
        records = [
            Record(one.id, _plain_prompt(one.question), f" {one.answers[0]}", (), one.category, None) for one in found
        ]
        kept = [one for one in records if one.category not in SHIFTED_FACTS]
        other = [one for one in records if one.category in SHIFTED_FACTS]
    else:
        from jaxuq.tuning.benchmarks import read_benchmark

        published = read_benchmark(data, rejected)
        if published is None:
            kept = _read(data, rejected)
        else:
            name = data.partition(":")[0]
            kept, divided = (published.train, published.test) if published.train else (published.test, [])
    other = other if shifted is None else _read(shifted, rejected)
    if test is not None:
        train, tested = kept, _read(test, rejected)
    else:
        train, tested = (kept, divided) if divided else _halves(kept, seed)
    if not train or not tested:
        first = f"; the first problem: {rejected[0][0]}, {rejected[0][1]}" if rejected else ""
        raise TuningError(
            f"{data} gives {len(train)} questions to tune on and {len(tested)} to test; both are needed{first}"
        )
    return Split(name, train, tested, other, rejected)


def _halves(records: Sequence[Record], seed: int) -> tuple[list[Record], list[Record]]:
    """Every second one of each category, shuffled, in the order of the file."""
    rng, chosen = random.Random(seed), set()
    for category in dict.fromkeys(one.category for one in records):
        members = [one.id for one in records if one.category == category]
        rng.shuffle(members)
        chosen |= set(members[: len(members) // 2])
    return [one for one in records if one.id in chosen], [one for one in records if one.id not in chosen]


def _plain_prompt(question: str) -> str:
    return f"Q: {question}\nA:"


def _read(path: str | os.PathLike, rejected: list[tuple[str, str]]) -> list[Record]:
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise TuningError(f"{file} cannot be read ({reason}); expected facts or a JSONL file of questions") from None
    found: dict[str, Record] = {}
    for number, content in json_lines(text):
        try:
            if isinstance(content, ValueError):
                raise content
            one = make_record(content, f"line-{number}")
            if one.id in found:
                raise ValueError(f"the id {one.id!r} occurs twice")
            found[one.id] = one
        except ValueError as error:
            rejected.append((f"{file.name}, line {number}", str(error)))
    return list(found.values())


def make_record(content: Any, name: str) -> Record:
    """A question from a JSON object, see `load_split`.

    Args:
        content: the object.
        name: its id, if it has none.

    Returns:
        The record.

    Raises:
        ValueError: it cannot be used; the message says why.
    """
    if not isinstance(content, Mapping):
        raise ValueError("no JSON object")
    question, answer, choices = content.get("question"), content.get("answer"), content.get("choices")
    if not isinstance(question, str) or not question.strip():
        raise ValueError("there is no question")
    if isinstance(answer, bool) or not isinstance(answer, str | int | float) or not str(answer).strip():
        raise ValueError("there is no answer")
    uncertainty = content.get("uncertainty")
    if uncertainty is not None:
        if isinstance(uncertainty, bool) or not isinstance(uncertainty, int | float) or not 0 <= uncertainty < 1e30:
            raise ValueError(f"uncertainty is {uncertainty!r}; expected a number >= 0")
        uncertainty = float(uncertainty)
    name, category = str(content.get("id", name)), str(content.get("category", ""))
    if choices is None:
        return Record(name, _plain_prompt(question), f" {str(answer).strip()}", (), category, uncertainty)
    if not isinstance(choices, list) or not 2 <= len(choices) <= len(_LETTERS) or len(set(map(str, choices))) < 2:
        raise ValueError(f"choices must be a list of 2 to {len(_LETTERS)} answers")
    right = _position(answer, [str(choice) for choice in choices])
    lettered = "\n".join(f"{letter}. {choice}" for letter, choice in zip(_LETTERS, choices))
    letters = [f" {letter}" for letter in _LETTERS[: len(choices)]]
    others = tuple(letter for at, letter in enumerate(letters) if at != right)
    return Record(name, f"Q: {question}\n{lettered}\nA:", letters[right], others, category, uncertainty)


def _position(answer: str | int | float, choices: Sequence[str]) -> int:
    if isinstance(answer, int) and 0 <= answer < len(choices):
        return answer
    if str(answer) in choices:
        return choices.index(str(answer))
    letter = str(answer).strip().upper()
    if len(letter) == 1 and letter in _LETTERS[: len(choices)]:
        return _LETTERS.index(letter)
    raise ValueError(f"the answer {answer!r} is none of the choices {list(choices)}")
