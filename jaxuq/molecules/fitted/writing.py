"""Forecasts of molecules as CSV files, whole or batch by batch."""

import csv
import math
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TextIO

import numpy as np
from jaxtyping import Float, Integer

from jaxuq._files import write_arrays
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.predicting import MoleculeForecast, predict_molecules
from jaxuq.molecules.fitted.representing import MoleculeFeatures
from jaxuq.molecules.records import Row
from jaxuq.study import Listener


def write_forecast(
    path: str | pathlib.Path,
    forecast: MoleculeForecast,
    *,
    rows: Sequence[int] | Integer[np.ndarray, " rows"] | None = None,
    gain: Sequence[float] | Float[np.ndarray, " rows"] | None = None,
    beside: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ()),
) -> None:
    """Write forecasts as CSV: a row a molecule, for each task its columns, then similarity and what went wrong.

    Args:
        path: of the file.
        forecast: from `predict_molecules`.
        rows: which molecules, in this order; None: all.
        gain: of each of these, as `choose_molecules` gives it: a column of its own.
        beside: names of further columns, and their fields for each row of the forecast; they stand behind the SMILES.

    Raises:
        OSError: the disk refuses.
    """
    columns, fields = beside
    with _appearing(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_header(forecast, columns, gain is not None))
        for place, row in enumerate(range(len(forecast.smiles)) if rows is None else rows):
            told = fields[int(row)] if columns else ()
            writer.writerow(_row(forecast, int(row), told, None if gain is None else float(gain[place])))


class Forecasted(NamedTuple):
    """What became of the molecules of a file.

    Attributes:
        count: of the molecules.
        failed: of those without a forecast.
        first: the first of these, and why; None if there is none.
    """

    count: int
    failed: int
    first: tuple[Row, str] | None


def predict_to_file(
    fitted: FittedMolecules,
    batches: Iterable[tuple[Sequence[Row], Sequence[Sequence[str]]]],
    path: str | pathlib.Path,
    *,
    columns: Sequence[str] = (),
    total: int | None = None,
    listener: Listener | None = None,
) -> Forecasted:
    """Forecast molecules batch by batch into a CSV file, which appears when it is whole; one batch is held.

    Args:
        fitted: the model.
        batches: SMILES (tuples, where a row is several molecules) and the fields of further columns, some at a time, as
            `read_in_batches` gives them.
        path: of the file.
        columns: names of the further columns, which stand behind the SMILES; one whose name a column of the forecast
            has gets `_given` behind its own.
        total: molecules in all, for the listener.
        listener: is told how far it is.

    Returns:
        How many molecules there were, and how many have no forecast.

    Raises:
        OSError: the disk refuses.
    """
    listener = Listener() if listener is None else listener
    count, failed, first = 0, 0, None
    with _appearing(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for smiles, fields in batches:
            forecast = predict_molecules(fitted, smiles)
            if not count:
                writer.writerow(_header(forecast, columns, False))
            for row, error in enumerate(forecast.errors):
                writer.writerow(_row(forecast, row, fields[row] if columns else (), None))
                if error:
                    failed += 1
                    first = first or (forecast.smiles[row], error)
            count += len(forecast.smiles)
            listener.progress("forecast", count, max(count, total or count), "molecules")
        if not count:
            writer.writerow(_header(predict_molecules(fitted, []), columns, False))
    return Forecasted(count, failed, first)


def write_features(path: str | pathlib.Path, found: MoleculeFeatures) -> None:
    """Write learnt features: CSV with a row a molecule, or arrays where the name ends in .npz.

    Args:
        path: of the file.
        found: from `represent_molecules`.

    Raises:
        OSError: the disk refuses.
    """
    if pathlib.Path(path).suffix == ".npz":
        write_arrays(path, {"smiles": np.array(found.smiles, str), "features": found.features})
        return
    with _appearing(path) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*found.molecule_columns, *(f"feature_{n}" for n in range(found.features.shape[1])), "error"])
        for smiles, row, error in zip(found.smiles, found.features, found.errors):
            writer.writerow([*_texts(smiles), *("" if error else f"{value:.6g}" for value in row), error])


class _appearing:
    """A text file that replaces another once it is whole."""

    def __init__(self, path: str | pathlib.Path):
        self.path = pathlib.Path(path)

    def __enter__(self) -> TextIO:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, self.temporary = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        self.stream = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        return self.stream

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.stream.flush()
            os.fsync(self.stream.fileno())
            self.stream.close()
            if kind is None:
                os.chmod(self.temporary, 0o644)
                os.replace(self.temporary, self.path)
        finally:
            self.stream.close()
            pathlib.Path(self.temporary).unlink(missing_ok=True)


def _header(forecast: MoleculeForecast, columns: Sequence[str], gain: bool) -> list[str]:
    own = [name for task in range(len(forecast.task_names)) for name in _columns(forecast, task)]
    own = [*own, "similarity", *(["gain"] if gain else []), "error"]
    own_rows = forecast.molecule_columns
    taken = {*own_rows, *own}
    beside: list[str] = []
    for column in columns:
        name = column
        while name in taken:
            name += "_given"
        taken.add(name)
        beside.append(name)
    return [*own_rows, *beside, *own]


def _row(forecast: MoleculeForecast, row: int, beside: Sequence[str], gain: float | None) -> list[str]:
    cells = [cell for task in range(len(forecast.task_names)) for cell in _cells(forecast, row, task)]
    cells += [_number(forecast.similarity[row])] + ([] if gain is None else [_number(gain)])
    return [*_texts(forecast.smiles[row]), *beside, *cells, forecast.errors[row]]


def _texts(row: Row) -> tuple[str, ...]:
    return (row,) if isinstance(row, str) else row


def _columns(forecast: MoleculeForecast, number: int) -> list[str]:
    task = forecast.task_names[number]
    names = [f"{task}_probability" if forecast.task_type == "classification" else task]
    if forecast.task_type == "multiclass":
        names += [f"{task}_probability_{name}" for name in forecast.class_names[number]]
    names += [f"{task}_lower", f"{task}_upper"] if forecast.lower is not None else []
    names += [f"{task}_set"] if forecast.classes is not None else []
    return [*names, f"{task}_aleatoric", f"{task}_epistemic", f"{task}_familiarity"]


def _cells(forecast: MoleculeForecast, row: int, task: int) -> Iterator[str]:
    deviation = math.sqrt(forecast.aleatoric[row, task] + forecast.epistemic[row, task])
    regression = forecast.task_type == "regression"
    if forecast.task_type == "multiclass" and forecast.probabilities is not None:
        names = forecast.class_names[task]
        shares = forecast.probabilities[row, task, : len(names)]
        yield "" if forecast.errors[row] else names[int(np.argmax(shares))]
        yield from map(_number, shares.tolist())
    else:
        yield _number(forecast.mean[row, task], deviation if regression else 0.0)
    if forecast.lower is not None and forecast.upper is not None:
        yield _number(forecast.lower[row, task], deviation)
        yield _number(forecast.upper[row, task], deviation)
    if forecast.classes is not None:
        between = " | " if forecast.task_type == "multiclass" else " "  # names may have blanks
        held = zip(forecast.class_names[task], forecast.classes[row, task])
        yield between.join(name for name, there in held if there)
    for part in (forecast.aleatoric, forecast.epistemic, forecast.familiarity):
        yield _number(part[row, task])


def _number(value: float, step: float = 0.0) -> str:
    """Six digits, or as many as it takes to say it to a millionth of `step`."""
    if math.isnan(value):
        return ""
    far = abs(value) / step if step > 0 and math.isfinite(value) else 1.0
    digits = 6 + (math.ceil(math.log10(far)) if far > 1 else 0)
    return f"{value:.{min(digits, 17)}g}"
