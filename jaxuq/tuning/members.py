"""Adapters tuned on examples, from where they were kept or made now."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxuq.language import Instruction, finetune, load_peft, save_peft
from jaxuq.study import Cell, Listener, RunFolder
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config, training_options
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.posteriors.tuned import Tuned
from jaxuq.tuning.preparation import Prepared
from jaxuq.tuning.token_losses import TokenLoss

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


_FORMULA = 1  # the version of how adapters are tuned


def adapters_cell(
    folder: RunFolder,
    name: str,
    rng_key: Key[Array, ""],
    weights: str,
    examples: Sequence[Instruction],
    configuration: TuneConfiguration,
    loss: Any,
) -> Cell:
    """Where adapters are kept, and what they follow from.

    Args:
        folder: of the run.
        name: of their folder, relative to it.
        rng_key: of new adapters, order and dropout.
        weights: digest of the model.
        examples: to learn.
        configuration: of the run.
        loss: what the loss follows from: its name and numbers.

    Returns:
        The cell.
    """
    key = np.asarray(jax.random.key_data(rng_key))
    options, defaults = training_options(configuration)
    return folder.cell(
        name, options=options, defaults=defaults, formula=_FORMULA, key=key, weights=weights, data=list(examples),
        loss=loss,
    )  # fmt: skip


def tuned_adapters(
    rng_key: Key[Array, ""],
    model: "LanguageModel",
    examples: Sequence[Instruction],
    configuration: TuneConfiguration,
    loss: TokenLoss,
    *,
    name: str,
    cell: Cell,
    checkpoint: Path,
    listener: Listener,
) -> PyTree:
    """Tune new adapters, or read them if they are kept already.

    Args:
        rng_key: of new adapters, order and dropout.
        model: with room for adapters, none in it.
        examples: to learn.
        configuration: of the run.
        loss: of each token.
        name: for the reader.
        cell: the folder where they are kept, in PEFT's format, and what they follow from; see `adapters_cell`.
        checkpoint: folder of unfinished work, in which each cell has its own; removed when done.
        listener: is told of every step.

    Returns:
        Adapters, arranged as the model's layers are; always as they were read back, so that an interruption changes
        nothing.

    Raises:
        TuningError: the loss was not finite in several steps in a row; names the questions.
    """
    decoder, place = model.decoder, cell.path
    checkpoint = checkpoint / cell.identity.address  # what was begun with another loss is not gone on with
    if not cell.sealed:
        try:
            tuned = finetune(
                rng_key, model, examples, finetune_config(configuration), token_loss=loss, mesh=model.mesh,
                checkpoint=checkpoint,
                on_progress=lambda progress: listener.progress(
                    f"tune {name}", progress.step, progress.num_steps, f"steps, loss {progress.loss:.3f}"
                ),
            )  # fmt: skip
        except FloatingPointError as error:
            raise TuningError(f"{name}: {error}") from error
        config = tuned.model.decoder.lora
        if config is None:
            raise TuningError(f"{name}: the tuned model has no adapters")
        save_peft(place, config, tuned.model.lora, base_model=configuration.model)
        np.savetxt(place / "loss.txt", tuned.history.loss, fmt="%.6f")
        cell.seal()
        if tuned.rejected:
            listener.message(f"{name}: {len(tuned.rejected)} samples were left out; {tuned.rejected[0].reason}")
        if tuned.skipped:
            listener.message(f"{name}: {tuned.skipped} steps had no finite loss or gradient and were skipped")
        shutil.rmtree(checkpoint, ignore_errors=True)
    return load_peft(place, decoder.config, scan=decoder.scan)[1]


def tuned_of(prepared: Prepared, configuration: TuneConfiguration, loss: str, members: list[PyTree]) -> Tuned:
    """What a posterior is laid around.

    Args:
        prepared: model and questions.
        configuration: of the run.
        loss: that the members were tuned with.
        members: tuned adapters.

    Returns:
        For `draw` of an entry of `POSTERIORS`.
    """
    return Tuned(
        prepared.model._replace(lora=members[0]), members, prepared.examples, prepared.tuned.prompts,
        prepared.tuned.labels, prepared.losses[loss], finetune_config(configuration), configuration.samples,
    )  # fmt: skip
