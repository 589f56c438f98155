"""One line of JSON a question, appended as it is done: what a run keeps, and what it continues from."""

import base64
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxuq.confidence.text.assess import Assessment
from jaxuq.questions.records import Question, is_right


def line_of(question: Question, found: Assessment, number: int) -> dict[str, Any]:
    """All that is kept of a question; undefined numbers are null."""
    right = None if found.found is None else is_right(found.found.text, question)
    return {
        "id": question.id,
        "number": number,
        "category": question.category,
        "kind": question.kind,
        "question": question.question,
        "truth": question.answers[0],
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
    text = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines)
    with path.open("ab") as file:
        file.write(text.encode("utf-8", errors="replace"))
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path, *, repair: bool = False) -> list[dict[str, Any]]:
    """The complete lines of a file; what a killed run left of its last one is cut off if `repair`."""
    if not path.is_file():
        return []
    lines, good = [], 0
    with path.open("rb") as file:
        for raw in file:
            try:
                if not raw.endswith(b"\n"):
                    break
                lines.append(json.loads(raw))
            except ValueError:
                break
            good += len(raw)
    if repair and good < path.stat().st_size:
        os.truncate(path, good)
    return lines
