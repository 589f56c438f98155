"""Our scores beside the published ones, as a Markdown table.

    python experiments/muben/compare.py runs/esol runs/bace --reports ../shared/data/muben_reports/primary

Reads result folders of `jaxuq muben --convention muben` and published report files such as `DNN-rdkit-<dataset>.csv`.
The last column is the difference in joint standard deviations over seeds, the root of the sum of both variances. The
published ensemble is one run of ten networks without a deviation: that of their single network over the root of ten
stands in for it, in brackets. So it does for an ensemble of ours with one seed, whose single networks may be in another
of the folders.
"""

import argparse
import csv
import math
import pathlib

METHODS = {
    "deterministic": "none",
    "temperature": "TemperatureScaling",
    "focal": "FocalLoss",
    "mc-dropout": "MCDropout",
    "swag": "SWAG",
    "bbp": "BBP",
    "sgld": "SGLD",
    "ensemble": "DeepEnsembles",
}
BACKBONES = {"dnn": "DNN-rdkit", "gin": "GIN", "chemberta": "ChemBERTa", "grover": "GROVER", "unimol": "Uni-Mol"}
BACKBONES["torchmdnet"] = "TorchMD-NET"
COLUMNS = {"rmse": "rmse", "mae": "mae", "auroc": "roc-auc", "nll": "nll", "rce": "ce", "ece": "ece", "brier": "brier"}


def published(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The rows of a published report by method."""
    with path.open() as file:
        return {row["method"].rsplit("-", 1)[-1]: row for row in csv.DictReader(file)}


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def summary(folder: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a result folder, one a method."""
    with (folder / "summary.csv").open() as file:
        return list(csv.DictReader(file))


def deviation(mean: str | None, std: str | None, single: float) -> tuple[float, float, str]:
    """Mean, standard deviation and the latter as text; without one, a single network's over the root of ten."""
    if not math.isnan(_number(std)):
        return _number(mean), _number(std), f" ± {_number(std):.4f}"
    return _number(mean), single / math.sqrt(10), f" (± {single / math.sqrt(10):.4f})"


def main() -> None:
    """Print one table per metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--reports", required=True, type=pathlib.Path)
    parser.add_argument("--metrics", default="rmse,auroc,nll,rce,ece,brier")
    options = parser.parse_args()
    rows = [row for folder in options.folders for row in summary(folder)]
    singles = {row["dataset"]: row for row in rows if row["method"] == "deterministic"}
    for metric in options.metrics.split(","):
        lines, column = [], COLUMNS[metric]
        for row in rows:
            theirs = published(options.reports / f"{BACKBONES[row['backbone']]}-{row['dataset']}.csv")
            other = theirs.get(METHODS.get(row["method"], ""))
            if f"{metric}_mean" not in row or other is None:
                continue
            single = _number(singles.get(row["dataset"], {}).get(f"{metric}_std"))
            mean, std, spread = deviation(row[f"{metric}_mean"], row[f"{metric}_std"], single)
            single = _number(theirs["none"].get(f"{column}-std"))
            their_mean, their_std, their_spread = deviation(
                other.get(f"{column}-mean"), other.get(f"{column}-std"), single
            )
            distance = (mean - their_mean) / math.hypot(std, their_std)
            lines.append(
                f"| {row['dataset']} | {row['method']} | {mean:.4f}{spread} | {their_mean:.4f}{their_spread} "
                f"| {distance:+.1f} |"
            )
        if lines:
            print(f"\n### {metric}\n\n| data set | method | jaxuq | published | difference |\n|---|---|---|---|---|")
            print("\n".join(lines))


if __name__ == "__main__":
    main()
