"""The tables of a result folder: CSV files, and means over seeds."""

import csv
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxuq._files import write_text

Row = Mapping[str, Any]
Intervals = Mapping[tuple[Any, ...], Mapping[str, tuple[float, float]]]
"""Lower and upper ends by metric, of every row of a summary (the values of its keys)."""


def write_table(path: str | pathlib.Path, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
    """Write a CSV file, atomically.

    Args:
        path: the file.
        rows: by column; the columns are those of all rows, in order of appearance.
        columns: that are there at least, such as those of a table without rows.

    Numbers have all their digits. A NaN, or what a row does not have, is left blank; an infinity (too few labels for a
    conformal interval) is written `inf`.

    Example:
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(folder + "/results.csv", [{"method": "swag", "rmse": 0.5}, {"method": "bbp", "nll": 1.0}])
        ...     print(pathlib.Path(folder, "results.csv").read_text(), end="")
        method,rmse,nll
        swag,0.5,
        bbp,,1.0
    """
    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def _text(value: Any) -> Any:
    if isinstance(value, float | np.floating):
        value = float(value) if isinstance(value, float) else float(str(value))
        return "" if np.isnan(value) else value
    return value


def summarise(
    rows: Sequence[Row],
    *,
    by: Sequence[str] = ("dataset", "method"),
    names: Sequence[str],
    intervals: Intervals | None = None,
) -> list[dict[str, Any]]:
    """The rows of `summary.csv`: mean and sample standard deviation over seeds, and intervals over examples.

    Args:
        rows: of `results.csv`.
        by: columns that tell rows of the summary apart.
        names: metrics; of those that end in `seconds` there is a mean alone.
        intervals: of the means; what is missing is left blank.

    Returns:
        A row for each combination of `by`, in order of appearance; a seed on which a metric is undefined is left out of
        its mean.

    Example:
        >>> rows = [{"method": "swag", "seed": seed, "rmse": value} for seed, value in enumerate((1.0, 3.0))]
        >>> line = summarise(rows, by=["method"], names=["rmse"], intervals={("swag",): {"rmse": (0.5, 3.5)}})[0]
        >>> line["rmse_mean"], round(line["rmse_std"], 3), line["rmse_lower"], line["num_seeds"]
        (2.0, 1.414, 0.5, 2)
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    by = [name for name in by if any(name in row for row in rows)]
    for row in rows:
        groups.setdefault(tuple(row.get(name, "") for name in by), []).append(row)
    lines = []
    for key, own in groups.items():
        line: dict[str, Any] = {**dict(zip(by, key)), "num_seeds": len(own)}
        for name in names:
            values = np.array([row.get(name, np.nan) for row in own], np.float64)
            values = values[~np.isnan(values)]
            line[f"{name}_mean"] = float(values.mean()) if values.size else np.nan
            if name.endswith("seconds"):
                continue
            spread = values.size > 1 and np.isfinite(values).all()  # a conformal interval may be infinite
            line[f"{name}_std"] = float(values.std(ddof=1)) if spread else np.nan
            line[f"{name}_lower"], line[f"{name}_upper"] = (intervals or {}).get(key, {}).get(name, (np.nan, np.nan))
        lines.append(line)
    return lines
