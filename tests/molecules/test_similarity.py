"""Similarity to training scaffolds against RDKit, and bins that share out the test part."""

import numpy as np
import pytest

from jaxuq.molecules import DataError, load_molecules, scaffold_similarity, similarity_bins


def test_similarity_is_rdkits_mean_over_distinct_scaffolds():
    from rdkit import Chem, DataStructs
    from rdkit.Chem import rdFingerprintGenerator
    from rdkit.Chem.Scaffolds import MurckoScaffold

    data = load_molecules("freesolv")
    train, test = data.smiles[:60], data.smiles[60:80]
    scaffolds = {MurckoScaffold.MurckoScaffoldSmiles(text) for text in train} - {""}
    fingerprint = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024).GetFingerprint
    known = [fingerprint(Chem.MolFromSmiles(text)) for text in scaffolds]
    expected = [np.mean(DataStructs.BulkTanimotoSimilarity(fingerprint(Chem.MolFromSmiles(t)), known)) for t in test]
    np.testing.assert_allclose(scaffold_similarity(test, train), expected, rtol=1e-5)
    with pytest.raises(DataError, match="none of the 2 training molecules has a scaffold"):
        scaffold_similarity(test, ["CCO", "CC"])


def test_bins_share_out_the_molecules_from_the_most_similar_down():
    similarity = np.random.default_rng(0).random(23)
    bins = similarity_bins(similarity, 5)
    assert np.bincount(bins).tolist() == [5, 5, 5, 4, 4]
    lowest = [similarity[bins == number].min() for number in range(5)]
    highest = [similarity[bins == number].max() for number in range(5)]
    assert all(low > high for low, high in zip(lowest, highest[1:]))
    with pytest.raises(DataError, match="num_bins is 24; it must be between 1 and the number of molecules, 23"):
        similarity_bins(similarity, 24)
