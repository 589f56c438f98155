"""Peak memory and time of whole runs of `jaxuq muben` on the sets with most tasks and most molecules.

    JAXUQ_DATA=... python experiments/benchmarks/large_sets.py [--datasets toxcast muv] [--backbones dnn morgan gin]

Each run is a process of its own, two epochs, MC dropout with five samples, one seed: as many bytes as a whole run
needs, in less time. Printed are the largest resident memory of that process or of one of those that make its features,
and seconds with features from nothing, without any cache.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import jaxuq


def measure(dataset: str, backbone: str, epochs: int) -> tuple[float, float]:
    """GiB and seconds of one run."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"dataset": dataset, "backbone": backbone, "methods": "deterministic,mc-dropout", "seeds": "1"}
        options |= {"epochs": str(epochs), "samples": "5", "resamples": "20", "output": f"{folder}/run"}
        command = [sys.executable, "-m", "jaxuq", "muben", *(f"--{name}={value}" for name, value in options.items())]
        environment = {**os.environ, "JAXUQ_CACHE": f"{folder}/cache"}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(f"{dataset}, {backbone}: {done.stderr.strip().splitlines()[-1]}")
        return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, time.perf_counter() - began


def main() -> None:
    """Print the table; each run in a child process, since the largest of all children is what the system tells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=["toxcast", "muv"])
    parser.add_argument("--backbones", nargs="+", default=["dnn", "morgan", "gin"])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        gibibytes, seconds = measure(options.datasets[0], options.backbones[0], options.epochs)
        print(f"{options.datasets[0]:<10}{options.backbones[0]:<10}{gibibytes:>10.2f}{seconds:>10.0f}", flush=True)
        return
    print(f"{'data set':<10}{'backbone':<10}{'peak GiB':>10}{'seconds':>10}", flush=True)
    for dataset in options.datasets:
        for backbone in options.backbones:
            command = [sys.executable, __file__, "--one", "--datasets", dataset, "--backbones", backbone]
            subprocess.run([*command, "--epochs", str(options.epochs)], check=True)


if __name__ == "__main__":
    jaxuq.use_huge_pages()  # as the command does
    main()
