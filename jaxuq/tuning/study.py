"""The run itself: tune, draw, forecast, score; each cell is kept as it is done."""

import math
import shutil
import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq._programs import forget_programs_if_many
from jaxuq.language import merge_adapters, save_model
from jaxuq.results import RunFolder, read_arrays, write_arrays
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config, method_names, normalised
from jaxuq.tuning.evaluation import answer_scores, text_loss
from jaxuq.tuning.listener import Listener
from jaxuq.tuning.members import tuned_adapters
from jaxuq.tuning.opening import open_tuning
from jaxuq.tuning.posteriors.drawing import draw_posterior
from jaxuq.tuning.predicting import forecast_answers
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.summary import write_tables
from jaxuq.tuning.uncertainty import Judge

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


def run_tuning(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    judge: Judge | None = None,
    listener: Listener | None = None,
) -> RunFolder:
    """Tune with several losses, lay posteriors over the adapters, score before and after; `jaxuq tune` in Python.

    All random numbers follow from the seed's number and the name of what they are for: another loss or posterior
    changes nothing in the others, and a run that was killed goes on to the numbers that it would have had. With
    `acquire` or `teach` it is `run_labelling` or `run_teaching`.

    Args:
        configuration: what to do.
        model: a loaded model without adapters; None loads `configuration.model`.
        judge: prompts to replies, for `uncertainty="judge"`.
        listener: see `Listener`.

    Returns:
        The result folder: `results.csv`, `summary.csv`, `predictions/`, `adapters/` (in PEFT's format), `run.json`.

    Raises:
        TuningError: data or options that cannot be used; a loss that is not finite.
        RunFolderError: the folder holds another run.
        CheckpointError: the model cannot be loaded.
    """
    configuration, listener = normalised(configuration), listener or Listener()
    if configuration.acquire:
        from jaxuq.tuning.labelling.run import run_labelling

        return run_labelling(configuration, model=model, listener=listener)
    if configuration.teach:
        from jaxuq.tuning.honesty.run import run_teaching

        return run_teaching(configuration, model=model, listener=listener)
    methods = method_names(configuration)
    folder, prepared, seconds = open_tuning(configuration, [*methods], model=model, judge=judge, listener=listener)
    for seed in range(configuration.seeds):
        for method, (loss, posterior) in methods.items():
            if not _cell_file(folder, method, seed).is_file() or read_arrays(_cell_file(folder, method, seed)) is None:
                cell = _cell(folder, configuration, prepared, listener, method, loss, posterior, seed)
                write_arrays(_cell_file(folder, method, seed), cell)
                forget_programs_if_many()
                folder.write_record(seconds=seconds())
            for part, scores in _scores(folder, prepared, method, seed).items():
                listener.scored(method, seed, part, scores)
        labels = {name: one.labels for name, one in prepared.parts.items()}
        write_tables(folder.path, configuration, labels, seed + 1)
    if configuration.merge:
        _merge(folder, configuration, prepared, listener)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    folder.write_record(status="complete", seconds=seconds())
    return folder


def _cell_file(folder: RunFolder, method: str, seed: int) -> Any:
    return folder.predictions / f"{method}-{seed}.npz"


def _cell(
    folder: RunFolder,
    configuration: TuneConfiguration,
    prepared: Prepared,
    listener: Listener,
    method: str,
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
        count = configuration.members if posterior == "ensemble" else 1
        members = [
            tuned_member(folder, configuration, prepared, listener, loss, seed, member) for member in range(count)
        ]
        began = time.monotonic()
        draws, numbers = draw_posterior(key, posterior, members, prepared, configuration, prepared.losses[loss])
    fitted = time.monotonic()
    cell: dict[str, Any] = {"fit_seconds": fitted - began} | numbers
    if posterior == "none":
        cell["text_nll"] = text_loss(prepared.model._replace(lora=members[0]), prepared.texts)
    fitted = time.monotonic()
    for part, asked in prepared.parts.items():
        forecast = forecast_answers(prepared.model, draws, asked.prompts)
        cell |= {f"{part}/{name}": value for name, value in forecast._asdict().items()}
        cell[f"{part}/labels"] = asked.labels
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
    return tuned_adapters(
        named_key(jax.random.key(seed), "member", member),
        prepared.model,
        prepared.examples,
        configuration,
        prepared.losses[loss],
        name=f"{loss}, seed {seed}" + (f", member {member + 1}" if member else ""),
        place=folder.path / "adapters" / f"{loss}-{seed}-{member}",
        checkpoint=folder.checkpoints / f"{loss}-{seed}-{member}",
        listener=listener,
    )


def _scores(folder: RunFolder, prepared: Prepared, method: str, seed: int) -> dict[str, dict[str, float]]:
    cell = read_arrays(_cell_file(folder, method, seed)) or {}
    found = {}
    for part, asked in prepared.parts.items():
        values = answer_scores(jnp.asarray(cell[f"{part}/log_probs"]), jnp.asarray(asked.labels))
        scores = {"accuracy": float(values[0]), "nll": float(values[1]), "ece": float(values[3])}
        found[part] = {name: value for name, value in scores.items() if math.isfinite(value)}
    return found


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
