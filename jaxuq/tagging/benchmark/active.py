"""Active learning: few sentences with right labels, or labelling functions alone; round by round, more of them."""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxuq import study
from jaxuq._keys import named_key
from jaxuq.study import (
    Listener,
    Plan,
    RunFolder,
    compute_cells,
    digest,
    entry_record,
    labelled_sets,
    open_run,
    options_of,
    prediction_rows,
    random_order,
    write_predictions,
)
from jaxuq.study.acquiring import START, Step
from jaxuq.tagging.benchmark.active_tables import SHOWN, agreement_of, write_saved
from jaxuq.tagging.benchmark.configuration import APPLIED, TaggingConfiguration
from jaxuq.tagging.benchmark.evaluation import forecast_scores, sentence_counts
from jaxuq.tagging.benchmark.methods import METHODS, TAGGER, Problem, known
from jaxuq.tagging.benchmark.source import Source
from jaxuq.tagging.committee import (
    SCORES,
    make_pool,
    members_of,
    one_tagger,
    start_committee,
    teach_committee,
    view_pool,
)
from jaxuq.tagging.embedded import Bucketed
from jaxuq.tagging.neural_model import EmbeddedText
from jaxuq.tagging.records import TaggingDataError
from jaxuq.tagging.tagger import hard_targets, tagger_forecast

SUPERVISED = "supervised"
_MEMBERS = 5


def run_active_tagging(configuration: TaggingConfiguration, listener: Listener = Listener()) -> RunFolder:  # noqa: B008
    """Run active learning and write its result folder; go on where an interrupted run left off.

    What is labelled are sentences, and what they cost are tokens. `supervised` starts with sentences drawn at random; a
    label model starts with none: a tagger that reads its marginals beside the word vectors is taught by them, then
    learns from the sentences that a person has labelled, the first `start` tokens among them chosen as all others. In
    each of `active` rounds sentences of `acquire` more tokens are given their right labels: those that the tagger is
    least sure of, or the next ones of a random order; then it is trained anew from its beginning. No epoch is chosen by
    labels that were not paid for.

    Args:
        configuration: the options of `jaxuq tag`, with `active` of at least 1.
        listener: who is told about progress.

    Returns:
        The result folder: `active.csv` has a row for each model, acquisition, seed and round, `saved.csv` how many
        tokens each acquisition saves against chance, `rounds/` which sentences had labels and how much those of the
        others are wanted, `predictions/` what is said of the test text.

    Raises:
        TaggingDataError: data, models or options are at fault.
        RunFolderError: the folder holds another run.
    """
    names = _check(configuration)
    configuration = dataclasses.replace(configuration, model=",".join(names))
    sources = [Source(entry, configuration, neural=True, votes=False) for entry in configuration.data]
    for source in sources:
        _check_source(source, configuration, names)
    digests = {source.name: source.digest for source in sources}
    if len(digests) < len(sources):
        raise TaggingDataError(f"two data sets are called the same: {', '.join(source.name for source in sources)}")
    with open_run(
        configuration.folder(),
        system="tag-active",
        options=options_of(
            configuration, left_out=APPLIED, names=("data", "embeddings"), free=("seeds", "active", "acquisition")
        ),
        content={"data": digest(digests), "embeddings": sources[0].encoder or ""},
        resume=configuration.resume,
        crew=configuration.crew(run_active_tagging, configuration),
        datasets=[source.record() for source in sources],
        digests=digests,
        entries={name: entry_record(METHODS[name]) for name in names},
    ) as folder:
        learning = [
            _Learning(folder, configuration, source, name, seed, listener)
            for source in sources
            for name in names
            for seed in range(configuration.seeds)
        ]
        starts = [_Curve(one, START) for one in learning]
        curves = [_Curve(one, acquisition) for acquisition in configuration.acquisitions() for one in learning]
        for some in (starts, curves):
            plans = [Plan(curve.name, curve, curve, curve.name) for curve in some]
            rows = lambda plan, found, some=some: {"active.csv": found} if some is curves else {}  # noqa: E731
            compute_cells(folder, plans, _compute, rows=rows, listener=listener)
        write_saved(folder.path, [(curve.keys, [cell for _, cell in curve.cells()]) for curve in curves])
    return folder


def _check(configuration: TaggingConfiguration) -> list[str]:
    """The models, if everything can be meant."""
    names = configuration.models()
    wrong = [name for name in names if name not in METHODS or (known(METHODS[name], "gold") and name != SUPERVISED)]
    if wrong or not names:
        raise TaggingDataError(
            f"--model is {configuration.model!r}: active learning starts from {SUPERVISED}, or from label models "
            f"without gold access: {', '.join(n for n in METHODS if not known(METHODS[n], 'gold'))}"
        )
    if not configuration.data:
        raise TaggingDataError("--data names no data set; for example: jaxuq tag --data NCBI-Disease --active 10")
    for name, least in (("seeds", 1), ("active", 1), ("start", 1), ("acquire", 1)):
        if getattr(configuration, name) < least:
            raise TaggingDataError(f"--{name} is {getattr(configuration, name)}; expected at least {least}")
    for name in ("apply", "tagger", "fine_tune", "alternate", "ablations"):
        if getattr(configuration, name):
            raise TaggingDataError(f"--{name} has no meaning beside --active; leave one of them out")
    configuration.acquisitions()
    return names


def _check_source(source: Source, configuration: TaggingConfiguration, names: list[str]) -> None:
    pool, test = source.texts.fit, source.texts.test
    if pool.labels is None or test.labels is None:
        raise TaggingDataError(
            f"{source.name} has no gold labels {'to learn from' if pool.labels is None else 'to score by'}; active "
            "learning is rehearsed on text that has them"
        )
    if pool.tokens == test.tokens:
        raise TaggingDataError(
            f"{source.name} has no part to score beside the one to learn from; expected a folder with train and test"
        )
    if set(names) != {SUPERVISED} and not pool.function_names:
        raise TaggingDataError(f"{source.name} has no labelling functions to start from; use --model {SUPERVISED}")
    wanted, there = configuration.start + configuration.active * configuration.acquire, int(pool.lengths.sum())
    if wanted > there:
        raise TaggingDataError(
            f"--start {configuration.start} and --active {configuration.active} rounds of --acquire "
            f"{configuration.acquire} are {wanted} tokens; the text of {source.name} to learn from has {there}"
        )


class _Curve(NamedTuple):
    """All rounds of a model with a seed, by one acquisition; or the first alone, which all acquisitions share."""

    learning: "_Learning"
    acquisition: str

    @property
    def name(self) -> str:
        one = self.learning
        return f"{one.source.name}, {one.model}, {self.acquisition}, seed {one.seed}"

    @property
    def keys(self) -> dict[str, Any]:
        one = self.learning
        return {"dataset": one.source.name, "method": one.model, "acquisition": self.acquisition, "seed": one.seed}

    def steps(self) -> Iterator[Step | None]:
        """The labelled sets; None for one that follows from scores that are not there yet."""
        one = self.learning
        scores = functools.partial(one.wanted, self.acquisition)
        return labelled_sets(self.acquisition, one.amounts, one.order, one.lengths, scores)

    def cells(self) -> Iterator[tuple[Step, dict[str, np.ndarray]]]:
        """What every round has left, as far as there is."""
        for step in self.steps():
            arrays = None if step is None else self.learning.cell(step).read()
            if step is None or arrays is None:
                return
            yield step, arrays

    def read(self) -> list[dict[str, Any]] | None:
        """The lines of active.csv, if all rounds are over."""
        rows, before = [], None
        for step, cell in self.cells():
            place = {"round": step.number, "labels": int(cell["tokens"]), "sentences": len(step.rows)}
            scores = dict(zip(SHOWN, map(float, cell["scores"])))
            stable = agreement_of(before, cell["pool_labels"])
            rows.append(self.keys | place | scores | {"agreement": stable, "seconds": round(float(cell["seconds"]), 1)})
            before = cell["pool_labels"]
        wanted = len(self.learning.amounts) if self.acquisition != START else 1
        return rows if len(rows) == wanted else None

    def write(self, value: Any) -> None:
        """Every step has been kept as it was made."""


def _compute(plans: list[Plan]) -> Iterator[tuple[Plan, None]]:
    for plan in plans:
        curve: _Curve = plan.about
        for step in curve.steps():
            if step is None:
                raise OSError(f"scores of {curve.name} cannot be read back")
            curve.learning.train(step)
        yield plan, None
    plans[0].about.learning.forget()


class _Learning:
    """What all rounds of a model with a seed share."""

    def __init__(
        self, folder: RunFolder, configuration: TaggingConfiguration, source: Source, model: str, seed: int,
        listener: Listener,
    ):  # fmt: skip
        self.folder, self.configuration, self.source = folder, configuration, source
        self.model, self.seed, self.listener = model, seed, listener
        self.lengths = source.texts.fit.lengths
        self.order = random_order(seed, len(self.lengths))
        first = (configuration.start,) if model == SUPERVISED else (0, configuration.start)
        self.amounts = (*first, *[configuration.acquire] * configuration.active)
        self.rng_key = named_key(jax.random.key(seed), source.name, model, "active")
        self.scores = [name for name in SCORES if name in configuration.acquisitions()]

    @functools.cached_property
    def problem(self) -> Problem:
        """The texts as the tagger reads them: with what the label model says at each word, if there is one."""
        problem = self.source.problem(self.listener)
        if self.model == SUPERVISED:
            return problem
        fit, test = (np.asarray(one, np.float32) for one in self.weak)
        return problem._replace(fit=_beside(problem.fit, fit), test=_beside(problem.test, test))

    @functools.cached_property
    def weak(self) -> tuple[np.ndarray, np.ndarray]:
        """Marginals of the label model on the text to learn from and on the test text."""
        problem = self.source.problem(self.listener)
        outcome = METHODS[self.model].functions["run"](named_key(self.rng_key, "label model"), problem)
        if outcome.soft is None:
            raise TaggingDataError(f"{self.model} does not label the text that it is fitted to; use another --model")
        return outcome.soft, np.asarray(outcome.forecast.probabilities)

    @functools.cached_property
    def pool(self) -> Any:
        """The text to learn from, with its right labels."""
        gold = self.problem.fit.labels.labels
        targets = hard_targets(gold, self.problem.num_labels)  # type: ignore[arg-type]
        return make_pool(named_key(self.rng_key, "counts"), self.problem.fit, targets, self.members)

    @property
    def members(self) -> int:
        """Only BALD asks more than one."""
        return _MEMBERS if "bald" in self.scores else 1

    def asked(self, step: Step) -> tuple[int, list[str]]:
        """How many members a step trains, and which scores follow from it: the first step's, all; others', its own."""
        names = [name for name in self.scores if step.acquisition in (START, name)]
        return self.members if step.acquisition in (START, "bald") else 1, names

    @functools.cached_property
    def beginning(self) -> Any:
        """The committee before it has seen a right label."""
        problem, options = self.problem, self.problem.settings.tagger
        params = start_committee(named_key(self.rng_key, "init"), problem.fit, problem.num_labels, self.members)
        if self.model == SUPERVISED:
            return params
        weak = make_pool(named_key(self.rng_key, "counts"), problem.fit, self.weak[0], self.members)
        return teach_committee(named_key(self.rng_key, "weak"), params, weak, options, np.ones(len(self.lengths), bool))

    def forget(self) -> None:
        """Give back the memory of vectors; they follow from what is kept."""
        for name in ("problem", "pool"):
            self.__dict__.pop(name, None)

    def wanted(self, acquisition: str, step: Step) -> np.ndarray | None:
        """How much the labels of each sentence are wanted, once a step has been trained."""
        stored = self.cell(step).read()
        return None if stored is None else stored[acquisition]

    def train(self, step: Step) -> None:
        """Learn from a labelled set, label test text and pool, and keep both, unless they are there already."""
        if self.cell(step).read() is not None:
            return
        problem, began = self.problem, time.monotonic()
        where = np.zeros(len(self.lengths), bool)
        where[step.rows] = True
        key, options = named_key(self.rng_key, "round", int(where.sum())), problem.settings.tagger
        members, names = self.asked(step)
        params = members_of(self.beginning, members)
        pool = self.pool if members == self.members else _first_members(self.pool, members)
        params = teach_committee(named_key(key, "order"), params, pool, options, where)
        view = view_pool(named_key(key, "paths"), params, pool, names, int(self.lengths.max()))
        test = problem.test.labels
        forecast = tagger_forecast(one_tagger(params), problem.test.embeddings, test.lengths, int(test.lengths.max()))
        labels = np.asarray(forecast.labels)
        found = forecast_scores(test, labels)
        assert found is not None
        inside = np.arange(view.labels.shape[1])[None] < self.lengths[:, None]
        tokens = int(self.lengths[step.rows].sum())
        self.cell(step).write(
            {
                "rows": step.rows, "ids": np.array(test.ids, str), "labels": labels.astype(np.int16),
                "gold": np.asarray(test.labels, np.int16), "counts": sentence_counts(test, labels), "tokens": tokens,
                "scores": np.array([getattr(found, name) for name in SHOWN]), "pool_labels": view.labels[inside],
                "seconds": time.monotonic() - began, **view.scores,
            }
        )  # fmt: skip
        self._write_names(step, view.scores)
        self.listener.scored(
            f"{self.model}, {step.acquisition}, {tokens} tokens, seed {self.seed}", {"f1": float(found.f1)}
        )
        self.folder.write_record()

    def _write_names(self, step: Step, scores: dict[str, np.ndarray]) -> None:
        """The sentences by name: those with labels in the order in which they got them, then the most wanted."""
        data = self.source.texts.fit
        wanted = next(iter(scores.values()), -np.argsort(self.order).astype(np.float64))
        others = np.setdiff1d(np.arange(len(self.lengths)), step.rows)
        rows = np.concatenate([step.rows, others[np.argsort(-wanted[others], kind="stable")]]).astype(np.int64)
        given = np.full(len(self.lengths), "", dtype=object)
        given[step.rows] = np.arange(1, len(step.rows) + 1).astype(str)
        named = {"sentence": [data.ids[row] for row in rows], "given": given[rows]}
        columns = {"tokens": self.lengths[rows], **{name: score[rows] for name, score in scores.items()}}
        cell = self.cell(step)
        write_predictions(
            cell._replace(name=cell.name.replace("predictions/", "rounds/", 1)), prediction_rows(named, columns)
        )

    def cell(self, step: Step) -> study.Cell:
        """Where a step is kept, and what it follows from."""
        entry = METHODS[self.model]
        options, defaults = self.configuration.cell_options()
        own = {f"{entry.name}.{option}": value for option, value in entry.options.items()}
        place = pathlib.PurePosixPath("predictions", self.source.name, f"{self.model}-{step.acquisition}")
        return self.folder.cell(
            f"{place}-round{step.number}-seed{self.seed}.npz",
            options=options | own,
            defaults=defaults | own,
            data=self.source.digest,
            method=self.model,
            formula=entry.formula,
            code=entry.about.get("code"),
            second_formula=TAGGER.formula,
            weights=self.source.encoder,
            seed=self.seed,
            members=self.asked(step)[0],
            scores=self.asked(step)[1],
            labelled=step.rows,
        )


def _first_members(pool: Bucketed, members: int) -> Bucketed:
    """The pool for the first members only; the vectors are the same arrays."""
    fewer = (one._replace(weights=one.weights[:, :members]) for one in pool.buckets)  # type: ignore[attr-defined]
    return pool._replace(buckets=tuple(fewer))


def _beside(text: EmbeddedText, marginals: np.ndarray) -> EmbeddedText:
    """Word vectors with what a label model says of each word."""
    rows = zip(text.embeddings, marginals, text.labels.lengths)
    return text._replace(embeddings=[np.concatenate([one, says[:length]], axis=1) for one, says, length in rows])
