"""Adapters tuned on examples, from where they were kept or made now."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Array, Key, PyTree

from jaxuq.language import Instruction, finetune, load_peft, save_peft
from jaxuq.tuning.configuration import TuneConfiguration, finetune_config
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.listener import Listener
from jaxuq.tuning.token_losses import TokenLoss

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel


def tuned_adapters(
    rng_key: Key[Array, ""],
    model: "LanguageModel",
    examples: Sequence[Instruction],
    configuration: TuneConfiguration,
    loss: TokenLoss,
    *,
    name: str,
    place: Path,
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
        place: where they are kept, in PEFT's format.
        checkpoint: of unfinished work; removed when done.
        listener: is told of every step.

    Returns:
        Adapters, arranged as the model's layers are; always as they were read back, so that an interruption changes
        nothing.

    Raises:
        TuningError: the loss was not finite in several steps in a row; names the questions.
    """
    decoder = model.decoder
    if not (place / "adapter_config.json").is_file():
        try:
            tuned = finetune(
                rng_key, model, examples, finetune_config(configuration), token_loss=loss, checkpoint=checkpoint,
                on_progress=lambda progress: listener.training(name, progress),
            )  # fmt: skip
        except FloatingPointError as error:
            raise TuningError(f"{name}: {error}") from error
        config = tuned.model.decoder.lora
        if config is None:
            raise TuningError(f"{name}: the tuned model has no adapters")
        save_peft(place, config, tuned.model.lora, base_model=configuration.model)
        np.savetxt(place / "loss.txt", tuned.history.loss, fmt="%.6f")
        if tuned.rejected:
            listener.message(f"{name}: {len(tuned.rejected)} samples were left out; {tuned.rejected[0].reason}")
        if tuned.skipped:
            listener.message(f"{name}: {tuned.skipped} steps had no finite loss or gradient and were skipped")
        shutil.rmtree(checkpoint, ignore_errors=True)
    return load_peft(place, decoder.config, scan=decoder.scan)[1]
