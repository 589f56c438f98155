"""A run of extraction: its folder, going on after an interruption, and all files at the end."""

import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jaxuq import study
from jaxuq._files import write_text
from jaxuq.extraction.chat import ChatModel, Usage
from jaxuq.extraction.conversations import Conversation, asked_in, conversation_of
from jaxuq.extraction.errors import ExtractionError
from jaxuq.extraction.evaluation import METRICS, Evaluation, evaluate
from jaxuq.extraction.formats import check_formats, write_formats
from jaxuq.extraction.passages import Passage
from jaxuq.extraction.pipeline import Extraction, extract
from jaxuq.extraction.promised import Calibrating, keep_promised
from jaxuq.extraction.prompts import Plan, Prompts
from jaxuq.extraction.schema import Schema
from jaxuq.extraction.spans import Span
from jaxuq.study import Listener, Log, RunFolder, compute_cells, sealed_lines, summarise, write_table

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
    calibrating: Calibrating | None = None,
    listener: Listener = Listener(),  # noqa: B008
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
        calibrating: labelled texts that are asked about too, and what is promised by them; see `set_aside`.
        listener: is told of conversations that have ended, of all that are wanted, and what is promised.

    Returns:
        `RunResult`.

    Raises:
        ExtractionError: the request is wrong, or the model can answer nothing at all.
    """
    check_formats(formats, relations=bool(schema.relations))
    log = folder.log(_LOG, ascii=True, formula=_FORMULA, model=model.identity or model.name)
    options: dict[str, Any] = {"prompts": prompts, "num_samples": num_samples, "least_agreement": least_agreement}
    options |= {"resolve_conflicts": resolve_conflicts, "tokenizer": tokenizer}
    talks = _Talks(log, model, functools.partial(extract, schema=schema, plan=plan, **options), listener)
    before = {(one[:3], asked_in(one)) for one in talks.known if not one.error}
    asked = [*passages, *(calibrating.passages if calibrating else ())]
    cells = [study.Plan(passage.id, _Text(talks, passage, []), passage) for passage in asked]
    compute_cells(folder, cells, talks.hold, listener=listener)
    extractions, conversations = talks.read(asked, retry=False)
    extractions, promised = extractions[: len(passages)], None
    if calibrating is not None:
        every, _ = talks.read(asked, retry=False, every=True)
        found, labelled = every[: len(passages)], every[len(passages) :]
        promised = keep_promised(calibrating, labelled, found, extractions, schema.names)
        extractions = promised.extractions
        for line in promised.lines:
            listener.message(line)
    log.settle(one.record() for one in conversations)
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
    if evaluation is not None:
        facts["texts with gold"] = len(evaluation.items)
    if promised is not None:
        facts["labelled texts"] = "; ".join(promised.lines)
    texts = [_shown(passage, found) for passage, found in zip(passages, extractions, strict=True)]
    write_text(folder.path / "predictions" / "texts.jsonl", sealed_lines(texts, ascii=True))
    write_table(folder.path / "predictions" / "found.csv", _found(texts), _FOUND)
    write_table(folder.path / "predictions" / "texts.csv", [_row(text) for text in texts])
    folder.write_record(
        extraction=facts | {"labels": labels},
        conversations=len(conversations),
        failed_conversations=len(broken),
        statuses=_count_statuses(extractions),
        usage=None if usage is None else usage.record(prices),
        promise=None if promised is None else promised.record,
    )
    new = sum((one[:3], asked_in(one)) not in before for one in conversations)
    first = broken[0].error if broken else ""
    return RunResult(extractions, evaluation, len(conversations), new, len(broken), first, written)


_FOUND = ("id", "start", "end", "type", "text", "confidence")


def _shown(passage: Passage, found: Extraction) -> dict[str, Any]:
    """A text with what is in it, in characters, for tables and pages."""

    def place(span: Any) -> list[int]:
        return [*passage.text.characters(span[0], span[1])]

    def entities(spans: Sequence[Span]) -> list[list[Any]]:
        sure = [None if span.confidence != span.confidence else span.confidence for span in spans]
        return [[*place(span), span.type, known] for span, known in zip(spans, sure)]

    def arguments(relations: Mapping[str, Any]) -> dict[str, Any]:
        return {
            kind: [[[place(one) for one in places] for places in relation] for relation in group]
            for kind, group in relations.items()
        }

    gold = passage.gold_relations
    return {
        "id": passage.id, "text": passage.text.text, "found": entities(found.spans),
        "gold": None if passage.gold is None else entities(list(passage.gold)),
        "relations": arguments(found.relations), "gold_relations": None if gold is None else arguments(gold),
        "statuses": found.statuses,
    }  # fmt: skip


def _found(texts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every span that was found, with the text that it is in."""
    return [
        dict(zip(_FOUND, (one["id"], start, end, kind, one["text"][start:end], "" if sure is None else sure)))
        for one in texts
        for start, end, kind, sure in one["found"]
    ]


def _row(text: Mapping[str, Any]) -> dict[str, Any]:
    """A text with what is in it and what should be, in words, for a person to open."""

    def words(spans: Sequence[Sequence[Any]] | None) -> str:
        return "; ".join(f"{kind}: {text['text'][start:end]}" for start, end, kind, _ in spans or ())

    said = "; ".join(f"{name}: {status}" for name, status in text["statuses"].items())
    return {
        "id": text["id"], "text": text["text"], "found": words(text["found"]), "gold": words(text["gold"]),
        "statuses": said,
    }  # fmt: skip


class _Talks:
    """The conversations of a run: those of earlier starts, those of other processes, and new ones as they end."""

    def __init__(self, log: Log, model: ChatModel, extracted: Callable[..., Any], listener: Listener):
        self._log, self._model, self._extracted, self._listener = log, model, extracted, listener
        self.known = self._stored()

    def _stored(self) -> list[Conversation]:
        found = []
        for record in self._log.read():
            try:
                found.append(conversation_of(record))
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                continue
        return found

    def read(
        self, passages: Sequence[Passage], *, retry: bool, every: bool = False
    ) -> tuple[list[Extraction], list[Conversation]]:
        """What was found, from conversations that have been held; `_Missing` if some have not."""
        return self._extracted(_NOBODY, passages, known=self.known, retry=retry, every=every)

    def refresh(self) -> None:
        """Other processes may have held some."""
        self.known = self._stored()

    def hold(self, plans: list[study.Plan]) -> Iterator[tuple[study.Plan, None]]:
        """Hold what is missing, for all texts side by side."""
        done, total = 0, 0

        def ended(conversation: Conversation) -> None:
            nonlocal done
            self._log.append([conversation.record()])
            self.known.append(conversation)
            done += 1
            self._listener.progress("conversations", done, total, "")

        def planned(number: int) -> None:
            nonlocal total
            total += number

        texts = [plan.about for plan in plans]
        self._extracted(self._model, texts, known=self.known, on_conversation=ended, on_plan=planned)
        for plan in plans:
            yield plan, None


class _Missing(Exception):
    """A conversation that has not been held."""


def _nobody(requests: Sequence[Any]) -> list[Any]:
    raise _Missing


_NOBODY = ChatModel("nobody", _nobody)


class _Text(NamedTuple):
    """The conversations about a passage, as a cell; what failed before this run counts as missing, but not twice."""

    talks: _Talks
    passage: Passage
    asked: list[bool]

    def read(self) -> bool | None:
        """True if all of them have been held."""
        try:
            self.talks.read([self.passage], retry=not self.asked)
        except _Missing:
            if not self.asked:
                return None
            self.talks.refresh()
            self.talks.read([self.passage], retry=False)
        finally:
            self.asked.append(True)
        return True

    def write(self, value: None) -> None:
        """They were kept one by one, as they ended."""


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
    row = {**key, **evaluation.scores, **counted}
    write_table(folder / "results.csv", [row])
    write_table(folder / "types.csv", [{**key, "type": name, **values} for name, values in evaluation.by_type.items()])
    intervals = {(dataset, method): evaluation.intervals}
    write_table(folder / "summary.csv", summarise([row], names=METRICS, intervals=intervals))


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
