"""How often bootstrap intervals hold the truth, and their own point: simulated worlds with known answers.

    python experiments/metrics/intervals.py --worlds 300 --rows 200 --resamples 300

Binary predictions with logit scale 1.5 and heteroscedastic Gaussian regression, each calibrated ("1.0") and
overconfident ("0.7", "0.6"); the truth is the score of 600,000 rows. Prints coverage, share of points inside, width.
`--others` takes kinds of worlds in which no formula was chosen: Laplace noise, and one label in five.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxuq import metrics


def laplace_regression(key, rows, scale):
    """Means, variances that are `scale`^2 of the right ones, labels with Laplace noise of one size."""
    mean = 2 * jax.random.normal(key, (rows,))
    noise = jax.random.laplace(jax.random.fold_in(key, 1), (rows,)) / jnp.sqrt(2.0)
    return mean, jnp.full(rows, scale**2), mean + noise


def rare_classification(key, rows, scale):
    """Probabilities, and labels of which about one in five is positive."""
    keys = jax.random.split(key)
    logits = 2.0 * jax.random.normal(keys[0], (rows,)) - 2.2
    labels = (jax.random.uniform(keys[1], (rows,)) < jax.nn.sigmoid(scale * logits)).astype(jnp.int32)
    return jax.nn.sigmoid(logits), labels


def regression(key, rows, scale):
    """Means, variances that are `scale`^2 of the right ones, labels."""
    keys = jax.random.split(key, 3)
    mean, deviation = 2 * jax.random.normal(keys[0], (rows,)), jnp.exp(0.4 * jax.random.normal(keys[1], (rows,)))
    return mean, (scale * deviation) ** 2, mean + deviation * jax.random.normal(keys[2], (rows,))


def classification(key, rows, scale):
    """Probabilities, and labels drawn from logits `scale` as large."""
    keys = jax.random.split(key)
    logits = 1.5 * jax.random.normal(keys[0], (rows,))
    labels = (jax.random.uniform(keys[1], (rows,)) < jax.nn.sigmoid(scale * logits)).astype(jnp.int32)
    return jax.nn.sigmoid(logits), labels


def regression_scores(mean, variance, labels, where):
    """RMSE, RCE, miscalibration area."""
    return jnp.stack(
        [
            metrics.root_mean_squared_error(mean, labels, where=where),
            metrics.regression_calibration_error(mean, variance, labels, where=where),
            metrics.miscalibration_area(mean, variance, labels, where=where),
        ]
    )


def classification_scores(probabilities, labels, where):
    """AUROC, AURC, F1, ECE, ACE."""
    confidence, predicted = jnp.maximum(probabilities, 1 - probabilities), probabilities > 0.5
    correct = predicted == (labels == 1)
    both, either = jnp.sum(where & predicted & (labels == 1)), jnp.sum(where * predicted) + jnp.sum(where * labels)
    return jnp.stack(
        [
            metrics.area_under_roc(probabilities, labels, where=where),
            metrics.area_under_risk_coverage(-confidence, ~correct, where=where),
            2.0 * both / jnp.maximum(either, 1),
            metrics.expected_calibration_error(confidence, correct, where=where),
            metrics.adaptive_calibration_error(confidence, correct, where=where),
        ]
    )


@functools.partial(jax.jit, static_argnames=("make", "scores", "rows", "resamples"))
def world(key, scale, make, scores, rows, resamples):
    """Point and intervals of one world, by kind."""
    found = metrics.bootstrap(key, scores, *make(jax.random.fold_in(key, 1), rows, scale), num_resamples=resamples)
    ends = {
        kind: metrics.interval_of_resamples(found.estimate, found.resamples, interval=kind)
        for kind in ("percentile", "debiased")
    }
    return found.estimate, ends


REGRESSION, CLASSIFICATION = ("RMSE", "RCE", "area"), ("AUROC", "AURC", "F1", "ECE", "ACE")


def simulate(worlds, rows, resamples, others):
    """For each score, scale (calibrated or not) and kind of interval: coverage, points inside, mean width."""
    kinds = (laplace_regression, rare_classification) if others else (regression, classification)
    for make, scores, scales, names in (
        (kinds[0], regression_scores, (1.0, 0.7), REGRESSION),
        (kinds[1], classification_scores, (1.0, 0.6), CLASSIFICATION),
    ):
        for scale in scales:
            many = 200_000
            large = [make(jax.random.key(99 + i), many, scale) for i in range(3)]
            truth = np.mean([jax.jit(scores)(*data, where=jnp.ones(many, bool)) for data in large], axis=0)
            one = functools.partial(world, scale=scale, make=make, scores=scores, rows=rows, resamples=resamples)
            points, ends = jax.lax.map(one, jax.random.split(jax.random.key(5), worlds))
            for kind, (lower, upper) in ends.items():
                covered = np.mean((lower <= truth) & (truth <= upper), axis=0)
                inside = np.mean((lower <= points) & (points <= upper), axis=0)
                yield from (
                    (name, scale == 1.0, kind, float(cover), float(hold), float(width))
                    for name, cover, hold, width in zip(
                        names, covered, inside, np.mean(upper - lower, axis=0), strict=True
                    )
                )


def page(worlds, resamples):
    """The table of README.md."""
    columns = {}
    for title, rows, others in (
        ("n = 200", 200, False), ("other worlds", 200, True), ("n = 2,000", 2000, False),
    ):  # fmt: skip
        for name, calibrated, kind, covered, *_ in simulate(worlds, rows, resamples, others):
            columns[title, name, calibrated, kind] = f"{100 * covered:.1f}"
    print("| | n = 200, calibrated | overconfident | other worlds, calibrated | overconfident | "
          "n = 2,000, calibrated | overconfident | percentile, n = 200 |\n|:---|" + 7 * "---:|")  # fmt: skip
    for name in REGRESSION + CLASSIFICATION:
        fields = [
            columns[title, name, calibrated, "debiased"]
            for title in ("n = 200", "other worlds", "n = 2,000")
            for calibrated in (True, False)
        ]
        fields.append(", ".join(columns["n = 200", name, calibrated, "percentile"] for calibrated in (True, False)))
        print(f"| {name} | {' | '.join(fields)} |")


def main():
    """Print the figures of one kind of worlds, or the page's table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("worlds", 300), ("rows", 200), ("resamples", 300)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--others", action="store_true")
    parser.add_argument("--page", action="store_true", help="all columns of README.md, as Markdown")
    options = parser.parse_args()
    if options.page:
        page(options.worlds, options.resamples)
        return
    for name, calibrated, kind, covered, inside, width in simulate(
        options.worlds, options.rows, options.resamples, options.others
    ):
        said = f"{'calibrated' if calibrated else 'overconfident':13s} {kind:10s} {name:5s}"
        print(f"{said} covers {covered:.3f} holds {inside:.3f} width {width:.4f}", flush=True)


if __name__ == "__main__":
    main()
