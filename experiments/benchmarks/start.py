"""Seconds from a command to its first result, of several commits in turn: `--help`, `generate`, `confidence ask`.

    python experiments/benchmarks/start.py [--commits HEAD~100 HEAD] [--rounds 3] [--commands help generate ask]

Each commit is checked out into a folder of its own and run with this interpreter, in turn, with its programs compiled
and kept by a first round that does not count. Processor time of the process and its children is told beside wall time:
it says more where a machine has other work. SmolLM2's weights are taken from where `jaxuq models fetch smollm2` put
them.
"""

import argparse
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

COMMANDS = {
    "help": ["--help"],
    "generate": ["generate", "--model", "smollm2", "--max-new-tokens", "8", "What is the capital of France?"],
    "ask": ["confidence", "ask", "What is the capital of France?"],
}


def run(folder: pathlib.Path, words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a command with the code of a folder."""
    environment = os.environ | {"PYTHONPATH": str(folder), "JAX_COMPILATION_CACHE_DIR": str(folder / ".programs")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "jaxuq", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} in {folder}: {done.stderr.strip()[-500:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commits", nargs="+", default=["HEAD"])
    parser.add_argument("--commands", nargs="+", choices=[*COMMANDS], default=[*COMMANDS])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory() as scratch:
        folders = {}
        for commit in options.commits:
            folders[commit] = pathlib.Path(scratch, commit.replace("/", "-"))
            subprocess.run(["git", "-C", str(root), "worktree", "add", "--detach", str(folders[commit]), commit],
                           check=True, capture_output=True)  # fmt: skip
        try:
            print("| command | commit | wall, median (s) | processor, median (s) | first / this, processor |")
            print("|---|---|---|---|---|")
            for name in options.commands:
                rounds = {commit: [] for commit in folders}
                for number in range(options.rounds + 1):
                    for commit, folder in folders.items():
                        found = run(folder, COMMANDS[name])
                        if number:  # the first round compiles
                            rounds[commit].append(found)
                first = None
                for commit, found in rounds.items():
                    wall, processor = (statistics.median(column) for column in zip(*found))
                    first = first or processor
                    print(f"| {name} | {commit} | {wall:.2f} | {processor:.2f} | {first / processor:.2f} |", flush=True)
        finally:
            for folder in folders.values():
                subprocess.run(["git", "-C", str(root), "worktree", "remove", "--force", str(folder)], check=False)


if __name__ == "__main__":
    main()
