"""Questions by the name of their set, from a user's file, or from the user's own program; and responses to them."""

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from jaxuq._entries import Entries, Entry
from jaxuq.questions.families import read_families
from jaxuq.questions.known_truth import read_known_truth
from jaxuq.questions.layouts import LAYOUTS, lay_out, layout_of
from jaxuq.questions.published import PUBLISHED
from jaxuq.questions.reading import read_entries
from jaxuq.questions.records import Question, QuestionError, QuestionSet, Rejected
from jaxuq.questions.schema import make_question

Source = str | os.PathLike | QuestionSet | Callable[..., Iterable[Any]] | Iterable[Any]
"""Where questions are: a name of `SETS`, perhaps with a path after a colon, a file, a function, or questions."""
_FACTS = Path(__file__).parent / "data" / "facts.jsonl"


def _read_file(path: str | os.PathLike) -> Iterable[Question | Rejected]:
    for place, entry in read_entries(Path(path)):
        yield _made(entry, place, place.rpartition(", ")[2].replace(" ", "-"))


def _made(entry: Any, place: str, name: str) -> Question | Rejected:
    try:
        if isinstance(entry, ValueError):
            raise entry
        return make_question(entry, name)
    except ValueError as error:
        return Rejected(place, str(error))


SETS: Entries[Any] = Entries(
    "question set",
    "jaxuq.questions",
    {
        "facts": Entry("facts", "Short facts", {"read": lambda path, part: _read_file(_FACTS)},
                       about={"layout": "short", "shifted": ("arithmetic", "two-steps")}),
        "families": Entry("families", "Four families of instructions", {"read": read_families},
                          options={"seed": 0, "per_family": 60}, about={"layout": "instruction"}),
        "known": Entry("known", "Known answer distributions", {"read": read_known_truth},
                       options={"seed": 0, "twins": 240, "unanswerable": 120}, about={"layout": "short"}),
        **PUBLISHED,
    },
)  # fmt: skip
"""Sets by name. An entry has `read(path, part, **options)`, which gives questions, objects of fields as `make_question`
takes them, or `Rejected`: `path` is what stands after the name and a colon (or None), `part` what is wanted (questions
of other parts are left out), and `options` are those of the entry. `about["layout"]` says how the set is usually laid
out. A function without arguments will do, too."""


def load_questions(
    data: Source,
    *,
    part: str = "test",
    folder: str | os.PathLike | None = None,
    layout: "str | Entry | Callable[[Question], Any] | None" = None,
    chat: bool | None = None,
    **options: Any,
) -> QuestionSet:
    """Load a set of questions, each with its prompt; all commands read them so.

    Names: `facts` (packaged: short factual questions written for this project), `families` (made: four families of
    instructions), `known` (made: answer distributions that are known), and as published `gsm8k`, `math`, `svamp`,
    `mathqa`, `bbh`, `mmlu`, with or without a path, such as
    `mmlu:/data/mmlu`. A file has a JSON object a line, a JSON list of objects, or is CSV with a header; the fields are
    those of `make_question`. What cannot be read costs itself alone, and is in `rejected`.

    Args:
        data: a name of `SETS`, a file, a function, or questions (`Question`s, or objects of fields).
        part: `train`, `valid`, `calibrate` or `test`; where the set has none of it, those of no part, or else all.
        folder: where published sets are; None: `JAXUQ_DATA` and the cache.
        layout: how they are put to a model, see `lay_out`; None: as the set usually is; a file's are `boxed`,
            or, where there are solutions and no answers, `instruction`.
        chat: see `lay_out`.
        options: of the set's entry; those that it does not have are passed over.

    Returns:
        `QuestionSet`.

    Raises:
        QuestionError: an unknown name, a missing file or data set, or one without a usable question.
        OptionError: an unknown layout.

    Example:
        >>> facts = load_questions("facts")
        >>> len(facts.questions) >= 300, facts.questions[0].question
        (True, 'What is the capital of France?')
        >>> load_questions([{"question": "2 + 2?", "answer": 4}], layout="line").questions[0].prompt
        'Q: 2 + 2?\\nA:'
    """
    name, usual, read = _reader(data, folder)
    found: list[Question] = []
    rejected: list[Rejected] = []
    seen: set[str] = set()
    given = read(part, options)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise QuestionError(
            f"the set {name} gives {given!r:.60}; expected a list of questions, or of objects of fields"
        )
    for number, one in enumerate(given, 1):
        if not isinstance(one, Question | Rejected):
            one = _made(one, f"{name}, question {number}", f"question-{number}")
        if isinstance(one, Question) and one.id in seen:
            one = Rejected(one.id, f"the `id` {one.id!r} occurs twice: give every question one of its own")
        if isinstance(one, Question):
            seen.add(one.id)
            found.append(one)
        else:
            rejected.append(one)
    how = layout_of(layout or usual or ("boxed" if any(one.answers for one in found) else "instruction"))
    laid = []
    for one in of_part(found, part):
        try:
            laid.append(lay_out(one, how, chat=chat))
        except ValueError as error:
            rejected.append(Rejected(one.id, str(error)))
    if not laid:
        why = f" The first problem: {rejected[0].place}: {rejected[0].reason}." if rejected else ""
        raise QuestionError(f"{name} has no usable question.{why}")
    return QuestionSet(name, laid, rejected, how.name, bool(how.about.get("one_line")))


def _reader(data: Source, folder: str | os.PathLike | None) -> tuple[str, str | Entry, Callable[..., Iterable[Any]]]:
    """Name, usual layout, and what reads a part with options."""
    if isinstance(data, QuestionSet):
        kept = Entry(data.layout, data.layout, LAYOUTS["boxed"].functions, about={"one_line": data.one_line})
        return data.name, kept if data.layout else "", lambda part, options: [*data.rejected, *data.questions]
    if callable(data):
        return getattr(data, "__name__", "questions"), "", lambda part, options: data()
    if not isinstance(data, str | os.PathLike):
        listed = list(data)
        return "questions", "", lambda part, options: listed
    text = os.fspath(data)
    named, _, rest = text.partition(":")
    if named in SETS:
        entry = SETS[named]
        if not isinstance(entry, Entry):
            return named, "", lambda part, options: entry()
        path, usual = rest or (None if folder is None else os.fspath(folder)), entry.about.get("layout", "")

        def read(part: str, options: Mapping[str, Any]) -> Iterable[Any]:
            chosen = {name: options.get(name, value) for name, value in entry.options.items()}
            return entry.functions["read"](path, part, **chosen)

        return named, usual, read
    path = Path(text).expanduser()
    if not path.is_file():
        raise QuestionError(f"{text} is neither a file nor a known set; known are {', '.join(SETS)}")
    return Path(path.name.removesuffix(".gz")).stem, "", lambda part, options: _read_file(path)


def of_part(questions: Sequence[Question], part: str) -> list[Question]:
    """The questions of a part; where there is none of it those of no part, or else all.

    Args:
        questions: of a set.
        part: that is wanted; empty: all.

    Returns:
        In their order.
    """
    own = [one for one in questions if one.part == part]
    return own or [one for one in questions if not one.part] or list(questions) if part else list(questions)


def add_responses(found: QuestionSet, path: str | os.PathLike) -> QuestionSet:
    """Give questions the responses of a file: `id` and `response` on each line.

    Questions without a response are left out and counted, and so are lines that fit no question, and second responses
    to a question.

    Args:
        found: the questions.
        path: of the file, of any form that questions have.

    Returns:
        The questions that have a response.

    Raises:
        QuestionError: the file cannot be read, or fits no question.
    """
    if not Path(path).is_file():
        raise QuestionError(f"{path}, the file of responses, does not exist")
    rejected = list(found.rejected)
    by_id = {one.id: one for one in found.questions}
    given: dict[str, str] = {}
    for place, entry in read_entries(Path(path)):
        if not isinstance(entry, Mapping):
            reason = str(entry) if isinstance(entry, ValueError) else "it is no object with `id` and `response`"
            rejected.append(Rejected(place, reason))
            continue
        name, response = str(entry.get("id")), entry.get("response")
        if name not in by_id:
            rejected.append(Rejected(place, f"no question has the `id` {name!r}"))
        elif name in given:
            rejected.append(Rejected(place, f"the `id` {name!r} has a response already, which is kept"))
        elif not isinstance(response, str) or not response.strip():
            rejected.append(Rejected(place, "`response` is missing or empty: give what the model answered"))
        else:
            given[name] = response
    if not given:
        raise QuestionError(f"{path} has no response to any question of {found.name}; a line needs `id` and `response`")
    kept = [one._replace(response=given[one.id]) for one in found.questions if one.id in given]
    rejected += [Rejected(one.id, "no response was given") for one in found.questions if one.id not in given]
    return found._replace(questions=kept, rejected=rejected)


_One = TypeVar("_One")


def spread(questions: Sequence[_One], limit: int | None, seed: int) -> list[_One]:
    """The first `limit` questions (or answers) of a fixed shuffle, so that a part is like the whole; None: all."""
    if limit is None or limit >= len(questions):
        return list(questions)
    order = list(range(len(questions)))
    random.Random(seed).shuffle(order)
    return [questions[at] for at in sorted(order[:limit])]
