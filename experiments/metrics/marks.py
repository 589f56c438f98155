"""How often "better than" is said of two methods that are equally good.

    python experiments/metrics/marks.py

Worlds in which two methods differ by chance alone: their forecasts are the truth of each example and noise of the same
kind, drawn anew for each method (and, with several seeds, in part for each seed); with `--luck` trainings succeed more
or less well, too: the noise of each has a size of its own. Any difference that
`jaxuq.study.comparison.paired_interval` finds, and that pages mark in bold, is a false one; 5 % are due.
"""

import argparse
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq._keys import named_key
from jaxuq.metrics import (
    area_under_roc,
    bootstrap,
    brier_score,
    expected_calibration_error,
    root_mean_squared_error,
)
from jaxuq.study.comparison import Paired, paired_interval

NAMES = ("RMSE", "AUROC", "accuracy", "Brier", "ECE")


def scores(values, logits, truth, labels, *, where):
    """Every metric of every method and seed: `[methods, seeds, metrics]`."""

    def one(value, logit):
        probability, sure = jax.nn.sigmoid(logit), jax.nn.sigmoid(jnp.abs(logit))
        right = ((logit > 0) == (labels > 0)).astype(jnp.float32)
        return jnp.stack([
            root_mean_squared_error(value, truth, where=where),
            area_under_roc(logit, labels, where=where),
            jnp.mean(right, where=where),
            brier_score(probability, labels, where=where),
            expected_calibration_error(sure, right, bins=15, where=where),
        ])  # fmt: skip

    return jax.vmap(jax.vmap(one, in_axes=1), in_axes=1)(values, logits)


def world(key, examples, seeds, scale, luck):
    """Forecasts `[examples, methods, seeds]`, and what came true."""
    keys = [named_key(key, "world", number) for number in range(5)]
    truth = jax.random.normal(keys[0], (examples,))
    labels = jax.random.bernoulli(keys[1], jax.nn.sigmoid(2.0 * truth)).astype(jnp.float32)
    noise = jax.random.normal(keys[2], (examples, 2, 1)) + 0.5 * jax.random.normal(keys[3], (examples, 2, seeds))
    size = jnp.exp(luck * jax.random.normal(keys[4], (2, seeds)))
    values = truth[:, None, None] + 0.6 * size * noise
    return values, 2.0 * values / scale, truth, labels


@functools.partial(jax.jit, static_argnames=("examples", "seeds", "scale", "luck", "resamples"))
def resampled(keys, examples, seeds, scale, luck, resamples):
    """Estimates `[worlds, methods, seeds, metrics]` and the same on resamples."""

    def one(key):
        found = bootstrap(
            named_key(key, "bootstrap"), scores, *world(key, examples, seeds, scale, luck),
            where=jnp.ones(examples, bool), num_resamples=resamples, batch_size=resamples,
        )  # fmt: skip
        return found.estimate, found.resamples

    return jax.lax.map(one, keys)


def false_marks(worlds, examples, seeds, scale, luck, resamples):
    """Share of worlds in which one of two equals is called better, by metric."""
    wrong = np.zeros(len(NAMES))
    for begin in range(0, worlds, 100):
        keys = jnp.stack([named_key(jax.random.key(1), "marks", n) for n in range(begin, min(begin + 100, worlds))])
        estimates, drawn = jax.device_get(resampled(keys, examples, seeds, scale, luck, resamples))
        for own, draws in zip(estimates, drawn):
            for at in range(len(NAMES)):
                first, second = (
                    Paired(
                        float(own[method, :, at].mean()), dict(enumerate(own[method, :, at].tolist())),
                        draws[:, method, :, at].T, "",
                    )
                    for method in range(2)
                )  # fmt: skip
                ends = paired_interval(first, second)
                wrong[at] += ends is not None and (ends[0] > 0 or ends[1] < 0)
    return wrong / worlds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0])
    parser.add_argument("--luck", type=float, nargs="+", default=[0.0, 0.1])
    options = parser.parse_args()
    band = 1.96 * math.sqrt(0.05 * 0.95 / options.worlds)
    print(f"due: 5 %, of {options.worlds} worlds within {100 * (0.05 - band):.1f} and {100 * (0.05 + band):.1f} %\n")
    print(f"| | {' | '.join(NAMES)} |\n|:---|{'---:|' * len(NAMES)}")
    for scale, luck, seeds in itertools.product(options.scales, options.luck, options.seeds):
        if luck and seeds == 1:  # one training cannot tell luck from merit
            continue
        found = false_marks(options.worlds, options.examples, seeds, scale, luck, options.resamples)
        name = {1: "one seed", 3: "three seeds"}.get(seeds, f"{seeds} seeds")
        name += f", scale {scale:g}" * (scale != 1.0) + f", luck {luck:g}" * bool(luck)
        print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in found)} |", flush=True)


if __name__ == "__main__":
    main()
