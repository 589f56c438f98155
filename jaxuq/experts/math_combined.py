r"""MATH-Combined: MATH, GSM8K, SVAMP and MathQA as instructions of one form, every answer in `\boxed{}`."""

import json
import pathlib
from collections.abc import Mapping

from jaxuq._arguments import typed
from jaxuq.experts.errors import ExpertsError
from jaxuq.questions import Question, QuestionError, Rejected, read_published
from jaxuq.questions.layouts import boxed_reply
from jaxuq.questions.letters import ALPHABET
from jaxuq.study import write_text

_SETS = ("math", "gsm8k", "svamp", "mathqa")


@typed()
def boxed_solution(one: Question) -> str:
    r"""The published reasoning with the answer in a box at its end; MATH's solutions have theirs already.

    MathQA is asked for the value: what its right letter stands for is the answer, the other choices are left out.

    Args:
        one: a question with its solution.

    Returns:
        The response of an instruction.

    Raises:
        ExpertsError: it is to have a box of its own, and has none.

    Example:
        >>> boxed_solution(Question("b", "x?", ("B",), "choice", choices=("12", "16")))
        'The answer is $\\boxed{16}$.'
    """
    if one.kind == "expression" and "boxed" not in one.solution:
        raise ExpertsError("the solution boxes no answer")
    return boxed_reply(one, one.choices[ALPHABET.index(one.answers[0])] if one.choices else one.answers[0])


@typed()
def combine_math(files: Mapping[str, str | pathlib.Path], output: str | pathlib.Path) -> dict[str, list[Rejected]]:
    r"""Write MATH-Combined from files as published, JSONL or a JSON list, packed with gzip or not.

    Unlike the dissertation's, which had another model rewrite answers, the form follows from rules, see
    `boxed_solution`.

    Args:
        files: of some of `math`, `gsm8k`, `svamp`, `mathqa`.
        output: the JSONL file, one record after another in the order of `files`; training mixes them.

    Returns:
        For each name the problems that were left out: place and reason.

    Raises:
        ExpertsError: an unknown name, a file that cannot be read, or one of which no problem can be used.
    """
    lines, rejected = [], {}
    for name, file in files.items():
        if name not in _SETS:
            raise ExpertsError(f"{name!r} is none of {', '.join(_SETS)}")
        rejected[name], before = [], len(lines)
        try:
            found = read_published(name, file, rejected[name])
        except QuestionError as error:
            raise ExpertsError(str(error)) from None
        for one in found:
            try:
                record = {"instruction": one.question, "response": boxed_solution(one), "source": name}
                lines.append(json.dumps(record | {"category": one.category}, ensure_ascii=False))
            except ExpertsError as error:
                rejected[name].append(Rejected(one.id, str(error)))
        if len(lines) == before:
            reason = ", ".join(rejected[name][0]) if rejected[name] else "it is empty"
            raise ExpertsError(f"{file} holds no problem of {name}: {reason}")
    write_text(output, "\n".join(lines) + "\n")
    return rejected
