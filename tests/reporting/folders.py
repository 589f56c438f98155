"""Synthetic result folders, as a benchmark run writes them."""

import json

import numpy as np
import pandas

from jaxuq.molecules.muben import METHODS
from jaxuq.study import entry_record

REGRESSION = ["rmse", "mae", "r2", "nll", "rce", "crps", "coverage", "sharpness", "spearman", "aurc"]
CLASSIFICATION = ["auroc", "accuracy", "nll", "brier", "ece", "conformal_coverage", "conformal_size", "aurc"]
SECONDS = ["train_seconds", "predict_seconds"]


def write_result_folder(
    path,
    *,
    task_type="regression",
    methods=("deterministic", "ensemble"),
    seeds=2,
    dataset="esol",
    split="scaffold",
    backbone="dnn",
    molecules=60,
    tasks=1,
    numbers=0,
    status="complete",
    unit=None,
    **configuration,
):
    """Write a folder whose scores are random and whose predictions are Gaussian or Bernoulli, and return its path."""
    rng = np.random.default_rng(numbers)
    predictions = path / "predictions"
    predictions.mkdir(parents=True)
    metrics = (REGRESSION if task_type == "regression" else CLASSIFICATION) + SECONDS
    labels = rng.normal(size=(molecules, tasks)) if task_type == "regression" else rng.random((molecules, tasks)) < 0.4
    mask = rng.random((molecules, tasks)) < 0.9
    rows = []
    for method in methods:
        for seed in range(seeds):
            scores = dict(zip(metrics, rng.uniform(0.1, 0.9, len(metrics))))
            rows.append(
                {"dataset": dataset, "split": split, "backbone": backbone, "method": method, "seed": seed, **scores}
            )
            if "/" not in method:
                arrays = _predictions(rng, task_type, labels, mask)
                np.savez(predictions / f"{method}-seed{seed}.npz", **arrays)
    results = pandas.DataFrame(rows)
    results.to_csv(path / "results.csv", index=False)
    _summary(results, metrics).to_csv(path / "summary.csv", index=False)
    run = {
        "system": "muben",
        "configuration": {
            "dataset": dataset,
            "backbone": backbone,
            "split": split,
            "seeds": seeds,
            "members": 10,
            "methods": list(methods),
            **configuration,
        },
        "versions": {"jaxuq": "0.1.0", "jax": "0.10.2"},
        "entries": {name: entry_record(METHODS[name]) for name in methods if name in METHODS},
        "device": "cpu",
        "seconds": 81.2,
        "task_type": task_type,
        "task_names": [f"task {i}" for i in range(tasks)],
        "rejected": [[17, "C1CC", "ring 1 is not closed"]],
        "notes": ["the seeds share one split"],
        "status": status,
    }
    if unit:
        run["unit"] = unit
    (path / "run.json").write_text(json.dumps(run))
    return path


def _predictions(rng, task_type, labels, mask):
    scale = rng.uniform(0.3, 1.2, labels.shape)
    common = {"test_labels": np.where(mask, labels.astype(float), np.nan), "test_mask": mask}
    if task_type == "regression":
        mean = labels + scale * rng.normal(size=labels.shape)
        return {**common, "test_mean": mean, "test_aleatoric": scale**2, "test_epistemic": 0.1 * scale**2}
    logits = (2.0 * labels - 1.0) * scale + 0.8 * rng.normal(size=labels.shape)
    probability = 1 / (1 + np.exp(-logits))
    entropy = -probability * np.log(probability) - (1 - probability) * np.log1p(-probability)
    return {**common, "test_logits": logits, "test_aleatoric": 0.9 * entropy, "test_epistemic": 0.1 * entropy}


def _summary(results, metrics):
    rows = []
    for (dataset, split, backbone, method), group in results.groupby(
        ["dataset", "split", "backbone", "method"], sort=False
    ):
        row = {"dataset": dataset, "split": split, "backbone": backbone, "method": method, "num_seeds": len(group)}
        for metric in metrics:
            mean = group[metric].mean()
            row |= {f"{metric}_mean": mean, f"{metric}_std": group[metric].std(ddof=1)}
            if metric not in SECONDS:
                row |= {f"{metric}_lower": mean - 0.05, f"{metric}_upper": mean + 0.05}
        rows.append(row)
    return pandas.DataFrame(rows)
