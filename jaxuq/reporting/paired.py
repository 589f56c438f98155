"""Whether one method is better than another: paired over resampled examples, and over seeds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxuq.reporting.result_folder import ResultFolder
from jaxuq.study import read_arrays


class Paired(NamedTuple):
    """One score of one method, in a form that can be paired with that of another.

    Attributes:
        mean: over seeds.
        seeds: the score of each seed, by seed.
        resamples: the mean over seeds on each bootstrap resample of the examples; None if it is not known.
        part: what says that two methods were resampled alike: digest of the test part.
    """

    mean: float
    seeds: Mapping[int, float]
    resamples: np.ndarray | None
    part: bytes


def paired_interval(first: Paired, second: Paired, nominal: float | None = None) -> tuple[float, float] | None:
    r"""95 % interval of the difference of two methods' means, over the choice of examples and of seeds.

    $$d \pm \sqrt{h_\pm^2 + \bigl(t_{S - 1} \, s_d / \sqrt S\bigr)^2}$$

    $h_\pm$ are the arms of the bootstrap interval of the difference $d$ on the same resamples, $s_d$ the sample
    deviation of the difference over the $S$ seeds. One seed says nothing of seeds and adds nothing.

    Args:
        first: of one method.
        second: of another.
        nominal: compare distances from this value.

    Returns:
        `(lower, upper)` of first - second; None if they are not paired: other examples, resamples or seeds.

    Example:
        >>> import numpy as np
        >>> draws = np.linspace(-0.1, 0.1, 100)
        >>> one, two = (Paired(mean, {0: mean}, mean + draws, b"test") for mean in (0.5, 0.7))
        >>> lower, upper = paired_interval(one, two)
        >>> round(lower, 3), round(upper, 3)
        (-0.2, -0.2)
    """
    import jax.numpy as jnp
    from scipy.stats import t

    from jaxuq.metrics import interval_of_resamples

    if first.resamples is None or second.resamples is None or first.part != second.part:
        return None
    if first.resamples.shape != second.resamples.shape or set(first.seeds) != set(second.seeds) or not first.seeds:
        return None

    def distance(value):
        return np.asarray(value, np.float64) if nominal is None else np.abs(np.asarray(value, np.float64) - nominal)

    point = float(distance(first.mean) - distance(second.mean))
    draws = distance(first.resamples) - distance(second.resamples) - point
    # Centred before it is narrowed to 32 bits: a small difference of large scores keeps its digits.
    ends = interval_of_resamples(jnp.zeros(()), jnp.asarray(draws, jnp.float32))
    own = np.array([distance(first.seeds[seed]) - distance(second.seeds[seed]) for seed in first.seeds])
    count = len(own)
    arm = t.ppf(0.975, count - 1) * own.std(ddof=1) / np.sqrt(count) if count > 1 else 0.0
    lower, upper = (sign * float(np.hypot(float(end), arm)) for sign, end in zip((-1, 1), ends, strict=True))
    return point + lower, point + upper


def read_paired(folder: ResultFolder) -> dict[str, dict[str, tuple[np.ndarray, bytes]]]:
    """The resampled scores of a run, by method and metric, with the digest of its test part; empty if it has none."""
    stored = read_arrays(folder.path / "resamples.npz") or {}
    found: dict[str, dict[str, tuple[np.ndarray, bytes]]] = {}
    for name, values in stored.items():
        method, _, metric = name.rpartition("/")
        if method and values.ndim == 1 and values.dtype.kind == "f":
            found.setdefault(method, {})[metric] = (values, stored.get("part", np.zeros(0)).tobytes())
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
