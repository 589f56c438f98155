"""Run label models on data sets, cell by cell, into a result folder."""

import csv
import io
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from jaxuq._keys import named_key
from jaxuq.results import RunFolder, open_run, read_arrays, write_arrays, write_text
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import (
    FunctionReliability,
    believed_emissions,
    entities,
    forecast_scores,
    function_reliabilities,
)
from jaxuq.tagging.benchmark.methods import METHODS, Method, Outcome, Problem, alternate, no_embeddings, teach
from jaxuq.tagging.benchmark.saved import save_model
from jaxuq.tagging.benchmark.settings import ABLATIONS, settings_for
from jaxuq.tagging.embeddings import embed_words
from jaxuq.tagging.label_model import LabelForecast
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.reading import load_weak_labels, read_columns
from jaxuq.tagging.records import TaggingDataError, WeakLabels
from jaxuq.tagging.tagger import hard_targets

_SCORES = ("precision", "recall", "f1")
_COLUMNS = (".conll", ".tsv", ".bio", ".iob2")


class Listener(NamedTuple):
    """What a run tells while it goes on.

    Attributes:
        embedding: called with the name of a text and with sub-words done and in all.
        scored: called with data set, method, seed and the scores of a finished cell (None without gold labels).
        message: called with anything else worth knowing.
    """

    embedding: Callable[[str, int, int], None] = lambda name, done, total: None
    scored: Callable[[str, str, int, dict[str, float] | None], None] = lambda dataset, method, seed, scores: None
    message: Callable[[str], None] = lambda text: None


class _Cell(NamedTuple):
    dataset: str
    method: str
    seed: int

    def path(self, folder: RunFolder) -> pathlib.Path:
        return folder.predictions / self.dataset / self.method.replace(" ", "-") / f"seed-{self.seed}.npz"


def run_tagging(configuration: TaggingConfiguration, listener: Listener = Listener()) -> RunFolder:  # noqa: B008
    """Fit every model on every data set and seed, and write the result folder.

    Models are fitted on `train` (where there is none, on `valid`), epochs are chosen on `valid`, and the part that the
    configuration names is labelled. A cell (data set, model, seed) that is finished is never computed again.

    Args:
        configuration: what to do.
        listener: hears of progress.

    Returns:
        The folder, with `run.json`, `results.csv`, `summary.csv`, `reliability.csv`, `predictions.jsonl` (the first
        seed of each model), `predictions/` and `models/`.

    Raises:
        TaggingDataError: data, models or options are at fault.
        RunFolderError: the folder holds another run.
    """
    names = _check(configuration)
    problems = [_Source(entry, configuration) for entry in configuration.data]
    if len({problem.name for problem in problems}) < len(problems):
        raise TaggingDataError(f"two data sets are called the same: {', '.join(problem.name for problem in problems)}")
    device = f"{jax.default_backend()} x {jax.device_count()}"
    folder = open_run(
        configuration.folder(),
        system="tag",
        configuration=configuration.numbers(),
        device=device,
        resume=configuration.resume,
    )
    folder.write_record(datasets=[source.record() for source in problems])
    began, earlier = time.monotonic(), float(folder.record.get("seconds", 0.0))
    try:
        for source in problems:
            for cell, run in _cells(configuration, names, source):
                if read_arrays(cell.path(folder)) is None:
                    _compute(folder, configuration, cell, run, source.problem(listener), listener)
                    _write_tables(folder, problems, configuration, names)
    finally:
        folder.write_record(seconds=round(earlier + time.monotonic() - began, 1))
    _write_tables(folder, problems, configuration, names)
    _write_predictions(folder, problems, configuration, names)
    folder.write_record(status="complete")
    return folder


def _check(configuration: TaggingConfiguration) -> list[str]:
    """The names of the methods, if everything can be meant."""
    names = list(ABLATIONS) if configuration.ablations else configuration.models()
    unknown = [name for name in names if name not in METHODS and not configuration.ablations]
    if unknown or not names:
        raise TaggingDataError(
            f"--model is {configuration.model!r}: {', '.join(map(repr, unknown)) or 'nothing'} is no model; "
            f"known are {', '.join(METHODS)}"
        )
    if not configuration.data:
        raise TaggingDataError("--data names no data set; for example: jaxuq tag --data NCBI-Disease --model hmm")
    if configuration.seeds < 1 or configuration.alternate < 0:
        raise TaggingDataError(
            f"--seeds is {configuration.seeds} and --alternate {configuration.alternate}; expected at least 1 and 0"
        )
    for name in ("epochs", "batch_size"):
        value = getattr(configuration, name)
        if value is not None and value < 1:
            raise TaggingDataError(f"--{name.replace('_', '-')} is {value}; expected at least 1")
    return names


class _Source:
    """A data set, read when first asked for."""

    def __init__(self, entry: str, configuration: TaggingConfiguration):
        self.entry, self.configuration = entry, configuration
        self.name = pathlib.Path(entry).stem if pathlib.Path(entry).is_file() else pathlib.Path(entry).name
        self._texts: dict[str, WeakLabels] | None = None
        self._problem: Problem | None = None
        self.neural = False

    @property
    def texts(self) -> dict[str, WeakLabels]:
        """`fit`, `valid` and `test`."""
        if self._texts is None:
            self._texts = read_texts(self.entry, self.configuration)
        return self._texts

    def problem(self, listener: Listener) -> Problem:
        """With word vectors if any method wants them."""
        if self._problem is None:
            texts = self.texts
            vectors = {name: self._vectors(name, data, listener) for name, data in texts.items()}
            selection = self.configuration.selection
            if texts["valid"].labels is None and selection == "f1":
                listener.message(f"{self.name} has no gold labels for validation: epochs are chosen by likelihood")
                selection = "likelihood"
            settings = settings_for(
                self.name,
                self.configuration.settings,
                epochs=self.configuration.epochs,
                batch_size=self.configuration.batch_size,
                selection=selection,
                outside=self.configuration.outside,
            )
            fit, valid, test = (EmbeddedText(texts[name], vectors[name]) for name in ("fit", "valid", "test"))
            self._problem = Problem(self.name, fit, valid, test, settings)
        return self._problem

    def _vectors(self, name: str, data: WeakLabels, listener: Listener) -> Any:
        if not self.neural:
            return no_embeddings(data)
        label = f"{self.name} {name}"
        return embed_words(
            self.configuration.embeddings, data.tokens, on_progress=lambda *at: listener.embedding(label, *at)
        )

    def record(self) -> dict[str, Any]:
        """For `run.json`."""
        texts = self.texts
        return {
            "name": self.name,
            "sentences": {name: len(data.lengths) for name, data in texts.items()},
            "label_names": list(texts["test"].label_names),
            "function_names": list(texts["test"].function_names),
        }


def read_texts(entry: str, configuration: TaggingConfiguration) -> dict[str, WeakLabels]:
    """The parts of a data set: a folder, a name, or a file of columns, which serves as all parts.

    Raises:
        TaggingDataError: it is not there, or damaged.
    """
    path = pathlib.Path(entry)
    if path.is_file():
        if path.suffix not in _COLUMNS:
            raise TaggingDataError(
                f"{path} is a file; expected a folder with meta.json, or columns in a file that ends in "
                f"{', '.join(_COLUMNS)}"
            )
        data = read_columns(path)
        if not data.function_names:
            raise TaggingDataError(f"{path}, sentence 0: two columns; expected token, labelling functions, gold tag")
        return {"fit": data, "valid": data, "test": data}

    def load(part: Literal["train", "valid", "test"]) -> WeakLabels | None:
        try:
            return load_weak_labels(entry, part, functions=configuration.functions)
        except TaggingDataError as error:
            if "has no part" in str(error):
                return None
            raise

    parts = {part: load(part) for part in ("train", "valid", configuration.part)}  # type: ignore[misc]
    test = parts[configuration.part]
    if test is None:
        raise TaggingDataError(f"{entry} has no part {configuration.part!r}; choose another --part")
    valid = parts["valid"] or test
    return {"fit": parts["train"] or valid, "valid": valid, "test": test}


def _cells(
    configuration: TaggingConfiguration, names: list[str], source: _Source
) -> Iterator[tuple[_Cell, Callable[[Any, Problem], Outcome]]]:
    """All cells of a data set, in the order of the table."""
    source.neural = configuration.ablations or configuration.tagger or configuration.alternate > 0
    source.neural |= any(METHODS[name].neural for name in names if name in METHODS)
    for name in names:
        method = METHODS["sparse-chmm"] if configuration.ablations else METHODS[name]
        for seed in range(configuration.seeds if method.random else 1):
            yield _Cell(source.name, name, seed), _runner(configuration, name, method)


def _runner(configuration: TaggingConfiguration, name: str, method: Method) -> Callable[[Any, Problem], Outcome]:
    def run(rng_key: Any, problem: Problem) -> Outcome:
        if configuration.ablations:
            sparse = problem.settings.sparse._replace(**ABLATIONS[name])
            problem = problem._replace(settings=problem.settings._replace(sparse=sparse))
        return method.run(rng_key, problem)

    return run


def _compute(
    folder: RunFolder,
    configuration: TaggingConfiguration,
    cell: _Cell,
    run: Callable[[Any, Problem], Outcome],
    problem: Problem,
    listener: Listener,
) -> None:
    rng_key = named_key(jax.random.key(0), cell.dataset, cell.method, cell.seed)
    began = time.monotonic()
    outcome = run(rng_key, problem)
    plain = not configuration.ablations
    gold = plain and METHODS[cell.method].gold
    if plain and configuration.tagger and not gold and outcome.soft is not None:
        forecast, fitted = teach(named_key(rng_key, "tagger"), problem, outcome.soft)
        taught = Outcome(forecast, fitted.params, None, fitted.objective, fitted.scores, None)
        _store(folder, configuration, cell._replace(method=f"{cell.method}+tagger"), taught, problem, listener, began)
    if plain and configuration.alternate and not gold and outcome.soft is not None:
        taught = alternate(named_key(rng_key, "alternate"), problem, run, outcome, configuration.alternate)
        name = f"{cell.method}+alternating"
        _store(folder, configuration, cell._replace(method=name), taught, problem, listener, began)
    _store(folder, configuration, cell, outcome, problem, listener, began)  # last: it says that the cell is finished


def _store(
    folder: RunFolder,
    configuration: TaggingConfiguration,
    cell: _Cell,
    outcome: Outcome,
    problem: Problem,
    listener: Listener,
    began: float,
) -> None:
    data, forecast = problem.test.labels, outcome.forecast
    scores = forecast_scores(data, np.asarray(forecast.labels))
    probabilities = np.asarray(forecast.probabilities)
    rows = function_reliabilities(data, forecast, outcome.reliability)
    gold = None if data.labels is None else hard_targets(data.labels, len(data.label_names))
    found = [entity["confidence"] for row in range(len(data.lengths)) for entity in entities(data, forecast, row)]
    arrays = {
        "labels": np.asarray(forecast.labels, np.int16),
        "confidences": np.array(found, np.float32),
        "emission": believed_emissions(data, probabilities).astype(np.float32),
        "true_emission": np.zeros(0) if gold is None else believed_emissions(data, gold).astype(np.float32),
        "functions": np.array([row[1:] for row in rows], np.float64),
        "scores": np.zeros(0) if scores is None else np.array([getattr(scores, name) for name in _SCORES]),
        "objective": np.asarray(outcome.objective, np.float32),
        "validation": np.asarray(outcome.scores, np.float32),
        "seconds": np.float64(time.monotonic() - began),
    }
    width = problem.test.embeddings[0].shape[1]
    if outcome.params is not None and not configuration.ablations:
        neural = "+" in cell.method or METHODS[cell.method].neural
        target = folder.path / "models" / cell.dataset / cell.method / f"seed-{cell.seed}"
        save_model(
            target,
            outcome.params,
            method=cell.method,
            data=problem.fit.labels,
            settings=problem.settings,
            embeddings=configuration.embeddings,
            width=width if neural else 0,
        )
    write_arrays(cell.path(folder), arrays)
    values = None if scores is None else {name: getattr(scores, name) for name in _SCORES}
    listener.scored(cell.dataset, cell.method, cell.seed, values)


def _finished(
    folder: RunFolder, configuration: TaggingConfiguration, names: list[str], source: _Source
) -> Iterator[tuple[_Cell, dict[str, np.ndarray]]]:
    """The cells that are there, second stages after their first."""
    endings = [
        "",
        *(["+tagger"] if configuration.tagger else []),
        *(["+alternating"] if configuration.alternate else []),
    ]
    for name in names:
        for ending in endings if not configuration.ablations else [""]:
            for seed in range(configuration.seeds):
                cell = _Cell(source.name, f"{name}{ending}", seed)
                arrays = read_arrays(cell.path(folder))
                if arrays is not None:
                    yield cell, arrays


def _write_tables(
    folder: RunFolder, sources: list[_Source], configuration: TaggingConfiguration, names: list[str]
) -> None:
    results, reliability = [], []
    for source in sources:
        for cell, arrays in _finished(folder, configuration, names, source):
            if arrays["scores"].size:
                values = dict(zip(_SCORES, (round(float(value), 6) for value in arrays["scores"])))
                results.append({**cell._asdict(), **values, "seconds": round(float(arrays["seconds"]), 2)})
            for name, row in zip(source.texts["test"].function_names, arrays["functions"]):
                named = dict(zip(FunctionReliability._fields[1:], row))
                tidy = {key: "" if np.isnan(value) else round(float(value), 6) for key, value in named.items()}
                reliability.append({**cell._asdict(), "function": name, **tidy, "entities": int(named["entities"])})
    header = ["dataset", "method", "seed", *_SCORES, "seconds"]
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
        for name in _SCORES:
            values = [row[name] for row in rows]
            line[name] = round(statistics.fmean(values), 6)
            line[f"{name}_std"] = round(statistics.stdev(values), 6) if len(values) > 1 else ""
        summary.append(line)
    fields = ["dataset", "method", "num_seeds", *(f"{name}{end}" for name in _SCORES for end in ("", "_std"))]
    _write_rows(folder.path / "summary.csv", fields, summary)


def _write_rows(path: pathlib.Path, header: list[str], rows: list[dict[str, Any]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, header, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def _write_predictions(
    folder: RunFolder, sources: list[_Source], configuration: TaggingConfiguration, names: list[str]
) -> None:
    lines = []
    for source in sources:
        data = source.texts["test"]
        for cell, arrays in _finished(folder, configuration, names, source):
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
