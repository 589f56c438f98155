"""Is the confidence that `jaxuq serve --confidence` tells calibrated, and is the risk that it promises kept?

    jaxuq confidence --model smollm2 --data facts --measures single --samples 0 --output runs/served
    python experiments/confidence/served.py runs/served [--measure uqac_similarity] [--splits 50] [--draws 500]

The answers of a study are what a server with that folder judges by. Calibration: half of them, drawn anew in each
split, are the labelled answers, and the others are asked about; told is their expected calibration error (ten bins of
equal width), of all held-out answers together and in the mean of the splits. Promise: the study's answers are taken as
the world; labelled answers are drawn from it with replacement, the threshold is found, and the risk of all answers of
the world above it is exact. The promise allows the share `delta` (0.1) of draws to exceed the risk.
"""

import argparse

import jax.numpy as jnp
import numpy as np

from jaxuq.confidence import KeptConfidence, load_kept
from jaxuq.metrics import expected_calibration_error


def held_out(kept: KeptConfidence, splits: int, seed: int) -> tuple[float, float]:
    """The error of all held-out answers together, and the mean of the splits' own."""
    rng, each, every = np.random.default_rng(seed), [], []
    for _ in range(splits):
        order = rng.permutation(len(kept.scores))
        known, asked = np.array_split(order, 2)
        own = KeptConfidence(kept.measure, kept.scores[known], kept.correct[known])
        told = np.array([own.calibrated(float(score)).probability for score in kept.scores[asked]])
        each.append(error(told, kept.correct[asked]))
        every.append(np.stack([told, kept.correct[asked]]))
    return error(*np.concatenate(every, axis=1)), float(np.mean(each))


def error(told: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of the probability of being right."""
    return float(expected_calibration_error(jnp.asarray(told, jnp.float32), jnp.asarray(right, jnp.float32), bins=10))


def promises(kept: KeptConfidence, risk: float, draws: int, labelled: int, seed: int) -> tuple[int, int, float]:
    """Draws in which something is promised, those of them in which more is wrong, and the share answered."""
    rng, promised, broken, answered = np.random.default_rng(seed), 0, 0, []
    for _ in range(draws):
        drawn = rng.integers(len(kept.scores), size=labelled)
        if kept.correct[drawn].all() or not kept.correct[drawn].any():
            continue
        threshold = KeptConfidence(kept.measure, kept.scores[drawn], kept.correct[drawn]).threshold(risk)
        given = kept.scores >= threshold
        if not given.any():
            continue
        promised += 1
        broken += bool((~kept.correct[given]).mean() > risk)
        answered.append(given.mean())
    return promised, broken, float(np.mean(answered)) if answered else 0.0


def main() -> None:
    """Read a study, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study")
    parser.add_argument("--measure", default="uqac_similarity")
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--labelled", type=int, default=None, help="answers of a draw; by default as many as there are")
    parser.add_argument("--risks", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kept = load_kept(options.study, options.measure)
    whole, mean = held_out(kept, options.splits, options.seed)
    print(
        f"`{options.measure}`, {len(kept.scores)} answers, {kept.correct.mean():.1%} right: calibration error"
        f" {whole:.3f} of the held-out answers of {options.splits} halvings together, {mean:.3f} in their mean.\n"
    )
    print(f"| promised risk | promised, of {options.draws} draws | broken | answered |\n|---|---|---|---|")
    for risk in options.risks:
        count = options.labelled or len(kept.scores)
        promised, broken, answered = promises(kept, risk, options.draws, count, options.seed)
        print(f"| {risk:g} | {promised} | {broken} | {answered:.1%} |")


if __name__ == "__main__":
    main()
