"""One line of JSON a question: what a run keeps, and goes on from."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxuq.confidence.text.assess import Assessment
from jaxuq.questions import Question, judge_answer, right_answers
from jaxuq.questions.grading import with_unit
from jaxuq.study import Log, digest


def line_of(question: Question, found: Assessment) -> dict[str, Any]:
    """All that is kept of a question; undefined numbers are null."""
    right = None if found.found is None else judge_answer(with_unit(found.text, found.found, question), question).equal
    return {
        "id": question.id,
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
    }  # fmt: skip


def _number(value: float) -> float | None:
    return float(f"{value:.7g}") if math.isfinite(value) else None


def _packed(state: np.ndarray) -> str:
    """Half precision in base 64: a tenth of the size of numbers."""
    return base64.b64encode(np.asarray(state, np.float16).tobytes()).decode()


def unpacked(state: str) -> np.ndarray:
    """A hidden state of a line."""
    return np.frombuffer(base64.b64decode(state), np.float16).astype(np.float32)


class Lines:
    """The lines of a run: of earlier calls, of other processes, and new ones; each belongs to a batch of questions.

    A batch is known by its questions, whose lines are only there together: half of one, which an interruption leaves,
    is asked again.
    """

    def __init__(self, log: Log):
        self._log = log
        self.refresh()

    def refresh(self) -> None:
        """Read what is on the disk."""
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        for line in self._log.read():
            self._known.setdefault((str(line.get("batch")), str(line.get("id"))), line)

    def of(self, batch: Sequence[Question]) -> list[dict[str, Any]] | None:
        """Those of a batch, or None if one is missing."""
        owner = digest(batch)
        found = [self._known.get((owner, one.id)) for one in batch]
        return None if None in found else [line for line in found if line is not None]

    def add(self, batch: Sequence[Question], lines: Iterable[Mapping[str, Any]]) -> None:
        """Keep those of a batch; they are on the disk when this returns."""
        owner = digest(batch)
        new = [{**line, "batch": owner} for line in lines]
        self._log.append(new)
        self._known |= {(owner, line["id"]): line for line in new}

    def settle(self, questions: Sequence[Question], batches: Iterable[Sequence[Question]]) -> list[dict[str, Any]]:
        """The lines of all batches in the order of the questions; the file holds these, and no others, afterwards."""
        found = {line["id"]: line for batch in batches for line in self.of(batch) or ()}
        lines = [found[one.id] for one in questions]
        self._log.settle(lines)
        return lines


class Batch(NamedTuple):
    """A batch of questions as a cell: its lines; once it was missing, another process may have added them."""

    lines: Lines
    questions: list[Question]
    asked: list[bool]

    def read(self) -> list[dict[str, Any]] | None:
        """Its lines, or None if they are not all there."""
        found = self.lines.of(self.questions)
        if found is None and self.asked:
            self.lines.refresh()
            found = self.lines.of(self.questions)
        self.asked.append(True)
        return found

    def write(self, value: list[dict[str, Any]]) -> None:
        """Keep them."""
        self.lines.add(self.questions, value)
