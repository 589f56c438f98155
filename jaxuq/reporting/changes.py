"""How scores change under another condition, such as frozen backbones or a random split."""

from collections.abc import Sequence

from jaxuq.reporting.frames import Frame

_ROW = ["dataset", "backbone", "method"]


def relative_changes(base: Frame, other: Frame, metrics: Sequence[str]) -> Frame:
    r"""Mean over rows of $(s' - s) / s$ in percent, where $s$ is a score and $s'$ the same under another condition.

    A row is a data set, backbone and method that both tables hold a score of; each counts once, so that a small $s$
    weighs much. A score of zero has no relative change and does not count; for a negative one, as an NLL may be, the
    sign turns around.

    Args:
        base: columns `dataset, backbone, method` and metrics; rows that agree in the first three are averaged.
        other: the same columns.
        metrics: columns to compare; one that either table lacks is left out.

    Returns:
        Columns `metric, change, rows`: percent, and how many rows were averaged. Metrics without a common row are left
        out.

    Example:
        >>> import pandas
        >>> base = pandas.DataFrame({"dataset": ["a", "b"], "backbone": "dnn", "method": "swag", "rmse": [1.0, 2.0]})
        >>> relative_changes(base, base.assign(rmse=[1.5, 2.0]), ["rmse"]).to_dict("records")
        [{'metric': 'rmse', 'change': 25.0, 'rows': 2}]

    References:
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, the table of
        frozen backbones and random splits (2.6 of the dissertation).
    """
    import pandas

    kept = [metric for metric in metrics if metric in base and metric in other]
    both = [table.groupby(_ROW)[kept].mean() for table in (base, other)]
    ratios = both[1] / both[0].where(both[0] != 0) - 1
    found = [(metric, 100 * ratios[metric].mean(), int(ratios[metric].notna().sum())) for metric in kept]
    return pandas.DataFrame([row for row in found if row[2]], columns=["metric", "change", "rows"])
