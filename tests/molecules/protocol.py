"""Examples of the public functions of jaxuq.molecules for tests/test_protocol.py."""

from typing import Any

import numpy as np

from jaxuq.molecules import (
    LabelScaler,
    mean_tanimoto,
    nearest_tanimoto,
    scale_labels,
    unscale_mean,
    unscale_variance,
)
from tests.protocol import Example

_rng = np.random.default_rng(3)
_LABELS = _rng.normal(3.0, 2.0, (16, 3)).astype(np.float32)
_SCALER = LabelScaler(np.array([1.0, -2.0, 3.0], np.float32), np.array([0.5, 2.0, 4.0], np.float32))

_BITS = (_rng.random((16, 12)) < 0.4).astype(np.float32)

EXAMPLES: dict[str, Any] = {
    "mean_tanimoto": Example(mean_tanimoto, (_BITS[:8], _BITS[8:13])),
    "nearest_tanimoto": Example(nearest_tanimoto, (_BITS[:8], _BITS[8:13])),
    "scale_labels": Example(scale_labels, (_SCALER, _LABELS), differentiable=(0, 1), keeps_type=True, rows=1),
    "unscale_mean": Example(unscale_mean, (_SCALER, _LABELS), differentiable=(0, 1), keeps_type=True, rows=1),
    "unscale_variance": Example(
        unscale_variance, (_SCALER, _LABELS**2), differentiable=(0, 1), keeps_type=True, rows=1
    ),
}

_TYPE = "a type"
_FILES = "reads files"
_RDKIT = "calls RDKit on strings"
HOST: dict[str, str] = {
    "Conformers": _TYPE,
    "atom_inputs": _RDKIT,
    "generate_conformers": _RDKIT,
    "grover_inputs": _RDKIT,
    "unimol_inputs": _RDKIT,
    "DataError": _TYPE,
    "DataWarning": _TYPE,
    "DatasetInfo": _TYPE,
    "LabelScaler": _TYPE,
    "MoleculeDataset": _TYPE,
    "Rejected": _TYPE,
    "Split": _TYPE,
    "SplitRows": _TYPE,
    "cache_folder": "a path",
    "fit_label_scaler": "double precision on the host",
    "dataset_info": "looks a name up",
    "dataset_names": "names",
    "descriptor_names": "names",
    "load_csv": _FILES,
    "load_dataset": _FILES,
    "load_molecules": _FILES,
    "load_split_folder": _FILES,
    "molecular_graphs": _RDKIT,
    "morgan_fingerprints": _RDKIT,
    "random_split": "calls scikit-learn, whose random numbers the published splits use",
    "rdkit_descriptors": _RDKIT,
    "scaffold_similarity": _RDKIT,
    "scaffold_split": _RDKIT,
    "similarity_bins": "sorts on the host",
    "take_split": "indexes lists of strings",
}
