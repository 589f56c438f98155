"""A grid of benchmark runs, here or on a Ray cluster: one run a data set, results in the same folders.

    python experiments/muben/grid.py --datasets esol freesolv bace --output runs -- --methods muben --seeds 3
    python experiments/muben/grid.py --datasets esol freesolv bace --output runs --ray auto -- --methods muben

What follows `--` are options of `jaxuq muben`, the same for every run. With `--ray` each run is one task on the Ray
cluster of that address (`pip install "jaxuq[cluster]"`; all machines must see the folder of `--output`); without it
they follow one another. A run that fails is named at the end and costs only itself; the same command goes on where it
stopped.
"""

import argparse
import pathlib
import subprocess
import sys


def run(dataset: str, output: str, options: list[str]) -> tuple[str, int, str]:
    """One run in a process of its own; returns the data set, the exit code and the last line of its errors."""
    command = [sys.executable, "-m", "jaxuq", "muben", "--dataset", dataset, "--output", output, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    return dataset, done.returncode, (done.stderr.strip().splitlines() or [""])[-1]


def main() -> int:
    """Run the grid, then write the page that compares its runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", required=True, help="names, CSV files or folders")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs"), help="holds a folder per data set")
    parser.add_argument("--ray", metavar="ADDRESS", help="a Ray cluster: auto (the running one) or local")
    arguments, options = parser.parse_known_args()
    options = [option for option in options if option != "--"]
    cells = [(name, str(arguments.output / pathlib.Path(name).stem), options) for name in arguments.datasets]
    if arguments.ray:
        import ray

        ray.init(address=None if arguments.ray == "local" else arguments.ray)
        results = ray.get([ray.remote(run).remote(*cell) for cell in cells])
    else:
        results = [run(*cell) for cell in cells]
    failed = [(name, message) for name, code, message in results if code]
    for name, message in failed:
        print(f"{name} failed: {message}", file=sys.stderr)
    finished = [folder for (_, folder, _), (_, code, _) in zip(cells, results) if not code]
    if finished:
        subprocess.run([sys.executable, "-m", "jaxuq", "report", *finished], check=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
