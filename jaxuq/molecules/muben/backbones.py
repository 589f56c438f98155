"""The backbones of the benchmark: how molecules become arrays, which network reads them, how it is fine-tuned.

A backbone's inputs are any pytree of arrays whose leading axis is the molecules: one matrix of descriptors, or tokens
with their mask, or padded atoms and bonds. Whatever takes rows out of that tree (minibatches, batches of a forecast)
works on all leaves alike, so members and seeds stack and every method applies. A backbone that would waste its time on
padding repacks the rows of a batch inside its own network (see `jaxuq.networks.MolecularGraphs`).
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from jaxtyping import PyTree

from jaxuq._entries import Entries, Entry
from jaxuq.molecules.descriptors import morgan_fingerprints, rdkit_descriptors
from jaxuq.molecules.graphs import molecular_graphs
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.recipe import Recipe
from jaxuq.networks import DNN, GIN

Count = Callable[[int, int], None] | None


class Backbone(NamedTuple):
    """One row of the benchmark.

    Attributes:
        featurise: `featurise(smiles, progress) -> inputs`, a pytree of NumPy arrays, each with a leading axis of
            molecules (of rows, where a row has several); called once with those of all three parts. Leaves that are no
            arrays must be static parts of the tree (`flax.struct.field(pytree_node=False)`).
        network: `network(num_outputs) -> module`, whose last layer is a dense one named `output` on what the module's
            method `features` returns. Whatever is random in it (dropout, the choice of a conformer) draws from the
            stream `dropout` and is absent or averaged without one.
        recipe: its published fine-tuning.
        molecules_at_once: how many molecules go through the network at once in a validation or forecast.
        pretrained: `pretrained() -> params`, which take the place of freshly initialised ones of the same name; None
            for a network that starts at random. The output layer is always fresh.
        weights: what identifies the pretrained parameters, such as their SHA-256; part of the run's configuration.
        branches: None, or the weight of the branches' distance: the module's method `branches` then returns
            `[branches, n, outputs]`, and the loss in training is the sum of the branches' losses and this weight times
            the mean squared difference of each branch from the first.
        steady_width: of the features of a pretrained network without dropout below its last layer, which are the same
            in every epoch while it is frozen; None for others.
    """

    featurise: Callable[[Sequence[Any], Count], PyTree[np.ndarray]]
    network: Callable[[int], nn.Module]
    recipe: Recipe
    molecules_at_once: int = 4096
    pretrained: Callable[[], PyTree] | None = None
    weights: str | None = None
    branches: float | None = None
    steady_width: int | None = None


_DNN_RECIPE = Recipe(2e-4, 256, 400, 50)


def _dnn(configuration: MubenConfiguration) -> Backbone:
    features = {"rdkit": rdkit_descriptors, "morgan": morgan_fingerprints}[configuration.features]
    return Backbone(
        lambda smiles, progress: features(smiles, progress=progress),
        lambda num_outputs: DNN(num_outputs=num_outputs),
        _DNN_RECIPE,
    )


def _morgan(configuration: MubenConfiguration) -> Backbone:
    return Backbone(
        lambda smiles, progress: morgan_fingerprints(smiles, progress=progress),
        lambda num_outputs: DNN(num_outputs=num_outputs),
        _DNN_RECIPE,
    )


def _gin(configuration: MubenConfiguration) -> Backbone:
    return Backbone(
        lambda smiles, progress: molecular_graphs(smiles, progress=progress),
        lambda num_outputs: GIN(num_outputs=num_outputs),
        Recipe(1e-4, 128, 200, 50),
        molecules_at_once=256,
    )


def _later(name: str, file: str = "pretrained") -> Callable[[MubenConfiguration], Backbone]:
    def make(configuration: MubenConfiguration) -> Backbone:
        module = importlib.import_module(f"jaxuq.molecules.muben.{file}")  # which needs `Backbone`
        return getattr(module, name)(configuration)

    return make


def _entry(name: str, title: str, make: Callable[[MubenConfiguration], Backbone], *needs: str) -> Entry:
    return Entry(name, title, {"make": make}, (name,), needs)


BACKBONES: Entries[Entry] = Entries(
    "backbone",
    "jaxuq.backbones",
    {
        entry.name: entry
        for entry in (
            _entry("dnn", "DNN", _dnn),
            _entry("gin", "GIN", _gin),
            _entry("dmpnn", "D-MPNN", _later("dmpnn")),
            _entry("morgan", "DNN on Morgan fingerprints", _morgan),
            _entry("chemberta", "ChemBERTa", _later("chemberta", "smiles_backbones"), "weights"),
            _entry("rxnfp", "rxnfp", _later("rxnfp", "smiles_backbones"), "weights"),
            _entry("grover", "GROVER", _later("grover"), "weights"),
            _entry("unimol", "Uni-Mol", _later("unimol"), "weights"),
            _entry("torchmdnet", "TorchMD-NET", _later("torchmdnet"), "weights"),
        )
    },
)
"""By the name that `--backbone` takes; other packages declare theirs under `jaxuq.backbones`. An entry's function
`make(configuration)` gives its `Backbone`; the configuration names a checkpoint."""


def make_backbone(name: str, configuration: MubenConfiguration) -> Backbone:
    """A backbone by name.

    Args:
        name: as `--backbone` takes it.
        configuration: of the run; names a checkpoint.

    Returns:
        The backbone.

    Raises:
        DataError: it needs a checkpoint and none is named.
        CheckpointError: the checkpoint cannot be read.
    """
    return BACKBONES[name].functions["make"](configuration)
