"""Run label models on data sets, cell by cell, into a result folder."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxuq._keys import named_key
from jaxuq._programs import forget_programs_if_many
from jaxuq.study import Options, RunFolder, digest, open_run
from jaxuq.tagging.benchmark.configuration import TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import believed_emissions, entities, forecast_scores, function_reliabilities
from jaxuq.tagging.benchmark.listener import Listener
from jaxuq.tagging.benchmark.methods import METHODS, Method, Outcome, Problem, alternate, teach
from jaxuq.tagging.benchmark.saved import save_model
from jaxuq.tagging.benchmark.settings import ABLATIONS
from jaxuq.tagging.benchmark.source import Source
from jaxuq.tagging.benchmark.tables import SCORES, Cell, write_predictions, write_tables
from jaxuq.tagging.records import TaggingDataError
from jaxuq.tagging.tagger import hard_targets


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
    sources = [Source(entry, configuration, _neural(configuration, names)) for entry in configuration.data]
    if len({source.name for source in sources}) < len(sources):
        raise TaggingDataError(f"two data sets are called the same: {', '.join(source.name for source in sources)}")
    records = [source.record() for source in sources]  # read before there is a folder
    digests = {source.name: source.digest for source in sources}
    encoder = sources[0].encoder
    with open_run(
        configuration.folder(),
        system="tag",
        options=Options(configuration.numbers(), configuration.defaults(), ("data", "embeddings"), ("seeds",)),
        content={"data": digest(digests)} | ({} if encoder is None else {"embeddings": encoder}),
        device=f"{jax.default_backend()} x {jax.device_count()}",
        resume=configuration.resume,
    ) as folder:
        began, earlier = time.monotonic(), folder.seconds
        folder.write_record(status="running", datasets=records, digests=digests)
        try:
            write_tables(folder, sources, configuration, names)
            for source in sources:
                for cell, run in _cells(configuration, names, source):
                    if cell.kept(folder, configuration, source).read() is None:
                        _compute(folder, configuration, cell, run, source, listener)
                        write_tables(folder, sources, configuration, names)
                        forget_programs_if_many()
        finally:
            folder.write_record(seconds=round(earlier + time.monotonic() - began, 1))
        write_predictions(folder, sources, configuration, names)
        folder.write_record(status="complete")
    return folder


def _neural(configuration: TaggingConfiguration, names: list[str]) -> bool:
    """Whether anything reads word vectors."""
    further = configuration.ablations or configuration.tagger or configuration.alternate > 0
    return further or any(METHODS[name].neural for name in names)


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


def _cells(
    configuration: TaggingConfiguration, names: list[str], source: Source
) -> Iterator[tuple[Cell, Callable[[Any, Problem], Outcome]]]:
    """All cells of a data set, in the order of the table."""
    for name in names:
        method = METHODS["sparse-chmm"] if configuration.ablations else METHODS[name]
        for seed in range(configuration.seeds if method.random else 1):
            yield Cell(source.name, name, seed), _runner(configuration, name, method)


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
    cell: Cell,
    run: Callable[[Any, Problem], Outcome],
    source: Source,
    listener: Listener,
) -> None:
    problem = source.problem(listener)
    rng_key = named_key(jax.random.key(0), cell.dataset, cell.method, cell.seed)
    began = time.monotonic()
    outcome = run(rng_key, problem)
    plain = not configuration.ablations
    gold = plain and METHODS[cell.method].gold
    if plain and configuration.tagger and not gold and outcome.soft is not None:
        forecast, fitted = teach(named_key(rng_key, "tagger"), problem, outcome.soft)
        taught = Outcome(forecast, fitted.params, None, fitted.objective, fitted.scores, None)
        taught_cell = cell._replace(method=f"{cell.method}+tagger")
        _store(folder, configuration, source, taught_cell, taught, listener, began)
    if plain and configuration.alternate and not gold and outcome.soft is not None:
        taught = alternate(named_key(rng_key, "alternate"), problem, run, outcome, configuration.alternate)
        taught_cell = cell._replace(method=f"{cell.method}+alternating")
        _store(folder, configuration, source, taught_cell, taught, listener, began)
    _store(folder, configuration, source, cell, outcome, listener, began)  # last: it says that the cell is finished


def _store(
    folder: RunFolder,
    configuration: TaggingConfiguration,
    source: Source,
    cell: Cell,
    outcome: Outcome,
    listener: Listener,
    began: float,
) -> None:
    problem = source.problem(listener)
    data, forecast = problem.test.labels, outcome.forecast
    scores = forecast_scores(data, np.asarray(forecast.labels))
    probabilities = np.asarray(forecast.probabilities)
    rows = function_reliabilities(data, forecast, outcome.reliability)
    gold = None if data.labels is None else hard_targets(data.labels, len(data.label_names))
    found = [entity["confidence"] for row in range(len(data.lengths)) for entity in entities(data, forecast, row)]
    arrays = {
        "ids": np.array(data.ids, str),
        "lengths": data.lengths,
        "gold": np.zeros(0, np.int16) if data.labels is None else data.labels.astype(np.int16),
        "labels": np.asarray(forecast.labels, np.int16),
        "confidences": np.array(found, np.float32),
        "emission": believed_emissions(data, probabilities).astype(np.float32),
        "true_emission": np.zeros(0) if gold is None else believed_emissions(data, gold).astype(np.float32),
        "functions": np.array([row[1:] for row in rows], np.float64),
        "scores": np.zeros(0) if scores is None else np.array([getattr(scores, name) for name in SCORES]),
        "objective": np.asarray(outcome.objective, np.float32),
        "validation": np.asarray(outcome.scores, np.float32),
        "seconds": np.float64(time.monotonic() - began),
    }
    kept = cell.kept(folder, configuration, source)
    if outcome.params is not None and not configuration.ablations:
        neural = "+" in cell.method or METHODS[cell.method].neural
        save_model(
            folder.path / kept.beside[0],
            outcome.params,
            method=cell.method,
            data=problem.fit.labels,
            settings=problem.settings,
            embeddings=configuration.embeddings,
            encoder=source.encoder,
            sentence_vector=configuration.sentence_vector,
            width=problem.test.embeddings[0].shape[1] if neural else 0,
        )
    kept.write(arrays)
    values = None if scores is None else {name: getattr(scores, name) for name in SCORES}
    listener.scored(cell.dataset, cell.method, cell.seed, values)
