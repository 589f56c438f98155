"""Weighted against plain conformal intervals and sets on scaffold splits: coverage, width, how many are infinite.

    python experiments/calibration/shift.py --write experiments/calibration/shift.md

Ridge on Morgan fingerprints, of the training part; scores of the validation, coverage of the test part. Ratios come
from a logistic regression of where a fingerprint comes from (validation or test), cross-fitted, on a few principal
components; labels of the test part stay unseen. A minute on two cores.
"""

import argparse
import pathlib

import jax.numpy as jnp
import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from jaxuq.calibration import conformal_threshold, density_ratios, effective_sample_size, shifted_thresholds
from jaxuq.molecules import load_dataset, morgan_fingerprints

SETS = ("esol", "freesolv", "lipo", "bace", "bbbp", "clintox")
LEVEL, COMPONENTS = 0.9, 8


def scores_of(split, task: int = 0):
    """Nonconformity of validation and test labels, what a threshold is worth in width, and the fingerprints."""
    parts = [split.train, split.valid, split.test]
    bits = [np.asarray(morgan_fingerprints(list(part.smiles), cache=False), np.float64) for part in parts]
    labels = [np.asarray(part.labels)[:, task] for part in parts]
    known = [np.asarray(part.mask)[:, task] for part in parts]
    bits, labels = ([array[keep] for array, keep in zip(arrays, known)] for arrays in (bits, labels))
    if split.train.task_type == "regression":
        model = Ridge(30.0).fit(bits[0], labels[0])
        scores = [np.abs(y - model.predict(x)) for x, y in zip(bits[1:], labels[1:])]
        return scores, lambda threshold: 2 * threshold, bits
    model = LogisticRegression(C=0.03, max_iter=500).fit(bits[0], labels[0])
    both = [model.predict_proba(x) for x in bits[1:]]
    scores = [1 - p[np.arange(len(p)), y.astype(int)] for p, y in zip(both, labels[1:])]
    return scores, lambda threshold: ((1 - both[1]) <= threshold[:, None]).sum(axis=1).astype(float), bits


def ratios_of(valid: np.ndarray, test: np.ndarray, everything: np.ndarray) -> tuple[jnp.ndarray, jnp.ndarray]:
    """Test to validation, each molecule's from a classifier that has not seen it."""
    shown = PCA(COMPONENTS, random_state=0).fit(everything).transform(np.concatenate([valid, test]))
    where = np.repeat([0, 1], [len(valid), len(test)])
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    chance = cross_val_predict(LogisticRegression(C=0.1), shown, where, cv=folds, method="predict_proba")[:, 1]
    found = density_ratios(jnp.asarray(chance, jnp.float32), num_calibration=len(valid), num_new=len(test))
    return found[: len(valid)], found[len(valid) :]


def row(dataset: str, folder: pathlib.Path | None) -> str:
    split = load_dataset(dataset, "scaffold", folder=folder)
    (valid, test), width, bits = scores_of(split)
    calibration, new = ratios_of(*bits[1:], np.concatenate(bits))
    scores = jnp.asarray(valid, jnp.float32)
    plain = np.full(len(test), float(conformal_threshold(scores, level=LEVEL)[0]))
    weighted = np.asarray(shifted_thresholds(scores, calibration, new, level=LEVEL))
    cells = [dataset, f"{len(valid)} / {len(test)}", f"{float(effective_sample_size(calibration)):.0f}"]
    for threshold in (plain, weighted):
        finite = np.isfinite(threshold)
        covered = test <= threshold
        spread = np.sqrt(LEVEL * (1 - LEVEL) / len(test))
        mark = "" if abs(covered.mean() - LEVEL) < 2 * spread else " *"
        cells += [f"{covered.mean():.3f}{mark}", f"{width(threshold)[finite].mean():.2f}"]
    cells += [f"{covered[finite].mean():.3f}", f"{1 - finite.mean():.3f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=SETS)
    parser.add_argument("--data", type=pathlib.Path, help="folder of the data sets")
    parser.add_argument("--write", type=pathlib.Path, help="a page of Markdown; what stands after its table stays")
    arguments = parser.parse_args()
    names = ["data set", "validation / test", "effective", "plain coverage", "width", "weighted coverage", "width"]
    names += ["of finite ones", "infinite"]
    lines = ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    print("\n".join(lines))
    for dataset in arguments.datasets:
        lines.append(row(dataset, arguments.data))
        print(lines[-1], flush=True)
    table = "\n".join(lines)

    if arguments.write is not None:
        old = arguments.write.read_text()
        start, end = old.index("| data set"), old.index("## What")
        arguments.write.write_text(old[:start] + table + "\n\n" + old[end:])


if __name__ == "__main__":
    main()
