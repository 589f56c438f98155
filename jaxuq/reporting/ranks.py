"""Ranks of methods per metric, over data sets or seeds: which method wins, and how reliably."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxuq.metrics import mean_rank, mean_reciprocal_rank, rank_methods
from jaxuq.reporting.frames import Frame
from jaxuq.reporting.metric_names import metric_name


class RankTable(NamedTuple):
    """Ranks of competitors, per metric, averaged over the contests they took part in.

    Attributes:
        competitors: names, one per row.
        metrics: metrics that have a better direction, one per column.
        mean_rank: 1 is best; NaN for a competitor that was never ranked.
        mean_reciprocal_rank: 1 is best.
        contests: number of contests per metric.
        gaps: metrics of which some competitor missed some contest, so that its ranks are over fewer.
    """

    competitors: list[str]
    metrics: list[str]
    mean_rank: Float[np.ndarray, "competitors metrics"]
    mean_reciprocal_rank: Float[np.ndarray, "competitors metrics"]
    contests: list[int]
    gaps: list[str]


def rank_table(
    scores: Frame,
    *,
    competitor: str,
    contest: list[str],
    metrics: list[str],
    nominal_coverage: float | None = None,
    group: str | None = None,
) -> RankTable:
    r"""Rank competitors in every contest and average the ranks, and the reciprocal ranks.

    Each distinct combination of the `contest` columns is one contest. Rows that agree in competitor and contest are
    averaged first. Competitors without a score are not ranked there, and the others are ranked among themselves.

    Args:
        scores: a table with the competitor, contest and metric columns.
        competitor: the column that names who is ranked, such as `"method"`.
        contest: the columns that say where, such as `["dataset"]`, or `["dataset", "seed"]`.
        metrics: metric columns; those without a better direction are left out.
        nominal_coverage: what coverages should be; None leaves coverages out.
        group: a column that every competitor belongs to one value of, such as `"backbone"`; if given, the rows of the
            result are its values, and their ranks are averages over their competitors *and* the contests.

    Returns:
        `RankTable`.

    Example:
        >>> import pandas
        >>> scores = pandas.DataFrame({"method": ["a", "b"] * 2, "dataset": ["x", "x", "y", "y"], "ece": [1, 2, 4, 3]})
        >>> ranks = rank_table(scores, competitor="method", contest=["dataset"], metrics=["ece"])
        >>> print(ranks.mean_rank[:, 0], ranks.mean_reciprocal_rank[:, 0])
        [1.5 1.5] [0.75 0.75]

    References:
        Li et al., MUBen: Benchmarking the Uncertainty of Molecular Representation Models, TMLR, 2024.
    """
    directed = [key for key in metrics if _ranked(key, nominal_coverage)]
    competitors = list(dict.fromkeys(scores[competitor]))
    owner = competitors
    if group is not None:
        owner = [scores.loc[scores[competitor] == name, group].iloc[0] for name in competitors]
    names = list(dict.fromkeys(owner))
    columns, reciprocal, contests, gaps = [], [], [], []
    for key in directed:
        # pivot_table drops contests in which nobody has a score.
        wide = scores.pivot_table(index=competitor, columns=contest, values=key, aggfunc="mean").reindex(competitors)
        values = wide.to_numpy(dtype=np.float64, na_value=np.nan)
        if metric_name(key).direction == "nominal":
            values = np.abs(values - nominal_coverage)
        where = np.isfinite(values)
        higher = jnp.full(values.shape[1], metric_name(key).direction == "higher")
        scored = jnp.asarray(np.where(where, values, 0.0), jnp.float32)
        ranks = jax.jit(rank_methods)(scored, higher_is_better=higher, where=jnp.asarray(where))
        if not where.all():
            gaps.append(key)
        contests.append(values.shape[1])
        rows = [np.ravel(np.asarray(ranks)[[o == name for o in owner]]) for name in names]
        longest = max((len(row) for row in rows), default=0)
        padded = np.stack([np.pad(row, (0, longest - len(row)), constant_values=np.nan) for row in rows])
        columns.append(np.asarray(jax.jit(mean_rank)(jnp.asarray(padded))))
        reciprocal.append(np.asarray(jax.jit(mean_reciprocal_rank)(jnp.asarray(padded))))
    empty = np.zeros((len(names), 0), np.float32)
    return RankTable(
        [str(name) for name in names],
        directed,
        np.stack(columns, axis=1) if columns else empty,
        np.stack(reciprocal, axis=1) if reciprocal else empty,
        contests,
        gaps,
    )


def _ranked(key: str, nominal: float | None) -> bool:
    direction = metric_name(key).direction
    return direction in ("higher", "lower") or (direction == "nominal" and nominal is not None)
