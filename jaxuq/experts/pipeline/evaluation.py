"""ELREA and its baselines on the same questions: predictions method by method, then tables."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from jaxuq._arguments import check_fields, typed
from jaxuq._keys import named_key
from jaxuq.experts.answering import ExpertAnswer, answer_by_experts
from jaxuq.experts.errors import ExpertsError
from jaxuq.experts.grading import ANSWER_KINDS, vote
from jaxuq.experts.pipeline.configuration import EvaluateConfiguration, run_options
from jaxuq.experts.pipeline.costs import costs_of
from jaxuq.experts.pipeline.methods import METHODS, Method, methods_of
from jaxuq.experts.pipeline.methods import Plan as Answering
from jaxuq.experts.pipeline.questions import encode_questions, read_training, training_digest
from jaxuq.experts.pipeline.records import Encoded, load_records, prompt_text
from jaxuq.experts.pipeline.tables import AVERAGE, write_tables
from jaxuq.experts.pipeline.training import TrainedRun
from jaxuq.experts.pipeline.weights import Context, members_of
from jaxuq.language.sampling import GREEDY, Sampling
from jaxuq.parallel import process_folder
from jaxuq.questions import equivalent_answers, judge_answer, read_answer, right_answers
from jaxuq.questions.grading import with_unit
from jaxuq.study import (
    Listener,
    Log,
    Plan,
    RunFolder,
    check_folder,
    compute_cells,
    digest,
    entry_record,
    open_run,
    working_alone,
    write_predictions,
)
from jaxuq.study.crew import SHARE

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a question is answered and graded
_GROUPS: dict[str, str] = dict.fromkeys(("elrea", "moe-routing", "moe-merging"), "elrea")  # by the same gradients


@typed()
def run_evaluation(
    options: EvaluateConfiguration,
    *,
    model: "LanguageModel | None" = None,
    listener: Listener = Listener(),  # noqa: B008
    methods: Mapping[str, Any] | None = None,
    routing: Any = None,
) -> RunFolder:
    """Answer the questions with every method and compare; `jaxuq experts evaluate` in Python.

    A method's predictions are one file that appears when it is complete; called again, the evaluation goes on with the
    next. Adapters that only a baseline needs are trained into the training's folder, once.

    Args:
        options: what to do.
        model: a loaded model, if it is that of the runs; None loads it.
        listener: is told how far the evaluation is.
        methods: further rows of the tables by name: functions `(Context) -> Plan` of yours, or entries as in `METHODS`.
        routing: a function `(features, centroids) -> weights` of yours, an entry as in `ROUTINGS`, or several by name:
            further rows, of ELREA's experts with these weights for each question. A row of one function has its name.

    Returns:
        The folder: `predictions/`, `results.csv`, `summary.csv`, `clusters.csv`, `weights.csv`, `costs.csv`.

    Raises:
        ExpertsError: no runs, runs that are not finished or have one seed, options out of range.
        OptionError: what is given is no function or entry, or has the name of something else.
        RunFolderError: a folder is not what it should be.
    """
    _check(options)
    runs_of = tuple(process_folder(path) for path in options.runs)
    options = dataclasses.replace(options, output=process_folder(options.output), runs=runs_of)
    rows = methods_of(options, methods=methods, routing=routing)
    asked = run_options(options)
    check_folder(options.output, system="experts-evaluation", options=asked, resume=options.resume)
    runs: list[TrainedRun] = []
    for path in options.runs:
        runs.append(read_training(path, model, mesh=options.mesh))
        model = runs[-1].model
    seeds = [run.configuration.seed for run in runs]
    if len(set(seeds)) != len(seeds):
        raise ExpertsError(f"the runs have the seeds {seeds}; runs to be averaged differ in their seeds")
    rejected: list[list[str]] = []
    questions = [_questions(run, options, rejected) for run in runs]
    trainings = [training_digest(run) for run in runs]
    data = digest([one.records for one in questions])
    plain = methods is None and routing is None
    again = functools.partial(run_evaluation, methods=methods, routing=routing) if not plain else run_evaluation
    with contextlib.ExitStack() as held:
        for run in runs if SHARE.get() is None else ():  # baselines train adapters into their folders
            held.enter_context(working_alone(run.path))
        opened = open_run(
            options.output,
            system="experts-evaluation",
            options=asked,
            content={"data": data, "trainings": digest(trainings)},
            resume=options.resume,
            crew=options.crew(again, options),
            digests={AVERAGE: data},
            entries={row.name: entry_record(METHODS[row.name]) for row in rows if row.name in METHODS},
            rejected=rejected,
            model=runs[0].configuration.model,
        )
        folder = held.enter_context(opened)
        told = lambda step, done, total: listener.progress(step, done, total, "")  # noqa: E731
        plans = [
            Plan(
                f"{row.name}, seed {run.configuration.seed}",
                _answers(folder, run, own, training, row, options),
                (row, Context(run, own, options, told)),
                f"{_GROUPS.get(row.name, row.name)}, seed {run.configuration.seed}",
            )
            for run, own, training in zip(runs, questions, trainings)
            for row in rows
        ]
        lines: dict[tuple[str, int], list[dict[str, Any]]] = {}

        def keep(plan: Plan, found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
            row, context = plan.about
            lines[row.name, context.run.configuration.seed] = found
            return {}

        compute_cells(folder, plans, _answered, rows=keep, listener=listener)
        for plan in plans:
            row, context = plan.about
            found = lines[row.name, context.run.configuration.seed]
            write_predictions(plan.kept.log.path, list(map(_opened, found)))
        write_tables(folder.path, runs, [row.name for row in rows], lines)
        folder.write_record(unrouted=sum(lines["elrea", seed][0]["unrouted"] for seed in seeds))
    return folder


class _Answers(NamedTuple):
    """The answers of a method to all questions, as a cell: a log that is whole or counts as nothing."""

    log: Log
    count: int

    def read(self) -> list[dict[str, Any]] | None:
        lines = self.log.read()
        if len(lines) != self.count:
            return None
        self.log.settle(lines)  # brought back, if it was set aside
        return lines

    def write(self, lines: list[dict[str, Any]]) -> None:
        self.log.settle(lines)


def _answers(
    folder: RunFolder, run: TrainedRun, own: Encoded, training: str, row: Method, options: EvaluateConfiguration
) -> _Answers:
    """Where a method's answers are kept, and what they follow from."""
    names = ("max_new_tokens", "batch_size", "samples", "ensemble", "answer", "dimension")
    fields = type(options).__dataclass_fields__
    log = folder.log(
        f"predictions/{run.configuration.seed}-{row.name}.jsonl",
        options={name: getattr(options, name) for name in names},
        defaults={name: fields[name].default for name in names},
        formula=_FORMULA,
        weights=training,
        method=row.identity,
        data=[own.records, own.prompts],
    )
    return _Answers(log._replace(share=""), len(own.records))


def _answered(plans: list[Plan]) -> Iterator[tuple[Plan, list[dict[str, Any]]]]:
    for plan in plans:
        row, context = plan.about
        yield plan, _predict(context, row.name, row.plan(context))


def _opened(line: dict[str, Any]) -> dict[str, Any]:
    """An answer as a row for a person to open."""
    plain = {name: value for name, value in line.items() if name not in ("text", "weights", "unrouted")}
    named = {f"weight_{at}": weight for at, weight in enumerate(line["weights"])}
    return plain | {"text": line["text"][0]} | named


def _questions(run: TrainedRun, options: EvaluateConfiguration, rejected: list[list[str]]) -> Encoded:
    """What a training is asked; what cannot be asked is added to `rejected`."""
    found = load_records(run.configuration, options.data, part="test", per_family=options.per_family)
    records, kind = found.questions, ANSWER_KINDS[options.answer]
    records = [one if one.answers or one.kind != "whole" else one._replace(kind=kind) for one in records]
    if options.limit is not None and options.limit < len(records):
        records = [records[at] for at in np.linspace(0, len(records) - 1, options.limit).round().astype(int)]
    questions = encode_questions(run, records, options.max_new_tokens)
    rejected += [list(one) for one in (*found.rejected, *questions.rejected)]
    return questions


def _check(options: EvaluateConfiguration) -> None:
    check_fields(options, ExpertsError)
    if not options.runs:
        raise ExpertsError("name at least one folder of jaxuq experts train")
    for name in ("per_family", "max_new_tokens", "batch_size", "samples", "ensemble"):
        if getattr(options, name) < 1:
            raise ExpertsError(f"--{name.replace('_', '-')} is {getattr(options, name)}; it starts at 1")
    if options.limit is not None and options.limit < 1:
        raise ExpertsError(f"--limit is {options.limit}; it starts at 1")
    if any(k < 1 for k in options.top_k):
        raise ExpertsError(f"--top-k {min(options.top_k)}: keep at least one expert")
    if options.answer not in ANSWER_KINDS:
        raise ExpertsError(f"--answer is {options.answer!r}; expected {', '.join(ANSWER_KINDS)}")


def _predict(context: Context, name: str, plan: Answering) -> list[dict[str, Any]]:
    """A line a question."""
    run, options = context.run, context.options
    experts = members_of(run, plan.members)
    rounds = []
    told = None
    if context.on_progress is not None:
        shown = context.on_progress
        told = lambda done, total: shown(f"answers, {name}", done, total)  # noqa: E731
    began = time.monotonic()
    with costs_of(run.path, f"answers, {name}"):
        for sample in range(plan.samples):
            key = named_key(jax.random.key(run.configuration.seed), "answers", name, sample)
            rounds.append(
                answer_by_experts(
                    run.model,
                    experts,
                    [prompt.tokens for prompt in context.questions.prompts],
                    plan.weights,
                    max_new_tokens=options.max_new_tokens,
                    sampling=GREEDY if plan.samples == 1 else Sampling(temperature=1.0),
                    rng_key=key,
                    batch_size=options.batch_size,
                    mix=plan.mix,
                    gates=plan.gates,
                    on_progress=told,
                )
            )
    seconds = (time.monotonic() - began) / len(context.questions.records)
    return [_line(context, plan, row, answers, seconds) for row, answers in enumerate(zip(*rounds))]


def _line(
    context: Context, plan: Answering, row: int, answers: tuple[ExpertAnswer, ...], seconds: float
) -> dict[str, Any]:
    one, seed, first = context.questions.records[row], [context.run.configuration.seed, row], answers[0]
    texts = [answer.text for answer in answers]
    found = [read_answer(text, one) for text in texts]
    same = lambda first, second: equivalent_answers(first, second, one.kind)  # noqa: E731
    said = [with_unit(text, answer, one) if answer else "" for text, answer in zip(texts, found)]
    chosen = vote(said, seed, same=same)
    return {
        "question": row,
        "source": one.source,
        "instruction": prompt_text(one),
        "expected": right_answers(one)[0],
        "answer": chosen,
        "correct": judge_answer(chosen, one).equal,
        "text": texts,
        "finish": first.finish,
        "log_probability": round(float(first.log_probs.sum()), 5),
        "mutual_information": round(float(first.mutual_information.mean()), 6) if len(first.tokens) else None,
        "variance": round(float(first.variances.mean()), 6) if len(first.tokens) else None,
        "weights": [round(float(weight), 5) for weight in plan.weights[row]],
        "unrouted": plan.unrouted,
        "seconds": round(seconds, 4),
    }
