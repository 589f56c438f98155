"""From SMILES to arrays: the benchmark's data sets, their scaffold and random splits, descriptors and label scaling.

    train, valid, test = load_dataset("esol")                  # a name, a CSV file, or a folder with three CSV files
    features = rdkit_descriptors(train.smiles)                 # [molecules, 200], in [0, 1]
    scaler = fit_label_scaler(train.labels, where=train.mask)

RDKit, SciPy and scikit-learn are loaded by the functions that need them. A mistake in the data or in a request is a
`DataError`; what does not stop the work is a `DataWarning`.
"""

from jaxuq.molecules.catalogue import DatasetInfo, dataset_info, dataset_names
from jaxuq.molecules.conformers import Conformers, generate_conformers
from jaxuq.molecules.datasets import load_dataset, load_molecules
from jaxuq.molecules.descriptors import descriptor_names, morgan_fingerprints, rdkit_descriptors
from jaxuq.molecules.finding import cache_folder
from jaxuq.molecules.graphs import molecular_graphs
from jaxuq.molecules.grover_inputs import grover_inputs
from jaxuq.molecules.reading import load_csv
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, Split, SplitRows, take_split
from jaxuq.molecules.scaling import LabelScaler, fit_label_scaler, scale_labels, unscale_mean, unscale_variance
from jaxuq.molecules.similarity import mean_tanimoto, nearest_tanimoto, scaffold_similarity, similarity_bins
from jaxuq.molecules.split_folder import load_split_folder
from jaxuq.molecules.splits import random_split, scaffold_split
from jaxuq.molecules.structures import atom_inputs, unimol_inputs

__all__ = [
    "Conformers",
    "DataError",
    "DataWarning",
    "DatasetInfo",
    "LabelScaler",
    "MoleculeDataset",
    "Rejected",
    "Split",
    "SplitRows",
    "atom_inputs",
    "cache_folder",
    "dataset_info",
    "dataset_names",
    "descriptor_names",
    "fit_label_scaler",
    "generate_conformers",
    "grover_inputs",
    "load_csv",
    "load_dataset",
    "load_molecules",
    "load_split_folder",
    "mean_tanimoto",
    "molecular_graphs",
    "morgan_fingerprints",
    "nearest_tanimoto",
    "random_split",
    "rdkit_descriptors",
    "scaffold_similarity",
    "scaffold_split",
    "scale_labels",
    "similarity_bins",
    "take_split",
    "unimol_inputs",
    "unscale_mean",
    "unscale_variance",
]
