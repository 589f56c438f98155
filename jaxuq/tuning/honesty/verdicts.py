"""How a model is asked how sure it is: the text, the words to choose from, and what they mean as a confidence."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jaxuq._arguments import typed
from jaxuq.language import encode_prompt, encode_reply
from jaxuq.questions import Question
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.honesty.refusal import REFUSALS, SURE
from jaxuq.tuning.prompts import AnswerPrompts, padded_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TRUE, _KNOWN = " This answer is", " Do I know this?"
LEVELS = tuple(str(digit) for digit in range(10))
"""What a confidence is stated as; digit i means i / 9."""


class Verdict(NamedTuple):
    """A way of asking.

    Attributes:
        asked: prompt of a question and an answer to it, as one text that the verdict continues.
        words: to choose from; the first two stand for right and wrong where there are two.
        values: the confidence that each word means.
    """

    asked: Callable[[str, str], str]
    words: tuple[str, ...]
    values: tuple[float, ...]


VERDICTS = {
    "sure": Verdict(lambda prompt, answer: f"{prompt}{answer}.{SURE}", (" sure.", " unsure."), (1.0, 0.0)),
    "true": Verdict(lambda prompt, answer: f"{prompt}{answer}.{_TRUE}", (" true.", " false."), (1.0, 0.0)),
    "known": Verdict(lambda prompt, answer: f"{prompt}{_KNOWN}", (" yes.", " no."), (1.0, 0.0)),
    "stated": Verdict(
        lambda prompt, answer: f"{prompt}{answer}\nconfidence: ", LEVELS, tuple(digit / 9 for digit in range(10))
    ),
}


@typed()
def verdict_records(
    records: Sequence[Question], answers: Sequence[str], correct: Sequence[bool], *, way: str = "true"
) -> list[Question]:
    """A model's own answers with the verdict that it should reach, made into samples to tune on.

    `"true"`: question and answer, followed by " true." or " false.": a correctness adapter. `"known"`: the question
    alone, followed by " yes." or " no.": P(IK), whether the model knows, before it answers.

    Args:
        records: questions.
        answers: of the model, before tuning.
        correct: whether they were right.
        way: `"true"` or `"known"`.

    Returns:
        As many records; the verdict is in `reply`.

    Raises:
        TuningError: another way, or another number of answers or grades than of questions.

    Example:
        >>> asked = [Question("a", "", prompt="Q: 2+2?\\nA:", reply=" 4")]
        >>> (one,) = verdict_records(asked, [" 5"], [False])
        >>> one.prompt, one.reply
        ('Q: 2+2?\\nA: 5. This answer is', ' false.')

    References:
        S. Kapoor et al., "Large Language Models Must Be Taught to Know What They Don't Know", NeurIPS 2024 (tuning on
        graded answers; its wording is two choices, (i) no and (ii) yes).
        S. Kadavath et al., "Language Models (Mostly) Know What They Know", 2022, section 5 (P(IK), there with a head).
    """
    if way not in ("true", "known"):
        raise TuningError(f"way is {way!r}; expected 'true' or 'known'")
    if not len(records) == len(answers) == len(correct):
        raise TuningError(f"there are {len(answers)} answers and {len(correct)} grades for {len(records)} questions")
    asked, words, _ = VERDICTS[way]
    return [
        one._replace(prompt=asked(one.prompt, answer), reply=words[0 if right else 1], wrong=())
        for one, answer, right in zip(records, answers, correct)
    ]


@typed()
def verdict_prompts(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], words: Sequence[str] = ()
) -> AnswerPrompts:
    """Texts as prompts, each with the same words to choose from, in this order.

    Args:
        tokenizer: of the model.
        texts: of `Verdict.asked`.
        words: to choose from; none, if only the text's last hidden state is wanted.

    Returns:
        `AnswerPrompts`.

    Raises:
        TuningError: two words begin with the same token.
        PromptError: a text is empty or no valid text.
    """
    if not texts:
        raise TuningError("there are no texts to make prompts of")
    tokens = word_tokens(tokenizer, words)
    encoded = [encode_prompt(tokenizer, text, chat=False) for text in texts]
    return padded_prompts(encoded, [tokens] * len(encoded))


def word_tokens(tokenizer: "PreTrainedTokenizerBase", words: Sequence[str]) -> list[int]:
    """The token that each word begins with.

    Args:
        tokenizer: of the model.
        words: with their leading spaces.

    Returns:
        As many tokens.

    Raises:
        TuningError: two words begin with the same token.
    """
    tokens = [encode_reply(tokenizer, word)[0] for word in words]
    for at, token in enumerate(tokens):
        if token in tokens[:at]:
            first = words[tokens.index(token)]
            raise TuningError(f"the tokenizer begins {words[at]!r} and {first!r} with the same token: use another way")
    return tokens


def refusal_prompts(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[str], options: Sequence[Sequence[str]]
) -> tuple[AnswerPrompts, int]:
    """Questions, whose next token begins a refusal or one of the answers to choose from.

    Args:
        tokenizer: of the model.
        prompts: of the questions.
        options: the answers to choose from, of each.

    Returns:
        `AnswerPrompts`, and how many of the first options of each are beginnings of refusals.
    """
    refusals = list(dict.fromkeys(encode_reply(tokenizer, text)[0] for text in REFUSALS))
    rows = []
    for texts in options:
        firsts = (encode_reply(tokenizer, text)[0] for text in texts)
        rows.append([*refusals, *dict.fromkeys(token for token in firsts if token not in refusals)])
    return padded_prompts([encode_prompt(tokenizer, text, chat=False) for text in prompts], rows), len(refusals)
