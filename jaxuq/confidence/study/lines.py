"""One line of JSON a question, appended as it is done: what a run keeps, and what it continues from."""

import base64
import itertools
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.confidence.text.assess import Assessment
from jaxuq.questions import Question, judge_answer, right_answers
from jaxuq.study import RunFolder, read_sealed, sealed_lines, write_text


def line_of(question: Question, found: Assessment, number: int, cell: str) -> dict[str, Any]:
    """All that is kept of a question; undefined numbers are null."""
    right = None if found.found is None else judge_answer(found.found.text, question).equal
    return {
        "id": question.id,
        "number": number,
        "category": question.category,
        "kind": question.kind,
        "question": question.question,
        "truth": right_answers(question)[0],
        "response": found.text,
        "answer": None if found.found is None else found.found.text,
        "correct": right,
        "tokens": len(found.pieces),
        "chain": [
            [link.token, link.text, link.step, _number(link.weight), link.source, link.kept] for link in found.chain
        ],
        "samples": [{"text": text, "answer": one.text if one else None} for text, one in found.samples],
        "reply": found.reply,
        "seconds": {name: round(value, 4) for name, value in found.seconds.items()},
        "measures": {name: _number(value) for name, value in found.measures.items()},
        "state": _packed(found.state),
        "cell": cell,
    }  # fmt: skip


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _packed(state: np.ndarray) -> str:
    """Half precision in base 64: a tenth of the size of numbers."""
    return base64.b64encode(np.asarray(state, np.float16).tobytes()).decode()


def unpacked(state: str) -> np.ndarray:
    """A hidden state of a line."""
    return np.frombuffer(base64.b64decode(state), np.float16).astype(np.float32)


def append_lines(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    """Append lines and wait until they are on the disk."""
    with path.open("ab") as file:
        file.write(sealed_lines(lines).encode())
        file.flush()
        os.fsync(file.fileno())


def kept_lines(folder: RunFolder, cells: Mapping[str, str]) -> list[dict[str, Any]]:
    """The lines of questions that need not be asked again, here or among results set aside; the file keeps only these.

    Args:
        folder: of the run.
        cells: what the line of each question must follow from, by the question's id, in the questions' order.

    Returns:
        Lines, one a question at most.
    """
    path = folder.path / "predictions.jsonl"
    there, numbers = read_sealed(path), {name: number for number, name in enumerate(cells)}
    found: dict[str, dict[str, Any]] = {}
    for line in itertools.chain(there, *map(read_sealed, folder.earlier(path.name))):
        name = str(line.get("id"))
        if name in cells and line.get("cell") == cells[name]:
            found.setdefault(name, line | {"number": numbers[name]})
    lines = list(found.values())
    if lines != there or (path.is_file() and path.read_bytes() != sealed_lines(lines).encode()):
        write_text(path, sealed_lines(lines))
    return lines
