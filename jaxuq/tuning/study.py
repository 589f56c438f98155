"""The run itself: tune, draw, forecast, score; each cell is kept as it is done."""

import dataclasses
import functools
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._entries import identity_of
from jaxuq._keys import named_key
from jaxuq.language import merge_adapters, save_model
from jaxuq.parallel import process_folder
from jaxuq.study import Cell, Listener, Plan, RunFolder, compute_cells
from jaxuq.tuning.choices import Choices, Given, make_choices
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config, method_names, normalised, training_options
from jaxuq.tuning.evaluation import text_loss
from jaxuq.tuning.honesty.run import run_teaching
from jaxuq.tuning.labelling.run import run_labelling
from jaxuq.tuning.members import adapters_cell, tuned_adapters, tuned_of
from jaxuq.tuning.opening import open_tuning
from jaxuq.tuning.posteriors.drawing import num_members, num_samples
from jaxuq.tuning.predicting import forecast_answers
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.summary import ANSWERS, SHOWN, part_rows, write_tables
from jaxuq.tuning.uncertainty import Judge

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel

_FORMULA = 1  # the version of how a cell is computed


@typed()
def run_tuning(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    judge: Judge | None = None,
    listener: Listener = Listener(),  # noqa: B008
    losses: Given = None,
    posteriors: Given = None,
    uncertainties: Given = None,
    acquisitions: Given = None,
    ways: Given = None,
) -> RunFolder:
    """Tune with several losses, lay posteriors over the adapters, score before and after; `jaxuq tune` in Python.

    All random numbers follow from the seed's number and the name of what they are for: another loss or posterior
    changes nothing in the others, and a run that was killed goes on to the numbers that it would have had. With
    `acquire` or `teach` it is `run_labelling` or `run_teaching`.

    Wherever an option takes a name, it takes that of a function of yours, or of an `Entry`, which is given here beside
    it; what is given is used even if the options do not name it. A result follows from the code of such a function, and
    from an entry's `formula`: what has changed is computed again.

    Args:
        configuration: what to do.
        model: a loaded model without adapters; None loads `configuration.model`.
        judge: prompts to replies, for `uncertainty="judge"`.
        listener: see `Listener`.
        losses: functions `(logits, tokens, examples) -> losses` of each token, by name, or entries as in `LOSSES`.
        posteriors: functions `(rng_key, Tuned) -> (samples, numbers)`, or entries as in `POSTERIORS`.
        uncertainties: functions from `Samples` to a number each, or entries as in `SOURCES`.
        acquisitions: functions from a `Pool` to a score of each question, or entries as in `ACQUISITIONS`.
        ways: entries as in `WAYS`, or functions as of `asked_confidence`.

    Returns:
        The result folder: `results.csv`, `summary.csv`, `predictions/`, `adapters/` (in PEFT's format), `run.json`.

    Raises:
        TuningError: data or options that cannot be used; a loss that is not finite.
        OptionError: what is given has the name of something else, or is no function.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    choices = make_choices(
        losses=losses, posteriors=posteriors, uncertainties=uncertainties, acquisitions=acquisitions, ways=ways,
        judge=judge,
    )  # fmt: skip
    configuration = normalised(configuration, choices)
    configuration = dataclasses.replace(configuration, output=process_folder(configuration.output))
    kinds: dict[str, Any] = {"acquire": run_labelling, "teach": run_teaching}
    run = next((run for kind, run in kinds.items() if getattr(configuration, kind)), _run_comparison)
    return run(configuration, model=model, listener=listener, choices=choices)


def _run_comparison(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    listener: Listener = Listener(),  # noqa: B008
    choices: Choices,
) -> RunFolder:
    """Losses and posteriors side by side; the configuration is normalised."""
    methods = method_names(configuration)
    again = functools.partial(_run_comparison, choices=choices)
    opening = open_tuning(
        configuration, [*methods], model=model, listener=listener, choices=choices, again=again
    )  # fmt: skip
    with opening as (folder, prepared):
        plans = [
            Plan(
                f"{method}, seed {seed}",
                _method_cell(folder, configuration, prepared, method, loss, posterior, seed),
                (method, loss, posterior, seed),
                f"{loss or 'before tuning'}, seed {seed}",  # adapters are shared by the posteriors over them
            )
            for seed in range(configuration.seeds)
            for method, (loss, posterior) in methods.items()
        ]

        def compute(missing: list[Plan]) -> Iterator[tuple[Plan, dict[str, Any]]]:
            for plan in missing:
                yield plan, _computed(folder, configuration, prepared, listener, *plan.about[1:])

        def rows(plan: Plan, cell: dict[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
            return {"results.csv": part_rows(ANSWERS, cell, [*prepared.parts], plan.about[0], plan.about[-1])}

        tables = compute_cells(folder, plans, compute, rows=rows, listener=listener, shown=SHOWN)
        write_tables(folder.path, ANSWERS, tables["results.csv"], plans)
        if configuration.merge:
            _merge(folder, configuration, prepared, listener)
    return folder


def _method_cell(
    folder: RunFolder,
    configuration: TuneConfiguration,
    prepared: Prepared,
    method: str,
    loss: str,
    posterior: str,
    seed: int,
) -> Cell:
    entry = prepared.choices.posterior[posterior]
    count = num_samples(entry, configuration.samples, configuration.members)
    options, defaults = training_options(configuration)
    return folder.cell(
        f"predictions/{method}-{seed}.npz", options=options, defaults=defaults, formula=_FORMULA,
        data=prepared.content, loss=prepared.loss_content.get(loss), posterior=identity_of(entry),
        draws=count, seed=seed,
    )  # fmt: skip


def _computed(
    folder: RunFolder,
    configuration: TuneConfiguration,
    prepared: Prepared,
    listener: Listener,
    loss: str,
    posterior: str,
    seed: int,
) -> dict[str, Any]:
    """Everything that is kept of a method and a seed."""
    key = named_key(jax.random.key(seed), "posterior", posterior)
    began = time.monotonic()
    numbers: dict[str, float] = {}
    if not loss:
        members = [prepared.untuned]
        draws = jax.tree.map(lambda leaf: leaf[None], members[0])
    else:
        entry = prepared.choices.posterior[posterior]
        members = [
            tuned_member(folder, configuration, prepared, listener, loss, seed, member)
            for member in range(num_members(entry, configuration.members))
        ]
        began = time.monotonic()
        draws, numbers = entry.functions["draw"](key, tuned_of(prepared, configuration, loss, members))
    fitted = time.monotonic()
    cell: dict[str, Any] = {"fit_seconds": fitted - began} | numbers
    if posterior == "none":
        cell["text_nll"] = text_loss(prepared.model._replace(lora=members[0]), prepared.texts)
    fitted = time.monotonic()
    for part, asked in prepared.parts.items():
        forecast = forecast_answers(prepared.model, draws, asked.prompts)
        cell |= {f"{part}/{name}": value for name, value in forecast._asdict().items()}
        cell |= {f"{part}/labels": asked.labels, f"{part}/ids": np.array(asked.ids, str)}
        cell[f"{part}/questions"] = np.array([one.prompt for one in prepared.asked[part]], str)
    return cell | {"predict_seconds": time.monotonic() - fitted}


def tuned_member(
    folder: RunFolder,
    configuration: TuneConfiguration,
    prepared: Prepared,
    listener: Listener,
    loss: str,
    seed: int,
    member: int,
) -> PyTree:
    """Adapters tuned with a loss, from the folder or made now; members differ in new adapters, order and dropout.

    Args:
        folder: of the run; the adapters are kept in it.
        configuration: of the run.
        prepared: model and data.
        listener: is told of every step.
        loss: by name.
        seed: of the run.
        member: of an ensemble; the first is the adapter that all other posteriors start from.

    Returns:
        Adapters, arranged as the model's layers are.

    Raises:
        TuningError: the loss was not finite in several steps in a row; names the questions.
    """
    name, key = f"{loss}-{seed}-{member}", named_key(jax.random.key(seed), "member", member)
    follows = prepared.loss_content[loss]
    return tuned_adapters(
        key,
        prepared.model,
        prepared.examples,
        configuration,
        prepared.losses[loss],
        name=f"{loss}, seed {seed}" + (f", member {member + 1}" if member else ""),
        cell=adapters_cell(
            folder, f"adapters/{name}", key, prepared.weights, prepared.examples, configuration, follows
        ),
        checkpoint=folder.checkpoints / name,
        listener=listener,
    )


def _merge(folder: RunFolder, configuration: TuneConfiguration, prepared: Prepared, listener: Listener) -> None:
    """The first loss and seed as a model without adapters."""
    target = folder.path / "merged"
    if target.exists():
        return
    lora = tuned_member(folder, configuration, prepared, listener, configuration.loss[0], 0, 0)
    config = finetune_config(configuration).adapters
    if config is not None:
        params = jax.jit(merge_adapters, static_argnums=2)(prepared.model.params, lora, config)
        save_model(target, prepared.model._replace(params=params, decoder=prepared.model.decoder.clone(lora=None)))
