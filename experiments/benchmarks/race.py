"""The race: peers and jaxuq in turn, in one process tree, row by row of `race.toml`; ratios with their spread.

    make race                                                        # every row whose peer is there
    python experiments/benchmarks/race.py --peers PYTHON [--repeats 3] [--rows bootstrap hmm]

PYTHON is an interpreter of an environment with what `peers.txt` names (and jaxuq, where a script imports both). Each
script takes turns with its peer and prints a ratio; it is run several times, and a row has the median of the runs and
their range. Timings of a machine with other work are noise: the load is told. What was measured is kept in `race.json`,
and `race.md` beside this script is written anew; a row that was not run this time keeps what it had.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shlex
import statistics
import subprocess
import sys
import tomllib

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[1]
ROWS, KEPT, PAGE = HERE / "race.toml", HERE / "race.json", HERE / "race.md"
HEAD = """\
# The race

Made by `make race`: peers and jaxuq in turn, in one process tree (`race.py`, `race.toml`; peers as in `peers.txt`). A
ratio above 1 means that jaxuq is faster. Median of the runs, and their range.

"""


def measure(command: str, patterns: list[str]) -> list[float | None]:
    """A ratio by pattern, of one run; none where the output has none."""
    done = subprocess.run(shlex.split(command), cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        print((done.stderr.strip() or done.stdout.strip())[-400:], file=sys.stderr)
    said = [re.search(pattern, done.stdout, re.MULTILINE) for pattern in patterns]
    return [float(one[1]) if one else None for one in said]


def machine() -> str:
    """What it is measured on."""
    model = next(
        (line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.processor(),
    )  # fmt: skip
    return f"{model}, {os.cpu_count()} cores"


def page(rows: list[dict], kept: dict) -> str:
    """The table, and what stands in the way of what was not reached."""
    lines = ["| job | beside | ratio | aimed at | measured |", "|---|---|---|---|---|"]
    notes = []
    for row in rows:
        found = kept.get(f"{row['job']}: {row['peer']}")
        if not found:
            lines.append(f"| {row['job']} | {row['peer']} | not measured | {row['reach']:g} | |")
            continue
        ratios = sorted(found["ratios"])
        middle = statistics.median(ratios)
        spread = f" ({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
        missed = "" if middle >= row["reach"] else ", missed"
        lines.append(
            f"| {row['job']} | {row['peer']} | {middle:.2f}{spread} | {row['reach']:g}{missed} | "
            f"{found['date']}, {found['machine']}, load {found['load']:.1f} |"
        )
        if missed and "bound" in row:
            notes.append(f"- **{row['job']}** ({row['peer']}): {row['bound']}.")
    return HEAD + "\n".join(lines) + ("\n\n## What stands in the way\n\n" + "\n".join(notes) if notes else "") + "\n"


def main() -> None:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=str(ROOT / ".venv-peers/bin/python"), help="an interpreter with the peers")
    parser.add_argument("--before", default="HEAD~1", help="the commit that start-up is compared with")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", nargs="+", default=[], help="parts of jobs or commands; none: all rows")
    options = parser.parse_args()
    rows = tomllib.loads(ROWS.read_text(encoding="utf-8"))["row"]
    wanted: dict[str, list[dict]] = {}
    for row in rows:
        text = row["job"] + row["command"]
        if not options.rows or any(part in text for part in options.rows):
            wanted.setdefault(row["command"], []).append(row)
    if not wanted:
        parser.error(f"no row has {' or '.join(options.rows)} in its job or command")
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for command, own in wanted.items():
        filled = command.format(here=sys.executable, peers=options.peers, before=options.before)
        print(filled, flush=True)
        load = os.getloadavg()[0]
        for repeat in range(options.repeats):
            for row, ratio in zip(own, measure(filled, [row["ratio"] for row in own])):
                name = f"{row['job']}: {row['peer']}"
                print(f"  {name}: {'no ratio' if ratio is None else f'{ratio:.2f}'}", flush=True)
                if ratio is not None:
                    before = kept[name]["ratios"] if repeat and name in kept else []
                    kept[name] = {
                        "ratios": [*before, ratio], "date": f"{datetime.date.today():%Y-%m-%d}", "machine": machine(),
                        "load": load,
                    }  # fmt: skip
            KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            PAGE.write_text(page(rows, kept), encoding="utf-8")
    print(f"written: {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
