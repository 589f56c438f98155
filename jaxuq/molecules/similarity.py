"""How far a molecule is from the training molecules, and test parts sorted into bins by it."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxuq._arrays import widened
from jaxuq._errors import ArrayError
from jaxuq._shapes import checked
from jaxuq.molecules._workers import run_rdkit, warn_about
from jaxuq.molecules.descriptors import morgan_fingerprints
from jaxuq.molecules.records import DataError


@checked
@widened
def mean_tanimoto(
    fingerprints: Float[Array, "molecules bits"], references: Float[Array, "references bits"]
) -> Float[Array, " molecules"]:
    r"""Mean Tanimoto similarity of each fingerprint to all references.

    $$s_n = \frac1M \sum_m \frac{\lvert a_n \wedge b_m \rvert}{\lvert a_n \vee b_m \rvert}$$

    the share of the bits in either that are in both; 1 for two fingerprints without a bit. The mean says how usual a
    molecule is among the references, which is not how near its nearest one is.

    Args:
        fingerprints: 0 and 1.
        references: 0 and 1.

    Returns:
        Similarities in [0, 1]. Works on 256 molecules at a time: `[256, references]` numbers are held.

    Example:
        >>> mean_tanimoto(jnp.array([[1.0, 1.0, 0.0]]), jnp.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
        Array([0.75], dtype=float32)

    References:
        D. J. Rogers, T. T. Tanimoto, A Computer Program for Classifying Plants, Science 132, 1960.
    """
    return _tanimoto(fingerprints, references, jnp.mean)


@checked
@widened
def nearest_tanimoto(
    fingerprints: Float[Array, "molecules bits"], references: Float[Array, "references bits"]
) -> Float[Array, " molecules"]:
    r"""Tanimoto similarity of each fingerprint to the nearest reference, $\max_m$ of what `mean_tanimoto` averages.

    Args:
        fingerprints: 0 and 1.
        references: 0 and 1, one at least.

    Returns:
        Similarities in [0, 1]; 1 for a molecule with the bits of a reference. `[256, references]` numbers are held.

    Example:
        >>> nearest_tanimoto(jnp.array([[1.0, 1.0, 0.0]]), jnp.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]))
        Array([0.5], dtype=float32)

    References:
        D. J. Rogers, T. T. Tanimoto, A Computer Program for Classifying Plants, Science 132, 1960.
    """
    return _tanimoto(fingerprints, references, jnp.max)


def _tanimoto(fingerprints: Array, references: Array, reduce: Callable[[Array], Array]) -> Array:
    if not len(references):
        raise ArrayError("there is no reference fingerprint; expected one at least")
    sizes = references.sum(axis=1)

    def of_one(bits: Float[Array, " bits"]) -> Float[Array, ""]:
        common = references @ bits
        either = sizes + bits.sum() - common
        return reduce(jnp.where(either > 0, common / jnp.where(either > 0, either, 1), 1))

    return jax.lax.map(of_one, fingerprints, batch_size=256)


def scaffold_similarity(
    smiles: Sequence[str], train_smiles: Sequence[str], *, radius: int = 2, size: int = 1024
) -> Float[np.ndarray, " molecules"]:
    """Mean Tanimoto similarity of molecules to the distinct Bemis-Murcko scaffolds of the training molecules.

    How MUBen measures how far its QM9 test molecules are from training (appendix A.1). Fingerprints are Morgan's. The
    empty scaffold of molecules without a ring, and molecules that RDKit cannot read, have no bits.

    Args:
        smiles: whose similarity is wanted.
        train_smiles: the training part.
        radius: of the fingerprints.
        size: of the fingerprints, in bits.

    Returns:
        One similarity a molecule.

    Raises:
        DataError: no training molecule has a scaffold.

    Example:
        >>> near, far = scaffold_similarity(["Cc1ccccc1", "CCCl"], ["c1ccccc1", "CCO", "Oc1ccccc1"])
        >>> bool(near > far)
        True

    References:
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.1.
    """
    outcome = run_rdkit("scaffolds", train_smiles, {"include_chirality": False})
    warn_about(outcome, train_smiles, "they have no scaffold")
    scaffolds = sorted({text for text in outcome.values if text})
    if not scaffolds:
        raise DataError(f"none of the {len(train_smiles)} training molecules has a scaffold to be compared with")
    bits = (morgan_fingerprints(texts, radius=radius, size=size, cache=False) for texts in (smiles, scaffolds))
    return np.asarray(jax.jit(mean_tanimoto)(*(jnp.asarray(part, jnp.float32) for part in bits)))


def similarity_bins(
    similarity: Float[np.ndarray, " molecules"], num_bins: int = 5
) -> Integer[np.ndarray, " molecules"]:
    """Sort molecules into bins of equal size, the most similar in bin 0.

    Args:
        similarity: of each molecule, higher is more similar.
        num_bins: how many bins; their sizes differ by one at most, the first ones are larger.

    Returns:
        The bin of each molecule; of equal similarities the first row comes first.

    Raises:
        DataError: there are fewer molecules than bins, or no bin.

    Example:
        >>> similarity_bins(np.array([0.1, 0.9, 0.5, 0.2]), 2).tolist()
        [1, 0, 0, 1]
    """
    if not 1 <= num_bins <= len(similarity):
        raise DataError(f"num_bins is {num_bins}; it must be between 1 and the number of molecules, {len(similarity)}")
    bins = np.empty(len(similarity), np.int64)
    for number, rows in enumerate(np.array_split(np.argsort(-np.asarray(similarity), kind="stable"), num_bins)):
        bins[rows] = number
    return bins
