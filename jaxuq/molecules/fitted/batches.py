"""Molecules as a network reads them, some at a time, whatever a list of SMILES holds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer, PyTree

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.study import Listener

AT_ONCE = 8192
"""Molecules whose features are held at a time."""


def readable_rows(smiles: Sequence[str]) -> tuple[Integer[np.ndarray, " readable"], list[str]]:
    """Which SMILES are molecules, and of every row why it is none.

    Args:
        smiles: cleaned.

    Returns:
        Row numbers, and texts that are empty where there is nothing to say.
    """
    heavy = run_rdkit("heavy_atoms", smiles, {}).values if len(smiles) else np.zeros(0, int)
    there = np.array([bool(one) for one in smiles], bool)
    found = (np.asarray(heavy) >= 0) & there
    reasons = np.where(found, "", np.where(there, "RDKit cannot read it", "no SMILES"))
    return np.flatnonzero(found), reasons.tolist()


class InputBatch(NamedTuple):
    """Some molecules.

    Attributes:
        texts: their SMILES.
        padded: places in `texts`, the last of them again and again up to a power of two.
        inputs: of the molecules at these places.
    """

    texts: list[str]
    padded: Integer[np.ndarray, " padded"]
    inputs: PyTree


def input_batches(
    backbone: Backbone, smiles: Sequence[str], rows: Integer[np.ndarray, " readable"], listener: Listener, what: str
) -> Iterator[InputBatch]:
    """The inputs of a network, `AT_ONCE` molecules at a time; programs are compiled for few sizes only.

    Args:
        backbone: the network.
        smiles: all that there are.
        rows: which of them; see `readable_rows`.
        listener: is told how far it is, when the caller asks for the next batch.
        what: is being done.

    Yields:
        Batches in the order of `rows`.
    """
    for start in range(0, len(rows), AT_ONCE):
        texts = [smiles[int(row)] for row in rows[start : start + AT_ONCE]]
        padded = np.minimum(np.arange(1 << (len(texts) - 1).bit_length()), len(texts) - 1)
        features = backbone.featurise(texts, None)
        yield InputBatch(texts, padded, jax.tree.map(lambda leaf, places=padded: jnp.asarray(leaf[places]), features))
        listener.progress(what, min(start + AT_ONCE, len(rows)), len(rows), "molecules")
