"""`jaxuq tune --teach`: grade the model's own answers, tune on the grades, and score how sure it then says it is."""

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._entries import Entry, identity_of
from jaxuq._keys import named_key
from jaxuq.questions import Question
from jaxuq.study import Cell, Listener, Plan, RunFolder, compute_cells
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.configuration import TuneConfiguration, normalised, training_options
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.honesty.grading import Graded, graded_answers, need_both_grades, written_answers
from jaxuq.tuning.honesty.teaching import asked_confidence, taught_examples
from jaxuq.tuning.members import adapters_cell, tuned_adapters
from jaxuq.tuning.opening import open_tuning
from jaxuq.tuning.preparation import Prepared, answerable
from jaxuq.tuning.summary import CONFIDENCES, SHOWN, part_rows, write_tables

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_LONGEST_VERDICT = 32
_LEARNT = "(to learn from)"
_FORMULA = 1  # the version of how a cell is computed


class _Run(NamedTuple):
    """What every cell shares."""

    configuration: TuneConfiguration
    folder: RunFolder
    prepared: Prepared
    listener: Listener
    untaught: PyTree
    records: list[Question]
    graded: Graded
    before: dict[str, Graded]


@typed()
def run_teaching(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    listener: Listener = Listener(),  # noqa: B008
    choices: Choices | None = None,
) -> RunFolder:
    """Two stages: the model answers what it is to be tuned on, and learns from the grades how sure to be.

    The row `answer` is the probability of the answer before tuning, with which all are compared. `true`, `known`,
    `stated` and `head` judge the same answers; `sure` and `refuse` learn answers too, so that those they judge are the
    tuned model's, whose own probability is in `sure-answer` and `refuse-answer`. Tests are never tuned on.

    Args:
        configuration: with `teach`.
        model: a loaded model without adapters; None loads `configuration.model`.
        listener: see `Listener`.
        choices: ways of yours, see `make_choices`.

    Returns:
        The result folder, as of `run_tuning`; `predictions/` has confidence and grade of every answer.

    Raises:
        TuningError: data or options that cannot be used; all answers are right, or none is.
        RunFolderError: the folder holds another run.
    """
    choices = choices or Choices()
    configuration = normalised(configuration, choices)
    methods = taught_methods(configuration, choices)
    again = functools.partial(run_teaching, choices=choices)
    opening = open_tuning(configuration, methods, model=model, listener=listener, choices=choices, again=again)
    with opening as (folder, prepared):
        if configuration.max_length + _LONGEST_VERDICT > prepared.model.functions.max_positions:
            raise TuningError(
                f"--max-length is {configuration.max_length}; --teach needs {_LONGEST_VERDICT} tokens more, and the "
                f"model's context is {prepared.model.functions.max_positions}"
            )
        untaught = prepared.untuned
        records = answerable(prepared.tuned, prepared.records)
        first = _first_stage(configuration, folder, prepared, records, untaught)
        graded = first.pop(_LEARNT)
        need_both_grades(graded.correct)
        right = (
            f"Before tuning the model is right on {graded.correct.sum()} of the {len(graded.correct)} questions graded."
        )
        folder.write_record(notes=[*prepared.notes, right])
        listener.message(right)
        run = _Run(configuration, folder, prepared, listener, untaught, records, graded, first)
        plans = [
            Plan(f"{method}, seed {seed}", _cell(run, method, seed), (method, way, seed), f"{way}, seed {seed}")
            for seed in range(configuration.seeds)
            for way in ("answer", *configuration.teach)
            for method in (["answer"] if way == "answer" else _rows_of(choices.teach[way]))
        ]

        def rows(plan: Plan, cell: dict[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
            return {"results.csv": part_rows(CONFIDENCES, cell, [*prepared.parts], plan.about[0], plan.about[-1])}

        work = functools.partial(_taught, run)
        tables = compute_cells(folder, plans, work, rows=rows, listener=listener, shown=SHOWN)
        write_tables(folder.path, CONFIDENCES, tables["results.csv"], plans)
    return folder


def _first_stage(
    configuration: TuneConfiguration, folder: RunFolder, prepared: Prepared, records: list[Question], untaught: PyTree
) -> dict[str, Graded]:
    """Answers before tuning: of every part, and of the questions to tune on; kept in the folder."""
    cell = folder.cell("graded.npz", formula=_FORMULA, data=prepared.content, graded=configuration.graded)
    kept = cell.read()
    if kept is not None:
        return {
            part: Graded(kept[f"{part}/answers"].tolist(), kept[f"{part}/correct"], kept[f"{part}/confidence"])
            for part in (_LEARNT, *prepared.parts)
        }
    own = prepared._replace(
        parts={_LEARNT: prepared.tuned, **prepared.parts}, asked={_LEARNT: records, **prepared.asked}
    )
    found = {part: _answers(configuration, own, part, untaught) for part in own.parts}
    arrays = {}
    for part, one in found.items():
        arrays |= {f"{part}/{name}": np.asarray(value) for name, value in one._asdict().items()}
    cell.write(arrays)
    return found


def _answers(configuration: TuneConfiguration, prepared: Prepared, part: str, lora: PyTree) -> Graded:
    if configuration.graded == "written":
        return written_answers(prepared.model, lora, prepared.asked[part])
    return graded_answers(prepared.model, lora, prepared.parts[part])


def taught_methods(configuration: TuneConfiguration, choices: Choices | None = None) -> list[str]:
    """Rows of the tables: `answer`, the probability of the answer before tuning, and every way.

    Args:
        configuration: normalised.
        choices: that it was normalised with.

    Returns:
        Names.

    Example:
        >>> taught_methods(TuneConfiguration(teach=("sure", "true")))
        ['answer', 'sure', 'sure-answer', 'true']
    """
    found = ["answer"]
    for way in configuration.teach:
        found += _rows_of((choices or Choices()).teach[way])
    return found


def _rows_of(way: Entry) -> list[str]:
    """A way that teaches answers too judges the tuned model's, whose own probability is another row."""
    return [way.name, f"{way.name}-answer"] if way.about.get("answers") else [way.name]


def _cell(run: _Run, method: str, seed: int) -> Cell:
    """Where confidences are kept; what a way learns follows from the grades before tuning, and so from the content."""
    options, defaults = training_options(run.configuration)
    way = run.prepared.choices.teach.get(method.removesuffix("-answer"))
    named = method if way is None or identity_of(way) == way.name else [method, identity_of(way)]
    return run.folder.cell(
        f"predictions/{method}-{seed}.npz", options=options, defaults=defaults, formula=_FORMULA,
        data=run.prepared.content, graded=run.configuration.graded, method=named, seed=seed,
    )  # fmt: skip


def _taught(run: _Run, plans: list[Plan]) -> Iterator[tuple[Plan, dict[str, Any]]]:
    """Tune one way with one seed, and say how sure it is of each part's answers."""
    _, way, seed = plans[0].about
    found = _confidences(run, way, seed)
    for plan in plans:
        yield plan, _content(run, *found[plan.about[0]])


def _confidences(run: _Run, way: str, seed: int) -> dict[str, tuple[dict[str, Graded], dict[str, np.ndarray]]]:
    """Answers of every part and how sure each is, by the rows that a way has."""
    if way == "answer":
        return {way: (run.before, {part: one.confidence for part, one in run.before.items()})}
    prepared, entry = run.prepared, run.prepared.choices.teach[way]
    if "head" in entry.functions:
        asked = {part: (prepared.asked[part], one.answers) for part, one in run.before.items()}
        return {
            way: (run.before, entry.functions["head"](prepared.model, run.untaught, run.records, run.graded, asked))
        }
    lora, answered, found = run.untaught, run.before, {}
    if "examples" in entry.functions:
        lora = _tuned(run, entry, seed)
    if entry.about.get("answers"):
        answered = {part: _answers(run.configuration, prepared, part, lora) for part in prepared.parts}
        found[f"{way}-answer"] = answered, {part: one.confidence for part, one in answered.items()}
    sure = {
        part: asked_confidence(entry, prepared.model, lora, prepared.asked[part], asked, answered[part].answers)
        for part, asked in prepared.parts.items()
    }
    return found | {way: (answered, sure)}


def _tuned(run: _Run, entry: Entry, seed: int) -> PyTree:
    """Adapters that learnt what a way teaches."""
    prepared, way = run.prepared, entry.name
    examples, loss = taught_examples(entry, prepared.model.tokenizer, run.records, run.graded)
    key, graded = named_key(jax.random.key(seed), "taught", way), (run.graded.correct, run.graded.answers)
    follows = (identity_of(entry), *graded)
    cell = adapters_cell(
        run.folder, f"adapters/{way}-{seed}", key, prepared.weights, examples, run.configuration, follows
    )
    return tuned_adapters(
        key, prepared.model, examples, run.configuration, loss, name=f"{way}, seed {seed}", cell=cell,
        checkpoint=run.folder.checkpoints / f"{way}-{seed}", listener=run.listener,
    )  # fmt: skip


def _content(run: _Run, answered: dict[str, Graded], confidence: dict[str, np.ndarray]) -> dict[str, Any]:
    cell = {}
    for part, one in answered.items():
        cell[f"{part}/confidence"] = confidence[part].astype(np.float32)
        cell[f"{part}/correct"] = one.correct.astype(np.float32)
        cell[f"{part}/answers"] = np.array(one.answers, "U100")
        asked = run.prepared.asked[part]
        cell[f"{part}/ids"] = np.array([record.id for record in asked], str)
        cell[f"{part}/questions"] = np.array([record.prompt for record in asked], str)
    return cell
