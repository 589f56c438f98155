"""Questions to train on and to answer, and their tokens."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.pipeline.configuration import TrainConfiguration
from jaxuq.language import Instruction, PromptError, encode_instruction, encode_prompt
from jaxuq.questions import Question, QuestionSet, Rejected, lay_out, load_questions

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Encoded(NamedTuple):
    """Questions as tokens; those that cannot be used are left out and named.

    Attributes:
        records: those that are used.
        examples: whole, for training.
        prompts: instructions alone, as they are asked and as their gradients are taken.
        rejected: what was left out.
    """

    records: list[Question]
    examples: list[Instruction]
    prompts: list[Instruction]
    rejected: list[Rejected]


def load_records(
    configuration: TrainConfiguration, data: str | None = None, *, part: str = "train", per_family: int | None = None
) -> QuestionSet:
    """Questions laid out as a training's are.

    Their `source` is what tables and adapters of data sets divide them by: their category, where there is no other.

    Args:
        configuration: of the training.
        data: see `jaxuq.questions.load_questions`; None: that of the training.
        part: `train` or `test`.
        per_family: of the families; None: that of the training.

    Returns:
        `QuestionSet`.

    Raises:
        QuestionError: data that cannot be found or read, or without a usable question.
        ExpertsError: a set that is published to test on is to be trained on.
    """
    found = load_questions(
        configuration.data if data is None else data, part=part, layout=configuration.layout or None,
        chat=configuration.chat, seed=configuration.seed, per_family=per_family or configuration.per_family,
    )  # fmt: skip
    if part == "train" and all(one.part == "test" for one in found.questions):
        raise ExpertsError(
            f"{found.name} is to evaluate on, and has no part to train on: train on a file, such as that of jaxuq "
            "experts combine"
        )
    return found._replace(questions=[one._replace(source=one.source or one.category) for one in found.questions])


def typed_questions(configuration: TrainConfiguration, texts: Sequence[str]) -> list[Question]:
    """What a user types as questions, numbered from 1.

    Args:
        configuration: of the training.
        texts: what is asked.

    Returns:
        Questions without answers, laid out.
    """
    asked = [Question(str(number), text) for number, text in enumerate(texts, 1)]
    return [lay_out(one, configuration.layout or "instruction", chat=configuration.chat) for one in asked]


def encode_records(
    model: "LanguageModel", records: Sequence[Question], *, max_length: int, answers: bool = True
) -> Encoded:
    """Tokens of questions that were laid out.

    Args:
        model: whose tokenizer is used.
        records: the questions.
        max_length: longer examples lose their end; prompts that fill it are left out.
        answers: encode the replies too; without, `examples` are the prompts.

    Returns:
        `Encoded`.

    Raises:
        ExpertsError: none of them can be used; names the first reason.
    """
    kept, examples, prompts, rejected = [], [], [], []
    for one in records:
        try:
            tokens = encode_prompt(model.tokenizer, one.prompt, chat=one.chat, max_tokens=max_length - 1)
            prompt = example = Instruction(np.asarray(tokens, np.int32), np.zeros(len(tokens), bool))
            if answers:
                entry = {"instruction": one.prompt, "response": one.reply}
                if not isinstance(one.prompt, str):
                    entry = {"messages": [*one.prompt, {"role": "assistant", "content": one.reply}]}
                example = encode_instruction(model.tokenizer, entry, chat=one.chat, max_length=max_length)
        except PromptError as error:
            rejected.append(Rejected(one.id, str(error)))
            continue
        kept.append(one)
        examples.append(example)
        prompts.append(prompt)
    if not kept:
        reason = rejected[0].reason if rejected else "there are none"
        raise ExpertsError(f"none of the {len(records)} instructions can be used; the first: {reason}")
    return Encoded(kept, examples, prompts, rejected)


def prompt_text(question: Question) -> str:
    """What a question says to a model, as text, for tables and sentence vectors.

    Args:
        question: that was laid out.

    Returns:
        Its prompt; of a chat the last message.
    """
    prompt = question.prompt
    return (prompt if isinstance(prompt, str) else str(prompt[-1]["content"])).rstrip("\n")
