"""Print the tables of `active.md` from result folders of `jaxuq tag --active`, as Markdown.

python experiments/tagging/active_table.py runs/conll-active
"""

import argparse
import csv
import pathlib


def read(file: pathlib.Path) -> list[dict[str, str]]:
    """Rows of a table."""
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def number(row: dict[str, str], name: str, form: str) -> str:
    """A number of a row, or nothing."""
    value = row.get(name, "")
    return format(float(value), form) if value and value != "nan" else ""


def interval(row: dict[str, str], name: str, form: str) -> str:
    """Its 95 % interval in brackets, if there is one."""
    ends = [number(row, f"{name}_{end}", form) for end in ("lower", "upper")]
    return f" ({ends[0]} to {ends[1]})" if all(ends) else ""


def percent(row: dict[str, str]) -> str:
    """What is saved, in percent."""
    if not row.get("saved"):
        return ""
    shown = {name: str(100 * float(row[name])) for name in ("saved", "saved_lower", "saved_upper") if row.get(name)}
    return f"{number(shown, 'saved', '.0f')} %{interval(shown, 'saved', '.0f')}"


def main() -> None:
    """Print both tables of each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    for folder in parser.parse_args().folders:
        saved, rounds = read(folder / "saved.csv"), read(folder / "active.csv")
        for dataset, model in dict.fromkeys((row["dataset"], row["method"]) for row in saved):
            own = [row for row in saved if (row["dataset"], row["method"]) == (dataset, model)]
            curves = [row for row in rounds if (row["dataset"], row["method"]) == (dataset, model)]
            steps = list(dict.fromkeys(row["round"] for row in curves))
            print(f"| {dataset}, {model}, {own[0]['num_seeds']} seeds | mean F1 of the rounds | F1 of the last |"
                  " gain over random | tokens to reach random's last F1 | saved |")  # fmt: skip
            print("|---|---|---|---|---|---|")
            for row in own:
                gain = number(row, "f1_gain", "+.3f") + interval(row, "f1_gain", "+.3f")
                needed = number(row, "labels_needed", ",.0f")
                target = f" ({number(row, 'target', '.4f')})" if needed else ""
                cells = [number(row, "f1", ".3f"), number(row, "last_f1", ".3f"), gain, needed + target, percent(row)]
                print(f"| {row['acquisition']} | {' | '.join(cells)} |")
            means: dict[tuple[str, str], tuple[float, float]] = {}
            for kind in dict.fromkeys(row["acquisition"] for row in curves):
                for step in steps:
                    there = [row for row in curves if (row["acquisition"], row["round"]) == (kind, step)]
                    tokens, scores = ([float(row[name]) for row in there] for name in ("labels", "f1"))
                    means[kind, step] = sum(tokens) / len(there), sum(scores) / len(there)
            kinds = list(dict.fromkeys(kind for kind, _ in means))
            print(f"\n| tokens | {' | '.join(f'{means[kinds[0], step][0]:,.0f}' for step in steps)} |")
            print("|---" * (1 + len(steps)) + "|")
            for kind in kinds:
                print(f"| {kind} | {' | '.join(f'{means[kind, step][1]:.3f}' for step in steps)} |")
            print()


if __name__ == "__main__":
    main()
