"""The tables of a run's folder, written from the cells that are finished."""

import csv
import io
import json
import pathlib
import statistics
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxuq import study
from jaxuq.study import RunFolder, write_text
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import FunctionReliability, entities
from jaxuq.tagging.benchmark.methods import METHODS, TAGGER
from jaxuq.tagging.benchmark.source import Source
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.records import WeakLabels
from jaxuq.tagging.tagger import hard_targets

SCORES = ("precision", "recall", "f1")


class Cell(NamedTuple):
    """One model on one data set with one seed."""

    dataset: str
    method: str
    seed: int

    def kept(self, folder: RunFolder, configuration: TaggingConfiguration, source: Source) -> study.Cell:
        """Where its arrays and its fitted model are kept, and what they follow from."""
        first, _, second = self.method.partition("+")
        entry = METHODS["sparse-chmm" if configuration.ablations else first]
        versions = [entry.version, *([TAGGER.version] if second else [])]
        encoder = source.encoder if second or entry.neural else None
        place = f"{self.dataset}/{self.method.replace(' ', '-')}/seed-{self.seed}"
        return folder.cell(
            f"predictions/{place}.npz",
            options=configuration.cell_options(),
            defaults=configuration.defaults(),
            data=source.digest,
            method=self.method,
            formula=str(versions),
            weights=encoder,
            seed=self.seed,
            beside=(f"models/{self.dataset}/{self.method}/seed-{self.seed}",),
        )


def finished_cells(
    folder: RunFolder, configuration: TaggingConfiguration, names: list[str], source: Source
) -> Iterator[tuple[Cell, dict[str, np.ndarray]]]:
    """The cells that are there, second stages after their first."""
    endings = [
        "",
        *(["+tagger"] if configuration.tagger else []),
        *(["+alternating"] if configuration.alternate else []),
    ]
    for name in names:
        for ending in endings if not configuration.ablations else [""]:
            for seed in range(configuration.seeds):
                cell = Cell(source.name, f"{name}{ending}", seed)
                arrays = cell.kept(folder, configuration, source).read()
                if arrays is not None:
                    yield cell, arrays


def write_tables(
    folder: RunFolder, sources: list[Source], configuration: TaggingConfiguration, names: list[str]
) -> None:
    """Write `results.csv`, `reliability.csv` and `summary.csv` anew."""
    results, reliability = [], []
    for source in sources:
        for cell, arrays in finished_cells(folder, configuration, names, source):
            if arrays["scores"].size:
                values = dict(zip(SCORES, (round(float(value), 6) for value in arrays["scores"])))
                results.append({**cell._asdict(), **values, "seconds": round(float(arrays["seconds"]), 2)})
            for name, row in zip(source.texts.test.function_names, arrays["functions"]):
                named = dict(zip(FunctionReliability._fields[1:], row))
                tidy = {key: "" if np.isnan(value) else round(float(value), 6) for key, value in named.items()}
                reliability.append({**cell._asdict(), "function": name, **tidy, "entities": int(named["entities"])})
    header = ["dataset", "method", "seed", *SCORES, "seconds"]
    _write_rows(folder.path / "results.csv", header, results)
    _write_rows(
        folder.path / "reliability.csv",
        ["dataset", "method", "seed", *FunctionReliability._fields],
        reliability,
    )
    summary = []
    for dataset, method in dict.fromkeys((row["dataset"], row["method"]) for row in results):
        rows = [row for row in results if (row["dataset"], row["method"]) == (dataset, method)]
        line: dict[str, Any] = {"dataset": dataset, "method": method, "num_seeds": len(rows)}
        for name in SCORES:
            values = [row[name] for row in rows]
            line[name] = round(statistics.fmean(values), 6)
            line[f"{name}_std"] = round(statistics.stdev(values), 6) if len(values) > 1 else ""
        summary.append(line)
    fields = ["dataset", "method", "num_seeds", *(f"{name}{end}" for name in SCORES for end in ("", "_std"))]
    _write_rows(folder.path / "summary.csv", fields, summary)


def _write_rows(path: pathlib.Path, header: list[str], rows: list[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def write_predictions(
    folder: RunFolder, sources: list[Source], configuration: TaggingConfiguration, names: list[str]
) -> None:
    """Write `predictions.jsonl`, with the first seed of each model."""
    lines = []
    for source in sources:
        data = source.texts.test
        for cell, arrays in finished_cells(folder, configuration, names, source):
            if cell.seed == 0:
                lines += prediction_lines(data, arrays["labels"], arrays["confidences"], cell._asdict())
    write_text(folder.path / "predictions.jsonl", "".join(lines))


def prediction_lines(data: WeakLabels, labels: np.ndarray, confidences: np.ndarray, head: dict[str, Any]) -> list[str]:
    """A line of JSON for each sentence."""
    size = len(data.label_names)
    forecast = LabelForecast(labels, hard_targets(labels, size))  # type: ignore[arg-type]
    lines, used = [], 0
    for row, name in enumerate(data.ids):
        found = entities(data, forecast, row)
        for entity in found:
            entity["confidence"] = round(float(confidences[used]), 4)
            used += 1
        record = {**head, "id": name, "tokens": list(data.tokens[row]), "entities": found}
        lines.append(json.dumps(record, ensure_ascii=False) + "\n")
    return lines
