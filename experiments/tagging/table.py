"""Print the F1 of result folders of `jaxuq tag` beside the dissertation's Table 4.3 (or 4.4), as Markdown.

python experiments/tagging/table.py runs/tag-ncbi runs/tag-laptop runs/tag-conll
"""

import argparse
import csv
import pathlib

# F1 in %, from Li, Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models, 2025.
PUBLISHED = {
    "CoNLL": {
        "majority-vote": 60.36, "snorkel": 62.43, "hmm": 62.18, "connet": 66.02, "chmm": 63.22, "sparse-chmm": 71.53,
        "best-consensus": 86.73, "chmm-fixed-emissions": 71.43, "supervised": 90.74,
        "fine-tuned": 90.74, "stage 1": 69.73,
        "stages 1-2": 70.79, "naive emissions": 33.02, "no scaling": 58.66, "no softmax": 62.86, "no dirichlet": 64.70,
        "no stage 2": 71.18, "stages 2 and 3 merged": 71.27,
    },
    "NCBI-Disease": {
        "majority-vote": 78.44, "snorkel": 78.44, "hmm": 66.80, "connet": 63.04, "chmm": 78.74, "sparse-chmm": 82.24,
        "best-consensus": 81.65, "chmm-fixed-emissions": 81.86, "supervised": 88.89,
        "fine-tuned": 88.89, "stage 1": 77.89,
        "stages 1-2": 79.18, "naive emissions": 77.32, "no softmax": 80.61, "no dirichlet": 81.34, "no stage 2": 81.48,
        "stages 2 and 3 merged": 79.81,
    },
    "LaptopReview": {
        "majority-vote": 73.27, "snorkel": 73.27, "hmm": 73.63, "connet": 50.36, "chmm": 73.26, "sparse-chmm": 75.90,
        "best-consensus": 77.60, "chmm-fixed-emissions": 72.38, "supervised": 81.34,
        "fine-tuned": 81.34, "stage 1": 73.59,
        "stages 1-2": 74.42, "naive emissions": 71.77, "no scaling": 75.38, "no softmax": 73.71, "no dirichlet": 73.51,
        "no stage 2": 73.11, "stages 2 and 3 merged": 71.49,
    },
}  # fmt: skip


def cell(row: dict[str, str]) -> str:
    spread = f" ± {100 * float(row['f1_std']):.2f}" if row["f1_std"] else ""
    return f"{100 * float(row['f1_mean']):.2f}{spread} ({row['num_seeds']})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    rows = []
    for folder in parser.parse_args().folders:
        with open(folder / "summary.csv", encoding="utf-8", newline="") as file:
            rows += list(csv.DictReader(file))
    datasets = list(dict.fromkeys(row["dataset"] for row in rows))
    print("| F1 in % (seeds) |" + "".join(f" {name} | published |" for name in datasets))
    print("|---|" + "---|---|" * len(datasets))
    for method in dict.fromkeys(row["method"] for row in rows):
        line = f"| {method} |"
        for name in datasets:
            found = [row for row in rows if (row["dataset"], row["method"]) == (name, method)]
            published = PUBLISHED.get(name, {}).get(method)
            line += f" {cell(found[0]) if found else ''} | {'' if published is None else f'{published:.2f}'} |"
        print(line)


if __name__ == "__main__":
    main()
