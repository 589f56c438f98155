"""The benchmark's backbones that read a converted checkpoint: Uni-Mol, TorchMD-NET, GROVER, D-MPNN."""

import dataclasses
from typing import Any

from jaxtyping import PyTree

from jaxuq.checkpoints import LoadedBackbone, load_backbone
from jaxuq.molecules.graphs import molecular_graphs
from jaxuq.molecules.grover_inputs import grover_inputs
from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.muben.configuration import MubenConfiguration
from jaxuq.molecules.muben.recipe import Recipe
from jaxuq.molecules.records import DataError
from jaxuq.molecules.structures import atom_inputs, unimol_inputs
from jaxuq.networks import (
    DMPNN,
    DMPNNConfig,
    Grover,
    GroverConfig,
    TorchMDNet,
    TorchMDNetConfig,
    UniMol,
    UniMolConfig,
)

_PUBLIC = {
    "unimol": "mol_pre_no_h_220816.pt",
    "torchmdnet": "denoised-pcqm4mv2.ckpt",
    "grover": "grover_base.pt",
}
_DISTANCE = 0.1  # weight of the distance between GROVER's branches


def unimol(configuration: MubenConfiguration) -> Backbone:
    """Uni-Mol: a linear schedule (the thesis; the published code's is polynomial of degree one, the same).

    Hydrogen is kept for a checkpoint whose file was called `…all_h…`, and dropped otherwise.

    Args:
        configuration: names the checkpoint.

    Returns:
        The backbone.

    Raises:
        DataError: no checkpoint is named and the network shall not start at random either.
        CheckpointError: the checkpoint cannot be read.
    """
    loaded = _loaded(configuration, "unimol")
    config = UniMolConfig() if loaded is None else loaded.config
    hydrogens = loaded is not None and "all_h" in loaded.source
    return Backbone(
        lambda smiles, progress: unimol_inputs(smiles, hydrogens=hydrogens, progress=progress),
        lambda num_outputs: UniMol(num_outputs, config, remat=True),  # pyright: ignore[reportArgumentType]
        Recipe(5e-5, 128, 100, 40, schedule="linear", warmup=0.1, clip_norm=1.0, b1=0.9, b2=0.99, eps=1e-6),
        molecules_at_once=32,
        **_weights(loaded),
    )


def torchmdnet(configuration: MubenConfiguration) -> Backbone:
    """TorchMD-NET's equivariant transformer on the first conformer.

    Args:
        configuration: names the checkpoint; with `convention="muben"` vectors are whitened as published, with a
            dependence on the molecule's orientation.

    Returns:
        The backbone.

    Raises:
        DataError: no checkpoint is named and the network shall not start at random either.
        CheckpointError: the checkpoint cannot be read.
    """
    loaded = _loaded(configuration, "torchmdnet")
    config: Any = TorchMDNetConfig() if loaded is None else loaded.config
    if configuration.convention == "muben" and config.vector_norm == "isotropic":
        config = dataclasses.replace(config, vector_norm="published")
    return Backbone(
        lambda smiles, progress: atom_inputs(smiles, max_number=config.max_number, progress=progress),
        lambda num_outputs: TorchMDNet(num_outputs, config),
        Recipe(2e-4, 128, 100, 40, schedule="linear", warmup=0.1),
        molecules_at_once=32,
        **_weights(loaded),
    )


def grover(configuration: MubenConfiguration) -> Backbone:
    """GROVER with two branches, without its networks for bonds, which predictions do not use.

    Args:
        configuration: names the checkpoint; with `convention="muben"` atoms see the padding row as published, so that
            outputs depend on the batch.

    Returns:
        The backbone.

    Raises:
        DataError: no checkpoint is named and the network shall not start at random either.
        CheckpointError: the checkpoint cannot be read.
    """
    loaded = _loaded(configuration, "grover")
    config: Any = GroverConfig() if loaded is None else loaded.config
    row = "batch" if configuration.convention == "muben" else config.padding_row
    config = dataclasses.replace(config, bond_views=False, padding_row=row)
    return Backbone(
        lambda smiles, progress: grover_inputs(smiles, progress=progress),
        lambda num_outputs: Grover(num_outputs, config),
        Recipe(1e-4, 256, 100, 40, schedule="linear", warmup=0.1),
        molecules_at_once=256,
        branches=_DISTANCE,
        **_weights(loaded, left_out=("edge_from_atom", "edge_from_edge", "unused_slopes")),
    )


def dmpnn(configuration: MubenConfiguration) -> Backbone:
    """Chemprop's D-MPNN, at random with dropout 0.1, or from a checkpoint with its own shape.

    All trained layers but the last are kept. A checkpoint of message passing alone gets a hidden layer behind it,
    unless the backbone is frozen: a layer at random would then stay so.

    Args:
        configuration: may name a checkpoint.

    Returns:
        The backbone.

    Raises:
        DataError: the checkpoint reads descriptors beside molecules.
        CheckpointError: the checkpoint cannot be read.
    """
    named = configuration.checkpoint_of("dmpnn") is not None
    loaded = _loaded(configuration, "dmpnn") if named else None
    config: Any = DMPNNConfig(dropout_rate=0.1) if loaded is None else loaded.config
    if config.num_descriptors:
        raise DataError(
            f"{configuration.checkpoint_of('dmpnn')} reads {config.num_descriptors} descriptors of each molecule, of "
            "which it does not say how they are computed; a backbone reads the molecule alone"
        )
    if loaded is not None and config.outputs is None:
        config = dataclasses.replace(config, hidden=() if configuration.frozen_backbone else None)
    moving = config.dropout_rate or config.head_dropout_rate
    width = None if loaded is None or moving else (config.width, *config.layers)[-1]
    return dmpnn_backbone(config)._replace(steady_width=width, **_weights(loaded, left_out=("output",)))


def dmpnn_backbone(config: DMPNNConfig) -> Backbone:
    """A D-MPNN of any shape, at random.

    Args:
        config: the shape; what its outputs meant is left out.

    Returns:
        The backbone.
    """
    config = dataclasses.replace(config, outputs=None)
    return Backbone(
        lambda smiles, progress: molecular_graphs(smiles, "chemprop", hydrogens=False, progress=progress),
        lambda num_outputs: DMPNN(num_outputs, config),
        Recipe(1e-3, 64, 50, 50, schedule="linear", warmup=0.04),
        molecules_at_once=256,
    )


def _loaded(configuration: MubenConfiguration, name: str) -> LoadedBackbone | None:
    """The checkpoint of a backbone; None for a start at random, which must have been asked for."""
    path = configuration.checkpoint_of(name)
    if path is None:
        if configuration.from_scratch:
            return None
        raise DataError(
            f"backbone {name} is made to start from pretrained weights: name them with --checkpoint FOLDER, which "
            f"`jaxuq models convert --kind {name} {_PUBLIC[name]} FOLDER` makes, or start at random with --from-scratch"
        )
    loaded = load_backbone(path)
    if loaded.kind != name:
        raise DataError(f"{path} holds weights of {loaded.kind}, not of {name}: use --backbone {loaded.kind}")
    return loaded


def _weights(loaded: LoadedBackbone | None, left_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a backbone is told of its checkpoint."""
    if loaded is None:
        return {}
    params: PyTree = {name: part for name, part in loaded.params.items() if name not in left_out}
    return {"pretrained": lambda: params, "weights": loaded.digest}
