"""Do the tests fail when an operator is wrong? Random one-operator mutants of the array rooms, by cosmic-ray.

    make mutants
    python experiments/mutants.py --rooms metrics losses --each 10 --seed 1

Every mutant is tried on a copy of the tree, against the tests of its own file: the examples of its docstrings, the
tests of its room that name a function of it, and the protocol test of these functions. The first failing test kills it;
that test must pass without the mutant. What survives is printed with its difference, and the exit status is 1 unless
each survivor is listed in `equivalent_mutants.toml` with its reason. Mutants that nothing can see
(in signatures and annotations) are not drawn, nor those that end in a `TypeError` wherever numbers are floating.
"""

import argparse
import ast
import pathlib
import random
import re
import shlex
import shutil
import sys
import tempfile
import tomllib

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.testing import run_tests
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome

PYTEST = f"{sys.executable} -m pytest -x -q -p no:cacheprovider"
ROOT = pathlib.Path(__file__).parent.parent
ROOMS = ("metrics", "losses", "posterior", "calibration", "training", "parallel", "tagging")
# A decorator's absence shows in no number, `is` of small numbers is `==`, and bits of floating numbers are an error.
LEFT_OUT = re.compile(
    r"RemoveDecorator|_(Is|IsNot)$|(Add|Sub|Mul|Div|Mod|Pow)_(Bit|.Shift)|(Bit\w+|.Shift)_(Add|Sub|Mul|.*Div|Mod|Pow|.Shift)"
)


def unseen(path: pathlib.Path) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The parts of a file that no test can see: signatures with their types and defaults, and other annotations."""
    spans = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            spans.append(((node.lineno, node.col_offset), (node.body[0].lineno, node.body[0].col_offset)))
        elif isinstance(node, ast.AnnAssign):
            end = node.annotation
            spans.append(((node.lineno, node.col_offset), (end.end_lineno or end.lineno, end.end_col_offset or 0)))
    return spans


def mutations(tree: pathlib.Path, room: str) -> list:
    """All one-operator mutations of the files of one room that a test can see."""
    paths = sorted((tree / "jaxuq" / room).glob("*.py"))
    with use_db(":memory:") as database:
        init(paths, database, {})
        found = [mutation for item in database.work_items for mutation in item.mutations]
    spans = {path: unseen(path) for path in paths}
    return [
        mutation
        for mutation in found
        if not LEFT_OUT.search(mutation.operator_name)
        and not any(start <= mutation.start_pos < end for start, end in spans[pathlib.Path(mutation.module_path)])
    ]


def tests_of(tree: pathlib.Path, room: str, name: str) -> str:
    """The command that tests a file: its own examples, the tests that name a public function of it, and their promises.

    Of a file without a public function: the tests of its room.
    """
    public = re.findall(r"^def ([a-z]\w*)", (tree / name).read_text(), re.MULTILINE)
    named = re.compile(rf"\b({'|'.join(public)})\b" if public else "")
    files = sorted((tree / "tests" / room).glob("test_*.py"), key=lambda path: path.stat().st_size)
    near = " ".join(str(path.relative_to(tree)) for path in files if named.search(path.read_text()))
    walk = " or ".join(f"{room}.{function}" for function in public) or f"{room}."
    own = f"{PYTEST} {name} {near} -m 'not long and not oracle and not data'"
    return f"{at(tree)} sh -c \"{own} && {PYTEST} tests/test_protocol.py -m 'not long' -k '{walk}'\""


def at(tree: pathlib.Path) -> str:
    """What a command begins with to see the tree and no other."""
    return f"env -C {tree} PYTHONPATH={tree}"


def check_killers(tree: pathlib.Path, tests: set[str], seconds: float) -> None:
    """End unless the tests that killed mutants pass without one."""
    if tests:
        command = f"{at(tree)} {PYTEST} {shlex.join(sorted(tests))}"
        outcome, output = run_tests(command, 10 * seconds)
        if outcome != TestOutcome.SURVIVED:
            sys.exit(f"tests that killed mutants fail without one:\n{output[-2000:]}")


def changed_lines(difference: str) -> tuple[str, str]:
    """The line that a mutant takes out and the one that it puts in."""
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    taken, put = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return taken, put


def summary(counts: dict[str, int]) -> str:
    """How many of each outcome."""
    return ", ".join(f"{number} {word}" for word, number in counts.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, choices=ROOMS)
    parser.add_argument("--each", type=int, default=6, help="mutants a room")
    parser.add_argument("--seed", type=int, default=0, help="of the random choice")
    parser.add_argument("--seconds", type=float, default=900, help="tests of a mutant that take longer are ended")
    options = parser.parse_args()
    listed = tomllib.loads((ROOT / "experiments" / "equivalent_mutants.toml").read_text())["mutant"]
    equivalent = {(entry["file"], entry["line"], entry["becomes"]) for entry in listed}
    counts: dict[str, int] = dict.fromkeys(("killed", "too long", "equivalent", "SURVIVED"), 0)
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "jaxuq"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", ".cache", "runs", "__pycache__"))
        for room in options.rooms:
            everything = mutations(tree, room)
            chosen = random.Random(f"{options.seed} {room}").sample(everything, min(options.each, len(everything)))
            here: dict[str, int] = dict.fromkeys(counts, 0)
            tests: set[str] = set()
            for mutation in chosen:
                path = pathlib.Path(mutation.module_path)
                name = str(path.relative_to(tree))
                result = mutate_and_test([mutation], tests_of(tree, room, name), options.seconds)
                taken, put = changed_lines(result.diff or "")
                test = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", result.output or "", re.MULTILINE)
                if result.test_outcome == TestOutcome.SURVIVED:
                    word = "equivalent" if (name, taken, put) in equivalent else "SURVIVED"
                else:
                    word = "too long" if result.output == "timeout" else "killed"
                here[word] += 1
                by = f" by {test[1]}" if test else ""
                tests |= {test[1]} if test and "::" in test[1] else set()  # else the file itself was not read
                print(
                    f"{word:10} {name}:{mutation.start_pos[0]}{by}\n           - {taken}\n           + {put}",
                    flush=True,
                )
            check_killers(tree, tests, options.seconds)
            print(f"{room}, of {len(everything)}: {summary(here)}", flush=True)
            counts = {word: counts[word] + here[word] for word in counts}
    print(f"in all: {summary(counts)}")
    return 1 if counts["SURVIVED"] else 0


if __name__ == "__main__":
    sys.exit(main())
