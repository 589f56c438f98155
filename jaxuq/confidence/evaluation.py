"""Evaluation as the dissertation does it, beside what `jaxuq.metrics` measures on all items."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, Shaped

from jaxuq._arguments import typed
from jaxuq._arrays import entry, masked, select, undefined_unless, widened, within_unit
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked
from jaxuq.metrics import area_under_roc, expected_calibration_error, risk_coverage_curve


class BalancedScores(NamedTuple):
    """AUROC and calibration error on class-balanced subsamples.

    Attributes:
        auroc: of each subsample.
        calibration_error: of each subsample.
        per_class: right (and wrong) answers in a subsample.
    """

    auroc: Float[Array, " repeats"]
    calibration_error: Float[Array, " repeats"]
    per_class: Int[Array, ""]


@typed()
@checked
@widened
def balanced_scores(
    rng_key: Key[Array, ""],
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    repeats: int = 5,
    most: int = 500,
    bins: int = 20,
    convention: Literal["text", "published"] = "text",
    where: Bool[Array, " n"] | None = None,
) -> BalancedScores:
    r"""AUROC and ECE on subsamples with as many right as wrong answers (Tables 3.1 and 3.2).

    Each repeat draws $\min(500, n_{right}, n_{wrong})$ of either kind without replacement. Report mean and population
    standard deviation over the repeats. The balance sets accuracy to one half, so this ECE is comparable between models
    but is not that of deployment: see `jaxuq.metrics.expected_calibration_error` on all items.

    Args:
        rng_key: of the subsamples.
        confidence: in [0, 1] for the calibration error; any real numbers for AUROC.
        correct: 0 or 1.
        repeats: subsamples.
        most: largest number of either kind.
        bins: of the calibration error, equally wide.
        convention: `"published"` closes the bins on the left, as the released code does.
        where: True for the items that count. Leave out items without an answer or with a NaN of *any* method, so that
            all methods are compared on the same ones. None counts all.

    Returns:
        `BalancedScores`; NaN if the items that count have one class only (said, not invented), or a label outside
        [0, 1].

    Raises:
        ValueError: if a number is not a positive integer or `convention` is unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.9, 0.8, 0.7, 0.2]), jnp.array([1, 1, 1, 0])
        >>> scores = balanced_scores(jax.random.key(0), confidence, correct, repeats=2)
        >>> scores.auroc.tolist(), int(scores.per_class)
        ([1.0, 1.0], 1)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning ... 2025, sections 3.4.3 and B.3.
    """
    for name, value in (("repeats", repeats), ("most", most), ("bins", bins)):
        check_count(name, value)
    check_choice("convention", convention, ("text", "published"))
    valid, confidence, correct = masked(where, confidence=confidence, correct=correct)
    right, wrong = valid & (correct > 0), valid & ~(correct > 0)
    per_class = jnp.minimum(jnp.minimum(jnp.sum(right), jnp.sum(wrong)), most)

    def once(key: Array) -> tuple[Array, Array]:
        numbers = jax.random.uniform(key, confidence.shape)
        chosen = jnp.zeros(confidence.shape, bool)
        for kind in (right, wrong):
            ranks = jnp.argsort(jnp.argsort(jnp.where(kind, numbers, 2.0)))
            chosen |= kind & (ranks < per_class)
        auroc = area_under_roc(confidence, correct, where=chosen)
        if convention == "published":
            inside = jnp.clip(confidence, 0.0, 1.0 - 2.0**-24)  # 1 belongs to the last bin
            error = expected_calibration_error(inside, correct, bins=bins, closed="left", where=chosen)
        else:
            error = expected_calibration_error(confidence, correct, bins=bins, where=chosen)
        return auroc, error

    auroc, error = jax.lax.map(once, jax.random.split(rng_key, repeats))
    auroc, error = (undefined_unless(within_unit(correct), values) for values in (auroc, error))
    return BalancedScores(auroc, error, per_class.astype(jnp.int32))


@checked
@widened
def selective_accuracy(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    *,
    coverage: float,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""Accuracy of the most confident share of the answers, $\frac1k \sum_{i \le k} a_{(i)}$, $k = \lceil cN \rceil$.

    One point of `jaxuq.metrics.risk_coverage_curve`; ties as there.

    Args:
        confidence: any real numbers.
        correct: 0 or 1.
        coverage: $c$ in (0, 1].
        where: True for the items that count; None counts all.

    Returns:
        In [0, 1]; NaN if no item counts, or for a label outside [0, 1].

    Raises:
        ValueError: if `coverage` is not in (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.array([0.9, 0.8, 0.4, 0.3]), jnp.array([1, 1, 0, 1])
        >>> print(selective_accuracy(confidence, correct, coverage=0.5))
        1.0

    References:
        Geifman and El-Yaniv. Selective Classification for Deep Neural Networks. NeurIPS 2017.
    """
    check_number("coverage", coverage, 0.0, 1.0, open_low=True)
    valid, confidence, correct = masked(where, confidence=confidence, correct=correct)
    curve = risk_coverage_curve(0.0 - confidence, select(1.0 - correct, valid), where=valid)
    kept = jnp.ceil(coverage * jnp.sum(valid).astype(confidence.dtype) - 1e-5).astype(jnp.int32)
    defined = jnp.any(valid) & within_unit(correct)
    return undefined_unless(defined, 1.0 - entry(curve.selective_risk, jnp.maximum(kept - 1, 0)))
