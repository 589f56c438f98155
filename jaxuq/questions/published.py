"""Published sets of questions, read from files and folders as their authors publish them."""

import csv
import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxuq._cache import cache_folder
from jaxuq.questions.answers import AnswerKind, find_answer
from jaxuq.questions.records import QuestionError
from jaxuq.study import json_lines

_FILES = {
    "gsm8k": ("test.jsonl", "train.jsonl"),
    "math": ("test.jsonl", "math500.jsonl", "train.jsonl", "train.jsonl.gz"),
    "svamp": ("SVAMP.json",),
    "mathqa": ("test.json", "test.jsonl", "train.json", "train.jsonl"),
    "bbh": ("bbh",),
    "mmlu": ("test", "data/test"),
}
PUBLISHED: Mapping[str, str] = {
    "gsm8k": "https://github.com/openai/grade-school-math",
    "math": "https://github.com/hendrycks/math",
    "svamp": "https://github.com/arkilpatel/SVAMP",
    "mathqa": "https://math-qa.github.io",
    "bbh": "https://github.com/suzgunmirac/BIG-Bench-Hard",
    "mmlu": "https://github.com/hendrycks/test",
}
_CALCULATION = re.compile(r"<<[^>]*>>")
_OPTION = re.compile(r"([a-e])\s*\)\s*(.*?)\s*(?:,\s*(?=[a-e]\s*\))|$)")
_BRACKETED = re.compile(r"\(([A-Z])\)")


class PublishedQuestion(NamedTuple):
    """A question with all that its set says of it.

    Attributes:
        id: unique within its set.
        question: as published.
        answer: the right one: a number, LaTeX, a letter without brackets, or text.
        kind: how an answer is read, see `find_answer`.
        category: subject, task or type; the set's name if it has none.
        reasoning: the published solution; empty: there is none.
        choices: what a letter stands for, where the question does not list it (MMLU, MathQA).
        examples: worked examples to put before the question (BIG-Bench Hard).
    """

    id: str
    question: str
    answer: str
    kind: AnswerKind
    category: str
    reasoning: str = ""
    choices: tuple[str, ...] = ()
    examples: str = ""


def find_published(name: str, folder: str | os.PathLike | None = None) -> Path:
    """The file or folder of a published set: its test part, or else the part that is there.

    Looked for in the user's folder, `JAXUQ_DATA`, and the cache, each with and without a level of the set's name.

    Args:
        name: one of `PUBLISHED`.
        folder: the user's.

    Returns:
        Its path.

    Raises:
        QuestionError: it is not on this machine; the message says from where to fetch it and where to put it.
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
        f"{name} is not on this machine. Fetch it from {PUBLISHED[name]} and put {' or '.join(_FILES[name])} into "
        f"{cache_folder() / name}, or name the folder that has it with --folder (or JAXUQ_DATA)"
    )


def read_published(name: str, path: str | os.PathLike, rejected: list[tuple[str, str]]) -> list[PublishedQuestion]:
    r"""Read a published set. What cannot be read costs itself: a line of JSON, a row, a file among several.

    | set | `path` | answer | also |
    |---|---|---|---|
    | `gsm8k` | JSON or JSONL of `question`, `answer` | number after `####` | reasoning, without `<<3*4=12>>` |
    | `math` | of `problem`, `solution`, perhaps `answer` | expression, in `\boxed{}` | reasoning |
    | `svamp` | of `Body`, `Question`, `Equation`, `Answer` | number | the equation as reasoning |
    | `mathqa` | of `problem`, `rationale`, `options`, `correct` | letter | reasoning, choices |
    | `bbh` | folder of `<task>.json`, examples in `../cot-prompts` | letter, number or text | examples |
    | `mmlu` | folder of `<subject>_<part>.csv` | letter | choices |

    Args:
        name: one of `PUBLISHED`.
        path: see above; a file may be packed with gzip.
        rejected: place and reason of what is left out is added to it.

    Returns:
        The questions in their order.

    Raises:
        QuestionError: an unknown name, or a path that cannot be read at all.

    Example:
        >>> import json, tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write(json.dumps({"question": "2 and 3?", "answer": "2+3=<<2+3=5>>5.\n#### 5"}))
        ...     file.flush()
        ...     (one,) = read_published("gsm8k", file.name, [])
        >>> one.answer, one.reasoning
        ('5', '2+3=5.')

    References:
        K. Cobbe et al. Training verifiers to solve math word problems. 2021.
        D. Hendrycks et al. Measuring mathematical problem solving with the MATH dataset. NeurIPS 2021.
        A. Patel et al. Are NLP models really able to solve simple math word problems? NAACL 2021.
        A. Amini et al. MathQA: towards interpretable math word problem solving. NAACL 2019.
        M. Suzgun et al. Challenging BIG-Bench tasks and whether chain-of-thought can solve them. ACL Findings 2023.
        D. Hendrycks et al. Measuring massive multitask language understanding. ICLR 2021.
    """
    if name not in PUBLISHED:
        raise QuestionError(f"{name!r} is none of the published sets {', '.join(PUBLISHED)}")
    path, found = Path(path).expanduser(), []
    items = _questions(name, path) if name in _ENTRIES else _questions_of_folder(name, path)
    for place, item in items:
        if isinstance(item, str):
            rejected.append((place, item))
        else:
            found.append(item)
    return found


_Items = Iterator[tuple[str, PublishedQuestion | str]]


def _questions(name: str, path: Path) -> _Items:
    """Of a file with an entry a question."""
    part = path.name.partition(".")[0]
    for number, (place, entry) in enumerate(_entries(path)):
        if not isinstance(entry, Mapping):
            yield place, entry if isinstance(entry, str) else f"no object with fields but {type(entry).__name__}"
            continue
        try:
            yield place, _ENTRIES[name](entry, f"{name}.{part}.{number}")
        except ValueError as error:
            yield place, str(error)


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise QuestionError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if text.lstrip().startswith("["):
        try:
            listed = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise QuestionError(f"{path} is no JSON: {error}") from None
        yield from ((f"{path.name}, {number}", entry) for number, entry in enumerate(listed, 1))
        return
    for number, entry in json_lines(text):
        yield f"{path.name}, {number}", str(entry) if isinstance(entry, ValueError) else entry


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is missing or no text")
    return value.strip()


def _gsm8k(entry: Mapping[str, Any], name: str) -> PublishedQuestion:
    question = _text(entry, "question")
    reasoning, mark, answer = _text(entry, "answer").rpartition("####")
    if not mark or not answer.strip():
        raise ValueError("the answer has no final line of the form #### 72")
    reasoning = _CALCULATION.sub("", reasoning).strip()
    return PublishedQuestion(name, question, answer.strip().replace(",", ""), "number", "gsm8k", reasoning)


def _math(entry: Mapping[str, Any], name: str) -> PublishedQuestion:
    problem, solution, answer = _text(entry, "problem"), str(entry.get("solution") or ""), entry.get("answer")
    if answer is None:
        boxed = find_answer(solution, "expression") if "boxed" in solution else None
        if boxed is None:
            raise ValueError("the solution boxes no answer" if solution else "there is neither solution nor answer")
        answer = boxed.text
    category = str(entry.get("type") or entry.get("subject") or "math")
    return PublishedQuestion(name, problem, str(answer), "expression", category, solution.strip())


def _svamp(entry: Mapping[str, Any], name: str) -> PublishedQuestion:
    body, question, answer = _text(entry, "Body"), _text(entry, "Question"), entry.get("Answer")
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise ValueError(f"Answer is {answer!r}, expected a number")
    body += "" if body.endswith((".", "?", "!", ",")) else "."
    value = str(int(answer)) if answer == int(answer) else str(answer)
    equation = re.sub(r"\.0\b", "", str(entry.get("Equation", ""))).strip()
    return PublishedQuestion(
        str(entry.get("ID", name)), f"{body} {question}", value, "number", str(entry.get("Type", "svamp")),
        f"{equation} = {value}." if equation else "",
    )  # fmt: skip


def _mathqa(entry: Mapping[str, Any], name: str) -> PublishedQuestion:
    lowered = {field.lower(): value for field, value in entry.items()}
    listed = _text(lowered, "options")
    if listed.startswith("["):  # a Python list of the options, as in every seventieth problem
        listed = ", ".join(re.findall(r"'([^']*)'", listed))
    options = {letter: text.removeprefix(f"{letter} ) ") for letter, text in _OPTION.findall(listed)}
    correct = _text(lowered, "correct").lower()
    if not options.get(correct):
        raise ValueError(f"there is no option {correct!r} among {sorted(options)}")
    category = str(lowered.get("type") or lowered.get("category") or "mathqa")
    reasoning = _text(lowered, "rationale").strip('" ')
    choices, letter = tuple(options.values()), "ABCDE"[list(options).index(correct)]
    return PublishedQuestion(name, _text(lowered, "problem"), letter, "choice", category, reasoning, choices)


_ENTRIES: dict[str, Callable[[Mapping[str, Any], str], PublishedQuestion]] = {
    "gsm8k": _gsm8k,
    "math": _math,
    "svamp": _svamp,
    "mathqa": _mathqa,
}


def _questions_of_folder(name: str, path: Path) -> _Items:
    """Of a folder with a file a subject; a file that cannot be read costs itself."""
    ending, read = (".csv", _mmlu) if name == "mmlu" else (".json", _bbh)
    files = sorted(path.glob(f"*{ending}")) if path.is_dir() else []
    if not files:
        raise QuestionError(f"{path} is no folder of {name.upper()}: expected files that end in {ending}, found none")
    for file in files:
        try:
            yield from read(file)
        except (OSError, ValueError, RecursionError, csv.Error) as error:  # JSON and Unicode errors among them
            yield file.name, str(error)


def _mmlu(file: Path) -> _Items:
    subject = re.sub(r"_(test|dev|val)$", "", file.stem)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        for number, row in enumerate(csv.reader(opened)):
            place = f"{file.name}, {number + 1}"
            if row[:1] == ["question"]:
                continue
            right = row[5].strip() if len(row) == 6 else ""
            if right not in set("ABCD0123"):
                yield place, f"{len(row)} fields; expected a question, four choices, and A, B, C or D"
                continue
            letter = "ABCD"[int(right)] if right.isdigit() else right
            name = f"mmlu.{file.stem.removesuffix('_test')}.{number}"
            choices = tuple(choice.strip() for choice in row[1:5])
            yield place, PublishedQuestion(name, row[0].strip(), letter, "choice", subject, choices=choices)


def _bbh(file: Path) -> _Items:
    worked = file.parent.parent / "cot-prompts" / f"{file.stem}.txt"
    examples = worked.read_text(encoding="utf-8") if worked.is_file() else ""
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    listed = content.get("examples") if isinstance(content, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("there is no list of examples")
    for number, entry in enumerate(listed):
        place = f"{file.name}, {number + 1}"
        try:
            question, target = _text(entry, "input"), str(entry.get("target", "")).strip()
        except (AttributeError, ValueError) as error:
            yield place, str(error)
            continue
        if not target:
            yield place, "there is no target"
            continue
        letter = _BRACKETED.fullmatch(target)
        kind: AnswerKind = "choice" if letter else "number" if re.fullmatch(r"-?\d+", target) else "text"
        name, answer = f"bbh.{file.stem}.{number}", letter[1] if letter else target
        yield place, PublishedQuestion(name, question, answer, kind, file.stem, examples=examples)
