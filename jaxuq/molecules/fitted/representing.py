"""What a kept model makes of molecules before its output layer: features for other models, plots and searches."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxuq._options import check_count
from jaxuq.molecules.fitted.batches import input_batches, readable_rows
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.model import MoleculeNetwork, backbone_of
from jaxuq.molecules.records import DataError, Row
from jaxuq.molecules.rows import clean_rows
from jaxuq.networks import apply_function
from jaxuq.posterior import predict
from jaxuq.study import Listener


class MoleculeFeatures(NamedTuple):
    """Learnt features of molecules; rows of unreadable ones are NaN.

    Attributes:
        smiles: as given.
        features: what the output layer of one network sees.
        errors: why there is none; empty where there is one.
        molecule_columns: what the molecules of a row are called.
    """

    smiles: list[Row]
    features: Float[np.ndarray, "molecules width"]
    errors: list[str]
    molecule_columns: tuple[str, ...] = ("smiles",)


def represent_molecules(
    fitted: FittedMolecules, smiles: Sequence[Row | float | None], *, member: int = 0, listener: Listener | None = None
) -> MoleculeFeatures:
    """The features of molecules that one network of a model has learnt, 8,192 molecules at a time.

    Args:
        fitted: from `fit_molecules` or `load_molecules_model`.
        smiles: any number of molecules; of several a row, tuples.
        member: which network, from 0; features of two networks have nothing to do with each other.
        listener: is told how far it is.

    Returns:
        Features of each row.

    Raises:
        DataError: there is no such network.
    """
    members = len(jax.tree.leaves(fitted.forecaster.samples)[0])
    if check_count("member", member, 0) >= members:
        raise DataError(f"the model has {members} networks, numbered from 0; there is none of number {member}")
    smiles = clean_rows(smiles, fitted.molecule_columns)
    rows, errors = readable_rows(smiles, fitted.molecule_columns)
    backbone = backbone_of(fitted.network)
    features = _compiled(fitted.network)
    one = jax.tree.map(lambda leaf: leaf[member : member + 1], fitted.forecaster.samples)
    found = [
        np.asarray(features(one, batch.inputs))[: len(batch.texts)]
        for batch in input_batches(backbone, smiles, rows, listener or Listener(), "features")
    ]
    width = found[0].shape[1] if found else 0
    whole = np.full((len(smiles), width), np.nan, np.float32)
    if found:
        whole[rows] = np.concatenate(found)
    return MoleculeFeatures(smiles, whole, errors, fitted.molecule_columns)


@functools.cache  # one function a network, so that its programs are compiled once
def _compiled(network: MoleculeNetwork) -> Any:
    backbone = backbone_of(network)
    apply_fn = apply_function(backbone.network(1), method="features")

    def features(samples: Any, inputs: Any) -> Any:
        return predict(apply_fn, samples, inputs, batch_size=backbone.molecules_at_once)[0]

    return jax.jit(features)
