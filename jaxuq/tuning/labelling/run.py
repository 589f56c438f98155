"""`jaxuq tune --acquire`: how far do few labels go, if they are chosen? Rounds of labelling and tuning, scored."""

import shutil
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq.results import RunFolder, read_arrays, write_arrays
from jaxuq.tuning.configuration import TuneConfiguration, normalised
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.evaluation import answer_scores
from jaxuq.tuning.labelling.rounds import label_in_rounds
from jaxuq.tuning.labelling.tables import round_file, write_curves
from jaxuq.tuning.listener import Listener
from jaxuq.tuning.members import tuned_adapters
from jaxuq.tuning.opening import open_tuning, too_few_labels
from jaxuq.tuning.posteriors.drawing import draw_posterior
from jaxuq.tuning.predicting import average_answers, sample_answers
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.prompts import take_questions

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class _Run(NamedTuple):
    """What every round shares."""

    configuration: TuneConfiguration
    folder: RunFolder
    prepared: Prepared
    listener: Listener


def run_labelling(
    configuration: TuneConfiguration, *, model: "LanguageModel | None" = None, listener: Listener | None = None
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

    Returns:
        The result folder: `active.csv` (a row for each part, acquisition, seed and round), `curve.csv` (the same over
        seeds, with intervals over questions), `results.csv` and `summary.csv` (after the last round, and averages over
        rounds), `labels.csv` (which question was labelled in which round).

    Raises:
        TuningError: data or options that cannot be used; a loss that is not finite.
        RunFolderError: the folder holds another run.
    """
    configuration, listener = normalised(configuration), listener or Listener()
    labels = configuration.start + configuration.label * configuration.rounds
    folder, prepared, seconds = open_tuning(
        configuration, ["base", *configuration.acquire], model=model, listener=listener, labels=labels
    )
    run = _Run(configuration, folder, prepared, listener)
    pool = len(prepared.tuned.labels)
    if labels > pool:  # some could not be encoded
        raise TuningError(too_few_labels(labels, pool, configuration))
    base = _base(run)
    options = {"start": configuration.start, "batch_size": configuration.label, "rounds": configuration.rounds}
    for seed in range(configuration.seeds):
        for acquisition in configuration.acquire:

            def learn(number: int, labelled: np.ndarray, seed: int = seed, name: str = acquisition) -> np.ndarray:
                cell = _round(run, seed, name, number, labelled)
                folder.write_record(seconds=seconds())
                return cell["pool"]

            for one in label_in_rounds(
                named_key(jax.random.key(seed), "labels"), acquisition, learn, pool, base_entropy=base["entropy"],
                **options,
            ):  # fmt: skip
                _tell(run, seed, acquisition, one.number, len(one.labelled))
            last = read_arrays(round_file(folder.path, acquisition, seed, configuration.rounds)) or {}
            write_arrays(folder.predictions / f"{acquisition}-{seed}.npz", last)
        write_arrays(folder.predictions / f"base-{seed}.npz", base)
        write_curves(folder.path, configuration, prepared, seed + 1)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    folder.write_record(status="complete", seconds=seconds())
    return folder


def _round(run: _Run, seed: int, acquisition: str, number: int, labelled: np.ndarray) -> dict[str, np.ndarray]:
    """Tune on the labelled questions, and keep forecasts of the pool and of every part."""
    file = round_file(run.folder.path, acquisition, seed, number)
    kept = read_arrays(file)
    if kept is not None and np.array_equal(kept["labelled"], labelled):
        return kept
    configuration, prepared = run.configuration, run.prepared
    (loss,), (posterior,) = configuration.loss, configuration.posterior
    ids = set(np.asarray(prepared.tuned.ids)[labelled].tolist())
    examples = [one for one, record in zip(prepared.examples, prepared.records) if record.id in ids]
    members = []
    for member in range(configuration.members if posterior == "ensemble" else 1):
        unfinished = run.folder.checkpoints / file.stem
        members.append(
            tuned_adapters(
                named_key(jax.random.key(seed), "member", member), prepared.model, examples, configuration,
                prepared.losses[loss], name=f"{acquisition}, seed {seed}, {len(labelled)} labels, {member + 1}",
                place=unfinished / f"adapters-{member}", checkpoint=unfinished / f"state-{member}",
                listener=run.listener,
            )
        )  # fmt: skip
    known = prepared._replace(examples=examples, tuned=take_questions(prepared.tuned, np.sort(labelled)))
    key = named_key(jax.random.key(seed), "posterior", posterior)
    draws, _ = draw_posterior(key, posterior, members, known, configuration, prepared.losses[loss])
    cell = {"labelled": labelled, "pool": sample_answers(prepared.model, draws, prepared.tuned.prompts)}
    cell |= _forecasts(run, draws)
    write_arrays(file, cell)
    shutil.rmtree(run.folder.checkpoints / file.stem, ignore_errors=True)
    return cell


def _forecasts(run: _Run, draws: PyTree) -> dict[str, np.ndarray]:
    cell = {}
    for part, asked in run.prepared.parts.items():
        forecast = average_answers(sample_answers(run.prepared.model, draws, asked.prompts))
        cell |= {f"{part}/{name}": value for name, value in forecast._asdict().items()}
        cell[f"{part}/labels"] = asked.labels
    return cell


def _base(run: _Run) -> dict[str, np.ndarray]:
    """Before any label: forecasts of every part, and entropies of the pool."""
    file = run.folder.path / "rounds" / "base.npz"
    kept = read_arrays(file)
    if kept is not None:
        return kept
    draws = jax.tree.map(lambda leaf: leaf[None], run.prepared.untuned)
    pool = average_answers(sample_answers(run.prepared.model, draws, run.prepared.tuned.prompts))
    cell = {"entropy": pool.aleatoric + pool.epistemic, **_forecasts(run, draws)}
    write_arrays(file, cell)
    return cell


def _tell(run: _Run, seed: int, acquisition: str, number: int, labels: int) -> None:
    cell = read_arrays(round_file(run.folder.path, acquisition, seed, number)) or {}
    for part, asked in run.prepared.parts.items():
        values = _score(jnp.asarray(cell[f"{part}/log_probs"]), jnp.asarray(asked.labels))
        scores = {"accuracy": float(values[0]), "nll": float(values[1]), "ece": float(values[3])}
        run.listener.scored(f"{acquisition}, {labels} labels", seed, part, scores)


_score = jax.jit(answer_scores)
