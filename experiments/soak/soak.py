"""The soak: damaged files, kills, simulated worlds, devices and the wheel, as long as it is given; figures add up.

    make soak                                                        # an hour
    python experiments/soak/soak.py --minutes 480 --write            # a night, and its figures on the page
    python experiments/soak/soak.py --parts files --only questions   # one part, some rows
    python experiments/soak/soak.py --again "molecules: SDF" 20261130 417   # one input once more, with what it says

The seed is the day's date unless it is given; it is printed, and seed and number make every input again. What failed is
kept with its files under `runs/soak`. Figures are kept by version of the code (the last commit that changed `jaxuq/`)
in `soak.json`; `--write` makes the tables of the page beside this script from it. The exit code is 1 where one failed.
"""

import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # the tests' small jobs and files

RECORD, PAGE, TESTS = HERE / "soak.json", HERE / "README.md", HERE / "tests.toml"
PARTS = {"files": 0.5, "kills": 0.25, "worlds": 0.1, "devices": 0.1, "wheel": 0.05}
"""Parts, and their shares of the time; what one does not use the next ones have."""
INPUTS, KILLS = 100_000, 20


def main() -> None:
    """Run the parts within the time, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="nothing begins later")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--only", nargs="+", default=[], help="rows with one of these in their names")
    parser.add_argument("--seed", type=int, default=int(f"{datetime.date.today():%Y%m%d}"))
    parser.add_argument("--inputs", type=int, default=INPUTS, help="damaged files over all readers")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each command")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "soak", help="folder of what fails")
    parser.add_argument("--write", action="store_true", help="keep the figures in soak.json and on the page")
    parser.add_argument("--again", nargs=3, metavar=("READER", "SEED", "NUMBER"), help="one input once more")
    parser.add_argument("--work", help=argparse.SUPPRESS)  # the process that reads
    parser.add_argument("--run", help=argparse.SUPPRESS)  # the process that is killed
    options = parser.parse_args()
    if options.work:
        import fuzz

        seed, plan, folder = json.loads(options.work)
        return fuzz.work([fuzz.Part(*part) for part in plan], seed, pathlib.Path(folder))
    if options.run:
        import kills

        name, data, output = json.loads(options.run)
        return kills.work(name, pathlib.Path(data), pathlib.Path(output))
    if options.again:
        return again(options.again[0], int(options.again[1]), int(options.again[2]))
    code = version()
    print(f"seed {options.seed}, code {code}, {options.minutes:g} minutes", flush=True)
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    failed, end = False, time.monotonic() + 60 * options.minutes
    for place, part in enumerate(options.parts):
        share = PARTS[part] / sum(PARTS[other] for other in options.parts[place:])
        now = time.monotonic()
        for name, counts in run(part, options, now + share * (end - now)):
            add(record, part, name, counts, code)
            failed |= counts.get("failed", 0) > 0
            print(f"{part}, {name}: {', '.join(f'{value:,} {key}' for key, value in counts.items())}", flush=True)
            if options.write:
                RECORD.write_text(as_json(record), encoding="utf-8")
                PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), record), encoding="utf-8")
    sys.exit(failed)


def run(part: str, options: argparse.Namespace, until: float):
    """Rows of a part with what came of them."""
    failures = options.output / part
    if part == "files":
        import fuzz

        plan = fuzz.plan_of(options.inputs, tuple(options.only))
        yield from fuzz.watch(plan, options.seed, until, failures).counts.items()
    elif part == "kills":
        import kills

        names = [name for name in kills.commands() if _wanted(name, options.only)]
        for place, name in enumerate(names):
            now = time.monotonic()
            if now < until:
                each = now + (until - now) / (len(names) - place)
                yield name, kills.kill(name, options.kills, options.seed, each, failures)
    else:
        for row in tests():
            left = until - time.monotonic()
            if row["part"] == part and _wanted(row["name"], options.only) and left > 0:
                yield row["name"], run_test(row, max(left, 60.0) + 300, failures)


def _wanted(name: str, only: list[str]) -> bool:
    return not only or any(part in name for part in only)


def tests() -> list[dict]:
    """Rows of `tests.toml`: long tests of the library that are parts of the soak."""
    return tomllib.loads(TESTS.read_text(encoding="utf-8"))["test"]


def run_test(row: dict, seconds: float, failures: pathlib.Path) -> dict[str, int]:
    """Run the tests of a row; counts by what came of them. Those that the time cuts off count as nothing."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "long or not long", *row["tests"]]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return {"passed": 0, "failed": 0, "cut off": 1}
    counts = {
        kind: int(number) for number, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", done.stdout[-400:])
    }
    found = {"passed": counts.get("passed", 0), "failed": counts.get("failed", 0) + counts.get("error", 0)}
    if done.returncode not in (0, 1) or found["failed"]:
        found["failed"] = max(found["failed"], 1)
        failures.mkdir(parents=True, exist_ok=True)
        (failures / f"{re.sub('[^a-z0-9]+', '-', row['name'].lower())}.txt").write_text(done.stdout + done.stderr)
    return found


def again(reader: str, seed: int, number: int) -> None:
    """One input once more, in this process: what it says is seen."""
    import fuzz
    from readers import READERS

    with tempfile.TemporaryDirectory() as temporary:
        valid, tried = pathlib.Path(temporary, "valid"), pathlib.Path(temporary, "tried")
        valid.mkdir()
        READERS[reader].write(valid)
        file, kind = fuzz.damage(READERS[reader], valid, tried, fuzz.draws(reader, seed, number))
        print(f"{file}: {kind}\n{(tried / file).read_bytes()[:2000]!r}")
        print(READERS[reader].read(tried))


def version() -> str:
    """The last commit that changed the library, and whether it was changed since."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return (git("log", "-1", "--format=%h", "--", "jaxuq") or "unknown") + (
        "-dirty" if git("status", "--porcelain", "jaxuq") else ""
    )


def add(record: dict, part: str, name: str, counts: dict[str, int], code: str) -> None:
    """Add counts to those of earlier nights with this version of the code; of a test the last run counts."""
    versions = record.setdefault(part, {}).setdefault(name, {})
    own = versions.setdefault(code, {})
    for key, value in counts.items():
        own[key] = value if part in ("worlds", "devices", "wheel") else own.get(key, 0) + value
    own["date"] = f"{datetime.date.today():%Y-%m-%d}"


def as_json(record: dict) -> str:
    """A line for each row and version."""
    text = []
    for part in sorted(record, key=[*PARTS].index):
        rows = [f"  {json.dumps(name)}: {json.dumps(record[part][name])}" for name in sorted(record[part])]
        text.append(f"{json.dumps(part)}: {{\n" + ",\n".join(rows) + "\n }")
    return "{\n " + ",\n ".join(text) + "\n}\n"


_TABLES = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- end -->)", re.DOTALL)


def page(text: str, record: dict) -> str:
    """The page with its tables as they are now: of every row the version that was tried last, and all versions."""
    parts = [
        "",
        "| part | rows | tried with the code of now | failed | with all versions |",
        "|---|---:|---:|---:|---:|",
    ]
    main = {"files": "inputs", "kills": "kills", "worlds": "passed", "devices": "passed", "wheel": "passed"}
    for part, key in main.items():
        rows = record.get(part, {})
        last = [_last(versions) for versions in rows.values()]
        everything = sum(one.get(key, 0) for versions in rows.values() for one in versions.values())
        tried, failed = (sum(one.get(name, 0) for one in last) for name in (key, "failed"))
        parts.append(f"| {part} | {len(rows)} | {tried:,} | {failed:,} | {everything:,} |")
    for part, heading in (
        ("files", "Files"),
        ("kills", "Kills"),
        ("worlds", "Worlds"),
        ("devices", "Devices"),
        ("wheel", "Wheel"),
    ):
        rows = record.get(part, {})
        if not rows:
            continue
        keys = {"files": ["inputs", "refused", "failed"], "kills": ["kills", "equal", "failed"]}.get(
            part, ["passed", "failed"]
        )
        parts += ["", f"## {heading}", "", f"| {part} | {' | '.join(keys)} | code | date |"]
        parts.append("|---|" + "---:|" * len(keys) + "---|---|")
        for name in sorted(rows):
            code = max(rows[name], key=lambda one: (rows[name][one]["date"], [*rows[name]].index(one)))
            own = rows[name][code]
            parts.append(f"| {name} | {' | '.join(f'{own.get(key, 0):,}' for key in keys)} | {code} | {own['date']} |")
    return _TABLES.sub(lambda _: "\n".join(parts[1:]) + "\n", text)


def _last(versions: dict) -> dict:
    return versions[max(versions, key=lambda one: (versions[one]["date"], [*versions].index(one)))]


if __name__ == "__main__":
    main()
