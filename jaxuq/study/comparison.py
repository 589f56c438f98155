"""Whether one method is better than another: paired over resampled examples, and over seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxuq._errors import OptionError
from jaxuq.study.resamples import Resamples

CORRECTIONS = ("holm", "bonferroni", "benjamini-hochberg", "none")


class Paired(NamedTuple):
    """One score of one method, in a form that can be paired with that of another.

    Attributes:
        mean: over seeds.
        seeds: the score of each seed, by seed.
        resamples: the score on each bootstrap resample of the examples, `[seeds, resamples]`, seeds in ascending order;
            None if it is not known.
        part: what says that two methods were resampled alike: which examples they are.
    """

    mean: float
    seeds: Mapping[int, float]
    resamples: np.ndarray | None
    part: str


def paired_interval(
    first: Paired, second: Paired, nominal: float | None = None, *, level: float = 0.95
) -> tuple[float, float] | None:
    r"""Interval of the difference of two methods' means, over the choice of examples and of seeds; it holds its point.

    $$d + c \pm t_\nu \sqrt V, \qquad V = v^* + \max(0, s_d^2 - u^*) / S, \qquad
      \nu = (S - 1) \left( \frac{V}{V - v^*} \right)^2$$

    $v^*$ is the variance of the difference $d$ over the resamples. What the $S$ seeds differ by has the variance
    $s_d^2$; the part of it that the resamples hold already is $u^*$, their variance around the mean of the seeds, and
    the rest, the luck of trainings, is added, with the degrees of freedom of Satterthwaite. One seed says nothing of
    seeds. $c$ takes off the bias: the interval is the least that holds those with $c = 0$ (equal biases of two methods
    cancel, and to correct them adds noise alone), $c = -b$ and $c = -(1 + \sqrt 2) b$ for the bias $b$ of the resamples
    (see `jaxuq.metrics.interval_of_resamples`; differences of like methods have no skewness), and $d$.

    Args:
        first: of one method.
        second: of another.
        nominal: compare distances from this value.
        level: of the interval, in (0, 1).

    Returns:
        `(lower, upper)` of first - second; None if they are not paired: other examples, resamples or seeds.

    Example:
        >>> import numpy as np
        >>> draws = np.linspace(-0.1, 0.1, 100)
        >>> one, two = (Paired(mean, {0: mean}, mean + draws[None], "test") for mean in (0.5, 0.7))
        >>> lower, upper = paired_interval(one, two)
        >>> round(lower, 3), round(upper, 3)
        (-0.2, -0.2)

    References:
        F. E. Satterthwaite, An Approximate Distribution of Estimates of Variance Components, Biometrics 2, 1946.
    """
    found = _difference(first, second, nominal)
    if found is None:
        return None
    lower, upper = _arms(*found[1:], np.array([level]))
    return found[0] - float(lower[0]), found[0] + float(upper[0])


def paired_probability(first: Paired, second: Paired, nominal: float | None = None) -> float:
    """How likely so large a difference is by chance, if there is none: the p-value that belongs to the interval.

    Args:
        first: of one method.
        second: of another.
        nominal: compare distances from this value.

    Returns:
        One minus the level of the narrowest `paired_interval` that holds zero; NaN if they are not paired.
    """
    found = _difference(first, second, nominal)
    if found is None or not np.isfinite(found[0]):
        return float("nan")
    point, draws, own = found
    low, high = 0.0, 1.0  # of the level
    for _ in range(60):
        level = np.array([0.5 * (low + high)])
        lower, upper = _arms(draws, own, level)
        holds = point - float(lower[0]) <= 0.0 <= point + float(upper[0])
        low, high = (low, float(level[0])) if holds else (float(level[0]), high)
    return 1.0 - high


def corrected(probabilities: Float[np.ndarray, " n"], correction: str = "holm") -> Float[np.ndarray, " n"]:
    """Probabilities of many comparisons at once.

    Args:
        probabilities: of each by itself; NaN takes no part.
        correction: `"holm"` and `"bonferroni"` bound the chance of even one false difference, Holm's at no cost;
            `"benjamini-hochberg"` bounds the share of false ones among those that are found; `"none"`.

    Returns:
        Adjusted probabilities, to be compared with the level wanted of all of them.

    Raises:
        OptionError: another name.

    Example:
        >>> corrected(np.array([0.01, 0.04, 0.03])).round(3).tolist()
        [0.03, 0.06, 0.06]

    References:
        S. Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
        Y. Benjamini and Y. Hochberg, Controlling the False Discovery Rate, JRSS B 57, 1995.
    """
    if correction not in CORRECTIONS:
        raise OptionError(f"correction is {correction!r}; there are {', '.join(CORRECTIONS)}")
    known = np.flatnonzero(~np.isnan(probabilities))
    order = known[np.argsort(probabilities[known], kind="stable")]
    sorted_, count = probabilities[order], len(order)
    places = np.arange(1, count + 1)
    if correction == "holm":
        sorted_ = np.maximum.accumulate(sorted_ * (count - places + 1))
    elif correction == "bonferroni":
        sorted_ = sorted_ * count
    elif correction == "benjamini-hochberg":
        sorted_ = np.minimum.accumulate((sorted_ * count / places)[::-1])[::-1]
    found = np.full(len(probabilities), np.nan)
    found[order] = np.minimum(sorted_, 1.0)
    return found


def standing(
    rows: Sequence[Paired], best: Sequence[bool], nominal: float | None = None
) -> tuple[list[bool], list[bool]]:
    """Which of the best are so beyond chance, and which others may be as good.

    Args:
        rows: one a method.
        best: which have the best mean, in the digits shown.
        nominal: as in `paired_interval`.

    Returns:
        `(decided, near)`: a best is decided if its difference from every other that has a score is known and its
        interval leaves out zero; another is near if that of its difference from a best holds zero.
    """
    decided, near = [False] * len(rows), [False] * len(rows)
    others = [j for j, row in enumerate(rows) if not best[j] and np.isfinite(row.mean)]
    for i in (i for i, is_best in enumerate(best) if is_best):
        ends = {j: paired_interval(rows[i], rows[j], nominal) for j in others}
        decided[i] = bool(others) and all(end is not None and (end[0] > 0 or end[1] < 0) for end in ends.values())
        for j, end in ends.items():
            near[j] |= end is not None and end[0] <= 0 <= end[1]
    return decided, near


def paired_scores(resamples: Resamples | None, where: Callable[[Mapping[str, Any]], bool]) -> dict[str, Paired]:
    """Every metric of the cells that are chosen, which differ by their seeds.

    Args:
        resamples: of a run; None: there are none.
        where: which cells.

    Returns:
        By metric; empty if there are no such cells. Two methods whose seeds have the same examples, seed by seed, pair.
    """
    if resamples is None:
        return {}
    own = [number for number, cell in enumerate(resamples.cells) if where(cell)]
    if not own:
        return {}
    own.sort(key=lambda number: int(resamples.cells[number].get("seed", 0)))
    part, values = " ".join(resamples.parts[number] for number in own), resamples.values[own]
    found = {}
    for at, name in enumerate(resamples.names):
        seeds = {int(resamples.cells[number].get("seed", 0)): float(resamples.estimates[number, at]) for number in own}
        found[name] = Paired(float(np.mean([*seeds.values()])), seeds, values[..., at], part)
    return found


def _difference(
    first: Paired, second: Paired, nominal: float | None
) -> tuple[float, Float[np.ndarray, "seeds resamples"], Float[np.ndarray, " seeds"]] | None:
    """The difference, what it is for each seed on each resample beyond that, and what it is for each seed."""
    if first.resamples is None or second.resamples is None or first.part != second.part:
        return None
    seeds = sorted(first.seeds)
    if first.resamples.shape != second.resamples.shape or len(seeds) != len(first.resamples):
        return None
    if not seeds or seeds != sorted(second.seeds):
        return None

    def distance(value: Any) -> Any:
        return np.asarray(value, np.float64) if nominal is None else np.abs(np.asarray(value, np.float64) - nominal)

    point = float(distance(first.mean) - distance(second.mean))
    own = np.array([distance(first.seeds[seed]) - distance(second.seeds[seed]) for seed in seeds])
    means = distance(first.resamples.mean(0)) - distance(second.resamples.mean(0)) - point
    beside = distance(first.resamples) - distance(second.resamples)
    return point, means + beside - beside.mean(0), own


def _arms(
    draws: Float[np.ndarray, "seeds resamples"], own: Float[np.ndarray, " seeds"], level: Float[np.ndarray, " levels"]
) -> tuple[Float[np.ndarray, " levels"], Float[np.ndarray, " levels"]]:
    """How far the interval reaches below and above its point, for many levels."""
    from scipy.special import stdtrit

    draws, count = draws[:, ~np.isnan(draws).any(0)], len(own)
    nothing = np.full(len(level), np.nan)
    if not draws.shape[1]:
        return nothing, nothing
    means = draws.mean(0)
    bias, resampled, luck = means.mean(), means.var(), 0.0
    if count > 1:
        held = (draws - means).var(1).sum() / (count - 1)
        luck = max(0.0, own.var(ddof=1) - held) / count
    variance = resampled + luck
    degrees = (count - 1) * (variance / luck) ** 2 if luck > 0.0 else np.inf
    centres, half = (0.0, -bias, -(1.0 + np.sqrt(2.0)) * bias), stdtrit(degrees, 0.5 + 0.5 * level) * np.sqrt(variance)
    return np.maximum(half - min(centres), 0.0), np.maximum(half + max(centres), 0.0)
