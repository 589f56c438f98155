"""A run of extraction: its folder, going on after an interruption, and all files at the end."""

import csv
import io
import math
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxuq.extraction.chat import ChatModel, Usage
from jaxuq.extraction.conversations import Conversation, conversation_of
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.evaluation import METRICS, Evaluation, evaluate
from jaxuq.extraction.formats import check_formats, write_formats
from jaxuq.extraction.page import error_page
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction, extract
from jaxuq.extraction.prompts import Plan, Prompts
from jaxuq.extraction.schema import Schema
from jaxuq.study import RunFolder, digest, read_sealed, sealed_lines, write_bytes, write_text

_FORMULA = 1  # the version of how a conversation is held
_LOG = "predictions/conversations.jsonl"


class RunResult(NamedTuple):
    """What a run has left.

    Attributes:
        extractions: of each passage.
        evaluation: scores; None without gold.
        conversations: how many there are.
        new: how many of them this call held.
        failed: how many gave no answer.
        first_error: what one of these was told; empty if none failed.
        written: files beside those of every run.
    """

    extractions: list[Extraction]
    evaluation: Evaluation | None
    conversations: int
    new: int
    failed: int
    first_error: str
    written: list[pathlib.Path]


def run_extraction(
    folder: RunFolder,
    model: ChatModel,
    passages: Sequence[Passage],
    schema: Schema,
    plan: Plan,
    *,
    dataset: str,
    prompts: Prompts | None = None,
    num_samples: int = 1,
    least_agreement: float = 0.5,
    resolve_conflicts: bool = False,
    convention: str = "corrected",
    tokenizer: str = "words",
    formats: Sequence[str] = ("jsonl",),
    num_resamples: int = 1000,
    seed: int = 0,
    usage: Usage | None = None,
    prices: tuple[float, float] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> RunResult:
    """Extract into a result folder.

    Every conversation is written down as soon as it has ended (`predictions/conversations.jsonl`), so that a run that
    is started again asks only what is missing, and asks again what failed; the numbers are those of a run in one piece.

    Args:
        folder: of `jaxuq.study.open_run`.
        model: any `ChatModel`.
        passages: the texts.
        schema: what is wanted.
        plan: strategy and ablations.
        dataset: its name, for the tables.
        prompts: templates.
        num_samples: conversations of each kind.
        least_agreement: share of samples that must have a span.
        resolve_conflicts: ask once more about texts in which types overlap.
        convention: of the evaluation, `"corrected"` or `"published"`.
        tokenizer: of the passages.
        formats: of `FORMATS`.
        num_resamples: of the bootstrap.
        seed: of the bootstrap, and a column of the tables.
        usage: of the model, for `run.json`.
        prices: of a million tokens read and written.
        on_progress: called with the conversations that have ended and all that are wanted.

    Returns:
        `RunResult`.

    Raises:
        ExtractionError: the request is wrong, or the model can answer nothing at all.
    """
    check_formats(formats, relations=bool(schema.relations))
    began = time.monotonic()
    owner = digest(_FORMULA, model.name if not model.identity else model.identity)
    known = [one for file in (*folder.earlier(_LOG), folder.path / _LOG) for one in read_log(file, owner)]
    done, total = 0, 0

    with open_log(folder.path / _LOG, owner) as append:

        def ended(conversation: Conversation) -> None:
            nonlocal done
            append(conversation)
            done += 1
            if on_progress is not None:
                on_progress(done, total)

        def planned(number: int) -> None:
            nonlocal total
            total += number

        extractions, conversations = extract(
            model,
            passages,
            schema,
            plan,
            prompts=prompts,
            num_samples=num_samples,
            least_agreement=least_agreement,
            resolve_conflicts=resolve_conflicts,
            tokenizer=tokenizer,
            known=known,
            on_conversation=ended,
            on_plan=planned,
        )
    write_log(folder.path / _LOG, conversations, owner)
    written = write_formats(
        folder.path, formats, passages, extractions, types=schema.names, function=_method(plan, False, 1)
    )
    evaluation = evaluate(passages, extractions, schema, convention=convention, num_resamples=num_resamples, seed=seed)
    broken = [one for one in conversations if one.error]
    method = _method(plan, resolve_conflicts, num_samples)
    if evaluation is not None:
        _write_tables(folder.path, dataset, method, seed, evaluation, len(broken))
    labels = {kind.name: kind.label for kind in schema.entities or schema.relations}
    facts: dict[str, Any] = {"model": model.name, "strategy": method, "data": dataset, "texts": len(passages)}
    facts["conversations"] = len(conversations)
    if broken:
        facts["without an answer"] = len(broken)
    page = error_page(f"Extraction: {dataset}", facts, passages, extractions, conversations, evaluation, labels=labels)
    write_text(folder.path / "report.html", page)
    folder.write_record(
        status="finished",
        seconds=round(float(folder.record.get("seconds") or 0) + time.monotonic() - began, 3),
        conversations=len(conversations),
        failed_conversations=len(broken),
        statuses=_count_statuses(extractions),
        usage=None if usage is None else usage.record(prices),
    )
    first = broken[0].error if broken else ""
    return RunResult(extractions, evaluation, len(conversations), done, len(broken), first, written)


def read_log(path: pathlib.Path, owner: str) -> list[Conversation]:
    """Conversations of an earlier start; lines that an interruption has cut, and damaged ones, are left out.

    Args:
        path: `conversations.jsonl`.
        owner: what replies follow from; conversations with another model or other settings are left out.

    Returns:
        Conversations; of several with one name, all, in order.
    """
    conversations = []
    for record in read_sealed(path):
        if record.get("cell") == owner:
            try:
                conversations.append(conversation_of(record))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
    return conversations


def write_log(path: pathlib.Path, conversations: Sequence[Conversation], owner: str) -> None:
    """Write conversations in the order in which they are wanted, as a run in one piece would.

    Args:
        path: `conversations.jsonl`.
        conversations: all of a run.
        owner: see `read_log`.
    """
    write_text(path, sealed_lines([one.record() | {"cell": owner} for one in conversations], ascii=True))


class open_log:
    """A context that gives a function which appends a conversation to a log, line by line and at once.

    Args:
        path: the file; made if needed. A last line that an interruption has cut is taken out first.
        owner: see `read_log`.
    """

    def __init__(self, path: pathlib.Path, owner: str):
        self._path, self._owner = path, owner

    def __enter__(self) -> Callable[[Conversation], None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            content = self._path.read_bytes()
            if not content.endswith(b"\n"):
                write_bytes(self._path, content[: content.rfind(b"\n") + 1])
        self._file = open(self._path, "ab")
        return self._append

    def _append(self, conversation: Conversation) -> None:
        self._file.write(sealed_lines([conversation.record() | {"cell": self._owner}], ascii=True).encode())
        self._file.flush()

    def __exit__(self, *exception: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def _method(plan: Plan, resolve_conflicts: bool, num_samples: int) -> str:
    parts = [plan.strategy]
    parts += [] if plan.reasoning else ["no-reasoning"]
    parts += [] if plan.clean_up else ["no-clean-up"]
    parts += ["cr"] if resolve_conflicts else []
    parts += [f"{num_samples}-samples"] if num_samples > 1 else []
    return "-".join(parts)


def _write_tables(
    folder: pathlib.Path, dataset: str, method: str, seed: int, evaluation: Evaluation, failed: int
) -> None:
    key = {"dataset": dataset, "method": method, "seed": seed}
    counted = {"texts": len(evaluation.items), "failed_texts": evaluation.failed, "failed_conversations": failed}
    _write_rows(folder / "results.csv", [{**key, **evaluation.scores, **counted}])
    _write_rows(folder / "types.csv", [{**key, "type": name, **values} for name, values in evaluation.by_type.items()])
    summary: dict[str, Any] = {"dataset": dataset, "method": method, "seeds": 1}
    for name in METRICS:
        lower, upper = evaluation.intervals.get(name, (math.nan, math.nan))
        summary |= {f"{name}_mean": evaluation.scores[name], f"{name}_lower": lower, f"{name}_upper": upper}
    _write_rows(folder / "summary.csv", [summary])


def _write_rows(path: pathlib.Path, rows: Sequence[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _cell(value) for name, value in row.items()})
    write_text(path, buffer.getvalue())


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return value


def _count_statuses(extractions: Sequence[Extraction]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for found in extractions:
        for status in found.statuses.values():
            known = status if len(status) < 40 else f"{status[:40]}..."
            counts[known] = counts.get(known, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def data_name(path: str | pathlib.Path) -> str:
    """A data set's name from its file.

    Args:
        path: such as `news/test.json`.

    Returns:
        Its name; the folder's for files that are called after a split.

    Raises:
        ExtractionError: there is no such file.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "news.jsonl")
        ...     _ = file.write_text("")
        ...     data_name(file)
        'news'
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ExtractionError(f"there is no file {path} of texts")
    stem = path.name.split(".")[0]
    return path.resolve().parent.name if stem in ("train", "valid", "dev", "test") else stem
