"""`jaxuq molecules`: fit a model to a table and keep it; ask it about others; choose what to measure; search."""

import dataclasses
import pathlib
import shlex
import sys
from typing import Annotated, Literal

import tyro

from jaxuq.cli.molecules_table import Labels, Table
from jaxuq.cli.telling import say, warn
from jaxuq.study.options import from_packages


@dataclasses.dataclass(frozen=True)
class FitMolecules(Labels):
    """Fit an ensemble to a CSV file, calibrate it, and keep it: jaxuq molecules fit mine.csv --output solubility."""

    data: Annotated[str, tyro.conf.Positional]
    """A table (CSV, SDF; Excel and parquet where pandas can) with SMILES and labels, or a MoleculeNet name."""

    output: pathlib.Path = pathlib.Path("model")
    """The folder of the model."""

    members: int = 5
    """Networks of the ensemble."""

    level: float = 0.9
    """Share of new labels that the intervals (or sets of classes) shall hold."""

    label_range: tuple[float, float] | None = None
    """The ends of what labels can be, such as 0 100: forecasts and intervals end there too. Default: any number."""

    new: pathlib.Path | None = None
    """A table or list of molecules for which the intervals (or sets) shall hold, where they differ from those of the
    file: calibration molecules are weighted by how often their kind comes there."""

    calibrator: Annotated[str, from_packages("jaxuq.calibrators")] = "auto"
    """temperature, platt, beta, isotonic, venn-abers (two classes), temperature, vector, matrix, dirichlet,
    classwise-isotonic (several), variance-scaling (regression), none; auto: variance scaling or a temperature."""

    conformal: Annotated[str, from_packages("jaxuq.conformal")] = "auto"
    """What intervals and sets are made of: normalised, absolute (regression), lac, aps, raps, saps (classes), none;
    auto: normalised or lac."""

    checkpoint: pathlib.Path | None = None
    """Pretrained weights from which a dmpnn starts: a folder of jaxuq models convert --kind dmpnn."""

    frozen_backbone: bool = False
    """Train the output layer only."""

    def run(self) -> None:
        """Fit, save, and say how good it is on the test part."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        import jax

        from jaxuq.cli.display import Display
        from jaxuq.molecules import DataError
        from jaxuq.molecules.fitted import (
            fit_molecules,
            predict_molecules,
            promise_for,
            save_molecules,
            score_forecast,
            write_forecast,
        )
        from jaxuq.molecules.rows import read_smiles

        calibrator, conformal = (None if one == "none" else one for one in (self.calibrator, self.conformal))
        recipe = self.recipe(
            members=self.members, level=self.level, calibrator=calibrator, conformal=conformal,
            checkpoint=self.checkpoint, frozen_backbone=self.frozen_backbone,
        )  # fmt: skip
        if self.output.is_file():
            raise DataError(f"--output is {self.output}, which is a file; name a folder")
        data, rows = self.read(self.data, recipe)
        wanted = [] if self.new is None else read_smiles(self.new, self.smiles_columns, molecules=data.molecule_columns)
        with Display() as display:
            fitted = fit_molecules(
                jax.random.key(self.seed), data, rows, recipe, label_range=self.label_range, listener=display.listener()
            )
            if self.new is not None:
                fitted = promise_for(fitted, data.take(rows.calibrate), wanted)
                if (shift := fitted.shift) is not None:
                    count = len(shift.ratios)
                    say(f"for {self.new} the {count} molecules of the intervals count as {shift.size:.1f}")
            save_molecules(self.output, fitted)
            if len(rows.test):
                test = data.take(rows.test)
                forecast = predict_molecules(fitted, test.rows, listener=display.listener())
        for note in _endless(fitted):
            warn(note)
        files = [("fitted.json", "the model: networks, scale, calibration, intervals")]
        if len(rows.test):
            write_forecast(self.output / "test.csv", forecast)
            _print_scores(score_forecast(forecast, test), fitted.task_type)
            files.append(("test.csv", "forecasts of the test part"))
        display.over(self.output, files)
        say(f"next: jaxuq molecules predict {shlex.quote(str(self.output))} new.csv --output forecasts.csv")


@dataclasses.dataclass(frozen=True)
class SearchMolecules(Labels):
    """Which network suits a CSV file, by successive halving: jaxuq molecules search mine.csv --output search."""

    data: Annotated[str, tyro.conf.Positional]
    """A table with SMILES and labels, as for fit, or a MoleculeNet name."""

    output: pathlib.Path = pathlib.Path("search")
    """The folder of the scores; a search that was interrupted goes on."""

    trials: int = 16
    """Networks that are tried, of any width, depth, dropout and learning rate; the first is the one of the options."""

    def run(self) -> None:
        """Try them, and say how the best is fitted."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        import jax

        from jaxuq.cli.display import Display
        from jaxuq.molecules.fitted import search_recipe

        recipe = self.recipe()
        data, rows = self.read(self.data, recipe)
        with Display() as display:
            found = search_recipe(
                jax.random.key(self.seed), data, rows, recipe, trials=self.trials, folder=self.output,
                listener=display.listener(),
            )  # fmt: skip
        _print_trials(found.trials)
        changes = found.trials[0].changes
        options = [f"--{name.replace('_', '-')} {value:g}" for name, value in changes.items()]
        typed = " ".join([shlex.quote(self.data), *self.typed(changes), *options])
        say(f"next: jaxuq molecules fit {typed}")


@dataclasses.dataclass(frozen=True)
class PredictMolecules(Table):
    """Forecast the molecules of a CSV file: jaxuq molecules predict solubility new.csv --output forecasts.csv."""

    model: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a model of jaxuq molecules fit."""

    data: Annotated[pathlib.Path, tyro.conf.Positional]
    """A table with a column of SMILES, or a text file with one SMILES a line; - reads lines from standard input."""

    output: pathlib.Path | None = None
    """The CSV file of the forecasts; default: forecasts.csv beside the model."""

    def run(self) -> None:
        """Write one row a molecule."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        from jaxuq.cli.display import Display
        from jaxuq.molecules.fitted import load_molecules_model, predict_to_file
        from jaxuq.molecules.rows import read_in_batches, read_lines

        fitted = load_molecules_model(self.model)
        if str(self.data) == "-":
            rows = read_lines(sys.stdin)
        else:
            rows = read_in_batches(
                self.data, self.smiles_columns, molecules=fitted.molecule_columns, separator=self.separator
            )
        output = self.output or self.model / "forecasts.csv"
        with Display() as display:
            said = predict_to_file(
                fitted, rows.batches, output, columns=rows.columns, total=rows.count, listener=display.listener()
            )
        if said.first is not None:
            smiles, error = said.first
            warn(f"{said.failed} of {said.count} molecules have no forecast; the first: {smiles!r}, {error}")
        print(output)


@dataclasses.dataclass(frozen=True)
class ChooseMolecules(Table):
    """Which molecules of a pool to measure next: jaxuq molecules choose solubility pool.csv --count 50."""

    model: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a model of jaxuq molecules fit."""

    data: Annotated[pathlib.Path, tyro.conf.Positional]
    """The pool: a table with a column of SMILES, or a text file with one SMILES a line."""

    count: int = 10
    """How many; each is chosen given those before it, so that they are not all the same."""

    goal: Literal["learn", "high", "low"] = "learn"
    """learn: what tells most; high, low: the largest or smallest label, with the benefit of the doubt."""

    task: str | None = None
    """Of a model with several tasks, which one; default: the first."""

    of_class: str | None = None
    """Of a task with several classes, the one whose probability high and low are about."""

    output: pathlib.Path | None = None
    """The CSV file of the choice; default: chosen.csv beside the model."""

    def run(self) -> None:
        """Write one row a molecule, in the order of choice."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        from jaxuq.cli.display import Display
        from jaxuq.molecules import DataError
        from jaxuq.molecules.fitted import choose_molecules, load_molecules_model, write_forecast
        from jaxuq.molecules.rows import read_in_batches

        fitted = load_molecules_model(self.model)
        if self.task is not None and self.task not in fitted.task_names:
            raise DataError(f"the model has no task {self.task!r}; it has {', '.join(fitted.task_names)}")
        task = 0 if self.task is None else fitted.task_names.index(self.task)
        rows = read_in_batches(
            self.data, self.smiles_columns, molecules=fitted.molecule_columns, separator=self.separator
        )
        batches = list(rows.batches)
        smiles = [one for given, _ in batches for one in given]
        fields = [one for _, others in batches for one in others]
        with Display() as display:
            listener = display.listener()
            choice = choose_molecules(
                fitted, smiles, self.count, goal=self.goal, task=task, of_class=self.of_class, listener=listener
            )
        output = self.output or self.model / "chosen.csv"
        write_forecast(output, choice.forecast, rows=choice.rows, gain=choice.gain, beside=(rows.columns, fields))
        say(f"{self.count} of {len(smiles)} molecules, which tell {choice.gain.sum():.2f} nats together")
        print(output)


@dataclasses.dataclass(frozen=True)
class FingerprintMolecules(Table):
    """What a network of a model has learnt of molecules: jaxuq molecules fingerprint solubility pool.csv."""

    model: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a model of jaxuq molecules fit."""

    data: Annotated[pathlib.Path, tyro.conf.Positional]
    """A table with a column of SMILES, or a text file with one SMILES a line."""

    member: int = 0
    """Which network of the ensemble."""

    output: pathlib.Path | None = None
    """A .csv, or a .npz with arrays smiles and features; default: fingerprints.csv beside the model."""

    def run(self) -> None:
        """Write one row a molecule."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        from jaxuq.cli.display import Display
        from jaxuq.molecules.fitted import load_molecules_model, represent_molecules, write_features
        from jaxuq.molecules.rows import read_smiles

        fitted = load_molecules_model(self.model)
        smiles = read_smiles(
            self.data, self.smiles_columns, molecules=fitted.molecule_columns, separator=self.separator
        )
        with Display() as display:
            found = represent_molecules(fitted, smiles, member=self.member, listener=display.listener())
        output = self.output or self.model / "fingerprints.csv"
        write_features(output, found)
        if failed := sum(map(bool, found.errors)):
            warn(f"{failed} of {len(found.smiles)} molecules have no features: their rows are empty")
        print(output)


@dataclasses.dataclass(frozen=True)
class MoleculesCommand:
    """Fit a model of molecules and keep it; ask it about others; choose what to measure next."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[FitMolecules, tyro.conf.subcommand("fit")]
        | Annotated[PredictMolecules, tyro.conf.subcommand("predict")]
        | Annotated[ChooseMolecules, tyro.conf.subcommand("choose")]
        | Annotated[SearchMolecules, tyro.conf.subcommand("search")]
        | Annotated[FingerprintMolecules, tyro.conf.subcommand("fingerprint")]
    ]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _endless(fitted) -> list[str]:
    """What to say of tasks with too few labels for a promise."""
    import math

    import numpy as np

    limits = getattr(fitted.forecaster.conformal_state, "thresholds", None)
    if limits is None:
        return []
    by_task = np.isinf(np.asarray(limits)).reshape(-1, len(fitted.task_names))
    names = [name for name, one in zip(fitted.task_names, np.any(by_task, axis=0).tolist()) if one]
    if not names:
        return []
    level = fitted.forecaster.level
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    what = "intervals" if fitted.task_type == "regression" else "sets"
    fewest = math.ceil(round(level / (1 - level), 6))
    return [
        f"{what} of {shown} hold everything: --level {level:g} takes {fewest} labels that nothing else has seen, half "
        "of those of the calibration part, and there are fewer; make it larger (the third number of --fractions) or "
        "the level lower"
    ]


def _print_scores(scores: dict[str, dict[str, float]], task_type: str) -> None:
    from rich.console import Console
    from rich.table import Table

    first = next(iter(scores.values()))
    table = Table(title=f"Test part ({task_type})", title_justify="left")
    for column in ("task", *first):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, values in scores.items():
        shown = (f"{value:.3f}" if 1e-2 < abs(value) < 1e6 else f"{value:.3g}" for value in values.values())
        table.add_row(name, *shown)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _print_trials(trials) -> None:
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for trial in trials for name in trial.changes))
    table = Table(title="Score on the validation part (lower is better)", title_justify="left")
    for column in (*names, "seeds", "score"):
        table.add_column(column, justify="right")
    for trial in trials:
        values = [f"{trial.changes[name]:g}" if trial.changes else "as given" for name in names]
        table.add_row(*values, str(len(trial.scores)), f"{sum(trial.scores) / len(trial.scores):.4f}")
    Console(width=None if sys.stdout.isatty() else 140).print(table)
