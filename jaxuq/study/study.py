"""A study: data sets x methods x seeds, run, looked at, compared and shown, from Python."""

import importlib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxuq._errors import OptionError
from jaxuq.study.comparison import Paired, corrected, paired_interval, paired_probability, paired_scores
from jaxuq.study.listener import Listener
from jaxuq.study.resamples import Resamples, read_resamples

if TYPE_CHECKING:
    import pandas

Run = Callable[[Listener], Any]
Which = str | Mapping[str, Any]
"""A method by its name, or by some of its keys: `{"method": "swag", "backbone": "gin"}`."""


class Study:
    """Results of data sets x methods x seeds, in one or several result folders.

        study = muben_study(["esol", "mine.csv"], ["deterministic", "swag", MINE], seeds=3, output="runs/mine")
        study.frame()                      # pandas: a row a data set, method and seed; every score with its interval
        study.compare("swag", "mine")      # paired over seeds and molecules, corrected for many comparisons
        study.page()                       # runs/mine/report.html

    What is missing is computed when results are first asked for, or by `run`; what is there is never computed again. A
    study of folders that are there already is `Study.read("runs/esol", "runs/lipo")`.

    Args:
        runs: by result folder, what computes it; None: it is there already.
    """

    def __init__(self, runs: Mapping[pathlib.Path, Run | None]):
        self._runs = dict(runs)
        self._ran = False

    @classmethod
    def read(cls, *folders: str | pathlib.Path) -> "Study":
        """A study of results that are there.

        Args:
            folders: of finished runs, of any command.

        Returns:
            A study.
        """
        return cls({pathlib.Path(folder): None for folder in folders})

    @property
    def folders(self) -> list[pathlib.Path]:
        """The result folders."""
        return list(self._runs)

    def run(self, listener: Listener = Listener()) -> "Study":  # noqa: B008
        """Compute what is missing.

        Args:
            listener: is told how far it is.

        Returns:
            The study itself.
        """
        if not self._ran:
            for run in self._runs.values():
                if run is not None:
                    run(listener)
            self._ran = True
        return self

    def frame(self) -> "pandas.DataFrame":
        """Every cell as a row: its keys, its scores, and the 95 % interval of each over examples where there is one.

        Returns:
            A pandas data frame: the columns of `results.csv` with `<score>_lower` and `<score>_upper` beside a score.
            Of several folders a column `run` says which.
        """
        import pandas

        self.run()
        frames = []
        for folder in self._runs:
            table = pandas.read_csv(folder / "results.csv")
            frames.append(_with_intervals(table, _stored(folder)).assign(run=folder.name))
        whole = pandas.concat(frames, ignore_index=True)
        return whole if len(frames) > 1 else whole.drop(columns="run")

    def compare(
        self,
        first: Which,
        second: Which | None = None,
        *,
        scores: Sequence[str] | None = None,
        correction: str = "holm",
        level: float = 0.95,
    ) -> "pandas.DataFrame":
        """Whether one method is better than another, or than each other one: paired over seeds and examples.

        The interval of a difference holds it: it is `paired_interval`, bootstrap over examples and Student's t over
        seeds. The probability is that of so large a difference by chance, corrected for all rows of the table at once.

        Args:
            first: a method.
            second: another; None: each other one, data set by data set.
            scores: of `frame`; None: all that were resampled.
            correction: `"holm"`, `"bonferroni"`, `"benjamini-hochberg"` or `"none"`; see
                `jaxuq.study.comparison.corrected`.
            level: of the intervals.

        Returns:
            A pandas data frame with a row for each data set, pair and score: means, difference (first - second), its
            ends, `probability` and `corrected`. What is not paired (other examples, other seeds) is NaN.

        Raises:
            OptionError: there is no such method, or no such correction.
        """
        import pandas

        self.run()
        contests = _contests([found for folder in self._runs if (found := _stored(folder)) is not None])
        rows = []
        for place, methods in contests.items():
            own = [key for key in methods if _is(key, first)]
            others = [key for key in methods if key not in own and (second is None or _is(key, second))]
            for one in own:
                for other in others:
                    pair = _pair(methods[one], methods[other], scores, level)
                    rows += [{**dict(place), **_names(one, other), **row} for row in pair]
        if not rows:
            known = sorted({dict(key)["method"] for methods in contests.values() for key in methods})
            raise OptionError(
                f"there is no pair of {first!r} and {second or 'others'!r}; methods are {', '.join(known)}"
            )
        table = pandas.DataFrame(rows)
        table["corrected"] = corrected(table["probability"].to_numpy(float), correction)
        return table

    def page(self) -> pathlib.Path:
        """Write the page of the study: of one folder its own, of several one that compares them beside theirs.

        Returns:
            Its path.
        """
        self.run()
        reporting = importlib.import_module("jaxuq.reporting")  # it lies above this room
        pages = [reporting.write_report(folder) for folder in self._runs]
        return pages[0] if len(pages) == 1 else reporting.compare_runs(self.folders, self.folders[0].parent)


def _stored(folder: pathlib.Path) -> Resamples | None:
    found = read_resamples(folder)
    if found is None:
        return None
    one, last = found[0], {}  # of what was learnt in rounds, the last one counts
    keys = [_key(cell, ("round", "labels")) for cell in one.cells]
    for key, cell in zip(keys, one.cells):
        last[key] = max(last.get(key, 0), cell.get("round", 0))
    kept = [at for at, (key, cell) in enumerate(zip(keys, one.cells)) if cell.get("round", 0) == last[key]]
    return Resamples(
        [{name: value for name, value in one.cells[at].items() if name not in ("round", "labels")} for at in kept],
        [one.parts[at] for at in kept], one.names, one.estimates[kept], one.values[kept],
    )  # fmt: skip


def _key(cell: Mapping[str, Any], left_out: Sequence[str] = ()) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in cell.items() if name not in left_out)


def _with_intervals(table: Any, resamples: Resamples | None) -> Any:
    """Columns of ends beside each score that was resampled."""
    if resamples is None or not resamples.cells:
        return table
    keys = [name for name in resamples.cells[0] if name in table.columns]
    ends = resamples.intervals(keys)
    rows = [ends.get(tuple(_plain(value) for value in row), {}) for row in table[keys].itertuples(index=False)]
    for name in resamples.names:
        if name in table.columns:
            at = table.columns.get_loc(name) + 1
            for place, end in enumerate(("lower", "upper")):
                values = [row.get(name, (np.nan, np.nan))[place] for row in rows]
                table.insert(at + place, f"{name}_{end}", values)
    return table


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _contests(found: Sequence[Resamples]) -> dict[Any, dict[Any, dict[str, Paired]]]:
    """By data set (and split), by method with its other keys: the scores."""
    contests: dict[Any, dict[Any, dict[str, Paired]]] = {}
    for resamples in found:
        for key in dict.fromkeys(_key(cell, ("seed",)) for cell in resamples.cells):
            place = tuple(one for one in key if one[0] in ("dataset", "split"))
            method = tuple(one for one in key if one[0] not in ("dataset", "split"))
            scores = paired_scores(resamples, lambda cell, key=key: _key(cell, ("seed",)) == key)
            contests.setdefault(place, {})[method] = scores
    return contests


def _is(key: Any, which: Which) -> bool:
    wanted = {"method": which} if isinstance(which, str) else dict(which)
    return all(dict(key).get(name) == value for name, value in wanted.items())


def _names(first: Any, second: Any) -> dict[str, str]:
    """How two methods are called apart: by the method alone, if that tells them apart."""
    one, other = dict(first), dict(second)
    if one["method"] == other["method"]:
        return {name: ", ".join(map(str, key.values())) for name, key in (("first", one), ("second", other))}
    return {"first": str(one["method"]), "second": str(other["method"])}


def _pair(
    first: Mapping[str, Paired], second: Mapping[str, Paired], scores: Sequence[str] | None, level: float
) -> list[dict[str, Any]]:
    rows = []
    for name in scores if scores is not None else [name for name in first if name in second]:
        if name not in first or name not in second:
            raise OptionError(f"there are no resamples of the score {name!r}; there are {', '.join(first)}")
        one, other = first[name], second[name]
        lower, upper = paired_interval(one, other, level=level) or (np.nan, np.nan)
        rows.append(
            {"score": name, "first_mean": one.mean, "second_mean": other.mean, "difference": one.mean - other.mean,
             "lower": lower, "upper": upper, "probability": paired_probability(one, other)}
        )  # fmt: skip
    return rows
