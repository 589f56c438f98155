"""Published sets of questions, read from a folder as their authors publish them."""

import csv
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxuq._cache import cache_folder
from jaxuq.confidence.answers import find_answer
from jaxuq.confidence.questions.prompts import boxed_prompt, choice_prompt, examples_prompt
from jaxuq.confidence.questions.records import Question, QuestionError

_FILES = {
    "gsm8k": ("test.jsonl", "train.jsonl"),
    "math": ("test.jsonl", "math500.jsonl", "train.jsonl", "train.jsonl.gz"),
    "svamp": ("SVAMP.json",),
    "bbh": ("bbh",),
    "mmlu": ("test",),
}
_ADDRESSES = {
    "gsm8k": "https://github.com/openai/grade-school-math",
    "math": "https://github.com/hendrycks/math",
    "svamp": "https://github.com/arkilpatel/SVAMP",
    "bbh": "https://github.com/suzgunmirac/BIG-Bench-Hard",
    "mmlu": "https://github.com/hendrycks/test",
}
BENCHMARKS: tuple[str, ...] = tuple(_FILES)


def find_benchmark(name: str, folder: str | os.PathLike | None) -> Path:
    """The file or folder of a benchmark: the test part, or else the part that is there.

    Looked for in the user's folder, `JAXUQ_DATA`, and the cache, each with and without a level of the benchmark's name.
    """
    roots = [Path(folder).expanduser()] if folder is not None else []
    if roots and not roots[0].is_dir():
        raise QuestionError(f"the data folder {roots[0]} does not exist or is not a folder")
    if os.environ.get("JAXUQ_DATA"):
        roots.append(Path(os.environ["JAXUQ_DATA"]).expanduser())
    roots.append(cache_folder())
    for root in roots:
        for place in (root / name, root):
            for file in _FILES[name]:
                if (place / file).exists() and (place.name == name or folder is not None):
                    return place / file
    raise QuestionError(
        f"{name} is not on this machine. Fetch it from {_ADDRESSES[name]} and put {' or '.join(_FILES[name])} into "
        f"{cache_folder() / name}, or name the folder that has it with --folder (or JAXUQ_DATA)"
    )


def read_benchmark(name: str, folder: str | os.PathLike | None) -> tuple[list[Question], list[tuple[str, str]]]:
    """Questions of a benchmark, and what could not be read of it."""
    path = find_benchmark(name, folder)
    questions, rejected = [], []
    for place, item in _READERS[name](path):
        if isinstance(item, str):
            rejected.append((place, item))
        else:
            questions.append(item)
    return questions, rejected


_Items = Iterator[tuple[str, Question | str]]


def _lines(path: Path) -> Iterator[tuple[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield f"{path.name}:{number}", json.loads(line)
                except ValueError as error:
                    yield f"{path.name}:{number}", f"no JSON: {error}"


def _gsm8k(path: Path) -> _Items:
    for number, (place, record) in enumerate(_lines(path)):
        try:
            truth = find_answer(record["answer"])
            if truth is None:
                raise ValueError("the answer has no number")
            question = record["question"]
            yield (
                place,
                Question(
                    f"gsm8k.{path.stem}.{number}", question, (truth.text,), "number", "gsm8k", boxed_prompt(question)
                ),
            )
        except (KeyError, TypeError, ValueError) as error:
            yield place, _reason(record, error)


def _math(path: Path) -> _Items:
    for number, (place, record) in enumerate(_lines(path)):
        try:
            truth = record.get("answer")
            if truth is None:
                found = find_answer(record["solution"], "expression")
                if found is None:
                    raise ValueError("the solution has no boxed answer")
                truth = found.text
            question, category = record["problem"], str(record.get("type", record.get("subject", "math")))
            name = f"math.{path.name.split('.')[0]}.{number}"
            yield place, Question(name, question, (str(truth),), "expression", category, boxed_prompt(question))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            yield place, _reason(record, error)


def _svamp(path: Path) -> _Items:
    for number, record in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        try:
            body = record["Body"].strip()
            question = f"{body if body.endswith(('.', '!', '?')) else body + '.'} {record['Question'].strip()}"
            truth, kind = f"{float(record['Answer']):g}", str(record.get("Type", "svamp"))
            name = str(record.get("ID", f"svamp.{number}"))
            yield f"{path.name}:{number}", Question(name, question, (truth,), "number", kind, boxed_prompt(question))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            yield f"{path.name}:{number}", _reason(record, error)


def _mmlu(path: Path) -> _Items:
    for file in sorted(path.glob("*.csv")):
        subject = re.sub(r"_(test|dev|val)$", "", file.stem)
        with file.open(newline="", encoding="utf-8") as opened:
            for number, row in enumerate(csv.reader(opened)):
                place = f"{file.name}:{number + 1}"
                if row[:1] == ["question"]:
                    continue
                if len(row) != 6 or not (row[5] in "0123" or row[5] in "ABCD") or not row[5]:
                    yield place, f"{len(row)} fields; expected a question, four choices, and the right one"
                    continue
                letter = "ABCD"[int(row[5])] if row[5].isdigit() else row[5]
                name, prompt = f"mmlu.{subject}.{number}", choice_prompt(row[0], row[1:5])
                yield place, Question(name, row[0], (letter,), "choice", subject, prompt)


def _bbh(path: Path) -> _Items:
    for file in sorted(path.glob("*.json")):
        worked = path.parent / "cot-prompts" / f"{file.stem}.txt"
        instruction, examples = _examples(worked.read_text(encoding="utf-8")) if worked.is_file() else ("", "")
        for number, record in enumerate(json.loads(file.read_text(encoding="utf-8"))["examples"]):
            place = f"{file.name}:{number}"
            try:
                question, target = record["input"], str(record["target"]).strip()
                kind = "text"
                if re.fullmatch(r"\([A-Z]\)", target):
                    kind = "choice"
                elif re.fullmatch(r"-?\d+", target):
                    kind = "number"
                prompt = examples_prompt(instruction, examples, question) if examples else boxed_prompt(question)
                yield place, Question(f"bbh.{file.stem}.{number}", question, (target,), kind, file.stem, prompt)
            except (KeyError, TypeError) as error:
                yield place, _reason(record, error)


def _examples(text: str) -> tuple[str, str]:
    """Instruction and worked examples, whose last sentence becomes a boxed answer."""
    lines = text.split("\n")[2:]
    boxed = re.sub(r"the answer is (.+?)\.?(?=\n|$)", r"the answer is \\boxed{\1}.", "\n".join(lines[1:]).strip())
    return lines[0].strip(), boxed


def _reason(record: Any, error: Exception) -> str:
    return record if isinstance(record, str) else f"{type(error).__name__}: {error}"


_READERS = {"gsm8k": _gsm8k, "math": _math, "svamp": _svamp, "bbh": _bbh, "mmlu": _mmlu}
