"""Read a result folder: `run.json`, `results.csv`, `summary.csv` and the predictions. Nothing here writes."""

import json
import pathlib
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jaxuq._damaged import DAMAGED
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.frames import Frame, OptionalFrame
from jaxuq.reporting.metric_names import RUN_COLUMNS
from jaxuq.study import cell_arrays, read_resamples
from jaxuq.study.comparison import Paired, paired_scores

_MOST_COLUMNS = 5000
_EXPECTED = "a result folder holds at least run.json, as a benchmark such as `jaxuq muben` writes it"


class ResultFolder(NamedTuple):
    """A result folder as it was when read.

    Attributes:
        path: the folder.
        run: the content of `run.json`.
        results: `results.csv`, one row per method, data set and seed; without rows if the file is not there yet.
        summary: `summary.csv`; without rows if the file is not there.
        notices: what was missing or unreadable, in sentences for the reader.
    """

    path: pathlib.Path
    run: dict[str, Any]
    results: Frame
    summary: Frame
    notices: list[str]

    @property
    def configuration(self) -> dict[str, Any]:
        """The configuration of the run; empty if `run.json` holds none."""
        value = self.run.get("configuration")
        return value if isinstance(value, dict) else {}

    @property
    def task_type(self) -> str:
        """`"regression"` or `"classification"`, from `run.json` or else from the columns."""
        given = self.run.get("task_type")
        if given in ("regression", "classification"):
            return given
        return "classification" if "auroc" in self.results.columns else "regression"

    @property
    def unit(self) -> str:
        """Unit of the labels; empty if unknown or if the tasks have several."""
        unit = self.run.get("unit")
        return unit if isinstance(unit, str) else ""

    @property
    def nominal_coverage(self) -> float | None:
        """The coverage that intervals and prediction sets were made for; None if the run does not say."""
        for key in ("nominal_coverage", "coverage", "level"):
            value = self.configuration.get(key, self.run.get(key))
            if isinstance(value, int | float) and 0 < value < 1:
                return float(value)
        return None

    def digest_of(self, dataset: str) -> str:
        """What a data set was, whatever it is called: the digest of its content; empty if the run does not say."""
        for place, name in (("digests", dataset), ("content", "data")):
            known = self.run.get(place)
            if isinstance(known, dict) and isinstance(known.get(name), str):
                return known[name]
        return ""

    @property
    def methods(self) -> list[str]:
        """Methods with results, in the order of the configuration, then of appearance."""
        listed = self.configuration.get("methods")
        planned = [str(method) for method in listed] if isinstance(listed, list) else []
        found = list(dict.fromkeys(self.results["method"])) if len(self.results) else []
        return [m for m in dict.fromkeys(planned) if m in found] + [m for m in found if m not in planned]

    @property
    def metrics(self) -> list[str]:
        """Metric columns of `results.csv` that hold at least one number, in the file's order."""
        columns = [column for column in self.results.columns if column not in RUN_COLUMNS]
        return [column for column in columns if self.results[column].notna().any()]


class Predictions(NamedTuple):
    """Test predictions of one method and seed, as written by the run.

    Attributes:
        labels: true values; anything where `mask` is False.
        mask: True where a label exists.
        center: predictive means in the units of the labels (regression) or logits (classification).
        aleatoric: variances (regression) or entropies in nats (classification).
        epistemic: as `aleatoric`.
    """

    labels: Float[np.ndarray, "n tasks"]
    mask: Bool[np.ndarray, "n tasks"]
    center: Float[np.ndarray, "n tasks"]
    aleatoric: Float[np.ndarray, "n tasks"]
    epistemic: Float[np.ndarray, "n tasks"]


def read_folder(path: str | pathlib.Path) -> ResultFolder:
    """Read the tables of a result folder, finished or not.

    Args:
        path: the folder.

    Returns:
        `ResultFolder`. A file that is not there yet leaves an empty table and a notice.

    Raises:
        ReportError: if the folder is no result folder, or one of its tables is there but unreadable.

    Example:
        >>> read_folder("no/such/folder")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: no such folder; a result folder holds at least run.json, ...
    """
    folder = pathlib.Path(path)
    run, notices = read_record(folder), []
    results = _read_table(folder / "results.csv", ("dataset", "method", "seed"))
    if results is None:
        notices.append("results.csv is not there (yet), so the score tables are missing.")
    summary = _read_table(folder / "summary.csv", ("dataset", "method"))
    if summary is None:
        notices.append("summary.csv is not there (yet), so the intervals over test molecules are missing.")
    empty = _empty_table()
    return ResultFolder(
        folder, run, empty if results is None else results, empty if summary is None else summary, notices
    )


def read_predictions(folder: ResultFolder, method: str, seed: int) -> Predictions:
    """Read the test predictions of one method and seed.

    Args:
        folder: what `read_folder` gave.
        method: name of the method.
        seed: seed of the run.

    Returns:
        `Predictions`; labels without a number count as masked.

    Raises:
        ReportError: if the file is missing, damaged, or its arrays do not fit together.
    """
    name = f"{method}-seed{seed}.npz"
    if pathlib.PurePath(name).name != name:
        raise ReportError(f"predictions/{name}: a method whose name holds a path has no predictions")
    center = "test_mean" if folder.task_type == "regression" else "test_logits"
    keys = ("test_labels", "test_mask", center, "test_aleatoric", "test_epistemic")
    file = folder.path / "predictions" / name
    if not file.is_file():
        raise ReportError(f"predictions/{name}: not there")
    stored = cell_arrays(file)
    if stored is None:
        raise ReportError(f"predictions/{name}: unreadable, for it is damaged; the same command computes it again")
    missing = [key for key in keys if key not in stored]
    if missing:
        raise ReportError(f"predictions/{name}: no array {', '.join(missing)}")
    arrays = [stored[key] for key in keys]
    if arrays[0].ndim != 2 or any(array.shape != arrays[0].shape for array in arrays):
        shapes = ", ".join(f"{key} {array.shape}" for key, array in zip(keys, arrays, strict=True))
        raise ReportError(f"predictions/{name}: arrays must share one shape [n, tasks], found {shapes}")
    if any(array.dtype.kind not in "fiub" for array in arrays):
        raise ReportError(f"predictions/{name}: arrays must hold numbers")
    labels, mask, center_values, aleatoric, epistemic = arrays
    labels = labels.astype(np.float32)
    values = [array.astype(np.float32) for array in (center_values, aleatoric, epistemic)]
    return Predictions(labels, mask.astype(bool) & np.isfinite(labels), *values)


def paired_methods(folder: ResultFolder, rows: Frame) -> dict[str, dict[str, Paired]]:
    """The resampled scores of the methods of one part of a folder.

    Args:
        folder: what `read_folder` gave.
        rows: of `results.csv`, of one data set (and split and backbone, where there are such).

    Returns:
        By method and metric; empty where the run has no resamples.
    """
    stored = read_resamples(folder.path)
    keys = [name for name in RUN_COLUMNS if name not in ("method", "seed")]
    place = {name: str(rows[name].iloc[0]) for name in keys if len(rows)}

    def of(method: str) -> dict[str, Paired]:
        wanted = place | {"method": method}
        there = None if stored is None else stored[0].last_round()
        return paired_scores(there, lambda cell: all(str(cell.get(k, wanted[k])) == wanted[k] for k in wanted))

    return {str(method): of(str(method)) for method in dict.fromkeys(rows["method"])}


def read_record(folder: pathlib.Path) -> dict[str, Any]:
    """Read what a run says of itself.

    Args:
        folder: of any command.

    Returns:
        The content of `run.json`; it names its `system`.

    Raises:
        ReportError: if the folder is no result folder.
    """
    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise ReportError(f"{folder}: {problem}; {_EXPECTED}")
    file = folder / "run.json"
    if not file.is_file():
        raise ReportError(f"{folder}: no run.json in it; {_EXPECTED}")
    try:
        run = json.loads(file.read_text(encoding="utf-8"))
    except DAMAGED as error:
        raise ReportError(f"{file}: unreadable ({error}); {_EXPECTED}") from error
    if not isinstance(run, dict) or "system" not in run:
        raise ReportError(f'{file}: no "system" in it; {_EXPECTED}')
    return run


def _read_table(file: pathlib.Path, required: tuple[str, ...]) -> OptionalFrame:
    """Read a CSV file with its run columns as text and all others as numbers; None if it is not there."""
    import pandas

    if not file.is_file():
        return None
    try:
        with file.open("rb") as stream:
            columns = stream.readline(_MOST_COLUMNS * 1000).count(b",")
        if columns > _MOST_COLUMNS:  # which cost pandas their square
            raise ValueError(f"it has {columns} columns or more, and no result has {_MOST_COLUMNS}")
        table = pandas.read_csv(file, dtype={name: str for name in RUN_COLUMNS if name != "seed"})
    except pandas.errors.EmptyDataError:
        return None
    except (OSError, ValueError) as error:
        raise ReportError(f"{file}: not a readable CSV table ({error})") from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise ReportError(f"{file}: no column {', '.join(missing)}; found {', '.join(map(str, table.columns))}")
    for name in RUN_COLUMNS:
        if name in table.columns and name != "seed":
            table[name] = table[name].fillna("")
        elif name != "seed":
            table[name] = ""
    for name in table.columns:
        if name not in RUN_COLUMNS or name == "seed":
            try:
                table[name] = pandas.to_numeric(table[name])
            except (ValueError, TypeError) as error:
                raise ReportError(f"{file}: column {name} must hold numbers ({error})") from error
    if "seed" in required and bool(table["seed"].isna().to_numpy().any()):
        raise ReportError(f"{file}: column seed must not be blank")
    return table


def _empty_table() -> Frame:
    import pandas

    return pandas.DataFrame(columns=list(RUN_COLUMNS))
