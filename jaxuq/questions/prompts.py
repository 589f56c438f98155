"""How questions are put to a model, so that answers can be found in what it writes."""

import re
from collections.abc import Sequence

from jaxuq.questions.published import PublishedQuestion

# Two examples teach even a small model to reason in a sentence and to end with its answer.
_EXAMPLES = (
    ("What is the capital of South Korea?", "The capital of South Korea is Seoul. The answer is Seoul."),
    ("What is 6 + 3?", "6 + 3 = 9. The answer is 9."),
)
_BOX = "Put your final answer in \\boxed{ }."


def short_prompt(question: str) -> str:
    """Plain text with two examples, to be continued by one line."""
    lines = [f"Q: {asked}\nA: {answer}\n" for asked, answer in _EXAMPLES]
    return "\n".join([*lines, f"Q: {question}\nA:"])


def boxed_prompt(question: str) -> str:
    """A chat message that asks for reasoning and a boxed answer."""
    return f"{question}\n\nReason step by step. {_BOX}"


def choice_prompt(question: str, choices: Sequence[str]) -> str:
    """A chat message with lettered choices."""
    lettered = [f"({letter}) {choice}" for letter, choice in zip("ABCDEFGHIJ", choices)]
    return "\n".join([question, *lettered, "", f"Reason step by step. {_BOX[:-1]} as one letter."])


def examples_prompt(examples: str, question: str) -> str:
    """The dissertation's layout for BIG-Bench Hard: instruction, worked examples with boxed answers, question.

    Args:
        examples: as published: a line on the origin, a rule, the instruction, then the examples.
        question: that is asked.
    """
    instruction, *worked = examples.split("\n")[2:]
    boxed = re.sub(r"the answer is (.+?)\.?(?=\n|$)", r"the answer is \\boxed{\1}.", "\n".join(worked).strip())
    return f"{instruction.strip()} {_BOX}\n\nEXAMPLES\n------\n{boxed}\n\nQUESTION\n------\nQ: {question}"


def published_prompt(one: PublishedQuestion) -> str:
    """As its set is asked: after its worked examples, with its choices, or by itself."""
    if one.examples:
        return examples_prompt(one.examples, one.question)
    return choice_prompt(one.question, one.choices) if one.choices else boxed_prompt(one.question)
