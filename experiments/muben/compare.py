"""Our scores beside the published ones, as a Markdown table.

    python experiments/muben/compare.py runs/esol runs/bace --reports ../shared/data/muben_reports/primary

Reads result folders of `jaxuq muben --convention muben` and published report files such as `DNN-rdkit-<dataset>.csv`.
The last column is the difference in joint standard deviations over seeds, the root of the sum of both variances. The
published ensemble is one run of ten networks without a deviation: that of their single network over the root of ten
stands in for it, in brackets.
"""

import argparse
import csv
import math
import pathlib

_PUBLISHED = {
    "deterministic": "none",
    "temperature": "TemperatureScaling",
    "focal": "FocalLoss",
    "mc-dropout": "MCDropout",
    "swag": "SWAG",
    "bbp": "BBP",
    "sgld": "SGLD",
    "ensemble": "DeepEnsembles",
}
_BACKBONES = {"dnn": "DNN-rdkit", "gin": "GIN", "chemberta": "ChemBERTa", "grover": "GROVER", "unimol": "Uni-Mol"}
_BACKBONES["torchmdnet"] = "TorchMD-NET"
_COLUMNS = {"rmse": "rmse", "mae": "mae", "auroc": "roc-auc", "nll": "nll", "rce": "ce", "ece": "ece", "brier": "brier"}


def published(path: pathlib.Path) -> dict[str, dict[str, str]]:
    """The rows of a published report by method."""
    with path.open() as file:
        return {row["method"].rsplit("-", 1)[-1]: row for row in csv.DictReader(file)}


def _number(text: str | None) -> float:
    return float(text) if text else math.nan


def main() -> None:
    """Print one table per metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--reports", required=True, type=pathlib.Path)
    parser.add_argument("--metrics", default="rmse,auroc,nll,rce,ece,brier")
    options = parser.parse_args()
    for metric in options.metrics.split(","):
        lines = []
        for folder in options.folders:
            with (folder / "summary.csv").open() as file:
                ours = list(csv.DictReader(file))
            backbone = _BACKBONES[ours[0]["backbone"]]
            report = options.reports / f"{backbone}-{ours[0]['dataset']}.csv"
            theirs = published(report)
            for row in ours:
                other = theirs.get(_PUBLISHED.get(row["method"], ""))
                if f"{metric}_mean" not in row or other is None:
                    continue
                mean, std = _number(row[f"{metric}_mean"]), _number(row[f"{metric}_std"])
                column = _COLUMNS[metric]
                their_mean, their_std = _number(other.get(f"{column}-mean")), _number(other.get(f"{column}-std"))
                spread = f" ± {their_std:.4f}"
                if math.isnan(their_std):
                    their_std = _number(theirs["none"].get(f"{column}-std")) / math.sqrt(10)
                    spread = f" (± {their_std:.4f})"
                distance = (mean - their_mean) / math.hypot(std, their_std)
                lines.append(
                    f"| {row['dataset']} | {row['method']} | {mean:.4f} ± {std:.4f} | {their_mean:.4f}{spread} "
                    f"| {distance:+.1f} |"
                )
        if lines:
            print(f"\n### {metric}\n\n| data set | method | jaxuq | published | difference |\n|---|---|---|---|---|")
            print("\n".join(lines))


if __name__ == "__main__":
    main()
