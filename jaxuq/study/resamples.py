"""Scores of cells on resampled examples: what every interval and every comparison of a study rests on."""

import json
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxuq._digest import digest
from jaxuq._files import read_arrays, write_arrays
from jaxuq._keys import named_key
from jaxuq.study.ranges import within_range
from jaxuq.study.tables import Intervals

RESAMPLES = "resamples.npz"


class Examples(NamedTuple):
    """What the scores of a cell are computed from, example by example.

    Attributes:
        rows: arrays whose leading axis is the examples, as the metric takes them.
        where: which count, `[examples, ...]`.
        part: digest of what the examples are (not of what was said of them): two cells with the same one are resampled
            alike, and their difference has an interval of its own.
    """

    rows: tuple[Any, ...]
    where: Any
    part: str


class Scored(NamedTuple):
    """A cell that is to be resampled.

    Attributes:
        keys: what tells its row from others: data set, method, seed.
        address: of what its arrays follow from; see `Identity`.
        examples: makes them when they are needed.
    """

    keys: Mapping[str, Any]
    address: str
    examples: Callable[[], Examples]


class Resamples(NamedTuple):
    """Scores of cells on resamples of their examples.

    Attributes:
        cells: keys of each.
        parts: which examples each has; see `Examples`.
        names: of the metrics.
        estimates: on the examples as they are.
        values: on each resample.
    """

    cells: list[dict[str, Any]]
    parts: list[str]
    names: list[str]
    estimates: Float[np.ndarray, "cells metrics"]
    values: Float[np.ndarray, "cells resamples metrics"]

    def intervals(self, by: Sequence[str]) -> Intervals:
        """95 % intervals over examples of means over what `by` leaves out, such as seeds.

        Args:
            by: keys; cells that agree in them are averaged, resample by resample. Seeds that have the same examples
                move together; seeds with examples of their own (a split drawn anew for each) count as independent.

        Returns:
            Lower and upper ends by metric, by the values of the keys.
        """
        import jax.numpy as jnp

        from jaxuq.metrics import interval_of_resamples

        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, cell in enumerate(self.cells):
            groups.setdefault(tuple(cell[name] for name in by), []).append(number)
        found = {}
        for key, own in groups.items():
            mean, values = self.estimates[own].mean(0), self.values[own].mean(0)
            ends = interval_of_resamples(jnp.asarray(mean), jnp.asarray(values))
            rows = zip(self.names, mean.tolist(), zip(*(end.tolist() for end in ends)))
            found[key] = {name: within_range(name, score, reach) for name, score, reach in rows}
        return found

    def last_round(self) -> "Resamples":
        """Of what was learnt in rounds, the last one of each method; all cells of other runs."""
        rest = [{name: value for name, value in cell.items() if name not in ("round", "labels")} for cell in self.cells]
        last: dict[str, int] = {}
        for key, cell in zip(map(str, rest), self.cells):
            last[key] = max(last.get(key, 0), cell.get("round", 0))
        kept = [at for at, cell in enumerate(self.cells) if cell.get("round", 0) == last[str(rest[at])]]
        return Resamples(
            [rest[at] for at in kept], [self.parts[at] for at in kept], self.names, self.estimates[kept],
            self.values[kept],
        )  # fmt: skip

    def write(
        self, folder: str | pathlib.Path, made: Sequence[Any] = (), addresses: Sequence[str] | None = None
    ) -> None:
        """Keep them, atomically.

        Args:
            folder: of the run.
            made: how they were made: others are made anew.
            addresses: of the cells; None: those of their keys.
        """
        known = [digest(cell) for cell in self.cells] if addresses is None else list(addresses)
        about = {"cells": self.cells, "parts": self.parts, "names": self.names, "made": list(made), "addresses": known}
        arrays = {"about": np.array(json.dumps(about)), "estimates": self.estimates, "values": self.values}
        write_arrays(pathlib.Path(folder) / RESAMPLES, arrays)


def resample_cells(
    folder: pathlib.Path,
    cells: Iterable[Scored],
    metric: Callable[..., Any],
    names: Sequence[str],
    *,
    num_resamples: int,
    formula: int = 1,
) -> Resamples:
    """Score cells on resamples of their examples: `resamples.npz`; those that are there are not resampled again.

    Resample number b takes the same examples in all cells that have the same ones, whatever else there is.

    Args:
        folder: of the run.
        cells: finished.
        metric: `metric(*rows, where=...) -> [metrics]`; one function object for all, so that it is compiled once.
        names: of the metrics.
        num_resamples: at least 1.
        formula: version of the metric.

    Returns:
        `Resamples`.
    """
    import jax
    import jax.numpy as jnp

    from jaxuq.metrics import bootstrap

    made: list[Any] = [*names, num_resamples, formula]
    known, kept = {}, read_resamples(folder)
    if kept is not None and kept[1] == made:
        known = {address: number for number, address in enumerate(kept[2])}
    addresses, keys, parts, estimates, values = [], [], [], [], []
    for cell in cells:
        addresses.append(digest(cell.address, dict(cell.keys)))
        keys.append(dict(cell.keys))
        if addresses[-1] in known and kept is not None:
            number = known[addresses[-1]]
            parts.append(kept[0].parts[number])
            estimates.append(kept[0].estimates[number])
            values.append(kept[0].values[number])
            continue
        rows, where, part = cell.examples()
        rows, where = jax.tree.map(jnp.asarray, (rows, where))
        key = named_key(jax.random.key(0), "bootstrap")
        found = bootstrap(key, metric, *rows, where=where, num_resamples=num_resamples, batch_size=8)
        parts.append(part)
        estimates.append(np.asarray(found.estimate, np.float32))
        values.append(np.asarray(found.resamples, np.float32))
    shape = (len(keys), num_resamples, len(names))
    result = Resamples(
        keys, parts, list(names), np.reshape(estimates, shape[::2]).astype(np.float32),
        np.reshape(values, shape).astype(np.float32),
    )  # fmt: skip
    if addresses != list(known):
        result.write(folder, made, addresses)
    return result


def read_resamples(folder: str | pathlib.Path) -> tuple[Resamples, list[Any], list[str]] | None:
    """What `resample_cells` has written.

    Args:
        folder: of the run.

    Returns:
        Resamples, how they were made, and addresses of the cells; None if there are none that can be read.
    """
    stored = read_arrays(pathlib.Path(folder) / RESAMPLES)
    try:
        about = json.loads(str(stored["about"])) if stored else {}
        found = Resamples(
            [dict(one) for one in about["cells"]], [str(one) for one in about["parts"]],
            [str(one) for one in about["names"]], stored["estimates"], stored["values"],  # type: ignore[index]
        )  # fmt: skip
        made, addresses = list(about["made"]), [str(one) for one in about["addresses"]]
    except (ValueError, KeyError, TypeError):
        return None
    cells, metrics = len(found.cells), len(found.names)
    fits = found.values.ndim == 3 and found.values.shape[::2] == (cells, metrics) == found.estimates.shape
    return (found, made, addresses) if fits and len(addresses) == len(found.parts) == cells else None
