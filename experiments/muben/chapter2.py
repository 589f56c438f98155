"""Tables 2.2 to 2.6 of the dissertation, from runs of `jaxuq muben`, beside the published values.

    jaxuq muben --dataset esol --backbone dnn --methods muben --convention muben --output runs/dnn-esol
    python experiments/muben/chapter2.py runs/dnn-* --reports ../shared/data/muben_reports --write

Scores of complete runs are kept in `chapter2.csv` beside this script, a row for each method; a later run takes the
place of an earlier one of its data set, backbone and split. Without a folder the page is made from what is kept. What
stands on the page from "## What it says" on is written by hand, and stays.
"""

import argparse
import functools
import pathlib
import sys

import numpy as np
import pandas
from compare import BACKBONES, COLUMNS, METHODS, deviation, published

from jaxuq.molecules import DataError, MoleculeDataset, load_molecules
from jaxuq.molecules.catalogue import DATASETS
from jaxuq.reporting import published_changes, published_scores, rank_table, relative_changes

HERE = pathlib.Path(__file__).parent
KEPT, PAGE = HERE / "chapter2.csv", HERE / "chapter2.md"
KEYS = ["dataset", "split", "backbone", "method", "num_seeds"]
SCORES = [f"{name}_{part}" for name in COLUMNS for part in ("mean", "std")]
SECONDS = ("train_seconds", "predict_seconds")
METRICS = {"classification": ("auroc", "ece", "nll", "brier"), "regression": ("rmse", "mae", "nll", "rce")}
TITLES = {"auroc": "ROC-AUC", "ece": "ECE", "nll": "NLL", "brier": "Brier", "rmse": "RMSE", "mae": "MAE", "rce": "CE"}
RANKED = ("DNN-rdkit", "ChemBERTa", "GROVER", "Uni-Mol")
EXAMPLES = {"classification": ("tox21", "toxcast"), "regression": ("lipo", "qm9")}
NUMBERS = {"classification": "2.4", "regression": "2.5"}
COSTS = {
    "deterministic": ("-", "0"),
    "temperature": ("from fine-tuned backbone", "(T_infer + T_train-FFN) x M_train-extra"),
    "focal": ("from scratch", "T_train x M_train"),
    "mc-dropout": ("no training", "T_infer x M_infer"),
    "swag": ("from fine-tuned backbone", "T_train x M_train-extra + T_infer x M_infer"),
    "bbp": ("from scratch", "T_train x M_train + T_infer x M_infer"),
    "sgld": ("from scratch", "T_train x (M_train + M_train-extra) + T_infer x M_infer"),
    "ensemble": ("from scratch", "T_train x M_train x (N_ensembles - 1)"),
}
"""Table 2.2: where training starts, and what comes on top of the deterministic network."""
IMBALANCE = {
    "bbbp": (0.7651, 0.7651), "clintox": (0.9303, 0.9364), "tox21": (0.9225, 0.9712), "toxcast": (0.8336, 0.9972),
    "sider": (0.7485, 0.9846), "bace": (0.5433, 0.5433), "hiv": (0.9649, 0.9649), "muv": (0.9980, 0.9984),
}  # fmt: skip
"""Table 2.3: average and largest label imbalance ratio."""


INTRODUCTION = """\
Made by `python experiments/muben/chapter2.py --reports $JAXUQ_DATA/muben_reports --write` from the scores in
`chapter2.csv`, which that command takes from runs of

```console
jaxuq muben --dataset NAME --backbone dnn --methods muben --convention muben --seeds 3 --output runs/dnn-NAME
```

Cells are ours with the deviation over three seeds, and the published value in brackets. Conventions: see the
[README](README.md#conventions)."""


def read(folder: pathlib.Path) -> pandas.DataFrame | None:
    """The scores of a complete run; None of another."""
    if not (folder / "summary.csv").exists():
        print(f"{folder} is not complete: left out", file=sys.stderr)
        return None
    scores = pandas.read_csv(folder / "summary.csv")
    seconds = pandas.read_csv(folder / "results.csv").groupby("method")[list(SECONDS)].mean()
    return scores.join(seconds, on="method").reindex(columns=[*KEYS, *SCORES, *SECONDS])


def keep(folders: list[pathlib.Path]) -> pandas.DataFrame:
    """All scores that are kept, with those of the folders."""
    tables = [pandas.read_csv(KEPT)] if KEPT.exists() else []
    for table in map(read, folders):
        if table is not None:
            one = table[KEYS[:3]].iloc[0]
            tables = [kept[(kept[KEYS[:3]] != one).any(axis=1)] for kept in tables]
            tables.append(table)
    if not tables:
        raise SystemExit(f"no folder holds a complete run, and there is no {KEPT}")
    whole = pandas.concat(tables, ignore_index=True).sort_values(KEYS[:3], kind="stable")
    whole.round(6).to_csv(KEPT, index=False)
    return whole


def table(columns: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@functools.cache
def at_hand(name: str) -> MoleculeDataset | None:
    """A data set, if its file is here."""
    try:
        return load_molecules(name, download=False)
    except DataError:
        return None


def costs(scores: pandas.DataFrame) -> str:
    """Table 2.2 with what the methods cost here, in units of the deterministic network's on the same set."""
    own = scores[(scores.backbone == "dnn") & (scores.split == "scaffold")]
    mean = own.set_index(["method", "dataset"])[list(SECONDS)]
    rows = []
    for method, (start, cost) in COSTS.items():
        if method not in mean.index.get_level_values("method"):
            rows.append([method, start, cost, "not run", "not run"])
            continue
        ratios = (mean.loc[method] / mean.loc["deterministic"]).dropna().median()
        said = ["not kept" if np.isnan(ratios[name]) else f"{ratios[name]:.1f} x" for name in SECONDS]
        rows.append([method, start, cost, *said])
    return table(["method", "training starts", "published: additional cost", "training here", "forecasts here"], rows)


def sets(scores: pandas.DataFrame) -> str:
    """Table 2.3 as the files have it, and what was run on each set."""
    rows = []
    for name, info in DATASETS.items():
        data = at_hand(name)
        if data is None:
            size, imbalance = "not at hand", "not at hand" if name in IMBALANCE else "-"
        else:
            size, imbalance = f"{len(data.smiles):,}", "-"
            if info.task_type == "classification":
                known = data.mask.sum(axis=0)
                positive = (data.labels * data.mask).sum(axis=0) / known
                ratios = np.maximum(positive, 1 - positive)
                imbalance = f"{ratios.mean():.4f}, {ratios.max():.4f}"
        said = "{:.4f}, {:.4f}".format(*IMBALANCE[name]) if name in IMBALANCE else "-"
        run = [f"{b}, {split}" for (b, split), _ in scores[scores.dataset == name].groupby(["backbone", "split"])]
        rows.append([
            name, info.task_type, size, f"{info.published_size:,}", str(info.num_tasks), imbalance, said,
            "; ".join(run) or "not run",
        ])  # fmt: skip
    titles = ["data set", "type", "compounds here", "published", "tasks", "average and largest LIR here", "published"]
    return table([*titles, "run here"], rows)


def means(scores: pandas.DataFrame) -> pandas.DataFrame:
    """The means over seeds under the names of the scores."""
    return scores[[*KEYS[:4]]].assign(**{name: scores[f"{name}_mean"] for name in COLUMNS})


class Beside:
    """Our scores of one backbone beside the published ones."""

    def __init__(self, scores: pandas.DataFrame, reports: pathlib.Path, backbone: str):
        own = scores[(scores.backbone == backbone) & (scores.split == "scaffold")]
        self.rows = own.set_index(["dataset", "method"])
        self.reports, self.backbone = reports / "primary", BACKBONES[backbone]

    def datasets(self, task_type: str) -> list[str]:
        """Those that were run, in the order of the catalogue."""
        there = set(self.rows.index.get_level_values("dataset"))
        return [name for name, info in DATASETS.items() if info.task_type == task_type and name in there]

    def pair(self, dataset: str, method: str, metric: str) -> tuple[float, str, float, float]:
        """Ours with its deviation as text, theirs, and their distance in joint deviations; see compare.py."""
        theirs = published(self.reports / f"{self.backbone}-{dataset}.csv")
        column, row = COLUMNS[metric], theirs[METHODS[method]]
        ours, first = self.rows.loc[dataset, method], self.rows.loc[dataset, "deterministic"]
        single = first[f"{metric}_std"]
        mean, std, spread = deviation(str(ours[f"{metric}_mean"]), str(ours[f"{metric}_std"]), single)
        alone = float(theirs["none"].get(f"{column}-std") or "nan")
        their_mean, their_std, _ = deviation(row.get(f"{column}-mean"), row.get(f"{column}-std"), alone)
        spread = "" if "nan" in spread else spread  # of one seed
        return mean, spread, their_mean, (mean - their_mean) / np.hypot(std, their_std)


def cell(ours: float, spread: str, theirs: float) -> str:
    """Ours with its deviation, the published value in brackets."""
    if np.isnan(ours):
        return f"not kept ({theirs:.4f})"
    return f"{ours:.4f}{spread} ({'no value' if np.isnan(theirs) else f'{theirs:.4f}'})"


def scores_of(beside: Beside, task_type: str, dataset: str) -> str:
    """A data set: a row a method."""
    metrics, rows = METRICS[task_type], []
    for method in COSTS:
        if (dataset, method) in beside.rows.index:
            rows.append([method, *(cell(*beside.pair(dataset, method, metric)[:3]) for metric in metrics)])
    seeds = int(beside.rows.loc[dataset].num_seeds.min())
    said = "" if seeds == 3 else f"With {seeds} seed{'s' * (seeds > 1)} in place of three.\n\n"
    return said + table(["method", *(TITLES[metric] for metric in metrics)], rows)


def average_ranks(beside: Beside, task_type: str) -> str:
    """Ranks of the DNN's methods among the 4 backbones ranked together, with our DNN in the place of theirs."""
    names, metrics = beside.datasets(task_type), list(METRICS[task_type])
    whole = published_scores(beside.reports, RANKED)
    theirs = whole[whole.dataset.isin([name for name, info in DATASETS.items() if info.task_type == task_type])]
    ours = means(beside.rows.reset_index()).assign(backbone="DNN-rdkit", split="primary")
    ours = ours[ours.dataset.isin(names)]
    ranked: list[dict[str, list[float]]] = [{}, {}, {}]
    for metric in metrics:
        used = [name for name in names if ours.loc[ours.dataset == name, metric].notna().all()]
        same = theirs[theirs.dataset.isin(used)]
        mixed = pandas.concat([same[same.backbone != "DNN-rdkit"], ours[ours.dataset.isin(used)]])
        for found, one in zip(ranked, (mixed, same, theirs)):
            one = one.assign(row=one.backbone + " " + one.method)
            ranks = rank_table(one, competitor="row", contest=["dataset"], metrics=[metric])
            for name, rank in zip(ranks.competitors, ranks.mean_rank[:, 0].tolist()):
                found.setdefault(name, []).append(rank)
    rows = []
    for method in COSTS:
        if f"DNN-rdkit {method}" in ranked[0]:
            three = [one[f"DNN-rdkit {method}"] for one in ranked]
            rows.append([method, *(f"{here:.2f} ({same:.2f}; {printed:.2f})" for here, same, printed in zip(*three))])
    return table(["method", *(TITLES[metric] for metric in metrics)], rows)


def changes(scores: pandas.DataFrame, reports: pathlib.Path) -> str:
    """Table 2.6: the published reports', recomputed, and the DNN's on random splits where both were run here."""
    parts = []
    found = published_changes(reports / "primary", [reports / "frozen", reports / "random"])
    own = scores[scores.backbone == "dnn"]
    dnn = [published_scores(reports / name, ["DNN-rdkit"], complete=False) for name in ("primary", "random")]
    for task_type, metrics in METRICS.items():
        of_type = [name for name, info in DATASETS.items() if info.task_type == task_type]
        rows = []
        for condition in ("frozen", "random"):
            some = found[(found.task_type == task_type) & (found.condition == condition)].set_index("metric").change
            rows.append([f"published, {condition}, all backbones", *(f"{some[metric]:+.2f} %" for metric in metrics)])
        both = own[own.dataset.isin(of_type)]
        common = [name for name, runs in both.groupby("dataset") if runs.split.nunique() == 2]
        if common:
            ours = [means(both[both.dataset.isin(common) & (both.split == split)]) for split in ("scaffold", "random")]
            theirs = [one[one.dataset.isin(common)] for one in dnn]
            for said, pair in ((f"here, random, DNN on {', '.join(common)}", ours), ("published, the same", theirs)):
                some = relative_changes(*pair, metrics).set_index("metric").change
                rows.append([said, *(f"{some[metric]:+.2f} %" for metric in metrics)])
        parts.append(table([task_type, *(TITLES[metric] for metric in metrics)], rows))
    return "\n\n".join(parts)


def differences(beside: Beside, task_type: str) -> tuple[int, int, list[list[str]]]:
    """How many scores there are, how many lie within two joint deviations, and which do not."""
    count, rows = 0, []
    for dataset in beside.datasets(task_type):
        for method in COSTS:
            for metric in METRICS[task_type]:
                if (dataset, method) not in beside.rows.index:
                    continue
                ours, spread, theirs, distance = beside.pair(dataset, method, metric)
                count += int(np.isfinite(distance))
                if abs(distance) > 2:
                    rows.append([dataset, method, TITLES[metric], cell(ours, spread, theirs), f"{distance:+.1f}"])
    return count, count - len(rows), rows


def page(scores: pandas.DataFrame, reports: pathlib.Path) -> str:
    """All tables."""
    dnn = Beside(scores, reports, "dnn")
    parts = [
        "# Chapter 2's tables",
        INTRODUCTION,
        "## Table 2.2: what a method costs",
        "Beside the published formulas: training and forecasts in units of the deterministic network's, median over "
        "the data sets. Seconds were taken beside other work.",
        costs(scores),
        "## Table 2.3: data sets",
        sets(scores),
    ]
    for task_type, number in NUMBERS.items():
        parts.append(f"## Table {number}: {task_type}, DNN")
        for dataset in EXAMPLES[task_type]:
            there = dataset in dnn.datasets(task_type)
            parts += [f"### {dataset}", scores_of(dnn, task_type, dataset) if there else missing(dataset)]
        names = dnn.datasets(task_type)
        absent = [name for name, info in DATASETS.items() if info.task_type == task_type and name not in names]
        parts.append(f"### Average ranks, {task_type}")
        parts.append(
            f"Among 4 backbones with all methods, our DNN in the place of the published one, over {', '.join(names)}"
            + (f" (without {', '.join(absent)})" if absent else "")
            + "; a score that was not kept leaves its set out of that column. In brackets: the published DNN's over "
            "the same sets; over all sets, as in the table."
        )
        parts.append(average_ranks(dnn, task_type))
        others = [name for name in names if name not in EXAMPLES[task_type]]
        for dataset in others:
            parts += [f"### {dataset}", scores_of(dnn, task_type, dataset)]
        for dataset in (name for name in absent if name not in EXAMPLES[task_type]):
            parts += [f"### {dataset}", missing(dataset)]
    parts += ["## Table 2.6: frozen backbones and random splits", changes(scores, reports)]
    parts.append("## What differs by more than two joint deviations")
    for task_type in METRICS:
        count, near, rows = differences(dnn, task_type)
        parts.append(f"{task_type.capitalize()}: {near} of {count} scores of the DNN lie within two joint deviations.")
        if rows:
            parts.append(table(["data set", "method", "score", "ours (published)", "difference"], rows))
    return "\n\n".join(parts) + "\n"


def missing(dataset: str) -> str:
    """Why there is no table, and what makes one."""
    if at_hand(dataset) is None:
        return f"Not at hand: the file of {dataset} is not among the data, and its hash is not known to download it."
    return (
        f"Not run yet: `jaxuq muben --dataset {dataset} --backbone dnn --methods muben --convention muben --output "
        f"runs/dnn-{dataset}`"
    )


def main() -> None:
    """Keep the scores of the runs, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=pathlib.Path, help="of complete runs of jaxuq muben")
    parser.add_argument("--reports", required=True, type=pathlib.Path, help="the published report files")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name} beside this script")
    arguments = parser.parse_args()
    text = page(keep(arguments.folders), arguments.reports)
    if not arguments.write:
        print(text)
        return
    old = PAGE.read_text() if PAGE.exists() else ""
    written = "\n" + old[old.index("## What it says") :] if "## What it says" in old else ""
    PAGE.write_text(text + written)


if __name__ == "__main__":
    main()
