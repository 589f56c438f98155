r"""How questions are put to a model, and how a model should write its answers: layouts by name, in an open table.

| layout | prompt | answers |
|---|---|---|
| `short` | plain text after two examples | a line that ends with "The answer is ..." |
| `boxed` | a chat message that asks for a box, with worked examples or choices if there are any | end in `\boxed{}` |
| `line` | plain text, `Q: ...`, lettered choices, `A:` | follow on the same line: the letter, or the answer itself |
| `instruction` | the question by itself | the solution, or else the answer |
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from jaxuq._entries import Entries, Entry
from jaxuq._errors import OptionError
from jaxuq.questions.choices import with_letters, wrong_letters
from jaxuq.questions.letters import ALPHABET
from jaxuq.questions.records import Question

# Two examples teach even a small model to reason in a sentence and to end with its answer.
_EXAMPLES = (
    ("What is the capital of South Korea?", "The capital of South Korea is Seoul. The answer is Seoul."),
    ("What is 6 + 3?", "6 + 3 = 9. The answer is 9."),
)
_BOX = "Put your final answer in \\boxed{ }."


def short_prompt(question: Question) -> str:
    """Plain text with two examples, to be continued by one line."""
    lines = [f"Q: {asked}\nA: {answer}\n" for asked, answer in _EXAMPLES]
    return "\n".join([*lines, f"Q: {question.question}{_lettered(question.choices, '({}) {}')}\nA:"])


def boxed_prompt(question: Question) -> str:
    """A chat message that asks for reasoning and a boxed answer; of one letter, where there are choices.

    After worked examples it is the dissertation's layout for BIG-Bench Hard: instruction, examples with boxed answers,
    question. Examples are as published: a line on the origin, a rule, the instruction, then the examples.
    """
    if question.examples:
        instruction, *worked = question.examples.split("\n")[2:]
        boxed = re.sub(r"the answer is (.+?)\.?(?=\n|$)", r"the answer is \\boxed{\1}.", "\n".join(worked).strip())
        asked = f"\n\nEXAMPLES\n------\n{boxed}\n\nQUESTION\n------\nQ: {question.question}"
        return f"{instruction.strip()} {_BOX}{asked}"
    if question.choices:
        lettered = _lettered(question.choices, "({}) {}")
        return f"{question.question}{lettered}\n\nReason step by step. {_BOX[:-1]} as one letter."
    return f"{question.question}\n\nReason step by step. {_BOX}"


def boxed_reply(question: Question, answer: str) -> str:
    r"""The solution with the answer in a box at its end; as it is where it boxes one, or is all that there is.

    Args:
        question: with or without a solution.
        answer: to be boxed.

    Returns:
        What a model should write.

    Example:
        >>> print(boxed_reply(Question("a", "2 and 3?", ("5",), solution="2+3=5."), "5"))
        2+3=5.
        The answer is $\boxed{5}$.
    """
    if "\\boxed" in question.solution or not question.answers:
        return question.solution
    lead = f"{question.solution}\n" if question.solution else ""
    return f"{lead}The answer is $\\boxed{{{answer}}}$."


def line_prompt(question: Question) -> str:
    """`Q:`, the question, its choices, `A:`; of choices that the question itself lists the bracket is given, too."""
    bracket = " (" if question.kind == "choice" and not question.choices else ""
    return f"Q: {question.question}{_lettered(question.choices, '{}. {}')}\nA:{bracket}"


def line_reply(question: Question, answer: str) -> str:
    """What follows `A:`."""
    return answer if question.kind == "choice" and not question.choices else f" {answer.strip()}"


def _lettered(choices: Sequence[str], form: str) -> str:
    return "".join(f"\n{form.format(letter, choice)}" for letter, choice in zip(ALPHABET, choices))


def _short_reply(question: Question, answer: str) -> str:
    return f" {question.solution} The answer is {answer}." if question.solution else f" The answer is {answer}."


def _plain_reply(question: Question, answer: str) -> str:
    return question.solution or answer


LAYOUTS: Entries[Any] = Entries(
    "prompt layout",
    "jaxuq.layouts",
    {
        "short": Entry("short", "Two examples, then the question", {"prompt": short_prompt, "reply": _short_reply},
                       about={"chat": False, "one_line": True}),
        "boxed": Entry("boxed", "Reasoning with a boxed answer", {"prompt": boxed_prompt, "reply": boxed_reply}),
        "line": Entry("line", "Question and answer in a line each", {"prompt": line_prompt, "reply": line_reply},
                      about={"chat": False, "one_line": True}),
        "instruction": Entry("instruction", "The question by itself",
                             {"prompt": lambda question: question.question, "reply": _plain_reply}),
    },
)  # fmt: skip
"""Layouts by name. An entry has `prompt(question)`, text or chat messages, and perhaps `reply(question, answer)`, what
a model should write then (else the solution, or the answer); `about` says whether text goes into the model's template
(`chat`, else True) and whether answers end with their line (`one_line`, else False). A function `prompt` alone will do,
too."""


def layout_of(layout: "str | Entry | Callable[[Question], Any]") -> Entry:
    """A layout by its name, or a user's own.

    Args:
        layout: a name of `LAYOUTS`, an entry, or a function from a question to a prompt.

    Returns:
        The entry.

    Raises:
        OptionError: an unknown name.
    """
    found = LAYOUTS[layout] if isinstance(layout, str) else layout
    if isinstance(found, Entry):
        return found
    name = layout if isinstance(layout, str) else getattr(found, "__name__", type(found).__name__)
    return Entry(name, name, {"prompt": found})


def lay_out(
    question: Question, layout: "str | Entry | Callable[[Question], Any]" = "boxed", *, chat: bool | None = None
) -> Question:
    r"""Put a question to a model: its prompt, what should be written after it, and what else may be chosen.

    What the question brings of these is taken as it is.

    Args:
        question: of a set.
        layout: see `layout_of`.
        chat: whether a prompt of text goes into the chat template; None: as the layout says. A line break ends a prompt
            that was made for a template and goes into none.

    Returns:
        The question with `prompt`, `chat`, `reply` and `wrong`.

    Raises:
        ValueError: its answer is none of the choices that it lists.
        OptionError: an unknown layout, or one that gives no prompt.

    Example:
        >>> one = lay_out(Question("a", "2 + 2?", ("B",), "choice", ("3", "4")), "line")
        >>> one.prompt, one.reply, one.wrong
        ('Q: 2 + 2?\nA. 3\nB. 4\nA:', ' B', (' A',))
    """
    entry = layout_of(layout)
    question = with_letters(question)
    prompt = entry.functions["prompt"](question) if question.prompt is None else question.prompt
    if not isinstance(prompt, str | list | tuple) or not prompt:
        raise OptionError(f"the layout {entry.name} gives {prompt!r:.60}; expected a text, or messages of a chat")
    usual = bool(entry.about.get("chat", True)) if question.prompt is None else question.chat
    if usual and chat is False and isinstance(prompt, str):
        prompt += "\n"
    reply: Callable[[Question, str], str] = entry.functions.get("reply", _plain_reply)
    answer = question.answers[0] if question.answers else question.solution
    others = wrong_letters(question)
    return question._replace(
        prompt=prompt,
        chat=usual if chat is None else chat,
        reply=question.reply or (reply(question, answer) if answer else ""),
        wrong=question.wrong or tuple(reply(question, other) for other in others),
    )
