"""The certificate: every number that the pages print, made again by its command and compared, line by line.

    make certificate                                                    # all that takes seconds or minutes
    python experiments/certificate/certificate.py --part hours          # and what takes hours; `days`: everything
    python experiments/certificate/certificate.py --only extraction tagging-simulated
    python experiments/certificate/certificate.py --list

`claims.toml` says which command makes the numbers of which sections, how far they may differ and why. A claim is a cell
of a run folder: what was made is kept with the digest of its data and is not made again, an interruption costs the
command that was running, and a changed page is compared anew without any computing. Writes `certificate.json` and the
summary in `README.md` beside this script, `certificate.html` into the run folder, and the lines of the project's README
that are read from the certificate. The exit code is 1 if a number differs.
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence

import numpy as np
from claims import PARTS, ROOT, Claim, claimed_blocks, read_claims
from lines import GREEN, OPEN, RED, STATES, Line, Pair, certify, compare_published, count
from printed import Block, read_blocks

from jaxuq.reporting.page import Grid, Section, Text, pairs_grid, write_page
from jaxuq.study import Cell, Listener, Plan, compute_cells, digest, open_run

HERE = pathlib.Path(__file__).parent
WIDTH = "110"  # of a terminal, as pages quote it
TABLES = HERE / "published.toml"
RECORD, PAGE = HERE / "certificate.json", HERE / "README.md"


class StepError(RuntimeError):
    """A command failed."""


def main() -> None:
    """Make, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=PARTS, default="minutes", help="the longest claims that are made again")
    parser.add_argument("--only", nargs="+", default=[], help="claims by name, whatever they take")
    parser.add_argument("--again", nargs="+", default=[], help="claims whose kept output is thrown away")
    parser.add_argument("--kept", action="store_true", help="run nothing: compare the pages with what is kept")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "runs" / "certificate")
    parser.add_argument("--list", action="store_true", help="print the claims, and make nothing")
    options = parser.parse_args()
    claims = read_claims()
    names = {claim.name for claim in claims}
    if unknown := {*options.only, *options.again} - names:
        parser.error(f"there is no claim {', '.join(sorted(unknown))}; there are {', '.join(sorted(names))}")
    claimed_blocks(claims)  # whether all is claimed is said before anything is run
    if options.list:
        for claim in claims:
            print(f"{claim.name:28} {claim.part if claim.steps else claim.otherwise[0]:8} {claim.command}")
        return
    wanted = [claim for claim in claims if claim.steps and _wanted(claim, options)]
    texts = make(claims, wanted, options.output, again=options.again)
    readme = ROOT / "README.md"
    readme.write_text(with_rows(readme.read_text(encoding="utf-8"), texts), encoding="utf-8")
    blocks = claimed_blocks(claims)
    before = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    record = {
        claim.name: record_of(claim, blocks[claim.name], texts.get(claim.name), before.get(claim.name))
        for claim in claims
    }
    RECORD.write_text(as_json(record), encoding="utf-8")
    PAGE.write_text(summary(PAGE.read_text(encoding="utf-8"), record), encoding="utf-8")
    print(f"{write_html(options.output, record)}\n{verdict(record)}")
    sys.exit(any(line[-1] in RED for one in record.values() for line in one["lines"]))


def _wanted(claim: Claim, options: argparse.Namespace) -> bool:
    if options.only or options.kept:
        return claim.name in options.only
    return PARTS.index(claim.part) <= PARTS.index(options.part)


def make(
    claims: Sequence[Claim], wanted: Sequence[Claim], output: pathlib.Path, *, again: Sequence[str] = ()
) -> dict[str, dict]:
    """Run what is wanted and not kept; give what is kept of all claims.

    Args:
        claims: all.
        wanted: those whose commands may be run.
        output: the run folder.
        again: names of those that are not taken from it.

    Returns:
        By name: the text that was made, when, at which version of the code, in how many seconds.
    """
    with open_run(output, system="certificate", options={}, content={}) as folder:

        def cell(claim: Claim) -> Cell:
            return folder.cell(f"made/{claim.name}.npz", **facts_of(claim))

        for name in again:
            (output / f"made/{name}.npz").unlink(missing_ok=True)
        plans = [Plan(claim.name, cell(claim), claim) for claim in wanted]

        def work(missing: list[Plan[Cell]]) -> Iterator[tuple[Plan[Cell], dict]]:
            for plan in missing:
                print(f"{plan.name}: {plan.about.command}", flush=True)
                began = time.monotonic()
                try:
                    text = run_steps(plan.about, output / "logs")
                except StepError as error:
                    print(f"{plan.name}: {error}", file=sys.stderr, flush=True)
                    continue
                seconds = time.monotonic() - began
                made = {"text": text, "date": f"{datetime.date.today():%Y-%m-%d}", "code": _version()}
                print(f"{plan.name}: {seconds:.0f} s", flush=True)
                yield plan, {name: np.array(value) for name, value in made.items()} | {"seconds": np.array(seconds)}

        compute_cells(folder, plans, work, listener=Listener())
        kept = {claim.name: cell(claim).read() for claim in claims if claim.steps}
    return {name: {key: value.item() for key, value in one.items()} for name, one in kept.items() if one is not None}


def run_steps(claim: Claim, logs: pathlib.Path | None = None) -> str:
    """Run the commands of a claim.

    Args:
        claim: with steps.
        logs: folder for what they say beside their result; None: nowhere.

    Returns:
        What they print.

    Raises:
        StepError: one failed; its last words.
    """
    said = []
    for step in claim.steps:
        words = [word for part in shlex.split(os.path.expandvars(step)) for word in _files(part)]
        words[:1] = {"python": [sys.executable], "jaxuq": [sys.executable, "-m", "jaxuq"]}.get(words[0], words[:1])
        done = subprocess.run(
            words, cwd=ROOT, env=os.environ | {"COLUMNS": WIDTH}, capture_output=True, text=True, encoding="utf-8"
        )
        said.append(done.stdout + done.stderr * (words[1:3] == ["-m", "jaxuq"]))  # what it took for what is told there
        if logs is not None:
            logs.mkdir(parents=True, exist_ok=True)
            with (logs / f"{claim.name}.txt").open("a", encoding="utf-8") as log:
                log.write(f"$ {step}\n{done.stderr}")
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise StepError(f"`{step}` ended with {done.returncode}: {last}")
    return "\n".join(said)


def _files(word: str) -> list[str]:
    """What a shell makes of a word with a star."""
    found = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(word)) if "*" in word else []
    return found or [word]


def facts_of(claim: Claim) -> dict:
    """What its numbers depend on."""
    return {"steps": list(claim.steps), "data": _data(claim), "formula": claim.formula}


def _data(claim: Claim) -> dict[str, str]:
    """Digests of what a claim reads."""
    found = {}
    for name in claim.data:
        folder = ROOT if (ROOT / name).exists() else pathlib.Path(os.environ.get("JAXUQ_DATA", "data"))
        if not (folder / name).exists():
            raise SystemExit(
                f"claim {claim.name} reads {name}, which is not in {folder}: JAXUQ_DATA names the data's folder"
            )
        files = sorted(path for path in [folder / name, *(folder / name).rglob("*")] if path.is_file())
        found[name] = digest({path.relative_to(folder).as_posix(): path.read_bytes() for path in files})
    return found


def _version() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def record_of(claim: Claim, blocks: Sequence[Block], made: dict | None, before: dict | None = None) -> dict:
    """What the certificate says of a claim, JSON-like.

    Args:
        claim: it.
        blocks: the page's.
        made: what its commands gave; None: they were not run in this folder.
        before: the record that is kept. Without `made`, what it says of numbers that the page still prints stays, if
            commands, data and formula are the same.

    Returns:
        The record.
    """
    lines = certify(claim, blocks, None if made is None else made_blocks(made["text"]))
    record = {"page": claim.page, "command": claim.command, "part": claim.part if claim.steps else ""}
    identity = digest(facts_of(claim)) if claim.steps and (made or before) else ""
    if made is None and before is not None and "date" in before and before["facts"] == identity:
        known = {tuple(line[:4]): line[4:] for line in before["lines"]}
        lines = [Line(*line[:4], *known.get(tuple(line[:4]), line[4:])) for line in lines]
        made = before
    record |= {name: made[name] for name in ("date", "code", "seconds")} | {"facts": identity} if made else {}
    if claim.steps:
        record["tolerance"] = {name: float(value) for name, value in claim.tolerance.items()}
    record |= {name: text for name, text in (("reason", claim.reason), ("because", claim.because)) if text}
    record |= {"differing": dict(claim.differing)} if claim.differing else {}
    return record | {
        "states": count(line.state for line in lines),
        "lines": [list(line) for line in lines],
        "published": [list(pair) for pair in compare_published(claim, blocks)],
    }


def made_blocks(text: str) -> list[Block]:
    """What a command printed, read as Markdown, and again line by line as a page quotes it."""
    return read_blocks(text) + read_blocks(f"~~~~\n{text}\n~~~~")


def as_json(record: dict) -> str:
    """A line of the file for each line of the certificate, so that a change of one number is a change of one line."""
    text = []
    for name, one in record.items():
        head = {key: value for key, value in one.items() if key not in ("lines", "published")}
        inside = [f"    {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
        for key in ("lines", "published"):
            rows = ",\n".join(f"      {json.dumps(row, ensure_ascii=False)}" for row in one[key])
            inside.append(f'    "{key}": [' + (f"\n{rows}\n    ]" if rows else "]"))
        text.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(inside) + "\n  }")
    return "{\n" + ",\n".join(text) + "\n}\n"


def computable(record: dict) -> dict[str, int]:
    """Of the numbers in tables and outputs that a command makes: how many are in which state."""
    states = count(line[-1] for one in record.values() for line in one["lines"])
    return {state: number for state, number in states.items() if state in (*GREEN, *RED, *OPEN)}


def verdict(record: dict) -> str:
    """One sentence."""
    states = computable(record)
    whole, green = sum(states.values()), sum(states.get(state, 0) for state in GREEN)
    red = sum(states.get(state, 0) for state in RED)
    share = green / max(whole, 1)
    return (
        f"{green:,} of {whole:,} numbers that a command makes were made again and agree ({share:.1%}), {red:,} differ, "
        f"{states.get('differs because', 0):,} differ for a reason that is given, "
        f"{states.get('not rebuilt', 0):,} have not been made again."
    )


_SUMMARY = re.compile(r"(?<=<!-- summary -->\n).*?(?=<!-- end -->)", re.DOTALL)


def summary(page: str, record: dict) -> str:
    """The page of the certificate with its tables as they are now."""
    states = count(line[-1] for one in record.values() for line in one["lines"])
    parts = [verdict(record), "", "| state | numbers | what it means |", "|---|---:|---|"]
    parts += [f"| {state} | {number:,} | {STATES[state]} |" for state, number in states.items()]
    parts += [
        "",
        "| claim | page | agree | differ | not made again | made | with |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for name, one in record.items():
        if not one["part"]:
            continue
        own = one["states"]
        agree, differ = (sum(own.get(state, 0) for state in kinds) for kinds in (GREEN, RED))
        made = f"{one['date']}, {one['code']}, {one['seconds']:.0f} s" if "date" in one else f"no ({one['part']})"
        page_of = f"[{one['page'].removeprefix('experiments/')}]({os.path.relpath(ROOT / one['page'], HERE)})"
        numbers = (agree, differ, own.get("not rebuilt", 0))
        fields = (name, page_of, *(f"{number or ''}" for number in numbers), made, f"`{one['command']}`")
        parts.append(f"| {' | '.join(fields)} |")
    pairs = [Pair(*pair) for one in record.values() for pair in one["published"]]
    if pairs:
        near = sum(pair.state == "near" for pair in pairs)
        equal = sum(pair.state == "equal" for pair in pairs)
        parts += [
            "",
            f"Beside published numbers: {len(pairs):,} pairs; {equal:,} equal the published one to its last digit, "
            f"{near:,} lie within two joint deviations, {len(pairs) - equal - near:,} do not:",
            "",
            "| claim | pairs | equal | near | others, and why |",
            "|---|---:|---:|---:|---|",
        ]
        for name, one in record.items():
            own = [Pair(*pair).state for pair in one["published"]]
            if own:
                other = own.count("other")
                why = f"{other}: {one.get('because', '?')}" if other else ""
                parts.append(f"| {name} | {len(own)} | {own.count('equal')} | {own.count('near')} | {why} |")
    parts += ["", *published_tables(record)]
    return _SUMMARY.sub(lambda _: "\n".join(parts) + "\n", page)


def published_tables(record: dict) -> list[str]:
    """The tables of the dissertation: what of each can be computed here, by which claims, and why not more."""
    lines = [
        "Tables of the dissertation (`published.toml`):",
        "",
        "| table | numbers | computable | claims | why not all |",
    ]
    lines.append("|---|---:|---:|---|---|")
    for table in tomllib.loads(TABLES.read_text(encoding="utf-8"))["table"]:
        claims = [f"{name} ({_green(record[name])})" for name in table.get("claims", ())]
        lines.append(
            f"| {table['name']}: {table['about']} | {table['cells']} | {table['computable']} | "
            f"{', '.join(claims)} | {table['why']} |"
        )
    return lines


def _green(one: dict) -> str:
    states = one["states"]
    if not one["part"]:
        return next(iter(states), "nothing")
    made = {state: states.get(state, 0) for state in (*GREEN, *RED, *OPEN)}
    return f"{sum(made[state] for state in GREEN)} of {sum(made.values())} agree"


def with_rows(readme: str, texts: dict[str, dict]) -> str:
    """The README with rows that are read from the certificate: those of the block after `<!-- rows of NAME -->`."""

    def read(found: re.Match) -> str:
        made = texts.get(found[1])
        if made is None:
            return found[0]
        lines = [line for line in made["text"].splitlines() if line.startswith("  ")]
        again = {line.strip().split("  ")[0]: line.rstrip() for line in reversed(lines)}  # of the first table
        return "\n".join(again.get(line.strip().split("  ")[0], line) for line in found[0].split("\n"))

    return re.sub(r"<!-- rows of ([\w-]+) -->\n```.*?```", read, readme, flags=re.DOTALL)


def write_html(output: pathlib.Path, record: dict) -> pathlib.Path:
    """`certificate.html`: every line, by claim."""
    sections = [
        Section(
            "What the states mean", [pairs_grid([(state, text) for state, text in STATES.items()], "state", "means")]
        )
    ]
    for name, one in record.items():
        lines = [Line(*line) for line in one["lines"]]
        said = [
            Text(text, soft=True)
            for text in (_said(one), one.get("reason", ""), one.get("because", ""), *one.get("differing", {}).values())
            if text
        ]
        if lines:
            rows = [(f"{line.section}: {line.row}", line.column, line.printed, line.made, line.state) for line in lines]
            said.append(_table(rows))
        sections.append(Section(name, said))
    page = write_page(
        output, title="Certificate", command="make certificate", sections=sections,
        facts=[("verdict", verdict(record)), *((state, f"{number:,}") for state, number in computable(record).items())],
    )  # fmt: skip
    return page.rename(output / "certificate.html")


def _said(one: dict) -> str:
    counts = ", ".join(f"{number} {state}" for state, number in one["states"].items())
    made = f" Made {one['date']} at {one['code']} in {one['seconds']:.0f} s." if "date" in one else ""
    return f"{one['page']}: {counts}. {one['command']}.{made}"


def _table(rows: list[tuple[str, ...]]) -> Grid:
    return pairs_grid(rows, "row", "column", "printed", "made again", "state")


if __name__ == "__main__":
    main()
