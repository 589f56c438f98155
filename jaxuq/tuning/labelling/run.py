"""`jaxuq tune --acquire`: how far do few labels go, if they are chosen? Rounds of labelling and tuning, scored."""

import functools
import itertools
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._entries import identity_of
from jaxuq._keys import named_key
from jaxuq.study import Cell, Listener, Plan, RunFolder, compute_cells, write_arrays
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.configuration import TuneConfiguration, normalised, training_options
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.labelling import tables
from jaxuq.tuning.labelling.rounds import LabellingRound, Learner, label_in_rounds
from jaxuq.tuning.members import adapters_cell, tuned_adapters, tuned_of
from jaxuq.tuning.opening import open_tuning, too_few_labels
from jaxuq.tuning.posteriors.drawing import num_members
from jaxuq.tuning.predicting import average_answers, sample_answers
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.prompts import take_questions
from jaxuq.tuning.summary import ANSWERS, SHOWN, part_rows, write_answers

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a round is computed


class _Run(NamedTuple):
    """What every round shares."""

    configuration: TuneConfiguration
    folder: RunFolder
    prepared: Prepared
    listener: Listener


@typed()
def run_labelling(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    listener: Listener = Listener(),  # noqa: B008
    choices: Choices | None = None,
) -> RunFolder:
    """Label a pool in rounds by each acquisition, tune new adapters on the labels of every round, and score them.

    The pool is the part of the data to tune on; its wrong options are answers of other questions of a category, as in
    any other run. Acquisitions of a seed begin with the same labels, and tune with the same random numbers: they differ
    by what they chose alone. A round that was scored is kept in `rounds/`; a run that was killed goes on after it, or
    within it.

    Args:
        configuration: with `acquire`, `start`, `label` and `rounds`.
        model: a loaded model without adapters; None loads `configuration.model`.
        listener: see `Listener`.
        choices: acquisitions, losses and posteriors of yours, see `make_choices`.

    Returns:
        The result folder: `active.csv` (a row for each part, acquisition, seed and round), `curve.csv` (the same over
        seeds, with intervals over questions), `results.csv` and `summary.csv` (after the last round, and averages over
        rounds), `labels.csv` (which question was labelled in which round).

    Raises:
        TuningError: data or options that cannot be used; a loss that is not finite.
        RunFolderError: the folder holds another run.
    """
    choices = choices or Choices()
    configuration = normalised(configuration, choices)
    labels = configuration.start + configuration.label * configuration.rounds
    opening = open_tuning(
        configuration, ["base", *configuration.acquire], model=model, listener=listener, choices=choices,
        again=functools.partial(run_labelling, choices=choices), labels=labels,
    )  # fmt: skip
    with opening as (folder, prepared):
        run = _Run(configuration, folder, prepared, listener)
        pool = len(prepared.tuned.labels)
        if labels > pool:  # some could not be encoded
            raise TuningError(too_few_labels(labels, pool, configuration))
        seeds = range(configuration.seeds)
        base, parts = _base(run), [*prepared.parts]
        starts = [_Curve(run, base, seed, configuration.acquire[0], 0) for seed in seeds]
        curves = [
            _Curve(run, base, seed, acquisition, configuration.rounds)
            for seed in seeds
            for acquisition in configuration.acquire
        ]

        found = [tables.Curve("base", seed, "base", [base]) for seed in seeds]

        def rows(plan: Plan, cells: list[dict[str, np.ndarray]]) -> dict[str, list[dict[str, Any]]]:
            curve = tables.Curve(plan.about.acquisition, plan.about.seed, plan.about.address(cells), cells)
            found.append(curve)
            labels = tables.label_rows(curve, prepared.tuned.ids, configuration.start, configuration.label)
            return {"active.csv": tables.active_rows(curve, parts), "labels.csv": labels}

        compute_cells(
            folder, [Plan(f"start, seed {one.seed}", one, one, f"start, {one.seed}") for one in starts], _label,
            listener=listener,
        )  # fmt: skip
        compute_cells(
            folder, [Plan(one.name, one, one, one.name) for one in curves], _label, rows=rows, listener=listener
        )
        for curve in found:
            file = folder.predictions / f"{curve.method}-{curve.seed}.npz"
            write_arrays(file, curve.cells[-1])
            write_answers(file, curve.cells[-1])
        order = ["base", *configuration.acquire]
        tables.write_curves(folder.path, sorted(found, key=lambda one: order.index(one.method)), parts)
    return folder


class _Curve(NamedTuple):
    """All rounds of an acquisition with a seed, or the first of them alone, which all acquisitions share."""

    run: _Run
    base: dict[str, np.ndarray]
    seed: int
    acquisition: str
    rounds: int

    @property
    def name(self) -> str:
        return f"{self.acquisition if self.rounds else 'start'}, seed {self.seed}"

    def learnt(self, learner: Learner) -> Iterator[LabellingRound]:
        """The rounds; the first is over when there are no others."""
        options = self.run.configuration
        key = named_key(jax.random.key(self.seed), "labels")
        rounds = label_in_rounds(
            key, self.run.prepared.choices.acquire[self.acquisition], learner, len(self.run.prepared.tuned.labels),
            start=options.start, batch_size=options.label, rounds=options.rounds, base_entropy=self.base["entropy"],
        )  # fmt: skip
        return itertools.islice(rounds, self.rounds + 1)

    def read(self) -> list[dict[str, np.ndarray]] | None:
        """What every round has left, if all are over."""
        cells: list[dict[str, np.ndarray]] = []

        def read(number: int, labelled: np.ndarray) -> np.ndarray:
            cell = _round_cell(self.run, self.acquisition, self.seed, number, labelled).read()
            if cell is None:
                raise _Missing
            cells.append(cell)
            return cell["pool"]

        try:
            _ = [*self.learnt(read)]
        except _Missing:
            return None
        return cells

    def address(self, cells: list[dict[str, np.ndarray]]) -> str:
        """Of what the last round follows from."""
        labelled = cells[-1]["labelled"]
        return _round_cell(self.run, self.acquisition, self.seed, self.rounds, labelled).identity.address

    def write(self, value: None) -> None:
        """Every round was kept when it was over."""


class _Missing(Exception):
    """A round that is not over."""


def _label(plans: list[Plan]) -> Iterator[tuple[Plan, None]]:
    for plan in plans:
        curve: _Curve = plan.about
        cell: dict[str, np.ndarray] = {}

        def learn(number: int, labelled: np.ndarray, curve: _Curve = curve) -> np.ndarray:
            nonlocal cell
            cell = _round(curve.run, curve.seed, curve.acquisition, number, labelled)
            curve.run.folder.write_record()
            return cell["pool"]

        for one in curve.learnt(learn):
            _tell(curve.run, cell, curve.seed, curve.acquisition, len(one.labelled))
        yield plan, None


def _round(run: _Run, seed: int, acquisition: str, number: int, labelled: np.ndarray) -> dict[str, np.ndarray]:
    """Tune on the labelled questions, and keep forecasts of the pool and of every part."""
    configuration, prepared = run.configuration, run.prepared
    (loss,), (posterior,) = configuration.loss, configuration.posterior
    laid = prepared.choices.posterior[posterior]
    kept = _round_cell(run, acquisition, seed, number, labelled)
    if (done := kept.read()) is not None:
        return done
    file = kept.path
    ids = set(np.asarray(prepared.tuned.ids)[labelled].tolist())
    examples = [one for one, record in zip(prepared.examples, prepared.records) if record.id in ids]
    members, unfinished = [], run.folder.checkpoints / file.stem
    for member in range(num_members(laid, configuration.members)):
        key = named_key(jax.random.key(seed), "member", member)
        follows = prepared.loss_content[loss]
        members.append(
            tuned_adapters(
                key, prepared.model, examples, configuration, prepared.losses[loss],
                name=f"{acquisition}, seed {seed}, {len(labelled)} labels, {member + 1}",
                cell=adapters_cell(
                    run.folder, f"{unfinished.relative_to(run.folder.path)}/adapters-{member}", key, prepared.weights,
                    examples, configuration, follows,
                ),
                checkpoint=unfinished / f"state-{member}", listener=run.listener,
            )
        )  # fmt: skip
    known = prepared._replace(examples=examples, tuned=take_questions(prepared.tuned, np.sort(labelled)))
    key = named_key(jax.random.key(seed), "posterior", posterior)
    draws, _ = laid.functions["draw"](key, tuned_of(known, configuration, loss, members))
    cell = {"labelled": labelled, "pool": sample_answers(prepared.model, draws, prepared.tuned.prompts)}
    cell |= {"pool_ids": np.array(prepared.tuned.ids, str)} | _forecasts(run, draws)
    kept.write(cell)
    shutil.rmtree(unfinished, ignore_errors=True)
    return cell


def _forecasts(run: _Run, draws: PyTree) -> dict[str, np.ndarray]:
    cell = {}
    for part, asked in run.prepared.parts.items():
        forecast = average_answers(sample_answers(run.prepared.model, draws, asked.prompts))
        cell |= {f"{part}/{name}": value for name, value in forecast._asdict().items()}
        cell |= {f"{part}/labels": asked.labels, f"{part}/ids": np.array(asked.ids, str)}
        cell[f"{part}/questions"] = np.array([one.prompt for one in run.prepared.asked[part]], str)
    return cell


def _base(run: _Run) -> dict[str, np.ndarray]:
    """Before any label: forecasts of every part, and entropies of the pool."""
    kept = _cell(run, "base", 0, 0)
    if (done := kept.read()) is not None:
        return done
    draws = jax.tree.map(lambda leaf: leaf[None], run.prepared.untuned)
    pool = average_answers(sample_answers(run.prepared.model, draws, run.prepared.tuned.prompts))
    cell = {"entropy": pool.aleatoric + pool.epistemic, **_forecasts(run, draws)}
    kept.write(cell)
    return cell


def _round_cell(run: _Run, acquisition: str, seed: int, number: int, labelled: np.ndarray) -> Cell:
    options = run.configuration
    laid = identity_of(run.prepared.choices.posterior[options.posterior[0]])
    return _cell(run, acquisition, seed, number, labelled, laid, options.members, options.samples)


def _cell(run: _Run, acquisition: str, seed: int, number: int, *content: Any) -> Cell:
    file = tables.round_file(run.folder.path, acquisition, seed, number)
    follows = run.prepared.loss_content[run.configuration.loss[0]]
    options, defaults = training_options(run.configuration)
    return run.folder.cell(
        str(file.relative_to(run.folder.path)), options=options, defaults=defaults, formula=_FORMULA,
        data=run.prepared.content, loss=follows, seed=seed, labelled=content,
    )  # fmt: skip


def _tell(run: _Run, cell: dict[str, np.ndarray], seed: int, acquisition: str, labels: int) -> None:
    for row in part_rows(ANSWERS, cell, [*run.prepared.parts], acquisition, seed):
        scores = {name: row[name] for name in SHOWN if np.isfinite(row[name])}
        run.listener.scored(f"{acquisition}, {labels} labels, seed {seed}, {row['dataset']}", scores)
