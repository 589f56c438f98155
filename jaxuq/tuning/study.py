"""The run itself: tune, draw, forecast, score; each cell is kept as it is done."""

import math
import os
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxuq._keys import named_key
from jaxuq.language import FinetuneProgress, finetune, init_adapters, load_peft, merge_adapters, save_model, save_peft
from jaxuq.results import RunFolder, open_run, read_arrays, write_arrays
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config, method_names, normalised, recorded
from jaxuq.tuning.drawing import draw_posterior
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.evaluation import answer_scores, text_loss
from jaxuq.tuning.predicting import Draws, forecast_answers
from jaxuq.tuning.preparation import Prepared, prepare
from jaxuq.tuning.records import load_split
from jaxuq.tuning.summary import write_tables
from jaxuq.tuning.uncertainty import Judge

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


class Listener(NamedTuple):
    """What a run calls as it goes on.

    Attributes:
        training: `training(name, progress)` after every step.
        scored: `scored(method, seed, part, scores)`.
        message: `message(text)`.
    """

    training: Callable[[str, FinetuneProgress], None] = lambda name, progress: None
    scored: Callable[[str, int, str, dict[str, float]], None] = lambda method, seed, part, scores: None
    message: Callable[[str], None] = lambda text: None


def run_tuning(
    configuration: TuneConfiguration,
    *,
    model: "LanguageModel | None" = None,
    judge: Judge | None = None,
    listener: Listener | None = None,
) -> RunFolder:
    """Tune with several losses, lay posteriors over the adapters, score before and after; `jaxuq tune` in Python.

    All random numbers follow from the seed's number and the name of what they are for: another loss or posterior
    changes nothing in the others, and a run that was killed goes on to the numbers that it would have had.

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
    split = load_split(configuration.data, test=configuration.test, shifted=configuration.shifted)
    folder = open_run(
        configuration.output,
        system="tune",
        configuration=recorded(configuration),
        device=f"{jax.devices()[0].platform} x {jax.device_count()}, {os.cpu_count()} cores",
        resume=configuration.resume,
    )
    began, before = time.monotonic(), float(folder.record.get("seconds", 0.0))
    if model is None:
        from jaxuq.language import load_model

        model = load_model(configuration.model, scan=True)
    prepared = prepare(configuration, split, folder, model=model, judge=judge)
    questions = {name: len(one.labels) for name, one in prepared.parts.items()}
    folder.write_record(
        rejected=[list(one) for one in prepared.rejected], notes=prepared.notes, tuned_on=len(prepared.examples),
        questions=questions, methods=list(method_names(configuration)),
    )  # fmt: skip
    for note in prepared.notes:
        listener.message(note)
    for seed in range(configuration.seeds):
        for method, (loss, posterior) in method_names(configuration).items():
            if not _cell_file(folder, method, seed).is_file() or read_arrays(_cell_file(folder, method, seed)) is None:
                cell = _cell(folder, configuration, prepared, listener, method, loss, posterior, seed)
                write_arrays(_cell_file(folder, method, seed), cell)
                folder.write_record(seconds=round(before + time.monotonic() - began, 1))
            for part, scores in _scores(folder, prepared, method, seed).items():
                listener.scored(method, seed, part, scores)
        labels = {name: one.labels for name, one in prepared.parts.items()}
        write_tables(folder.path, configuration, labels, seed + 1)
    if configuration.merge:
        _merge(folder, configuration, prepared, listener)
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    folder.write_record(status="complete", seconds=round(before + time.monotonic() - began, 1))
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
        new = init_adapters(jax.random.key(0), prepared.model.decoder, prepared.model.params)  # they change nothing
        members = [new]
        draws = Draws(jax.tree.map(lambda leaf: leaf[None], new))
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
    place = folder.path / "adapters" / f"{loss}-{seed}-{member}"
    if (place / "adapter_config.json").is_file():
        return load_peft(place, prepared.model.decoder.config, scan=prepared.model.decoder.scan)[1]
    name = f"{loss}, seed {seed}" + (f", member {member + 1}" if member else "")
    checkpoint = folder.checkpoints / f"{loss}-{seed}-{member}"
    try:
        tuned = finetune(
            named_key(jax.random.key(seed), "member", member),
            prepared.model,
            prepared.examples,
            finetune_config(configuration),
            token_loss=prepared.losses[loss],
            checkpoint=checkpoint,
            on_progress=lambda progress: listener.training(name, progress),
        )
    except FloatingPointError as error:
        raise TuningError(f"{name}: {error}") from error
    config = tuned.model.decoder.lora
    if config is None:
        raise TuningError(f"{name}: the tuned model has no adapters")
    save_peft(place, config, tuned.model.lora, base_model=configuration.model)
    np.savetxt(place / "loss.txt", tuned.history.loss, fmt="%.6f")
    if tuned.skipped:
        listener.message(f"{name}: {tuned.skipped} steps had no finite loss or gradient and were skipped")
    shutil.rmtree(checkpoint, ignore_errors=True)
    return load_peft(place, prepared.model.decoder.config, scan=prepared.model.decoder.scan)[1]


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
