"""How questions are put to a model, so that answers can be found in what it writes."""

from collections.abc import Sequence

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


def examples_prompt(instruction: str, examples: str, question: str) -> str:
    """The dissertation's layout for BIG-Bench Hard: instruction, three worked examples, question."""
    return f"{instruction} {_BOX}\n\nEXAMPLES\n------\n{examples}\n\nQUESTION\n------\nQ: {question}"
