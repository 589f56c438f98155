"""Run label models on data sets, cell by cell, into a result folder."""

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from jaxuq._keys import named_key
from jaxuq.study import (
    Listener,
    Plan,
    RunFolder,
    compute_cells,
    digest,
    entry_record,
    open_run,
    options_of,
    summarise,
    write_table,
)
from jaxuq.tagging.benchmark.cells import SHOWN, Cell, cell_content, cell_rows, intervals_of, write_labelled
from jaxuq.tagging.benchmark.configuration import APPLIED, TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import FunctionReliability
from jaxuq.tagging.benchmark.methods import METHODS, TAGGER, Outcome, Problem, alternate, known, teach
from jaxuq.tagging.benchmark.saved import save_model
from jaxuq.tagging.benchmark.settings import ABLATIONS
from jaxuq.tagging.benchmark.source import Source
from jaxuq.tagging.records import TaggingDataError

_PLACE = ("dataset", "method", "seed")
_COLUMNS = {
    "results.csv": (*_PLACE, *SHOWN, "seconds"),
    "reliability.csv": (*_PLACE, *FunctionReliability._fields),
}


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
    votes = configuration.ablations or any(known(METHODS[name], "votes") for name in names)
    neural = _neural(configuration, names)
    sources = [Source(entry, configuration, neural=neural, votes=votes) for entry in configuration.data]
    if len({source.name for source in sources}) < len(sources):
        raise TaggingDataError(f"two data sets are called the same: {', '.join(source.name for source in sources)}")
    records = [source.record() for source in sources]  # read before there is a folder
    digests = {source.name: source.digest for source in sources}
    encoder = sources[0].encoder
    entries = [] if configuration.ablations else names
    with open_run(
        configuration.folder(),
        system="tag",
        options=options_of(configuration, left_out=APPLIED, names=("data", "embeddings"), free=("seeds",)),
        content={"data": digest(digests)} | ({} if encoder is None else {"embeddings": encoder}),
        resume=configuration.resume,
        crew=configuration.crew(run_tagging, configuration),
        datasets=records,
        digests=digests,
        entries={name: entry_record(METHODS[name]) | {"gold": known(METHODS[name], "gold")} for name in entries},
    ) as folder:
        plans = _plans(folder, configuration, names, sources)
        work = functools.partial(_compute, folder, configuration, listener)
        tables = compute_cells(
            folder, plans, work, rows=cell_rows, listener=listener, shown=SHOWN, columns=_COLUMNS
        )  # fmt: skip
        summary = summarise(tables.get("results.csv", []), names=SHOWN, intervals=intervals_of(folder.path, plans))
        write_table(folder.path / "summary.csv", summary, ("dataset", "method", "num_seeds"))
        write_labelled(folder.path, plans)
    return folder


def _neural(configuration: TaggingConfiguration, names: list[str]) -> bool:
    """Whether anything reads word vectors."""
    further = configuration.ablations or configuration.tagger or configuration.fine_tune or configuration.alternate > 0
    return further or any(known(METHODS[name], "neural") for name in names)


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
    if configuration.apply is not None:
        raise TaggingDataError("apply labels with a saved model, and nothing is fitted then: take `apply_model`")
    for name in ("recall", "precision", "calibrate"):
        if getattr(configuration, name) is not None:
            raise TaggingDataError(f"--{name} is for labelling with a saved model; add --apply with its folder")
    for name in ("epochs", "batch_size"):
        value = getattr(configuration, name)
        if value is not None and value < 1:
            raise TaggingDataError(f"--{name.replace('_', '-')} is {value}; expected at least 1")
    return names


def _plans(
    folder: RunFolder, configuration: TaggingConfiguration, names: list[str], sources: list[Source]
) -> list[Plan]:
    """All cells in the order of the tables: of each model its second stages after itself."""
    plans = []
    for source in sources:
        for name in names:
            entry = METHODS["sparse-chmm" if configuration.ablations else name]
            staged = not configuration.ablations and not known(entry, "gold")
            endings = ["", *["+tagger"] * (staged and configuration.tagger)]
            endings += ["+fine-tuned"] * (staged and configuration.fine_tune)
            endings += ["+alternating"] * (staged and configuration.alternate > 0)
            for ending in endings:
                for seed in range(configuration.seeds if known(entry, "random") else 1):
                    cell = Cell(source, name, ending, seed)
                    kept = cell.kept(folder, configuration)
                    plans.append(Plan(cell.title, kept, cell, f"{source.name}, {name}, seed {seed}"))
    return plans


def _compute(
    folder: RunFolder, configuration: TaggingConfiguration, listener: Listener, plans: list[Plan]
) -> Iterator[tuple[Plan, dict[str, Any]]]:
    """A model with a seed, and what it teaches."""
    first: Cell = plans[0].about
    problem = first.source.problem(listener)._replace(
        checkpoint=folder.checkpoints / plans[-1].kept.identity.address,
        on_progress=lambda what, done, of, loss: listener.progress(what, done, of, f"steps, loss {loss:.3f}"),
    )
    run = _runner(configuration, first.name)
    rng_key = named_key(jax.random.key(0), first.source.name, first.name, first.seed)
    began = time.monotonic()
    outcome = run(rng_key, problem)
    for plan in plans:
        found = outcome
        if plan.about.ending and outcome.soft is None:
            raise TaggingDataError(
                f"{first.name} does not label the text that it is fitted to, so nothing can be taught"
            )
        if plan.about.ending in ("+tagger", "+fine-tuned"):
            tuned = plan.about.ending == "+fine-tuned"
            key = named_key(rng_key, "fine-tuned" if tuned else "tagger")
            forecast, fitted = teach(key, problem, np.asarray(outcome.soft), encoder=tuned)
            found = Outcome(forecast, fitted.params, None, fitted.objective, fitted.scores, None)
        elif plan.about.ending:
            found = alternate(named_key(rng_key, "alternate"), problem, run, outcome, configuration.alternate)
        entry = TAGGER if plan.about.ending else METHODS["sparse-chmm" if configuration.ablations else first.name]
        if found.params is not None and "template" in entry.functions and not configuration.ablations:
            neural = known(entry, "neural")
            save_model(
                folder.path / plan.about.model_folder,
                found.params,
                method=plan.about.method,
                data=problem.fit.labels,
                settings=problem.settings,
                embeddings=configuration.embeddings,
                encoder=first.source.encoder,
                sentence_vector=configuration.sentence_vector,
                width=problem.test.embeddings[0].shape[1] if neural else 0,
            )
        yield plan, cell_content(problem.test.labels, found, time.monotonic() - began)


def _runner(configuration: TaggingConfiguration, name: str) -> Callable[[Any, Problem], Outcome]:
    method = METHODS["sparse-chmm" if configuration.ablations else name]

    def run(rng_key: Any, problem: Problem) -> Outcome:
        if configuration.ablations:
            sparse = problem.settings.sparse._replace(**ABLATIONS[name])
            problem = problem._replace(settings=problem.settings._replace(sparse=sparse))
        return method.functions["run"](rng_key, problem)

    return run
