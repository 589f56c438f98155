"""`jaxuq tune --acquire`: how far do few labels go, if they are chosen? Rounds of labelling and tuning, scored."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._entries import identity_of
from jaxuq._keys import named_key
from jaxuq.study import Cell, RunFolder, write_arrays
from jaxuq.tuning.choices import Choices
from jaxuq.tuning.configuration import TuneConfiguration, normalised, training_options
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.evaluation import answer_scores
from jaxuq.tuning.labelling.rounds import label_in_rounds
from jaxuq.tuning.labelling.tables import round_file, write_curves
from jaxuq.tuning.listener import Listener
from jaxuq.tuning.members import adapters_cell, tuned_adapters, tuned_of
from jaxuq.tuning.opening import open_tuning, too_few_labels
from jaxuq.tuning.posteriors.drawing import num_members
from jaxuq.tuning.predicting import average_answers, sample_answers
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.prompts import take_questions

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a round is computed


class _Run(NamedTuple):
    """What every round shares."""

    configuration: TuneConfiguration
    folder: RunFolder
    prepared: Prepared
    listener: Listener


def run_labelling(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    listener: Listener | None = None,
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
    choices, listener = choices or Choices(), listener or Listener()
    configuration = normalised(configuration, choices)
    labels = configuration.start + configuration.label * configuration.rounds
    opening = open_tuning(
        configuration, ["base", *configuration.acquire], model=model, listener=listener, choices=choices, labels=labels
    )
    with opening as (folder, prepared, seconds):
        run = _Run(configuration, folder, prepared, listener)
        pool = len(prepared.tuned.labels)
        if labels > pool:  # some could not be encoded
            raise TuningError(too_few_labels(labels, pool, configuration))
        base = _base(run)
        for seed in range(configuration.seeds):
            for acquisition in configuration.acquire:
                _label(run, seed, acquisition, base["entropy"], seconds)
            write_arrays(folder.predictions / f"base-{seed}.npz", base)
            write_curves(folder.path, configuration, prepared, seed + 1)
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
        folder.write_record(status="complete", seconds=seconds())
    return folder


def _label(run: _Run, seed: int, acquisition: str, base_entropy: np.ndarray, seconds: Callable[[], float]) -> None:
    """All rounds of an acquisition with a seed."""
    configuration, folder = run.configuration, run.folder
    options = {"start": configuration.start, "batch_size": configuration.label, "rounds": configuration.rounds}
    cell: dict[str, np.ndarray] = {}

    def learn(number: int, labelled: np.ndarray) -> np.ndarray:
        nonlocal cell
        cell = _round(run, seed, acquisition, number, labelled)
        folder.write_record(seconds=seconds())
        return cell["pool"]

    key, entry = named_key(jax.random.key(seed), "labels"), run.prepared.choices.acquire[acquisition]
    rounds = label_in_rounds(key, entry, learn, len(run.prepared.tuned.labels), base_entropy=base_entropy, **options)
    for one in rounds:
        _tell(run, cell, seed, acquisition, len(one.labelled))
    write_arrays(folder.predictions / f"{acquisition}-{seed}.npz", cell)


def _round(run: _Run, seed: int, acquisition: str, number: int, labelled: np.ndarray) -> dict[str, np.ndarray]:
    """Tune on the labelled questions, and keep forecasts of the pool and of every part."""
    configuration, prepared = run.configuration, run.prepared
    (loss,), (posterior,) = configuration.loss, configuration.posterior
    laid = prepared.choices.posterior[posterior]
    counts = configuration.members, configuration.samples
    kept = _cell(run, acquisition, seed, number, labelled, identity_of(laid), *counts)
    if (done := kept.read()) is not None:
        return done
    file = kept.path
    ids = set(np.asarray(prepared.tuned.ids)[labelled].tolist())
    examples = [one for one, record in zip(prepared.examples, prepared.records) if record.id in ids]
    members = []
    for member in range(num_members(laid, configuration.members)):
        unfinished, key = f"checkpoints/{file.stem}", named_key(jax.random.key(seed), "member", member)
        follows = prepared.loss_content[loss]
        members.append(
            tuned_adapters(
                key, prepared.model, examples, configuration, prepared.losses[loss],
                name=f"{acquisition}, seed {seed}, {len(labelled)} labels, {member + 1}",
                cell=adapters_cell(
                    run.folder, f"{unfinished}/adapters-{member}", key, prepared.weights, examples, configuration,
                    follows,
                ),
                checkpoint=run.folder.path / unfinished / f"state-{member}", listener=run.listener,
            )
        )  # fmt: skip
    known = prepared._replace(examples=examples, tuned=take_questions(prepared.tuned, np.sort(labelled)))
    key = named_key(jax.random.key(seed), "posterior", posterior)
    draws, _ = laid.functions["draw"](key, tuned_of(known, configuration, loss, members))
    cell = {"labelled": labelled, "pool": sample_answers(prepared.model, draws, prepared.tuned.prompts)}
    cell |= {"pool_ids": np.array(prepared.tuned.ids, str)} | _forecasts(run, draws)
    kept.write(cell)
    shutil.rmtree(run.folder.checkpoints / file.stem, ignore_errors=True)
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


def _cell(run: _Run, acquisition: str, seed: int, number: int, *content: Any) -> Cell:
    file = round_file(run.folder.path, acquisition, seed, number)
    follows = run.prepared.loss_content[run.configuration.loss[0]]
    options, defaults = training_options(run.configuration)
    return run.folder.cell(
        str(file.relative_to(run.folder.path)), options=options, defaults=defaults, formula=_FORMULA,
        data=run.prepared.content, loss=follows, seed=seed, labelled=content,
    )  # fmt: skip


def _tell(run: _Run, cell: dict[str, np.ndarray], seed: int, acquisition: str, labels: int) -> None:
    for part, asked in run.prepared.parts.items():
        values = _score(jnp.asarray(cell[f"{part}/log_probs"]), jnp.asarray(asked.labels))
        scores = {"accuracy": float(values[0]), "nll": float(values[1]), "ece": float(values[3])}
        run.listener.scored(f"{acquisition}, {labels} labels", seed, part, scores)


_score = jax.jit(answer_scores)
