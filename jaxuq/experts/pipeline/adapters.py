"""Adapters of a run on disk: each a folder of PEFT's format, complete when `trained.json` is there and says so."""

import json
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Array, Key, PyTree

from jaxuq._damaged import DAMAGED
from jaxuq._digest import digest
from jaxuq.experts.errors import ExpertsError
from jaxuq.language import CheckpointError, FinetuneConfig, LanguageModel, finetune, load_peft, save_peft
from jaxuq.language.adapters import stack_adapters
from jaxuq.study import StudyWarning, write_json

_RECORD = "trained.json"
Progress = Callable[[int, int], None]
"""Called with what is done and what there is in all."""


def train_adapter(
    folder: Path,
    rng_key: Key[Array, ""],
    model: LanguageModel,
    data: Sequence[Any],
    config: FinetuneConfig,
    *,
    keep_checkpoints: bool = False,
    on_progress: Progress | None = None,
) -> PyTree:
    """Train an adapter into a folder, go on with one that was interrupted, or read one that is done.

    Args:
        folder: of the adapter.
        rng_key: of its training.
        model: to be tuned; with adapters: go on from them.
        data: `Instruction`s.
        config: how.
        keep_checkpoints: keep the state of every epoch, for gradients.
        on_progress: steps done and in all.

    Returns:
        The collection `lora`.

    Raises:
        ExpertsError: the adapter in the folder is of another model or rank.
        CheckpointError: the folder holds another training.
    """
    if is_trained(folder):
        return read_adapter(folder, model)

    def told(progress: Any) -> None:
        if on_progress is not None:
            on_progress(progress.step, progress.num_steps)

    tuned = finetune(rng_key, model, data, config, mesh=model.mesh, checkpoint=folder / "checkpoints", on_progress=told)
    assert config.adapters is not None
    save_peft(folder, config.adapters, tuned.model.lora, base_model=model.name)
    losses = [float(loss) for loss in tuned.history.loss]
    record = {"examples": len(data), "skipped": tuned.skipped, "losses": losses, "files": _content(folder)}
    write_json(folder / _RECORD, record)
    if not keep_checkpoints:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return tuned.model.lora


def is_trained(folder: Path) -> bool:
    """Whether an adapter is complete and as training has left it; one that a disk has damaged is named.

    Args:
        folder: of the adapter.
    """
    if not (folder / _RECORD).is_file():
        return False
    if whole := _as_left(folder):
        return whole
    (folder / _RECORD).unlink()  # it is named once
    warnings.warn(f"the adapter in {folder} is damaged and is trained again", StudyWarning, stacklevel=3)
    return False


def _as_left(folder: Path) -> bool:
    """Whether its files are those that training has written."""
    try:
        return json.loads((folder / _RECORD).read_text())["files"] == _content(folder)
    except (TypeError, KeyError, *DAMAGED):
        return False


def _content(folder: Path) -> str:
    return digest({name: (folder / name).read_bytes() for name in ("adapter_config.json", "adapter_model.safetensors")})


def read_adapter(folder: Path, model: LanguageModel) -> PyTree:
    """Read a finished adapter.

    Args:
        folder: of the adapter.
        model: whose decoder has the configuration that the adapter must have.

    Returns:
        The collection `lora`.

    Raises:
        ExpertsError: it is missing, damaged since it was trained, or of another model or rank.
    """
    if (folder / _RECORD).is_file() and not _as_left(folder):
        raise ExpertsError(f"{folder} is not as training left it; run the same `jaxuq experts train` again")
    try:
        config, lora = load_peft(folder, model.decoder.config, scan=model.decoder.scan)
    except CheckpointError as error:
        raise ExpertsError(f"{error}; was this adapter made for another model than {model.name}?") from None
    wanted = model.decoder.lora
    if wanted is not None and (config.rank, set(config.targets)) != (wanted.rank, set(wanted.targets)):
        raise ExpertsError(
            f"{folder} holds an adapter of rank {config.rank} on {', '.join(config.targets)}; the ensemble has rank "
            f"{wanted.rank} on {', '.join(wanted.targets)}. Members of an ensemble need the same shape"
        )
    if wanted is not None and abs(config.scale - wanted.scale) > 1e-6 * wanted.scale:
        raise ExpertsError(f"{folder} scales its adapter by {config.scale:g}; the ensemble scales by {wanted.scale:g}")
    return lora


def read_members(folders: Sequence[Path], model: LanguageModel) -> PyTree:
    """Read adapters as members of an ensemble.

    Args:
        folders: of finished adapters.
        model: see `read_adapter`.

    Returns:
        The collection `lora` with a leading axis of members.

    Raises:
        ExpertsError: one of them is missing, or of another model or rank.
    """
    return stack_adapters([read_adapter(folder, model) for folder in folders])
