"""Print the scores of a confidence study as the Markdown table of this folder's README.

python experiments/confidence/markdown.py runs/facts
"""

import csv
import pathlib
import sys

from jaxuq.confidence.measures import stored_facts
from jaxuq.study import read_run


def number(text: str, scale: float = 1.0, digits: int = 3) -> str:
    """A cell; a dash for what is undefined."""
    return f"{scale * float(text):.{digits}f}" if text else "–"


def main(folder: pathlib.Path) -> None:
    """Print."""
    print("| measure | AUROC (%) | ECE (%) | AUROC, all [95 %] | PRR [95 %] | ECE Platt | ECE isotonic | s |")
    print("|---|---|---|---|---|---|---|---|")
    with (folder / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
        about = stored_facts(read_run(folder), [row["method"] for row in rows])
        for row in rows:
            cells = [about[row["method"]].title.replace("|", "\\|")]
            for name in ("auroc", "ece"):
                mean, std = (number(row[f"{name}_{part}"], 100, 1) for part in ("mean", "std"))
                cells.append(f"{mean} ± {std}" if mean != "–" else mean)
            for name in ("auroc_all", "prr"):
                low, high = number(row[f"{name}_lower"]), number(row[f"{name}_upper"])
                cells.append(f"{number(row[name])} [{low}, {high}]")
            cells += [number(row["ece_platt"]), number(row["ece_isotonic"]), number(row["seconds"], 1, 2)]
            print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
