"""The run itself: questions in fixed batches, a line each as they are done, and the scores at the end."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from jaxuq._entries import Entry, identity_of
from jaxuq._keys import named_key
from jaxuq.confidence._measure import Seen
from jaxuq.confidence.measures import chosen_measures, facts_of
from jaxuq.confidence.study.configuration import (
    StudyConfiguration,
    check_configuration,
    content_of,
    options_of,
    plan_of,
)
from jaxuq.confidence.study.lines import append_lines, kept_lines, line_of
from jaxuq.confidence.study.scores import write_scores
from jaxuq.confidence.text.assess import assess
from jaxuq.language import PromptError, encode_prompt, encode_reply, model_digest
from jaxuq.parallel import plan_rows
from jaxuq.questions import Question, QuestionError, QuestionSet, add_responses, load_questions, spread
from jaxuq.study import RunFolder, check_folder, digest, open_run

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a question's line is computed
Progress = Callable[[int, int, int, int], None]
"""Called after every batch with questions done, questions in all, right ones, and ones without an answer."""


def run_study(
    configuration: StudyConfiguration,
    *,
    model: "LanguageModel | Callable[[str], LanguageModel] | None" = None,
    measures: Mapping[str, Entry | Callable[[Seen], Any]] | None = None,
    on_progress: Progress | None = None,
) -> RunFolder:
    """Score a model's confidence in its answers; `jaxuq confidence` in Python.

    Batches are fixed by the questions alone, and the random numbers of a batch by its first question: a run that was
    killed continues with the batches that are not complete, to the numbers that it would have had.

    Args:
        configuration: what to do.
        model: a loaded model, or what loads one by its name once folder and data are known to be good; None:
            `jaxuq.language.load_model`.
        measures: of the user's, by name, beside those of the configuration: functions of `Seen`, or entries, see
            `measure`.
        on_progress: see `Progress`.

    Returns:
        The result folder: `predictions.jsonl`, `results.csv`, `summary.csv`, `run.json`.

    Raises:
        QuestionError: questions or responses that cannot be read, options out of range.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    check_configuration(configuration)
    chosen = chosen_measures(configuration.measures, measures)
    found = load_questions(configuration.data, folder=configuration.folder, layout=configuration.layout or None)
    if configuration.responses is not None:
        found = add_responses(found, configuration.responses)
    answered = [one.response is not None for one in found.questions]
    if any(answered) and not all(answered):
        missing = answered.index(False)
        raise QuestionError(
            f"{sum(answered)} of {len(answered)} questions have a response and others have none (first: "
            f"{found.questions[missing].id}); give one to all or to none"
        )
    data = digest(found.questions, found.one_line)
    found = found._replace(questions=spread(found.questions, configuration.limit, configuration.seed))
    options = options_of(configuration, found.one_line)
    check_folder(configuration.output, system="confidence", options=options, resume=configuration.resume)
    if model is None:
        from jaxuq.language import load_model

        model = load_model
    if callable(model):
        model = model(configuration.model)
    weights = model_digest(model)
    with open_run(
        configuration.output,
        system="confidence",
        options=options,
        content={"data": data, "weights": weights} | _changed_measures(chosen),
        device=f"{jax.devices()[0].platform} x {jax.device_count()}, {os.cpu_count()} cores",
        resume=configuration.resume,
    ) as folder:
        about = {one.name: facts_of(one)._asdict() for one in chosen}
        folder.write_record(status="running", digests={found.name: data}, measures=about)
        _run(configuration, folder, model, weights, found, chosen, on_progress)
    return folder


def _changed_measures(measures: Sequence[Entry]) -> dict[str, str]:
    """Those that their names alone do not tell: of the user's code, or of another version."""
    found = [one for one in map(identity_of, measures) if not isinstance(one, str)]
    return {"measures": digest(found)} if found else {}


def _run(
    configuration: StudyConfiguration,
    folder: RunFolder,
    model: "LanguageModel",
    weights: str,
    found: QuestionSet,
    measures: tuple[Entry, ...],
    on_progress: Progress | None,
) -> None:
    began, before = time.monotonic(), folder.seconds
    kept, rejected = _fitting(model, found, configuration)
    rejected = [*found.rejected, *rejected]
    folder.write_record(rejected=[list(one) for one in rejected], questions=len(kept))
    plan, rows = plan_of(configuration, found.one_line, measures), configuration.batch_size
    batches = _batches(model, kept, rows)
    follows = (_FORMULA, weights, content_of(plan), rows, configuration.seed)
    owners = {one.id: owner for batch in batches for owner in [digest(*follows, batch)] for one in batch}
    cells = {one.id: owners[one.id] for one in kept}
    lines = kept_lines(folder, cells)
    done = {line["id"] for line in lines}
    numbers = {one.id: number for number, one in enumerate(kept)}
    _report(on_progress, lines, len(kept))
    for batch in batches:
        if all(one.id in done for one in batch):
            continue
        key = named_key(jax.random.key(configuration.seed), "samples", batch[0].id)
        assessed = assess(model, batch, key, plan=plan, rows=rows)
        new = [
            line_of(one, result, numbers[one.id], cells[one.id])
            for one, result in zip(batch, assessed)
            if one.id not in done
        ]
        append_lines(folder.path / "predictions.jsonl", new)
        lines += new
        folder.write_record(seconds=round(before + time.monotonic() - began, 1))
        _report(on_progress, lines, len(kept))
    lines.sort(key=lambda line: line["number"])
    about = {one.name: facts_of(one) for one in measures}
    notes = write_scores(folder.path, lines, found.name, configuration.seed, about, plan.options.convention)
    folder.write_record(status="complete", seconds=round(before + time.monotonic() - began, 1), notes=notes)


def _fitting(
    model: "LanguageModel", found: QuestionSet, configuration: StudyConfiguration
) -> tuple[list[Question], list[tuple[str, str]]]:
    """Questions that the model can be asked, and why not the others."""
    context = model.functions.max_positions
    longest = plan_of(configuration, found.one_line).max_new_tokens
    kept, rejected = [], []
    for one in found.questions:
        room = context - 1 - longest
        try:
            if one.response is not None:
                room = context - 1 - len(encode_reply(model.tokenizer, one.response))
            if room < 1:
                raise PromptError(f"the answer leaves no room in the model's context of {context}")
            encode_prompt(model.tokenizer, one.prompt, chat=one.chat, max_tokens=room)
            kept.append(one)
        except PromptError as error:
            rejected.append((one.id, str(error)))
    if not kept:
        raise QuestionError(f"the model can take none of the questions; the first: {rejected[0][1]}")
    return kept, rejected


def _batches(model: "LanguageModel", questions: Sequence[Question], size: int) -> list[list[Question]]:
    """Questions of similar length together, whatever has been done already."""
    lengths = [
        len(encode_prompt(model.tokenizer, one.prompt, chat=one.chat)) + (len(one.response or "") // 4)
        for one in questions
    ]
    return [[questions[at] for at in batch.rows] for batch in plan_rows(lengths, max_rows=size)]


def _report(on_progress: Progress | None, lines: Sequence[dict[str, Any]], total: int) -> None:
    if on_progress is not None:
        right = sum(line["correct"] is True for line in lines)
        on_progress(len(lines), total, right, sum(line["answer"] is None for line in lines))
