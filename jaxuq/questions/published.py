"""Published sets of questions, read from files and folders as their authors publish them."""

import csv
import functools
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxuq._cache import cache_folder
from jaxuq._entries import Entry
from jaxuq.questions.answers import AnswerKind, find_answer
from jaxuq.questions.reading import read_entries
from jaxuq.questions.records import Question, QuestionError, Rejected

_CALCULATION = re.compile(r"<<[^>]*>>")
_OPTION = re.compile(r"([a-e])\s*\)\s*(.*?)\s*(?:,\s*(?=[a-e]\s*\))|$)")
_BRACKETED = re.compile(r"\(([A-Z])\)")
Items = Iterator[tuple[str, Question | str]]


def find_published(name: str, folder: str | os.PathLike | None = None, *, part: str = "test") -> Path:
    """The file or folder of a published set: the part that is wanted, or else one that is there.

    Looked for in the user's folder, with and without a level of the set's name, or else in `JAXUQ_DATA` and the cache.

    Args:
        name: one of `PUBLISHED`.
        folder: the user's; a file or folder of the set itself will do.
        part: `test` or `train`.

    Returns:
        Its path.

    Raises:
        QuestionError: it is not on this machine; the message says from where to fetch it and where to put it.
    """
    return _parts(name, folder, part)[0]


def _parts(name: str, folder: str | os.PathLike | None, part: str) -> list[Path]:
    """Files of the part that is wanted, or else of another."""
    about = PUBLISHED[name].about
    files: Mapping[str, Sequence[Sequence[str]]] = about["files"]
    named = " or ".join(same[0] for one in files for same in files[one])
    if folder is None:
        places = [Path(os.environ["JAXUQ_DATA"]).expanduser() / name] if os.environ.get("JAXUQ_DATA") else []
        places.append(cache_folder() / name)
    else:
        own = Path(folder).expanduser()
        if not own.exists():
            raise QuestionError(f"{name}: there is no {own}; {name} is published at {about['address']}")
        if own.is_file() or (about["itself"] and any(own.glob(about["itself"]))):
            return [own]
        places = [own / name, own]
    for place in (one / level for one in places for level in (".", "data")):
        for one in sorted(files, key=lambda other: other != part):
            found = [next((place / file for file in same if (place / file).exists()), None) for same in files[one]]
            if any(found):
                return [path for path in found if path is not None]
    if folder is not None:
        raise QuestionError(f"{folder} holds no {name}: expected {named}, as published at {about['address']}")
    raise QuestionError(
        f"{name} is not on this machine. Fetch it from {about['address']} and put {named} into "
        f"{cache_folder() / name}, or name the folder that has it: {name}:/path (or --folder, or JAXUQ_DATA)"
    )


def read_published(name: str, path: str | os.PathLike, rejected: list[Rejected], *, part: str = "") -> list[Question]:
    r"""Read a published set. What cannot be read costs itself: a line of JSON, a row, a file among several.

    | set | `path` | answer | also |
    |---|---|---|---|
    | `gsm8k` | JSON or JSONL of `question`, `answer` | number after `####` | solution, without `<<3*4=12>>` |
    | `math` | of `problem`, `solution`, perhaps `answer` | expression, in `\boxed{}` | solution |
    | `svamp` | of `Body`, `Question`, `Equation`, `Answer` | number | the equation as solution |
    | `mathqa` | of `problem`, `rationale`, `options`, `correct` | letter | solution, choices |
    | `bbh` | folder of `<task>.json`, examples in `../cot-prompts` | letter, number or text | examples |
    | `mmlu` | folder of `<subject>_<part>.csv` | letter | choices |

    Args:
        name: one of `PUBLISHED`.
        path: see above; a file may be packed with gzip.
        rejected: what is left out is added to it.
        part: that it is.

    Returns:
        The questions in their order, not laid out.

    Raises:
        QuestionError: an unknown name, or a path that cannot be read at all.

    Example:
        >>> import json, tempfile
        >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        ...     _ = file.write(json.dumps({"question": "2 and 3?", "answer": "2+3=<<2+3=5>>5.\n#### 5"}))
        ...     file.flush()
        ...     (one,) = read_published("gsm8k", file.name, [])
        >>> one.answers, one.solution
        (('5',), '2+3=5.')

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
    found = []
    for place, item in _READERS[name](Path(path).expanduser()):
        if isinstance(item, str):
            rejected.append(Rejected(place, item))
        else:
            found.append(item._replace(part=part))
    return found


def _read_set(name: str, path: str | None, part: str) -> Iterator[Question | Rejected]:
    """As an entry of the table of sets does: all of a part."""
    found, files = [], _parts(name, path, part)
    rejected: list[Rejected] = []
    parts = PUBLISHED[name].about["files"]
    named = {Path(each).name: one for one in parts for same in parts[one] for each in same}
    for file in files:
        found += read_published(name, file, rejected, part=named.get(file.name, ""))
    yield from rejected
    yield from found


def _questions(file: Path, name: str, read: Callable[[Mapping[str, Any], str], Question]) -> Items:
    """Of a file with an entry a question."""
    part = file.name.partition(".")[0]
    for number, (place, entry) in enumerate(read_entries(file)):
        try:
            if isinstance(entry, ValueError):
                raise entry
            if not isinstance(entry, Mapping):
                raise ValueError(f"no object with fields but {type(entry).__name__}")
            yield place, read(entry, f"{name}.{part}.{number}")
        except ValueError as error:
            yield place, str(error)


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is missing or no text")
    return value.strip()


def _gsm8k(entry: Mapping[str, Any], name: str) -> Question:
    question = _text(entry, "question")
    solution, mark, answer = _text(entry, "answer").rpartition("####")
    if not mark or not answer.strip():
        raise ValueError("the answer has no final line of the form #### 72")
    solution = _CALCULATION.sub("", solution).strip()
    return Question(name, question, (answer.strip().replace(",", ""),), "number", solution=solution, category="gsm8k")


def _math(entry: Mapping[str, Any], name: str) -> Question:
    problem, solution, answer = _text(entry, "problem"), str(entry.get("solution") or ""), entry.get("answer")
    if answer is None:
        boxed = find_answer(solution, "expression") if "boxed" in solution else None
        if boxed is None:
            raise ValueError("the solution boxes no answer" if solution else "there is neither solution nor answer")
        answer = boxed.text
    category = str(entry.get("type") or entry.get("subject") or "math")
    return Question(name, problem, (str(answer),), "expression", solution=solution.strip(), category=category)


def _svamp(entry: Mapping[str, Any], name: str) -> Question:
    body, question, answer = _text(entry, "Body"), _text(entry, "Question"), entry.get("Answer")
    endless = isinstance(answer, float) and not math.isfinite(answer)
    if isinstance(answer, bool) or not isinstance(answer, int | float) or endless:
        raise ValueError(f"Answer is {answer!r}, expected a number")
    body += "" if body.endswith((".", "?", "!", ",")) else "."
    value = str(int(answer)) if answer == int(answer) else str(answer)
    equation = re.sub(r"\.0\b", "", str(entry.get("Equation", ""))).strip()
    return Question(
        str(entry.get("ID", name)), f"{body} {question}", (value,), "number",
        solution=f"{equation} = {value}." if equation else "", category=str(entry.get("Type", "svamp")),
    )  # fmt: skip


def _mathqa(entry: Mapping[str, Any], name: str) -> Question:
    lowered = {field.lower(): value for field, value in entry.items()}
    listed = _text(lowered, "options")
    if listed.startswith("["):  # a Python list of the options, as in every seventieth problem
        listed = ", ".join(re.findall(r"'([^']*)'", listed))
    options = {letter: text.removeprefix(f"{letter} ) ") for letter, text in _OPTION.findall(listed)}
    correct = _text(lowered, "correct").lower()
    if not options.get(correct):
        raise ValueError(f"there is no option {correct!r} among {sorted(options)}")
    category = str(lowered.get("type") or lowered.get("category") or "mathqa")
    solution = _text(lowered, "rationale").strip('" ')
    choices, letter = tuple(options.values()), "ABCDE"[list(options).index(correct)]
    return Question(name, _text(lowered, "problem"), (letter,), "choice", choices, solution, category)


def _files_of(path: Path, name: str, ending: str, read: Callable[[Path], Items]) -> Items:
    """Of a folder with a file a subject; a file that cannot be read costs itself."""
    files = sorted(path.glob(f"*{ending}")) if path.is_dir() else []
    if not files:
        raise QuestionError(f"{path} is no folder of {name.upper()}: expected files that end in {ending}, found none")
    for file in files:
        try:
            yield from read(file)
        except (OSError, ValueError, RecursionError, csv.Error) as error:  # JSON and Unicode errors among them
            yield file.name, str(error)


def _mmlu(file: Path) -> Items:
    subject = re.sub(r"_(test|dev|val)$", "", file.stem)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        for number, row in enumerate(csv.reader(opened)):
            place = f"{file.name}, line {number + 1}"
            if row[:1] == ["question"]:
                continue
            right = row[5].strip() if len(row) == 6 else ""
            if right not in set("ABCD0123"):
                yield place, f"{len(row)} fields; expected a question, four choices, and A, B, C or D"
                continue
            letter = "ABCD"[int(right)] if right.isdigit() else right
            name = f"mmlu.{file.stem.removesuffix('_test')}.{number}"
            choices = tuple(choice.strip() for choice in row[1:5])
            yield place, Question(name, row[0].strip(), (letter,), "choice", choices, category=subject)


def _bbh(file: Path) -> Items:
    worked = file.parent.parent / "cot-prompts" / f"{file.stem}.txt"
    examples = worked.read_text(encoding="utf-8") if worked.is_file() else ""
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    listed = content.get("examples") if isinstance(content, Mapping) else None
    if not isinstance(listed, list):
        raise ValueError("there is no list of examples")
    for number, entry in enumerate(listed):
        place = f"{file.name}, entry {number + 1}"
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
        yield place, Question(name, question, (answer,), kind, category=file.stem, examples=examples)


_READERS: Mapping[str, Callable[[Path], Items]] = {
    **{
        name: functools.partial(_questions, name=name, read=read)
        for name, read in {"gsm8k": _gsm8k, "math": _math, "svamp": _svamp, "mathqa": _mathqa}.items()
    },
    "bbh": functools.partial(_files_of, name="bbh", ending=".json", read=_bbh),
    "mmlu": functools.partial(_files_of, name="mmlu", ending=".csv", read=_mmlu),
}


def _entry(name: str, title: str, address: str, files: Mapping[str, Any], itself: str = "") -> Entry:
    about = {"address": f"https://{address}", "files": files, "itself": itself, "layout": "boxed"}
    return Entry(name, title, {"read": functools.partial(_read_set, name)}, (name,), about=about)


_JSON = {part: ((f"{part}.jsonl", f"{part}.json", f"{part}.jsonl.gz"),) for part in ("test", "train")}
PUBLISHED: Mapping[str, Entry] = {
    one.name: one
    for one in (
        _entry("gsm8k", "GSM8K", "github.com/openai/grade-school-math", _JSON),
        _entry("math", "MATH", "github.com/hendrycks/math", _JSON | {"test": (("test.jsonl", "math500.jsonl"),)}),
        _entry("svamp", "SVAMP", "github.com/arkilpatel/SVAMP", {"test": (("SVAMP.json",),)}),
        _entry("mathqa", "MathQA", "math-qa.github.io", _JSON),
        _entry("bbh", "BIG-Bench Hard", "github.com/suzgunmirac/BIG-Bench-Hard", {"test": (("bbh",),)}, "*.json"),
        _entry("mmlu", "MMLU", "github.com/hendrycks/test", {"test": (("test",),), "train": (("val",), ("dev",))},
               "*_test.csv"),
    )
}  # fmt: skip
"""Sets that are read as published, each an entry of `SETS`; `about` says from where they are."""
