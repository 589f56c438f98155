"""Instructions with their sources: from a JSONL file, the built-in families or a published set, and as tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.families import make_families
from jaxuq.language import Instruction, PromptError, encode_instruction, encode_prompt
from jaxuq.questions import PUBLISHED, QuestionError, load_questions
from jaxuq.questions.answers import AnswerKind
from jaxuq.study import json_lines

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_SOURCES = ("source", "dataset", "task")


class Record(NamedTuple):
    """One line of the data.

    Attributes:
        instruction: what is asked.
        response: the right answer.
        source: data set or family; empty if the data name none.
        kind: of the answer, where the set says it (see `jaxuq.questions.find_answer`); None: whatever `--answer` says.
    """

    instruction: str
    response: str
    source: str
    kind: AnswerKind | None = None


class Encoded(NamedTuple):
    """Records as tokens; those that cannot be used are left out and named.

    Attributes:
        records: those that are used.
        examples: whole, for training.
        prompts: instructions alone, as they are asked and as their gradients are taken.
        rejected: number in the data and reason.
    """

    records: list[Record]
    examples: list[Instruction]
    prompts: list[Instruction]
    rejected: list[tuple[int, str]]


def load_records(
    data: str,
    *,
    seed: int = 0,
    per_family: int = 60,
    split: str = "train",
    rejected: list[tuple[str, str]] | None = None,
) -> list[Record]:
    """Read a data set.

    Args:
        data: `families`; a JSONL file with `instruction`, `response`, and perhaps `source`, `dataset` or `task`; or, to
            evaluate on, `bbh:/path`, `mmlu:/path`, `gsm8k:/path`, `math:/path`, `svamp:/path` or `mathqa:/path` as
            published (without a path: where `JAXUQ_DATA` says). BBH's questions come after its worked examples.
        seed: of the families.
        per_family: of the families.
        split: of the families, `train` or `test`.
        rejected: place and reason of each published question that cannot be read is added to it.

    Returns:
        Records in their order.

    Raises:
        ExpertsError: no such file, or a line that is no such object, which is named; a published set is to be trained
            on.

    Example:
        >>> load_records("families", per_family=1)[0].source in ("ledger", "tale", "mirror", "gauge")
        True
    """
    if data == "families":
        families = make_families(seed, per_family, split=split)
        return [Record(one["instruction"], one["response"], one["source"]) for one in families]
    name, _, folder = data.partition(":")
    if name in PUBLISHED:
        return _published(name, folder or None, split, [] if rejected is None else rejected)
    path = Path(data).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ExpertsError(f"{path} cannot be read: {error.strerror}; --data names a JSONL file, or families") from None
    except UnicodeDecodeError as error:
        raise ExpertsError(f"{path} is not UTF-8 text: {error}") from None
    records = [_record(entry, f"line {number} of {path}") for number, entry in json_lines(text)]
    if not records:
        raise ExpertsError(f"{path} holds no instructions: expected one JSON object a line")
    return records


def _published(name: str, folder: str | None, split: str, rejected: list[tuple[str, str]]) -> list[Record]:
    if split != "test":
        raise ExpertsError(f"{name} is to evaluate on: train on a JSONL file, such as that of jaxuq experts combine")
    try:
        found = load_questions(name, folder=folder)
    except QuestionError as error:
        raise ExpertsError(str(error)) from None
    rejected += found.rejected
    return [Record(str(one.prompt), one.answers[0], one.category, one.kind) for one in found.questions]


def _record(entry: Any, where: str) -> Record:
    if isinstance(entry, ValueError):
        raise ExpertsError(f"{where} is {entry}")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str) for name in ("instruction", "response")):
        raise ExpertsError(f"{where} needs 'instruction' and 'response', both text")
    source = next((str(entry[name]) for name in _SOURCES if entry.get(name) is not None), "")
    return Record(entry["instruction"], entry["response"], source)


def encode_records(
    model: "LanguageModel", records: Sequence[Record], *, chat: bool, max_length: int, answers: bool = True
) -> Encoded:
    """Tokens of records. Without the chat template a line break ends an instruction.

    Args:
        model: whose tokenizer is used.
        records: the data.
        chat: whether instructions go through the chat template.
        max_length: longer examples lose their end; instructions that fill it are left out.
        answers: encode the responses too; without, `examples` are the prompts.

    Returns:
        `Encoded`.

    Raises:
        ExpertsError: none of them can be used; names the first reason.
    """
    kept, examples, prompts, rejected = [], [], [], []
    for number, record in enumerate(records):
        instruction = record.instruction if chat else f"{record.instruction}\n"
        try:
            tokens = encode_prompt(model.tokenizer, instruction, chat=chat, max_tokens=max_length - 1)
            prompt = Instruction(np.asarray(tokens, np.int32), np.zeros(len(tokens), bool))
            example = prompt
            if answers:
                entry = {"instruction": instruction, "response": record.response}
                example = encode_instruction(model.tokenizer, entry, chat=chat, max_length=max_length)
        except PromptError as error:
            rejected.append((number, str(error)))
            continue
        kept.append(record)
        examples.append(example)
        prompts.append(prompt)
    if not kept:
        reason = rejected[0][1] if rejected else "there are none"
        raise ExpertsError(f"none of the {len(records)} instructions can be used; the first: {reason}")
    return Encoded(kept, examples, prompts, rejected)
