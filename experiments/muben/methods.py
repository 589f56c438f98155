"""One table of all methods over finished runs: score, calibration, cost, detection of what is unlike training, ranks.

    jaxuq muben --dataset esol --backbone dnn --methods all --seeds 3 --members 5 --split scaffold --output runs/esol
    python experiments/muben/methods.py runs/freesolv runs/esol runs/bace runs/bbbp --write experiments/muben/methods.md

Folders that are missing or incomplete are named and left out. Means over seeds; intervals over molecules, from the
run's own resamples. A test molecule is unlike training where its nearest training molecule has a Tanimoto similarity
below `--similar`; the detector is the method's total uncertainty.
"""

import argparse
import json
import pathlib
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pandas
from similarity import test_similarity

from jaxuq.metrics import area_under_roc, mean_rank, rank_methods
from jaxuq.study import read_resamples, read_run

DISTANCES = pathlib.Path(__file__).parents[1] / "posterior" / "README.md"
NUTS_NAMES = {
    "laplace": "Laplace, Kronecker", "bbp": "Bayes by backprop", "sgld": "SGLD", "swag": "SWAG",
    "cyclical-sgld": "cyclical SGLD", "ensemble": "ensemble of layers",
}  # fmt: skip
"""Methods of the benchmark and what stands for them in the table of distances: last layers alone."""
SHOWN = {
    "rmse": "RMSE", "auroc": "ROC-AUC", "nll": "NLL", "rce": "RCE", "ece": "ECE", "conformal_width": "conformal width",
    "conformal_size": "conformal size",
}  # fmt: skip
HIGHER = {"auroc", "ood"}


def distances() -> dict[tuple[str, str], float]:
    """Wasserstein distance to NUTS by data set and method, from the page of experiments/posterior/distance.py."""
    found, dataset = {}, ""
    for line in DISTANCES.read_text().splitlines():
        if title := re.match(r"(ESOL|BBBP), \d+ parameters", line):
            dataset = title[1].lower()
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if dataset and len(cells) == 6 and cells[0] in NUTS_NAMES.values():
            found |= {(dataset, method): float(cells[1]) for method, name in NUTS_NAMES.items() if name == cells[0]}
    return found


def detection(folder: pathlib.Path, record: dict, data: pathlib.Path | None, similar: float) -> pandas.DataFrame:
    """AUROC of each method's uncertainty for test molecules that are unlike training, and how many these are."""
    unlike = test_similarity(record, data, nearest=True) < similar
    rows = []
    for method in record["configuration"]["methods"]:
        for seed in range(record["configuration"]["seeds"]):
            with np.load(folder / "predictions" / f"{method}-seed{seed}.npz") as arrays:
                total = (arrays["test_aleatoric"] + arrays["test_epistemic"]).mean(axis=1)
            some = 0 < unlike.sum() < len(unlike)
            area = float(area_under_roc(jnp.asarray(total), jnp.asarray(unlike.astype(int)))) if some else np.nan
            rows.append({"method": method, "seed": seed, "ood": area})
    frame = pandas.DataFrame(rows)
    frame.attrs["unlike"] = int(unlike.sum()), len(unlike)
    return frame


def table(folder: pathlib.Path, record: dict, arguments: argparse.Namespace) -> pandas.DataFrame:
    """A row a method: means over seeds, costs in units of the deterministic method's."""
    results = pandas.read_csv(folder / "results.csv")
    ood = detection(folder, record, arguments.data, arguments.similar)
    merged = results.merge(ood, on=["method", "seed"])
    shown = [name for name in SHOWN if name in results and results[name].notna().any()]
    frame = merged.groupby("method", sort=False)[[*shown, "ood", "train_seconds", "predict_seconds"]].mean()
    for name in ("train_seconds", "predict_seconds"):
        frame[name] = frame[name] / frame.loc["deterministic", name]
    options = record["configuration"]
    dataset, known = options["dataset"], distances() if options["backbone"] == "dnn" else {}
    frame["nuts"] = [known.get((dataset, method), np.nan) for method in frame.index]
    frame.attrs = {"dataset": dataset, "shown": shown, "unlike": ood.attrs["unlike"], "options": options}
    return frame


def ranks(folders: list[pathlib.Path], tables: list[pandas.DataFrame]) -> tuple[pandas.DataFrame, int]:
    """Mean rank over data sets and metrics, with the 95 % interval over resamples of the test molecules."""
    methods = [method for method in tables[0].index if all(method in frame.index for frame in tables)]
    columns, estimates, higher = [], [], []
    for folder, frame in zip(folders, tables):
        read = read_resamples(folder)
        if read is None:
            raise SystemExit(f"{folder} has no resamples; run `jaxuq report {folder}` first")
        resamples = read[0]
        for name in [name for name in frame.attrs["shown"] if name in resamples.names]:
            at = resamples.names.index(name)
            own = [[i for i, cell in enumerate(resamples.cells) if cell["method"] == method] for method in methods]
            columns.append(np.stack([resamples.values[rows, :, at].mean(axis=0) for rows in own]))
            estimates.append(np.stack([resamples.estimates[rows, at].mean() for rows in own]))
            higher.append(name in HIGHER)

    @jax.jit
    def ranked(scores):
        return mean_rank(rank_methods(scores, higher_is_better=jnp.asarray(higher)))

    mean = np.asarray(ranked(jnp.asarray(np.stack(estimates, axis=-1), jnp.float32)))
    drawn = np.stack(columns, axis=-1).swapaxes(0, 1)  # resamples, methods, columns
    low, high = np.nanquantile(jax.vmap(ranked)(jnp.asarray(drawn, jnp.float32)), [0.025, 0.975], axis=0)
    frame = pandas.DataFrame({"rank": mean, "low": low, "high": high}, index=methods)
    return frame.sort_values("rank"), len(higher)


def began(options: dict) -> str:
    """From which weights the networks of a run began."""
    if not options.get("checkpoint"):
        return ""
    named = pathlib.Path(options["checkpoint"]).name
    trained = "its output layer alone is trained" if options["frozen_backbone"] else "all layers are trained"
    return f" The {options['backbone']} begins from {named}; {trained}."


def markdown(frame: pandas.DataFrame) -> str:
    """One data set."""
    dataset, shown, (unlike, size) = frame.attrs["dataset"], frame.attrs["shown"], frame.attrs["unlike"]
    compared = bool(frame["nuts"].notna().any())
    names = [*(SHOWN[name] for name in shown), "OOD AUROC", "train", "predict", *(["to NUTS"] if compared else [])]
    begun = began(frame.attrs["options"])
    lines = [f"## {dataset}", "", f"{size} test molecules, {unlike} of them unlike training.{begun}", ""]
    lines += ["| method | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method, row in frame.sort_values("nll").iterrows():
        cells = [f"{row[name]:.3f}" for name in (*shown, "ood")]
        cells += [f"{row['train_seconds']:.1f} x", f"{row['predict_seconds']:.1f} x"]
        cells += [] if not compared else ["" if np.isnan(row["nuts"]) else f"{row['nuts']:.3f}"]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def page(folders: list[pathlib.Path], tables: list[pandas.DataFrame], similar: float) -> str:
    """The whole page."""
    ranked, count = ranks(folders, tables)
    sets = ", ".join(frame.attrs["dataset"] for frame in tables)
    asked = {name: tables[0].attrs["options"][name] for name in ("seeds", "members", "split")}
    told = " ".join(f"--{name} {value}" for name, value in asked.items())
    backbone = tables[0].attrs["options"]["backbone"]
    compared = any(frame["nuts"].notna().any() for frame in tables)
    lines = [
        "# All methods, one table",
        "",
        f"Made by `experiments/muben/methods.py` of runs of `jaxuq muben --backbone {backbone} --methods all",
        f"{told}` on: {sets}. Sorted by NLL.",
        "Costs are in units of the deterministic method's.",
        "*OOD AUROC*: the total uncertainty of a test molecule as a detector of those whose nearest training molecule",
        f"has a Tanimoto similarity below {similar}."
        + compared
        * (
            " *to NUTS*: Wasserstein distance of a last layer's forecasts to\nexact ones, where "
            "[that study](../posterior/README.md) has the method (ESOL and BBBP)."
        )
        + " Nothing was tuned.",
        "",
        f"## Mean ranks over {count} columns",
        "",
        "Over data sets and their columns of score, NLL and calibration error; 95 % intervals over resamples of the",
        "test molecules, with seeds averaged. Where intervals overlap the order is not known.",
        "",
        "| method | mean rank | interval |",
        "|---|---|---|",
    ]
    for name, row in ranked.iterrows():
        lines.append(f"| {name} | {row['rank']:.1f} | {row['low']:.1f} to {row['high']:.1f} |")
    return "\n\n".join(["\n".join(lines), *map(markdown, tables)]) + "\n"


def finished(folder: pathlib.Path) -> bool:
    """Whether a run is complete, by what it writes last."""
    return (folder / "summary.csv").exists() and (folder / "resamples.npz").exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=pathlib.Path, nargs="+", help="of complete runs of jaxuq muben")
    parser.add_argument(
        "--similar", type=float, default=0.4, help="Tanimoto similarity below which a molecule is unlike"
    )
    parser.add_argument("--data", type=pathlib.Path, help="where the runs found their data, if they were told")
    parser.add_argument("--write", type=pathlib.Path, help="a page of Markdown; what stands after its last table stays")
    arguments = parser.parse_args()
    folders = [folder for folder in arguments.folders if finished(folder)]
    for folder in set(arguments.folders) - set(folders):
        print(f"{folder} is not complete: left out", file=sys.stderr)
    if not folders:
        raise SystemExit("no folder holds a complete run")
    tables = [table(folder, read_run(folder), arguments) for folder in folders]
    text = page(folders, tables, arguments.similar)
    print(text)
    if arguments.write is not None:
        old = arguments.write.read_text() if arguments.write.exists() else ""
        kept = old[old.index("## What it says") :] if "## What it says" in old else ""
        arguments.write.write_text(text + ("\n" + kept if kept else ""))
        print(json.dumps({"written": str(arguments.write)}), file=sys.stderr)


if __name__ == "__main__":
    main()
