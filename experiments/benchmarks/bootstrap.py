"""1,000 bootstrap resamples of ECE, AUROC and AURC of 10,000 predictions: jaxuq beside torchmetrics in a loop.

    python experiments/benchmarks/bootstrap.py [--torch-python PYTHON] [--rows 10000] [--resamples 1000] [--rounds 3]

PYTHON is an interpreter with torch and torchmetrics, which has ECE and AUROC; a resample there is a call of each
functional on the rows that were drawn. It is timed on `--peer-resamples` of them and multiplied, for a thousand take
minutes. AURC, which torchmetrics has not, is compared with a loop in NumPy. The contestants take turns; the ratio is
the median over rounds, with its range. Compilation is left out, and told.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq.metrics import area_under_risk_coverage, area_under_roc, bootstrap, expected_calibration_error

TORCH = """
import json, sys, time, torch
from torchmetrics.functional.classification import binary_auroc, binary_calibration_error
rows, resamples = map(int, sys.argv[1:])
torch.manual_seed(0)
p = torch.rand(rows)
y = (torch.rand(rows) < p).long()
scores = {"ECE": lambda p, y: binary_calibration_error(p, y, n_bins=15), "AUROC": binary_auroc}
for line in sys.stdin:
    score = scores[line.strip()]
    began = time.perf_counter()
    for _ in range(resamples):
        drawn = torch.randint(0, rows, (rows,))
        score(p[drawn], y[drawn])
    print(json.dumps((time.perf_counter() - began) / resamples), flush=True)
"""


def numpy_aurc(rng: np.random.Generator, confidence: np.ndarray, wrong: np.ndarray) -> float:
    """Seconds of a resample of AURC in NumPy."""
    began = time.perf_counter()
    drawn = rng.integers(0, len(wrong), len(wrong))
    order = np.argsort(-confidence[drawn], kind="stable")
    np.mean(np.cumsum(wrong[drawn][order]) / np.arange(1, len(wrong) + 1))
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torchmetrics")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--peer-resamples", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    p = rng.uniform(size=options.rows).astype(np.float32)
    y = (rng.uniform(size=options.rows) < p).astype(np.int32)
    arrays = jnp.asarray(p), jnp.asarray(y)
    metrics = {
        "ECE": lambda p, y, **counted: expected_calibration_error(p, y == 1, **counted),
        "AUROC": lambda p, y, **counted: area_under_roc(p, y, **counted),
        "AURC": lambda p, y, **counted: area_under_risk_coverage(1 - p, y == 0, **counted),
    }
    runs, compiled, how = {}, {}, {"num_resamples": options.resamples, "as_weights": True}
    for name, metric in metrics.items():
        run = jax.jit(lambda key, *data, metric=metric: bootstrap(key, metric, *data, **how))
        began = time.perf_counter()
        runs[name] = run.lower(jax.random.key(0), *arrays).compile()
        compiled[name] = time.perf_counter() - began
    command = [options.torch_python, "-c", TORCH, str(options.rows), str(options.peer_resamples)]
    peer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert peer.stdin is not None and peer.stdout is not None

    def theirs(name: str) -> float:
        if name == "AURC":
            each = [numpy_aurc(rng, p, 1 - y) for _ in range(options.peer_resamples)]
            return options.resamples * statistics.mean(each)
        print(name, file=peer.stdin, flush=True)
        return options.resamples * json.loads(peer.stdout.readline())

    print(f"{options.rows:,} rows, {options.resamples:,} resamples\n")
    print("| score | jaxuq (s) | compiled in (s) | peer | peer (s) | peer / jaxuq, median (range) |")
    print("|---|---|---|---|---|---|")
    for name, run in runs.items():
        rounds = []
        for number in range(options.rounds + 1):
            began = time.perf_counter()
            jax.block_until_ready(run(jax.random.key(number), *arrays))
            ours = time.perf_counter() - began
            rounds.append((ours, theirs(name)))
        ratios = sorted(other / ours for ours, other in rounds[1:])  # the first only warms up
        ours, other = (statistics.median(column) for column in zip(*rounds[1:]))
        called = "NumPy, a loop" if name == "AURC" else "torchmetrics, a loop"
        print(
            f"| {name} | {ours:.2f} | {compiled[name]:.1f} | {called} | {other:.2f} | "
            f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )
    peer.kill()


if __name__ == "__main__":
    main()
