"""MMLU and BIG-Bench Hard as their authors publish them, from a folder: `--data mmlu:/path`, `--data bbh:/path`."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.records import Record, make_record

BENCHMARKS = {
    "mmlu": "https://github.com/hendrycks/test",
    "bbh": "https://github.com/suzgunmirac/BIG-Bench-Hard",
}
_CHOICE = re.compile(r"\(([A-Z])\)")


class Benchmark(NamedTuple):
    """Questions of a published set.

    Attributes:
        train: to tune on, as the authors divide them; empty: they do not.
        test: to test on; all, where they do not divide them.
    """

    train: list[Record]
    test: list[Record]


def read_benchmark(data: str, rejected: list[tuple[str, str]]) -> Benchmark | None:
    """Read `mmlu:/path` or `bbh:/path`.

    MMLU: the folders `val` and `dev` are to tune on, `test` to test on; in each a file `<subject>_<part>.csv` without a
    header, with question, four choices and the letter of the right one. BBH: `bbh/<task>.json`, or the files
    themselves, with `examples` of `input` and `target`; it is not divided. Where a target is a letter in brackets, the
    answers to choose from are the letters of its options; else they are other targets of the task.

    Args:
        data: as typed.
        rejected: place and reason of what could not be read is added to it.

    Returns:
        `Benchmark`; None if `data` names none.

    Raises:
        TuningError: no folder is named or there, or it does not have the published layout.
    """
    name, _, folder = data.partition(":")
    if name not in BENCHMARKS:
        return None
    if not folder:
        raise TuningError(f"--data {name} needs its folder, {name}:/path; it is published at {BENCHMARKS[name]}")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise TuningError(f"--data {data}: there is no folder {path}; {name} is published at {BENCHMARKS[name]}")
    return (_read_mmlu if name == "mmlu" else _read_bbh)(path, rejected)


def _read_mmlu(path: Path, rejected: list[tuple[str, str]]) -> Benchmark:
    path = path if (path / "test").is_dir() or not (path / "data").is_dir() else path / "data"
    parts = {part: sorted((path / part).glob("*.csv")) for part in ("val", "dev", "test")}
    if not parts["test"] or not (parts["val"] or parts["dev"]):
        found = ", ".join(sorted(one.name for one in path.iterdir())[:6]) or "nothing"
        raise TuningError(
            f"{path} is no folder of MMLU: expected test/ and val/ or dev/ with files such as anatomy_test.csv; "
            f"found {found}"
        )
    records = {part: list(_collect(files, _mmlu_rows, rejected)) for part, files in parts.items()}
    return Benchmark(records["val"] + records["dev"], records["test"])


def _mmlu_rows(file: Path) -> Iterator[dict[str, object] | str]:
    subject = re.sub(r"_(test|dev|val)$", "", file.stem)
    with file.open(newline="", encoding="utf-8-sig") as opened:
        for row in csv.reader(opened):
            if len(row) != 6 or row[5].strip() not in set("ABCD"):
                yield f"{len(row)} fields; expected a question, four choices, and A, B, C or D"
                continue
            choices = [choice.strip() for choice in row[1:5]]
            yield {
                "question": row[0].strip(),
                "choices": choices,
                "answer": "ABCD".index(row[5].strip()),
                "category": subject,
            }


def _read_bbh(path: Path, rejected: list[tuple[str, str]]) -> Benchmark:
    path = path / "bbh" if (path / "bbh").is_dir() else path
    files = sorted(path.glob("*.json"))
    if not files:
        raise TuningError(f"{path} is no folder of BBH: expected files such as boolean_expressions.json, found none")
    return Benchmark([], list(_collect(files, _bbh_rows, rejected)))


def _bbh_rows(file: Path) -> Iterator[dict[str, object] | str | Record]:
    content = json.loads(file.read_text(encoding="utf-8-sig"))
    examples = content.get("examples") if isinstance(content, dict) else None
    if not isinstance(examples, list):
        raise ValueError("there is no list of examples")
    for number, one in enumerate(examples):
        question, target = (one.get("input"), one.get("target")) if isinstance(one, dict) else (None, None)
        letter = _CHOICE.fullmatch(target.strip()) if isinstance(target, str) else None
        if letter is None or not isinstance(question, str):
            yield {"question": question, "answer": target, "category": file.stem}
            continue
        listed = list(dict.fromkeys(_CHOICE.findall(question.rpartition("Options:")[2])))
        if letter[1] not in listed or len(listed) < 2:
            yield f"the answer {target} is none of the options {', '.join(listed) or 'that are not there'}"
            continue
        # The bracket is given, so that the letters are what is chosen among.
        others = tuple(other for other in listed if other != letter[1])
        yield Record(f"{file.stem}-{number + 1}", f"Q: {question.strip()}\nA: (", letter[1], others, file.stem, None)


def _collect(
    files: list[Path],
    rows: Callable[[Path], Iterator[dict[str, object] | str | Record]],
    rejected: list[tuple[str, str]],
) -> Iterator[Record]:
    """The records of files; a bad row costs itself, and a bad file itself."""
    for file in files:
        try:
            for number, row in enumerate(rows(file), 1):
                try:
                    if isinstance(row, str):
                        raise ValueError(row)
                    yield row if isinstance(row, Record) else make_record(row, f"{file.stem}-{number}")
                except ValueError as error:
                    rejected.append((f"{file.name}, {number}", str(error)))
        except (OSError, ValueError, RecursionError, csv.Error) as error:  # JSON and Unicode errors among them
            rejected.append((file.name, str(error)))
