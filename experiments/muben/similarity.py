"""Scores of a finished run by how similar its test molecules are to the training part's scaffolds.

    jaxuq muben --dataset qm9 --methods muben --output runs/qm9
    python experiments/muben/similarity.py runs/qm9

Writes `similarity.csv` into the run's folder, a row for each method, seed and bin (bin 0 is the most similar), and
prints the means over seeds of the first metrics.
"""

import argparse
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas

from jaxuq.molecules import morgan_fingerprints, nearest_tanimoto, scaffold_similarity, similarity_bins
from jaxuq.molecules.muben import MubenConfiguration, binned_scores
from jaxuq.molecules.muben.opening import READING, load_splits
from jaxuq.study import Listener, RunFolder, read_run


def test_similarity(record: dict[str, Any], data: pathlib.Path | None, *, nearest: bool = False) -> np.ndarray:
    """Of each test molecule of a run: the mean to the training part's scaffolds, or that to its nearest molecule."""
    options = record["configuration"]
    named = {name: options[name] for name in ("dataset", "split", *READING) if name in options}
    split = load_splits(MubenConfiguration(**named, seeds=1, data=data), Listener())[0][0]
    if not nearest:
        return scaffold_similarity(split.test.smiles, split.train.smiles)
    bits = (morgan_fingerprints(list(part.smiles), cache=False) for part in (split.test, split.train))
    return np.asarray(jax.jit(nearest_tanimoto)(*(jnp.asarray(part, jnp.float32) for part in bits)))


def main():
    """Score each bin."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of a complete run of jaxuq muben with a scaffold split")
    parser.add_argument("--bins", type=int, default=5)
    parser.add_argument("--data", type=pathlib.Path, help="where the run found its data, if it was told")
    arguments = parser.parse_args()
    record = read_run(arguments.folder)
    options = record["configuration"]
    similarity = test_similarity(record, arguments.data)
    bins = similarity_bins(similarity, arguments.bins)
    print("mean similarity:", [round(float(similarity[bins == number].mean()), 3) for number in range(arguments.bins)])
    folder = RunFolder(arguments.folder, record, resumed=True)
    rows = []
    for method in options["methods"]:
        for seed in range(options["seeds"]):
            scores = binned_scores(folder, method, seed, bins, muben=options["convention"] == "muben") or []
            rows += [{"method": method, "seed": seed, "bin": number} | line for number, line in enumerate(scores)]
    table = pandas.DataFrame(rows)
    table.to_csv(arguments.folder / "similarity.csv", index=False)
    shown = [name for name in ("rmse", "mae", "auroc", "nll", "ece", "rce") if name in table]
    print(table.groupby(["method", "bin"], sort=False)[shown].mean().round(4).to_string())
    print("molecules in each bin:", np.bincount(bins).tolist())


if __name__ == "__main__":
    main()
