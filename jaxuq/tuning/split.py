"""Questions to tune on and to be tested on."""

import os
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxuq._arguments import typed
from jaxuq._entries import Entry
from jaxuq.questions import SETS, Question, QuestionSet, Rejected, load_questions
from jaxuq.questions.sets import Source
from jaxuq.tuning.errors import TuningError


class Split(NamedTuple):
    """What a study works with; all questions are laid out as plain text.

    Attributes:
        name: of the data.
        train: to tune on.
        test: of the same kind, never tuned on.
        shifted: of another kind; may be empty.
        rejected: what was left out.
    """

    name: str
    train: list[Question]
    test: list[Question]
    shifted: list[Question]
    rejected: list[Rejected]


@typed()
def load_split(
    data: Source,
    *,
    test: str | os.PathLike | None = None,
    shifted: str | os.PathLike | None = None,
    seed: int = 0,
    layout: "str | Entry | Callable[[Question], Any]" = "line",
) -> Split:
    """Read questions and divide them; the division depends on `seed` alone.

    Data that say what is to train on and what to test on (a `part` a line, or MMLU's folders) are divided as they say;
    of others, half of each category is kept for the test. Of the packaged `facts`, sums and two-step questions are the
    shifted part.

    Args:
        data: see `jaxuq.questions.load_questions`.
        test: questions to test on instead.
        shifted: questions of another kind.
        seed: of the division.
        layout: see `jaxuq.questions.lay_out`; a chat template is not used.

    Returns:
        `Split`; a question that cannot be read costs itself alone.

    Raises:
        QuestionError: data that cannot be found or read, or without a usable question.
        TuningError: fewer than two usable questions.

    Example:
        >>> split = load_split("facts")
        >>> len(split.train), len(split.test), len(split.shifted), split.train[0].prompt
        (103, 105, 100, 'Q: What is the capital of France?\\nA:')
    """
    rejected: dict[Rejected, None] = {}

    def load(data: Source, part: str) -> QuestionSet:
        found = load_questions(data, part=part, layout=layout, chat=False)
        rejected.update(dict.fromkeys(found.rejected))
        chats = [one.id for one in found.questions if not isinstance(one.prompt, str)]
        rejected.update((Rejected(name, "`prompt` is a chat: expected text"), None) for name in chats)
        return found._replace(questions=[one for one in found.questions if isinstance(one.prompt, str)])

    found = load(data, "train")
    about = getattr(SETS[data], "about", {}) if isinstance(data, str) and data in SETS else {}
    unlike = about.get("shifted", ())
    train = [one for one in found.questions if one.category not in unlike]
    other = [one for one in found.questions if one.category in unlike]
    if shifted is not None:
        other = load(shifted, "test").questions
    tested = load(data if test is None else test, "test").questions
    if test is None and {one.id for one in train} & {one.id for one in tested}:
        train, tested = _halves(train, seed)
    if not train or not tested:
        first = next((f"; the first problem: {one.place}, {one.reason}" for one in rejected), "")
        raise TuningError(
            f"{found.name} gives {len(train)} questions to tune on and {len(tested)} to test; both are needed{first}"
        )
    return Split(found.name, train, tested, other, list(rejected))


def _halves(questions: Sequence[Question], seed: int) -> tuple[list[Question], list[Question]]:
    """Every second one of each category, shuffled, in the order of the file."""
    rng, chosen = random.Random(seed), set()
    for category in dict.fromkeys(one.category for one in questions):
        members = [one.id for one in questions if one.category == category]
        rng.shuffle(members)
        chosen |= set(members[: len(members) // 2])
    return [one for one in questions if one.id in chosen], [one for one in questions if one.id not in chosen]
