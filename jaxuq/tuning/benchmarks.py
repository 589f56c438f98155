"""MMLU and BIG-Bench Hard to tune on and to choose answers from: `--data mmlu:/path`, `--data bbh:/path`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jaxuq.questions import PUBLISHED, PublishedQuestion, QuestionError, read_published
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.records import Record, make_record

BENCHMARKS: tuple[str, ...] = ("mmlu", "bbh")
_OPTION = re.compile(r"\(([A-Z])\)")


class Benchmark(NamedTuple):
    """Questions of a published set.

    Attributes:
        train: to tune on, as the authors divide them; empty: they do not.
        test: to test on; all, where they do not divide them.
    """

    train: list[Record]
    test: list[Record]


def read_benchmark(data: str, rejected: list[tuple[str, str]]) -> Benchmark | None:
    """Read `mmlu:/path` or `bbh:/path`, see `jaxuq.questions.read_published`.

    MMLU: the folders `val` and `dev` are to tune on, `test` to test on. BBH, `bbh/<task>.json` or the files themselves,
    is not divided. Where an answer is a letter, the answers to choose from are the letters of its options; else they
    are other answers of the task.

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
        raise TuningError(f"--data {name} needs its folder, {name}:/path; it is published at {PUBLISHED[name]}")
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise TuningError(f"--data {data}: there is no folder {path}; {name} is published at {PUBLISHED[name]}")
    if name == "bbh":
        path = path / "bbh" if (path / "bbh").is_dir() else path
        return Benchmark([], _records("bbh", [path], rejected))
    path = path if (path / "test").is_dir() or not (path / "data").is_dir() else path / "data"
    parts = {part: path / part for part in ("val", "dev", "test") if any((path / part).glob("*.csv"))}
    test = parts.pop("test", None)
    if test is None or not parts:
        found = ", ".join(sorted(one.name for one in path.iterdir())[:6]) or "nothing"
        raise TuningError(
            f"{path} is no folder of MMLU: expected test/ and val/ or dev/ with files such as anatomy_test.csv; "
            f"found {found}"
        )
    return Benchmark(_records("mmlu", list(parts.values()), rejected), _records("mmlu", [test], rejected))


def _records(name: str, folders: Sequence[Path], rejected: list[tuple[str, str]]) -> list[Record]:
    records = []
    try:
        questions = [one for folder in folders for one in read_published(name, folder, rejected)]
    except QuestionError as error:
        raise TuningError(str(error)) from None
    for one in questions:
        try:
            records.append(_record(one))
        except ValueError as error:
            rejected.append((one.id, str(error)))
    return records


def _record(one: PublishedQuestion) -> Record:
    entry = {"question": one.question, "answer": one.answer, "category": one.category}
    if one.choices:
        return make_record(entry | {"answer": "ABCDE".index(one.answer), "choices": list(one.choices)}, one.id)
    if one.kind != "choice":
        return make_record(entry, one.id)
    listed = list(dict.fromkeys(_OPTION.findall(one.question.rpartition("Options:")[2])))
    if one.answer not in listed or len(listed) < 2:
        raise ValueError(f"the answer ({one.answer}) is none of the options {', '.join(listed) or 'not listed'}")
    # The bracket is given, so that the letters are what is chosen among.
    others = tuple(other for other in listed if other != one.answer)
    return Record(one.id, f"Q: {one.question}\nA: (", one.answer, others, one.category, None)
