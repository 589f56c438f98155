"""The adapters and Adam's moments after each epoch of a fine-tuning run, read from its folder."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp

from jaxuq._arguments import typed
from jaxuq._damaged import DAMAGED
from jaxuq.experts.preconditioning import AdapterCheckpoint
from jaxuq.language import CheckpointError
from jaxuq.training import load_checkpoint


@typed()
def load_adapter_checkpoints(folder: str | pathlib.Path) -> list[AdapterCheckpoint]:
    """Read what `finetune(..., checkpoint=folder)` kept after each epoch.

    Args:
        folder: as given to `finetune`.

    Returns:
        One checkpoint for each epoch that is complete, in order; three times the adapters' size each.

    Raises:
        CheckpointError: no fine-tuning run, no complete epoch, a run that trained no adapters, or an epoch without
            optimiser state.

    Example:
        >>> load_adapter_checkpoints("/nowhere")
        Traceback (most recent call last):
        ...
        jaxuq.checkpoints.errors.CheckpointError: /nowhere holds no fine-tuning run: run.json is missing or damaged
    """
    folder = pathlib.Path(folder).expanduser()
    config = _read(folder, "run.json").get("config", {})
    rates = _read(folder, "schedule.json").get("learning_rates", [])
    if config.get("adapters") is None:
        raise CheckpointError(f"{folder} holds a run that trained all parameters, not adapters")
    found = []
    for epoch, rate in enumerate(rates, start=1):
        state = load_checkpoint(folder / f"epoch-{epoch}")
        if state is None:
            break
        adam = next(_adam_states(state.get("optimizer_state")), None)
        if adam is None:
            raise CheckpointError(
                f"{folder / f'epoch-{epoch}'} has no optimiser state with Adam's moments, which preconditioning needs: "
                "train with finetune(..., checkpoint=folder)"
            )
        found.append(
            AdapterCheckpoint(
                state["trained"],
                adam["mu"],
                adam["nu"],
                jnp.asarray(adam["count"]),
                rate,
                config["beta1"],
                config["beta2"],
                config["epsilon"],
            )
        )
    if not found:
        raise CheckpointError(f"{folder} holds no complete epoch yet: let the fine-tuning run go on")
    return found


def _read(folder: pathlib.Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text())
    except DAMAGED:
        content = None
    if not isinstance(content, dict):
        raise CheckpointError(f"{folder} holds no fine-tuning run: {name} is missing or damaged")
    return content


def _adam_states(tree: Any) -> Iterator[dict[str, Any]]:
    """Every node with Adam's moments: optax nests them as deep as its transformations are chained."""
    if isinstance(tree, dict):
        if {"mu", "nu", "count"} <= set(tree):
            yield tree
        else:
            for branch in tree.values():
                yield from _adam_states(branch)
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from _adam_states(branch)
