"""A study of one's own: any tables, any methods, any scores, on the same engine as the commands."""

import functools
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxuq._digest import digest
from jaxuq._entries import Entries, Entry, given_entries, identity_of
from jaxuq._errors import OptionError
from jaxuq._keys import named_key
from jaxuq.study.cells import Cell
from jaxuq.study.engine import Plan, compute_cells
from jaxuq.study.folder import entry_record, open_run
from jaxuq.study.listener import Listener
from jaxuq.study.options import Options
from jaxuq.study.predictions import prediction_rows, write_predictions
from jaxuq.study.resamples import Examples, Scored, resample_cells
from jaxuq.study.study import Study
from jaxuq.study.table import Table
from jaxuq.study.tables import summarise, write_table

Score = Callable[..., Any]
"""`score(predictions, targets, where=...) -> scalar`, written with JAX: as those of `jaxuq.metrics`."""


def make_study(
    datasets: Sequence[Table],
    methods: Mapping[str, Any],
    scores: Mapping[str, Score],
    *,
    seeds: int = 1,
    output: str | pathlib.Path,
    options: Mapping[str, Any] = MappingProxyType({}),
    num_resamples: int = 500,
) -> Study:
    """Every method on every data set with every seed, kept under what it follows from.

        from jaxuq.study import make_study, make_table

        table = make_table("sums", ids, inputs, targets, parts)
        study = make_study([table], {"mean": mean, "forest": forest}, {"rmse": rmse}, seeds=3, output="runs/sums")
        study.frame(), study.compare("forest", "mean"), study.page()

    Args:
        datasets: tables; their `test` part is predicted.
        methods: by name, `method(table, rng_key) -> predictions` of the rows of the test part, in order: an array whose
            leading axis they are. The whole table is given, so that a method may learn from any part; that it does not
            look at the targets of the test part is its own affair. Or entries with the function `predict`, whose
            options are given by name. Results follow from a function's code and from an entry's `formula`.
        scores: by name, see `Score`.
        seeds: how many repetitions, 0, 1, 2, ...
        output: the result folder.
        options: whatever else the methods follow from, such as values of your program that they read.
        num_resamples: of the test rows, for intervals.

    Returns:
        A study, not yet run.

    Raises:
        OptionError: two data sets of one name, no test part, or what is given is no method.
    """
    names = [table.name for table in datasets]
    if len(set(names)) < len(names):
        raise OptionError(f"two data sets are called the same: {', '.join(names)}")
    for table in datasets:
        if not table.part("test").ids:
            raise OptionError(f"{table.name} has no row of the part 'test' to be predicted")
    entries = given_entries(methods, Entries("method", "jaxuq.none", role="predict"))
    run = functools.partial(
        _run, list(datasets), entries, dict(scores), seeds, pathlib.Path(output), dict(options), num_resamples
    )
    return Study({pathlib.Path(output): run})


def _run(
    datasets: list[Table],
    entries: Mapping[str, Entry],
    scores: dict[str, Score],
    seeds: int,
    output: pathlib.Path,
    options: dict[str, Any],
    num_resamples: int,
    listener: Listener,
) -> None:
    import jax
    import jax.numpy as jnp

    digests = {table.name: table.digest for table in datasets}
    tests = {table.name: table.part("test") for table in datasets}
    asked = Options(options | {"methods": list(entries), "seeds": seeds}, free=("methods", "seeds"))
    metric = _metric(tuple(scores.values()))
    with open_run(
        output,
        system="study",
        options=asked,
        content={"data": digest(digests)},
        digests=digests,
        entries={name: entry_record(entry) for name, entry in entries.items()},
        rejected=[list(one) for table in datasets for one in table.rejected],
    ) as folder:
        plans = [
            Plan(
                f"{table.name}, {name}, seed {seed}",
                folder.cell(
                    f"predictions/{table.name}/{name}-seed{seed}.npz", options=options | dict(entry.options),
                    defaults=entry.options, method=identity_of(entry), data=digests[table.name], seed=seed,
                ),
                (table, name, seed),
            )
            for table in datasets
            for name, entry in entries.items()
            for seed in range(seeds)
        ]  # fmt: skip

        def compute(missing: list[Plan[Cell]]) -> Iterator[tuple[Plan[Cell], dict[str, Any]]]:
            for plan in missing:
                table, name, seed = plan.about
                began, entry = time.monotonic(), entries[name]
                key = named_key(jax.random.key(seed), table.name, name)
                predictions = np.asarray(entry.functions["predict"](table, key, **entry.options))
                test = tests[table.name]
                if predictions.shape[:1] != (len(test.ids),):
                    raise OptionError(
                        f"{plan.name}: {predictions.shape} predictions for {len(test.ids)} rows of the test"
                    )
                cell = {"predictions": predictions, "targets": test.targets, "ids": np.array(test.ids, str)}
                yield plan, cell | {"seconds": np.float64(time.monotonic() - began)}

        def keys(plan: Plan[Cell]) -> dict[str, Any]:
            return {"dataset": plan.about[0].name, "method": plan.about[1], "seed": plan.about[2]}

        def examples(cell: Mapping[str, np.ndarray], test: Table) -> Examples:
            where = np.ones(len(test.ids), bool) if test.where is None else test.where
            rows = jnp.asarray(cell["predictions"]), jnp.asarray(test.targets)
            return Examples(rows, where, digest(cell["ids"], test.targets, where))

        def rows(plan: Plan[Cell], cell: Mapping[str, np.ndarray]) -> dict[str, list[dict[str, Any]]]:
            arrays, where, _ = examples(cell, tests[plan.about[0].name])
            values = metric(*arrays, where=jnp.asarray(where)).tolist()
            return {"results.csv": [keys(plan) | dict(zip(scores, values)) | {"seconds": float(cell["seconds"])}]}

        tables = compute_cells(folder, plans, compute, rows=rows, listener=listener, shown=tuple(scores))
        scored = [
            Scored(
                keys(plan), plan.kept.identity.address,
                lambda plan=plan: examples(plan.kept.read() or {}, tests[plan.about[0].name]),
            )
            for plan in plans
        ]  # fmt: skip
        found = resample_cells(output, scored, metric, [*scores], num_resamples=num_resamples)
        ends = found.intervals(("dataset", "method"))
        write_table(
            output / "summary.csv", summarise(tables["results.csv"], names=[*scores, "seconds"], intervals=ends)
        )
        for plan in plans:
            cell = plan.kept.read() or {}
            columns = {name: cell[name] for name in ("targets", "predictions")}
            write_predictions(plan.kept, prediction_rows({"id": cell["ids"]}, columns))


@functools.cache
def _metric(scores: tuple[Score, ...]) -> Callable[..., Any]:
    import jax
    import jax.numpy as jnp

    return jax.jit(
        lambda predictions, targets, *, where: jnp.stack([score(predictions, targets, where=where) for score in scores])
    )
