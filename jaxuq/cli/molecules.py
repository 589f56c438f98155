"""`jaxuq molecules`: fit a model to a CSV file and keep it; ask it about other molecules; choose what to measure."""

import dataclasses
import pathlib
import sys
from typing import Annotated, Literal

import tyro

from jaxuq.cli.telling import say, warn
from jaxuq.study.options import from_packages


@dataclasses.dataclass(frozen=True)
class FitMolecules:
    """Fit an ensemble to a CSV file, calibrate it, and keep it: jaxuq molecules fit mine.csv --output solubility."""

    data: Annotated[str, tyro.conf.Positional]
    """A CSV file with a column of SMILES and one or more of labels, or a MoleculeNet name (esol, bace, ...)."""

    output: pathlib.Path = pathlib.Path("model")
    """The folder of the model."""

    smiles_column: str | None = None
    """Of the file; default: a column with a usual name."""

    task_columns: tuple[str, ...] = ()
    """Columns with the labels; default: all that hold numbers."""

    task_type: Literal["classification", "regression"] | None = None
    """Default: classification where all labels are 0 or 1."""

    split: Literal["scaffold", "random"] = "scaffold"
    """How molecules are divided into training, validation, calibration and test part. scaffold: for new chemistry;
    random: for molecules like those of the file."""

    fractions: tuple[float, float, float, float] = (0.7, 0.1, 0.1, 0.1)
    """Of training, validation, calibration and test part; the last may be 0."""

    backbone: Annotated[str, from_packages("jaxuq.backbones")] = "dnn"
    """The network and what it reads: dnn (descriptors), morgan (fingerprints), gin and dmpnn (graphs)."""

    features: Literal["rdkit", "morgan"] = "rdkit"
    """Descriptors of the dnn."""

    members: int = 5
    """Networks of the ensemble."""

    level: float = 0.9
    """Share of new labels that the intervals (or sets of classes) shall hold."""

    calibrator: Annotated[str, from_packages("jaxuq.calibrators")] = "auto"
    """temperature, platt, isotonic, venn-abers (classification), variance-scaling (regression), none; auto: variance
    scaling or a temperature."""

    seed: int = 0
    """Of networks and parts."""

    epochs: int | None = None
    """At most so many; default: the backbone's recipe."""

    patience: int | None = None
    """Epochs without a better validation score; default: the recipe's."""

    batch_size: int | None = None
    """Default: the recipe's."""

    learning_rate: float | None = None
    """Default: the recipe's."""

    def run(self) -> None:
        """Fit, save, and say how good it is on the test part."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        import jax

        from jaxuq.cli.display import Display
        from jaxuq.molecules.fitted import (
            MoleculeRecipe,
            divide_molecules,
            fit_molecules,
            predict_molecules,
            save_molecules,
            score_forecast,
            write_forecast,
        )

        data = self._data()
        rows = divide_molecules(data.smiles, self.split, fractions=self.fractions, seed=self.seed)
        say(_taken(self.data, data, rows, self.split))
        names = ("backbone", "features", "members", "level", "epochs", "patience", "batch_size", "learning_rate")
        recipe = MoleculeRecipe(**{name: getattr(self, name) for name in names})
        recipe = recipe._replace(calibrator=None if self.calibrator == "none" else self.calibrator)
        with Display() as display:
            fitted = fit_molecules(jax.random.key(self.seed), data, rows, recipe, listener=display.listener())
            save_molecules(self.output, fitted)
            if len(rows.test):
                test = data.take(rows.test)
                forecast = predict_molecules(fitted, test.smiles, listener=display.listener())
        files = [("fitted.json", "the model: networks, scale, calibration, intervals")]
        if len(rows.test):
            write_forecast(self.output / "test.csv", forecast)
            _print_scores(score_forecast(forecast, test), fitted.task_type)
            files.append(("test.csv", "forecasts of the test part"))
        display.over(self.output, files)
        say(f"next: jaxuq molecules predict {self.output} new.csv --output forecasts.csv")

    def _data(self):
        from jaxuq.molecules import dataset_names, load_csv, load_molecules

        if self.data in dataset_names() and not pathlib.Path(self.data).exists():
            return load_molecules(self.data)
        return load_csv(self.data, self.smiles_column, list(self.task_columns) or None, task_type=self.task_type)


@dataclasses.dataclass(frozen=True)
class PredictMolecules:
    """Forecast the molecules of a CSV file: jaxuq molecules predict solubility new.csv --output forecasts.csv."""

    model: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a model of jaxuq molecules fit."""

    data: Annotated[pathlib.Path, tyro.conf.Positional]
    """A CSV file with a column of SMILES, or a text file with one SMILES a line; - reads lines from standard input."""

    output: pathlib.Path | None = None
    """The CSV file of the forecasts; default: forecasts.csv beside the model."""

    smiles_column: str | None = None
    """Of the file; default: a column with a usual name."""

    def run(self) -> None:
        """Write one row a molecule."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        from jaxuq.cli.display import Display
        from jaxuq.molecules.fitted import load_molecules_model, predict_molecules, write_forecast
        from jaxuq.molecules.reading import read_smiles

        fitted = load_molecules_model(self.model)
        lines = sys.stdin.read().splitlines() if str(self.data) == "-" else None
        smiles = read_smiles(self.data, self.smiles_column) if lines is None else [one for one in lines if one.strip()]
        with Display() as display:
            forecast = predict_molecules(fitted, smiles, listener=display.listener())
        output = self.output or self.model / "forecasts.csv"
        write_forecast(output, forecast)
        failed = [(row, error) for row, error in enumerate(forecast.errors) if error]
        if failed:
            row, error = failed[0]
            warn(f"{len(failed)} of {len(smiles)} molecules have no forecast; the first: {smiles[row]!r}, {error}")
        print(output)


@dataclasses.dataclass(frozen=True)
class ChooseMolecules:
    """Which molecules of a pool to measure next: jaxuq molecules choose solubility pool.csv --count 50."""

    model: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of a model of jaxuq molecules fit."""

    data: Annotated[pathlib.Path, tyro.conf.Positional]
    """The pool: a CSV file with a column of SMILES, or a text file with one SMILES a line."""

    count: int = 10
    """How many; each is chosen given those before it, so that they are not all the same."""

    goal: Literal["learn", "high", "low"] = "learn"
    """learn: what tells most; high, low: the largest or smallest label, with the benefit of the doubt."""

    task: str | None = None
    """Of a model with several tasks, which one; default: the first."""

    output: pathlib.Path | None = None
    """The CSV file of the choice; default: chosen.csv beside the model."""

    smiles_column: str | None = None
    """Of the file; default: a column with a usual name."""

    def run(self) -> None:
        """Write one row a molecule, in the order of choice."""
        from jaxuq.cli.compiled import keep_compiled_programs

        keep_compiled_programs()
        from jaxuq.cli.display import Display
        from jaxuq.molecules import DataError
        from jaxuq.molecules.fitted import choose_molecules, load_molecules_model, write_forecast
        from jaxuq.molecules.reading import read_smiles

        fitted = load_molecules_model(self.model)
        if self.task is not None and self.task not in fitted.task_names:
            raise DataError(f"the model has no task {self.task!r}; it has {', '.join(fitted.task_names)}")
        task = 0 if self.task is None else fitted.task_names.index(self.task)
        smiles = read_smiles(self.data, self.smiles_column)
        with Display() as display:
            listener = display.listener()
            choice = choose_molecules(fitted, smiles, self.count, goal=self.goal, task=task, listener=listener)
        output = self.output or self.model / "chosen.csv"
        write_forecast(output, choice.forecast, rows=choice.rows, gain=choice.gain)
        say(f"{self.count} of {len(smiles)} molecules, which tell {choice.gain.sum():.2f} nats together")
        print(output)


@dataclasses.dataclass(frozen=True)
class MoleculesCommand:
    """Fit a model of molecules and keep it; ask it about others; choose what to measure next."""

    action: tyro.conf.OmitSubcommandPrefixes[
        Annotated[FitMolecules, tyro.conf.subcommand("fit")]
        | Annotated[PredictMolecules, tyro.conf.subcommand("predict")]
        | Annotated[ChooseMolecules, tyro.conf.subcommand("choose")]
    ]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _taken(source, data, rows, split: str) -> str:
    """What was taken for what, in one line."""
    tasks = ", ".join(data.task_names[:5]) + (f", ... ({len(data.task_names)})" if len(data.task_names) > 5 else "")
    parts = ", ".join(f"{name} {len(part)}" for name, part in zip(rows._fields, rows))
    lost = ""
    if data.rejected:
        first = data.rejected[0]
        lost = f"; {len(data.rejected)} rows left out, the first in line {first.row}: {first.text!r}, {first.reason}"
    return f"{source}: {len(data.smiles)} molecules, {data.task_type} of {tasks}; by {split}: {parts}{lost}"


def _print_scores(scores: dict[str, dict[str, float]], task_type: str) -> None:
    from rich.console import Console
    from rich.table import Table

    first = next(iter(scores.values()))
    table = Table(title=f"Test part ({task_type})", title_justify="left")
    for column in ("task", *first):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, values in scores.items():
        table.add_row(name, *(f"{value:.3f}" for value in values.values()))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
