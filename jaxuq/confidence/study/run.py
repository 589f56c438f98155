"""The run itself: questions in fixed batches, each a cell, and the scores at the end."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax

from jaxuq._arguments import typed
from jaxuq._entries import Entry, identity_of
from jaxuq._keys import named_key
from jaxuq.confidence._measure import Seen
from jaxuq.confidence.files.reading import kind_of
from jaxuq.confidence.measures import chosen_measures, facts_of
from jaxuq.confidence.study.configuration import (
    StudyConfiguration,
    check_configuration,
    check_samples,
    follows_of,
    options_of,
    plan_of,
)
from jaxuq.confidence.study.files import run_files
from jaxuq.confidence.study.kept import write_kept
from jaxuq.confidence.study.lines import Batch, Lines, line_of
from jaxuq.confidence.study.scores import write_answers, write_scores
from jaxuq.confidence.text.assess import assess, check_model
from jaxuq.language import PromptError, encode_prompt, encode_reply, model_digest
from jaxuq.parallel import mesh_of, plan_rows, process_folder, row_parts
from jaxuq.questions import Question, QuestionError, QuestionSet, add_responses, load_questions, spread
from jaxuq.questions.sets import Source
from jaxuq.study import Listener, Plan, RunFolder, check_folder, compute_cells, digest, open_run

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a question's line is computed


@typed()
def run_study(
    configuration: StudyConfiguration,
    *,
    model: "LanguageModel | Callable[[str], LanguageModel] | None" = None,
    measures: Mapping[str, Entry | Callable[[Seen], Any]] | None = None,
    questions: Source | None = None,
    listener: Listener = Listener(),  # noqa: B008
) -> RunFolder:
    """Score a model's confidence in its answers; `jaxuq confidence` in Python.

    Batches are fixed by the questions alone, and the random numbers of a batch by its first question: a run that was
    killed continues with the batches that are not complete, to the numbers that it would have had.

    Args:
        configuration: what to do.
        model: a loaded model, or what loads one by its name once folder and data are known to be good; None:
            `jaxuq.language.load_model`.
        measures: of the user's, by name, beside those of the configuration: functions of `Seen`, or entries, see
            `measure`. Of a plain function higher means more confident.
        questions: of the user's, in place of the configuration's data: a list, a function that gives one, or what
            `load_questions` gives.
        listener: is told of questions that are done, how many of them are right, and how many have no answer.

    Returns:
        The result folder: `predictions.jsonl`, `predictions.csv`, `results.csv`, `summary.csv`, `confidence.json`,
        `run.json`.

    Raises:
        QuestionError: questions or responses that cannot be read, options out of range.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
        CapabilityError: a measure needs what the model cannot do.
    """
    again = functools.partial(run_study, model=model, measures=measures, questions=questions)
    check_configuration(configuration)
    if configuration.responses is not None and (kind := kind_of(configuration.responses)):
        return run_files(configuration, configuration.responses, kind, measures=measures, listener=listener)
    chosen = chosen_measures(configuration.measures, measures)
    check_samples(configuration, chosen)
    configuration = dataclasses.replace(configuration, output=process_folder(configuration.output))
    source = configuration.data if questions is None else questions
    found = load_questions(source, folder=configuration.folder, layout=configuration.layout or None)
    if questions is not None:
        configuration = dataclasses.replace(configuration, data=found.name)
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
    if configuration.mesh:
        model = model.on_mesh(mesh_of(configuration.mesh))
    parts = row_parts(model.mesh)
    check_model(model, chosen)
    weights = model_digest(model)
    with open_run(
        configuration.output,
        system="confidence",
        options=options,
        content={"data": data, "weights": weights} | _changed_measures(chosen),
        resume=configuration.resume,
        crew=configuration.crew(again, configuration),
        digests={found.name: data},
        measures={one.name: facts_of(one)._asdict() for one in chosen},
    ) as folder:
        kept, rejected = _fitting(model, found, configuration)
        folder.write_record(rejected=[list(one) for one in (*found.rejected, *rejected)], questions=len(kept))
        plan, rows = plan_of(configuration, found.one_line, chosen), configuration.batch_size
        batches = _batches(model, kept, rows)
        log = folder.log(
            "predictions.jsonl", formula=_FORMULA, weights=weights, rows=rows, seed=configuration.seed,
            **follows_of(plan),
        )  # fmt: skip
        lines = Lines(log)
        cells = [Plan(f"batch {at + 1}", Batch(lines, batch, []), batch) for at, batch in enumerate(batches)]

        def work(missing: list[Plan]) -> Iterator[tuple[Plan, list[dict[str, Any]]]]:
            for one in missing:
                key = named_key(jax.random.key(configuration.seed), "samples", one.about[0].id)
                assessed = assess(model, one.about, key, plan=plan, rows=-(-rows // parts) * parts)
                yield one, [line_of(question, result) for question, result in zip(one.about, assessed)]

        compute_cells(folder, cells, work, rows=_Told(listener, len(kept)).rows, listener=listener)
        done = lines.settle(kept, batches)
        about = {one.name: facts_of(one) for one in chosen}
        notes = write_scores(folder.path, done, found.name, configuration.seed, about, plan.options.convention)
        write_answers(folder.path, done, about)
        write_kept(folder.path, done, about, weights)
        folder.write_record(notes=notes)
        for note in notes:
            listener.message(note)
    return folder


def _changed_measures(measures: Sequence[Entry]) -> dict[str, str]:
    """Those that their names alone do not tell: of the user's code, or of another version."""
    found = [one for one in map(identity_of, measures) if not isinstance(one, str)]
    return {"measures": digest(found)} if found else {}


class _Told:
    """The listener hears of the questions of every batch that is there, computed here or elsewhere, now or before."""

    def __init__(self, listener: Listener, total: int):
        self._listener, self._total = listener, total
        self._done = self._right = self._missing = 0

    def rows(self, plan: Plan, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """As `compute_cells` asks for rows: the tables are made of all lines, at the end."""
        self._done += len(lines)
        self._right += sum(line["correct"] is True for line in lines)
        self._missing += sum(line["answer"] is None for line in lines)
        said = f"{self._right} right, {self._missing} without an answer"
        self._listener.progress("questions", self._done, self._total, said)
        return {}


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
