"""Molecules as a network reads them, some at a time, whatever a list of SMILES holds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float32, Integer, PyTree

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.descriptors import morgan_fingerprints
from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.molecules.records import Row
from jaxuq.study import Listener

AT_ONCE = 8192
"""Molecules whose features are held at a time."""


def readable_rows(
    rows: Sequence[Row], molecules: Sequence[str] = ("smiles",)
) -> tuple[Integer[np.ndarray, " readable"], list[str]]:
    """Which SMILES are molecules, and of every row why it is none.

    Args:
        rows: cleaned; of several molecules all must be readable.
        molecules: what the molecules of a row are called.

    Returns:
        Row numbers, and texts that are empty where there is nothing to say.
    """
    reasons = [""] * len(rows)
    for name, column in zip(molecules, columns_of(rows, len(molecules))):
        heavy = run_rdkit("heavy_atoms", column, {}).values if len(column) else np.zeros(0, int)
        heavy = np.where([len(text.splitlines()) > 1 for text in column], -1, heavy)  # RDKit reads the first line
        unread, absent = ("RDKit cannot read it", "no SMILES")
        if len(molecules) > 1:
            unread, absent = f"RDKit cannot read {name}", f"no SMILES in {name}"
        here = [unread if text and atoms < 0 else "" if text else absent for text, atoms in zip(column, heavy)]
        reasons = [one or other for one, other in zip(reasons, here)]
    return np.flatnonzero([not reason for reason in reasons]), reasons


def columns_of(rows: Sequence[Row], count: int) -> list[list[str]]:
    """The first, second, … molecules of all rows.

    Args:
        rows: cleaned.
        count: molecules a row.

    Returns:
        A list for each place in the row.
    """
    if count == 1:
        return [[str(row) for row in rows]]
    return [[row[place] for row in rows] for place in range(count)]


def row_bits(rows: Sequence[Row], count: int, *, cache: bool = True) -> Float32[np.ndarray, "rows bits"]:
    """Morgan bits of the molecules of each row, those of several side by side.

    Args:
        rows: cleaned and readable.
        count: molecules a row.
        cache: see `morgan_fingerprints`.

    Returns:
        Zeros and ones.
    """
    return np.concatenate([morgan_fingerprints(column, cache=cache) for column in columns_of(rows, count)], axis=1)


class InputBatch(NamedTuple):
    """Some molecules.

    Attributes:
        texts: their SMILES, or those of each row.
        padded: places in `texts`, the last of them again and again up to a power of two.
        inputs: of the molecules at these places.
    """

    texts: list[Row]
    padded: Integer[np.ndarray, " padded"]
    inputs: PyTree


def input_batches(
    backbone: Backbone, smiles: Sequence[Row], rows: Integer[np.ndarray, " readable"], listener: Listener, what: str
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
