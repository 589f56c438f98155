"""The backbones of the benchmark: how molecules become arrays, which network reads them, how it is fine-tuned."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import numpy as np

from jaxuq.molecules.descriptors import morgan_fingerprints, rdkit_descriptors
from jaxuq.networks import DNN


class Recipe(NamedTuple):
    """Published fine-tuning hyper-parameters (AdamW with weight decay 0.01).

    Attributes:
        learning_rate: constant.
        batch_size: molecules a step.
        epochs: at most.
        patience: epochs without a better validation score.
    """

    learning_rate: float
    batch_size: int
    epochs: int
    patience: int


class Backbone(NamedTuple):
    """One row of the benchmark.

    Attributes:
        featurise: `featurise(smiles, features, progress) -> inputs`, arrays with a leading axis of molecules.
        network: `network(num_outputs) -> module`, whose last layer is a dense one named `output` on what the module's
            method `features` returns.
        recipe: its published fine-tuning.
    """

    featurise: Callable[..., np.ndarray]
    network: Callable[[int], nn.Module]
    recipe: Recipe


def _descriptors(smiles: list[str], features: str, progress: Callable[[int, int], None] | None) -> np.ndarray:
    function = {"rdkit": rdkit_descriptors, "morgan": morgan_fingerprints}[features]
    return np.asarray(function(smiles, progress=progress), np.float32)


BACKBONES: dict[str, Backbone] = {
    "dnn": Backbone(_descriptors, lambda num_outputs: DNN(num_outputs=num_outputs), Recipe(2e-4, 256, 400, 50)),
}
"""By the name that `--backbone` takes."""
