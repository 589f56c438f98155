r"""MATH-Combined: MATH, GSM8K, SVAMP and MathQA as instructions of one form, every answer in `\boxed{}`."""

import gzip
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.grading import final_answer
from jaxuq.results import write_text

_CALCULATION = re.compile(r"<<[^>]*>>")
_OPTION = re.compile(r"([a-e])\s*\)\s*(.*?)\s*(?:,\s*(?=[a-e]\s*\))|$)")


def math_record(entry: Mapping[str, Any]) -> dict[str, str]:
    r"""A problem of MATH as it is: its solution ends in `\boxed{}` already.

    Args:
        entry: with `problem` and `solution`, perhaps `type` or `subject`.

    Returns:
        `instruction`, `response`, `source` and `category`.

    Raises:
        ExpertsError: something is missing, or nothing is boxed.

    Example:
        >>> math_record({"problem": "1 + 1?", "solution": "\\boxed{2}", "type": "Algebra"})["category"]
        'Algebra'
    """
    problem, solution = _text(entry, "problem"), _text(entry, "solution")
    if not final_answer(solution, "boxed"):
        raise ExpertsError("the solution boxes no answer")
    return _record(problem, solution, "math", str(entry.get("type") or entry.get("subject") or "math"))


def gsm8k_record(entry: Mapping[str, Any]) -> dict[str, str]:
    r"""A problem of GSM8K, without the calculator's marks, its answer boxed.

    Args:
        entry: with `question` and `answer`, which ends in `#### 72`.

    Returns:
        As `math_record`.

    Raises:
        ExpertsError: something is missing.

    Example:
        >>> gsm8k_record({"question": "2 and 3?", "answer": "2+3=<<2+3=5>>5.\n#### 5"})["response"]
        '2+3=5.\nThe answer is $\\boxed{5}$.'
    """
    reasoning, mark, answer = _text(entry, "answer").rpartition("####")
    if not mark or not answer.strip():
        raise ExpertsError("the answer has no final line of the form #### 72")
    return _boxed(_text(entry, "question"), _CALCULATION.sub("", reasoning), answer.replace(",", ""), "gsm8k", "gsm8k")


def svamp_record(entry: Mapping[str, Any]) -> dict[str, str]:
    r"""A problem of SVAMP: body and question, the equation as its reasoning.

    Args:
        entry: with `Body`, `Question`, `Equation`, `Answer` and `Type`.

    Returns:
        As `math_record`.

    Raises:
        ExpertsError: something is missing.

    Example:
        >>> entry = {"Body": "He had 4", "Question": "How many?", "Equation": "( 4.0 - 3.0 )", "Answer": 1.0}
        >>> svamp_record(entry)["instruction"]
        'He had 4. How many?'
    """
    body = _text(entry, "Body").strip()
    answer = entry.get("Answer")
    if not isinstance(answer, int | float):
        raise ExpertsError(f"Answer is {answer!r}, expected a number")
    body += "" if body.endswith((".", "?", "!", ",")) else "."
    equation = re.sub(r"\.0\b", "", str(entry.get("Equation", ""))).strip()
    value = f"{answer:g}"
    return _boxed(f"{body} {_text(entry, 'Question').strip()}", f"{equation} = {value}." if equation else "", value,
                  "svamp", str(entry.get("Type", "svamp")))  # fmt: skip


def mathqa_record(entry: Mapping[str, Any]) -> dict[str, str]:
    r"""A problem of MathQA, asked for the value: the right option is the answer, the others are left out.

    Args:
        entry: with `problem` (or `Problem`), `rationale`, `options`, `correct` and `type` or `category`.

    Returns:
        As `math_record`.

    Raises:
        ExpertsError: something is missing, or there is no such option.

    Example:
        >>> entry = {"problem": "x?", "rationale": "so 12", "options": "a ) 12 , b ) 16", "correct": "b"}
        >>> mathqa_record(entry)["response"]
        'so 12\nThe answer is $\\boxed{16}$.'
    """
    lowered = {name.lower(): value for name, value in entry.items()}
    options = dict(_OPTION.findall(_text(lowered, "options")))
    answer = options.get(_text(lowered, "correct").strip())
    if not answer:
        raise ExpertsError(f"there is no option {lowered['correct']!r} among {sorted(options)}")
    kind = str(lowered.get("type") or lowered.get("category") or "mathqa")
    return _boxed(_text(lowered, "problem"), _text(lowered, "rationale").strip('" '), answer, "mathqa", kind)


READERS: dict[str, Callable[[Mapping[str, Any]], dict[str, str]]] = {
    "math": math_record,
    "gsm8k": gsm8k_record,
    "svamp": svamp_record,
    "mathqa": mathqa_record,
}


def combine_math(
    files: Mapping[str, str | pathlib.Path], output: str | pathlib.Path
) -> dict[str, list[tuple[int, str]]]:
    r"""Write MATH-Combined from files as published, JSONL or a JSON list, packed with gzip or not.

    Unlike the dissertation's, which had another model rewrite answers, the form follows from rules: what GSM8K and
    SVAMP state as the answer, and the right option of MathQA, is boxed after the given reasoning.

    Args:
        files: of some of `math`, `gsm8k`, `svamp`, `mathqa`.
        output: the JSONL file, one record after another in the order of `files`; training mixes them.

    Returns:
        For each name the problems that were left out: number and reason.

    Raises:
        ExpertsError: an unknown name, a file that cannot be read, or one of which no problem can be used.
    """
    lines, rejected = [], {}
    for name, file in files.items():
        if name not in READERS:
            raise ExpertsError(f"{name!r} is none of {', '.join(READERS)}")
        rejected[name], before = [], len(lines)
        for number, entry in enumerate(_entries(pathlib.Path(file).expanduser())):
            try:
                if not isinstance(entry, Mapping):
                    raise ExpertsError(f"no object but {type(entry).__name__}")
                lines.append(json.dumps(READERS[name](entry), ensure_ascii=False))
            except ExpertsError as error:
                rejected[name].append((number, str(error)))
        if len(lines) == before:
            reason = rejected[name][0][1] if rejected[name] else "it is empty"
            raise ExpertsError(f"{file} holds no problem of {name}: {reason}")
    write_text(output, "\n".join(lines) + "\n")
    return rejected


def _entries(path: pathlib.Path) -> Iterator[Any]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise ExpertsError(f"{path} cannot be read: {error}") from None
    try:
        if text.lstrip().startswith("["):
            yield from json.loads(text)
            return
        for line in text.splitlines():
            if line.strip():
                yield json.loads(line)
    except ValueError as error:
        raise ExpertsError(f"{path} is no JSON: {error}") from None


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ExpertsError(f"{name} is missing or no text")
    return value


def _boxed(question: str, reasoning: str, answer: str, source: str, category: str) -> dict[str, str]:
    lead = f"{reasoning.strip()}\n" if reasoning.strip() else ""
    return _record(question, f"{lead}The answer is $\\boxed{{{answer.strip()}}}$.", source, category)


def _record(question: str, response: str, source: str, category: str) -> dict[str, str]:
    return {"instruction": question.strip(), "response": response, "source": source, "category": category}
