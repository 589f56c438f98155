"""Questions as arrays: prompts of tokens, and for each the tokens that tell its possible answers apart."""

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.language import Instruction, PromptError, encode_instruction, encode_prompt, encode_reply
from jaxuq.parallel import RowBatch, pad_rows
from jaxuq.questions import Question, Rejected
from jaxuq.tuning.errors import TuningError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class AnswerPrompts(NamedTuple):
    """Prompts whose next token decides between answers.

    Attributes:
        tokens: of the prompts, padded at the end.
        lengths: of the prompts.
        options: for each answer to choose from, the token that it goes on with.
        where: whether there is such an answer; False for padding.
    """

    tokens: Int[Array | np.ndarray, "batch time"]
    lengths: Int[Array | np.ndarray, " batch"]
    options: Int[Array | np.ndarray, "batch options"]
    where: Bool[Array | np.ndarray, "batch options"]


class Encoded(NamedTuple):
    """Questions that can be asked, and those that cannot.

    Attributes:
        prompts: of the questions.
        labels: which option is right.
        ids: of the questions.
        options: the answers to choose from, as text.
        rejected: id and reason of each question left out.
    """

    prompts: AnswerPrompts
    labels: Int[np.ndarray, " batch"]
    ids: list[str]
    options: list[tuple[str, ...]]
    rejected: list[Rejected]


@typed()
def take_questions(encoded: Encoded, rows: Int[np.ndarray, " rows"]) -> Encoded:
    """Some of the questions, as they are.

    Args:
        encoded: questions.
        rows: their numbers.

    Returns:
        `Encoded`, with nothing in `rejected`.
    """
    there = len(encoded.ids)
    wrong = [int(row) for row in rows if not 0 <= row < there]
    if wrong:
        raise TuningError(f"there is no row {wrong[0]}: the questions are {there}")
    prompts = AnswerPrompts(*(np.asarray(array)[rows] for array in encoded.prompts))
    ids, options = ([all_of[row] for row in rows] for all_of in (encoded.ids, encoded.options))
    return Encoded(prompts, encoded.labels[rows], ids, options, [])


@typed()
def encode_questions(
    tokenizer: "PreTrainedTokenizerBase",
    records: Sequence[Question],
    *,
    num_options: int = 4,
    max_length: int = 1024,
    seed: int = 0,
) -> Encoded:
    """Prompts and options; wrong options that a question does not bring are answers of others of its category.

    Options differ in their first token, after what all of them begin with (a space before digits), which is given to
    the model: so one pass over the prompt gives the distribution over the options, as in multiple choice by letter.
    Options and their order depend on `seed` and the question's id alone.

    Args:
        tokenizer: of the model.
        records: the questions.
        num_options: how many answers to choose from, where the question does not bring its own.
        max_length: longer prompts are rejected.
        seed: of the choice of options.

    Returns:
        `Encoded`.

    Raises:
        TuningError: no question can be asked.
    """
    if num_options < 2:
        raise TuningError(f"num_options is {num_options}; a choice needs at least 2")
    answers: dict[str, list[str]] = {}
    for one in records:
        answers.setdefault(one.category, []).append(one.reply)
    kept, rejected = [], []
    for one in records:
        rng = random.Random(f"{seed} {one.id}")
        try:
            prompt = encode_prompt(tokenizer, one.prompt, chat=False, max_tokens=max_length - 1)
            lead, options = _options(tokenizer, one, answers[one.category], num_options, rng)
        except (PromptError, ValueError) as error:
            rejected.append(Rejected(one.id, str(error)))
            continue
        kept.append((one.id, [*prompt, *lead], options))
    if not kept:
        first = f"; the first: {rejected[0][0]}, {rejected[0][1]}" if rejected else ""
        raise TuningError(f"none of the {len(records)} questions can be asked{first}")
    prompts = padded_prompts([prompt for _, prompt, _ in kept], [[one[0] for one in own] for _, _, own in kept])
    labels = np.array([[right for _, _, right in options].index(True) for _, _, options in kept], np.int32)
    texts = [tuple(text for _, text, _ in options) for _, _, options in kept]
    return Encoded(prompts, labels, [one[0] for one in kept], texts, rejected)


def padded_prompts(prompts: Sequence[Sequence[int]], options: Sequence[Sequence[int]]) -> AnswerPrompts:
    """Lists of tokens as arrays, as long as the longest.

    Args:
        prompts: tokens of each prompt.
        options: tokens to choose from, of each.

    Returns:
        `AnswerPrompts`.

    Example:
        >>> padded_prompts([[1, 2], [3]], [[4], [5, 6]]).where.tolist()
        [[True, False], [True, True]]
    """
    padded = [pad_rows(one, RowBatch(np.arange(len(one)), len(one), max(map(len, one)))) for one in (prompts, options)]
    (tokens, lengths), (choices, counts) = padded
    return AnswerPrompts(tokens, lengths, choices, np.arange(choices.shape[1]) < counts[:, None])


def _options(
    tokenizer: "PreTrainedTokenizerBase", one: Question, pool: Sequence[str], count: int, rng: random.Random
) -> tuple[list[int], list[tuple[int, str, bool]]]:
    """Tokens that all options begin with; token, text and truth of each option."""

    def encode(text: str) -> list[int]:
        return encode_reply(tokenizer, text, what="an answer")

    right = encode(one.reply)
    lead = right[:1] if len(right) > 1 and not str(tokenizer.decode(right[:1])).strip() else []
    candidates = list(one.wrong) if one.wrong else sorted(set(pool) - {one.reply})
    rng.shuffle(candidates)
    chosen = [(right[len(lead)], one.reply, True)]
    for text in candidates:
        try:
            tokens = encode(text)
        except PromptError:
            if one.wrong:
                raise
            continue  # what is wrong with another question's answer costs that question
        fits = tokens[: len(lead)] == lead and len(tokens) > len(lead)
        if fits and tokens[len(lead)] not in {token for token, _, _ in chosen}:
            chosen.append((tokens[len(lead)], text, False))
        if not one.wrong and len(chosen) == count:
            break
    if one.wrong and len(chosen) != len(one.wrong) + 1:
        raise OptionError("its choices do not differ in their first token")
    if len(chosen) < 2:
        raise OptionError("there is no other answer of its category that begins with another token")
    rng.shuffle(chosen)
    return lead, chosen


@typed()
def training_examples(tokenizer: "PreTrainedTokenizerBase", records: Sequence[Question]) -> list[Instruction]:
    """Prompt and answer of each question, the answer and the end of the turn to be learnt.

    Args:
        tokenizer: of the model.
        records: the questions.

    Returns:
        Examples for `jaxuq.language.finetune`.

    Raises:
        PromptError: a prompt or an answer is empty or no valid text.
    """
    return [
        encode_instruction(tokenizer, {"instruction": one.prompt, "response": one.reply}, chat=False) for one in records
    ]
