"""Questions by name or from a user's file, and responses that are there already."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxuq.questions.prompts import boxed_prompt, published_prompt, short_prompt
from jaxuq.questions.published import PUBLISHED, PublishedQuestion, find_published, read_published
from jaxuq.questions.records import Question, QuestionError, QuestionSet
from jaxuq.study import json_lines

_KINDS = ("number", "expression", "choice", "text")
_FACTS = Path(__file__).parent / "data" / "facts.jsonl"
QUESTION_SETS: tuple[str, ...] = ("facts", *PUBLISHED)


def load_questions(data: str, *, folder: str | os.PathLike | None = None) -> QuestionSet:
    """Load a set of questions by name, or a user's JSONL file.

    Names: `facts` (packaged: short factual questions written for this project), and from a folder `gsm8k`, `math`,
    `svamp`, `mathqa`, `bbh`, `mmlu`. A line of a file has `question` and `answer` (a string, a number, or a list of
    right answers), and may have `id`, `kind` (`number`, `expression`, `choice`, `text`; by default `number` for an
    answer with a digit, else `text`), `category`, `prompt` (text or chat messages, in place of the question) and
    `response` (to be scored as it is). A line that cannot be read costs itself alone, and is counted in `rejected`.

    Args:
        data: a name or a path.
        folder: where the published sets are; None: `JAXUQ_DATA` and the cache.

    Returns:
        `QuestionSet`.

    Raises:
        QuestionError: an unknown name, a missing file or data set, or a file without a usable line.

    Example:
        >>> facts = load_questions("facts")
        >>> len(facts.questions) >= 300, facts.questions[0].question
        (True, 'What is the capital of France?')
    """
    if data == "facts":
        found = _read(_FACTS, short=True)._replace(name="facts", one_line=True)
    elif data in PUBLISHED:
        rejected: list[tuple[str, str]] = []
        published = read_published(data, find_published(data, folder), rejected)
        found = QuestionSet(data, [_asked(one) for one in published], False, rejected)
    elif Path(data).is_file():
        found = _read(Path(data), short=False)
    else:
        raise QuestionError(f"{data} is neither a file nor a known set; known are {', '.join(QUESTION_SETS)}")
    if not found.questions:
        why = f" The first problem: {found.rejected[0][0]}, {found.rejected[0][1]}." if found.rejected else ""
        raise QuestionError(f"{data} has no usable question.{why}")
    return found


def _asked(one: PublishedQuestion) -> Question:
    return Question(one.id, one.question, (one.answer,), one.kind, one.category, published_prompt(one))


def _read(path: Path, *, short: bool) -> QuestionSet:
    questions: list[Question] = []
    rejected: list[tuple[str, str]] = []
    seen: set[str] = set()
    for place, record in _records(path, rejected):
        try:
            one = _question(record, place, short)
            if one.id in seen:
                raise ValueError(f"the id {one.id!r} occurs twice")
        except ValueError as error:
            rejected.append((place, str(error)))
            continue
        seen.add(one.id)
        questions.append(one)
    return QuestionSet(path.stem, questions, False, rejected)


def _records(path: Path, rejected: list[tuple[str, str]], what: str = "") -> list[tuple[str, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise QuestionError(f"{path} cannot be read ({error.strerror})") from None
    found = []
    for number, record in json_lines(text):
        if isinstance(record, dict):
            try:
                json.dumps(record, ensure_ascii=False).encode()
            except UnicodeError:
                rejected.append(
                    (f"{what}line {number}", "its text is not valid Unicode: a lone surrogate such as \\ud800")
                )
                continue
            found.append((f"{what}line {number}", record))
        elif isinstance(record, ValueError):
            rejected.append((f"{what}line {number}", str(record)))
        else:
            reason = f"no JSON object (expected an object with fields, not {type(record).__name__})"
            rejected.append((f"{what}line {number}", reason))
    return found


def _question(record: dict[str, Any], place: str, short: bool) -> Question:
    asked, answer = record.get("question"), record.get("answer")
    if not isinstance(asked, str) or not asked.strip():
        raise ValueError("there is no question")
    answers = [*(answer if isinstance(answer, list) else [answer]), *(record.get("also") or [])]
    if not answers or not all(isinstance(one, str | int | float) and str(one).strip() for one in answers):
        raise ValueError("there is no answer: expected a string, a number, or a list of them")
    truths = tuple(str(one) for one in answers)
    kind = record.get("kind") or ("number" if any(letter.isdigit() for letter in truths[0]) else "text")
    if kind not in _KINDS:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(_KINDS)}")
    response = record.get("response")
    if response is not None and (not isinstance(response, str) or not response.strip()):
        raise ValueError("the response is empty or no text")
    prompt = record.get("prompt")
    if prompt is not None and not isinstance(prompt, str | list):
        raise ValueError("prompt is neither text nor a list of chat messages")
    if prompt is None:
        prompt = short_prompt(asked) if short else boxed_prompt(asked)
    name, category = str(record.get("id", place)), str(record.get("category", ""))
    return Question(name, asked, truths, kind, category, prompt, not short, response)


def add_responses(found: QuestionSet, path: str | os.PathLike) -> QuestionSet:
    """Give questions the responses of a JSONL file: `id` and `response` on each line.

    Questions without a response are left out and counted, and so are lines that fit no question.

    Args:
        found: the questions.
        path: of the file.

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
    for place, record in _records(Path(path), rejected, "responses, "):
        name, response = str(record.get("id")), record.get("response")
        if name not in by_id:
            rejected.append((place, f"no question has the id {name!r}"))
        elif not isinstance(response, str) or not response.strip():
            rejected.append((place, "there is no response"))
        else:
            given[name] = response
    if not given:
        raise QuestionError(f"{path} has no response to any question of {found.name}; a line needs `id` and `response`")
    kept = [one._replace(response=given[one.id]) for one in found.questions if one.id in given]
    rejected += [(one.id, "no response was given") for one in found.questions if one.id not in given]
    return found._replace(questions=kept, rejected=rejected)


def spread(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """The first `limit` questions of a fixed shuffle, so that a part is like the whole; all, in order, for None."""
    import random

    if limit is None or limit >= len(questions):
        return list(questions)
    order = list(range(len(questions)))
    random.Random(seed).shuffle(order)
    return [questions[at] for at in sorted(order[:limit])]
