"""Do the tests fail when an operator is wrong? Random one-operator mutants of the array rooms, by cosmic-ray.

    make mutants
    python experiments/mutants.py --rooms metrics losses --each 10 --seed 1

Every mutant is tried on a copy of the tree, against the tests of its room, the examples of its own docstrings and the
protocol test of its room; the first failing test kills it. What survives is printed with its difference, and the exit
status is 1 unless each survivor is listed in `equivalent_mutants.toml` with the reason why no test can see it.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import tomllib

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import TestOutcome

ROOT = pathlib.Path(__file__).parent.parent
ROOMS = ("metrics", "losses", "posterior", "calibration", "training", "parallel", "tagging")
# `|` stands between types alone here, and a decorator's absence shows in no number.
LEFT_OUT = ("core/ReplaceBinaryOperator_BitOr", "core/RemoveDecorator")


def mutations(tree: pathlib.Path, room: str) -> list:
    """All one-operator mutations of the files of one room."""
    with use_db(":memory:") as database:
        init(sorted((tree / "jaxuq" / room).glob("*.py")), database, {})
        found = [mutation for item in database.work_items for mutation in item.mutations]
    return [mutation for mutation in found if not mutation.operator_name.startswith(LEFT_OUT)]


def tests_of(tree: pathlib.Path, room: str, name: str) -> str:
    """The command that tests a file: its own examples, its room, and its room's walk through the promises."""
    pytest = f"{sys.executable} -m pytest -x -q -p no:cacheprovider"
    near = f"{pytest} {name} tests/{room} -m 'not long and not oracle and not data'"
    walk = f"{pytest} tests/test_protocol.py -m 'not long' -k '{room}'"
    return f'env -C {tree} PYTHONPATH={tree} sh -c "{near} && {walk}"'


def changed_lines(difference: str) -> tuple[str, str]:
    """The line that a mutant takes out and the one that it puts in."""
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    taken, put = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return taken, put


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", nargs="+", default=ROOMS, choices=ROOMS)
    parser.add_argument("--each", type=int, default=6, help="mutants a room")
    parser.add_argument("--seed", type=int, default=0, help="of the random choice")
    parser.add_argument("--seconds", type=float, default=900, help="a mutant whose tests take longer counts as killed")
    options = parser.parse_args()
    listed = tomllib.loads((ROOT / "experiments" / "equivalent_mutants.toml").read_text())["mutant"]
    equivalent = {(entry["file"], entry["line"], entry["becomes"]) for entry in listed}
    killed = alike = 0
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "jaxuq"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv*", ".cache", "runs", "__pycache__"))
        for room in options.rooms:
            everything = mutations(tree, room)
            chosen = random.Random(f"{options.seed} {room}").sample(everything, min(options.each, len(everything)))
            for mutation in chosen:
                path = pathlib.Path(mutation.module_path)
                name = str(path.relative_to(tree))
                result = mutate_and_test([mutation], tests_of(tree, room, name), options.seconds)
                taken, put = changed_lines(result.diff or "")
                if result.test_outcome != TestOutcome.SURVIVED:
                    killed, word = killed + 1, "killed"
                elif (name, taken, put) in equivalent:
                    alike, word = alike + 1, "equivalent"
                else:
                    survivors.append(name)
                    word = "SURVIVED"
                print(f"{word:10} {name}:{mutation.start_pos[0]}\n           - {taken}\n           + {put}", flush=True)
    print(f"{killed} killed, {alike} equivalent, {len(survivors)} survived")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
