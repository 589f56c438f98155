"""How commands of molecules read a table: its options, what was taken for what, and what is in two parts."""

import dataclasses
import pathlib
import shlex
import warnings
from typing import Annotated, Literal

import tyro

from jaxuq.cli.telling import say, warn
from jaxuq.study.options import from_packages


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """How a table is read."""

    smiles_columns: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--smiles-column"])] = ()
    """The column with the SMILES; default: one with a usual name. Several, such as solute,solvent, where a row is so
    many molecules: one network reads them all."""

    separator: str | None = None
    """Between fields, one of , ; | or tab; default: recognised."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(Table):
    """How labels are read, and molecules divided."""

    task_columns: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["--targets"])] = ()
    """Columns with the labels; default: all that hold labels of one kind, and are no identifiers, dates or
    properties of the structure."""

    decimal: Literal[".", ","] | None = None
    """Sign of the numbers; default: recognised."""

    part_column: str | None = None
    """A column that says train, valid, calibrate or test, in place of --split."""

    weight_column: str | None = None
    """A column with how much each molecule counts in training."""

    task_type: Literal["classification", "regression", "multiclass"] | None = None
    """Default: classification where all labels are 0 or 1, multiclass where they are names that come again. Whole
    numbers are classes only where multiclass is said."""

    split: Literal["scaffold", "random"] = "scaffold"
    """How molecules are divided into training, validation, calibration and test part. scaffold: for new chemistry;
    random: for molecules like those of the file. Of several molecules a row the scaffold is the first's."""

    fractions: tuple[float, float, float, float] = (0.7, 0.1, 0.1, 0.1)
    """Of training, validation, calibration and test part; the last may be 0."""

    backbone: Annotated[str, from_packages("jaxuq.backbones")] = "dnn"
    """The network and what it reads: dnn (descriptors), morgan (fingerprints), gin and dmpnn (graphs)."""

    features: Literal["rdkit", "morgan"] = "rdkit"
    """Descriptors of the dnn."""

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

    width: int | None = None
    """Units of the network's layers; default: the backbone's."""

    depth: int | None = None
    """Its layers; default: the backbone's."""

    dropout: float | None = None
    """Share of its units that training leaves out; default: the backbone's."""

    def recipe(self, **further):
        """What is fitted."""
        from jaxuq.molecules.fitted import MoleculeRecipe

        names = (
            "backbone", "features", "epochs", "patience", "batch_size", "learning_rate", "width", "depth", "dropout",
        )  # fmt: skip
        return MoleculeRecipe(**{name: getattr(self, name) for name in names}, **further)

    def typed(self, but) -> list[str]:
        """The options as a shell takes them, without those at their defaults and those of the names in `but`."""
        words = []
        for field in dataclasses.fields(Labels):
            value = getattr(self, field.name)
            if field.name not in but and value != field.default:
                values = value if isinstance(value, tuple) else (value,)
                words += [f"--{field.name.replace('_', '-')}", *(shlex.quote(str(one)) for one in values)]
        return words

    def read(self, source: str, recipe):
        """The molecules and their parts for a recipe; says what was taken for what."""
        from jaxuq.molecules.fitted import divide_molecules, named_parts
        from jaxuq.molecules.fitted.fitting import check_recipe
        from jaxuq.molecules.fitted.model import backbone_of

        check_recipe(recipe)
        backbone_of(recipe.network)  # what cannot be fitted is said before a file is read
        data = _molecules(self, source)
        if self.part_column is None:
            rows = divide_molecules(data.smiles, self.split, fractions=self.fractions, seed=self.seed)
        else:
            rows = named_parts(data, seed=self.seed)
        of_first = f" of {data.molecule_columns[0]}" if data.beside and self.split == "scaffold" else ""
        say(_taken(source, data, rows, self.part_column or f"{self.split}{of_first}"))
        for note in (*_shared(data, rows), *_unlearnt(data, rows)):
            warn(note)
        return data, rows


def _molecules(options: Labels, source: str):
    from jaxuq.molecules import DataWarning, dataset_names, load_csv, load_molecules
    from jaxuq.molecules.datasets import refuse_table_options

    if source in dataset_names() and not pathlib.Path(source).exists():
        names = (
            "smiles_columns", "separator", "task_columns", "decimal", "part_column", "weight_column", "task_type",
        )  # fmt: skip
        refuse_table_options(source, "a data set by name", {name: getattr(options, name) for name in names})
        return load_molecules(source)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        data = load_csv(
            source,
            options.smiles_columns or None,
            list(options.task_columns) or None,
            task_type=options.task_type,
            separator=options.separator,
            decimal=options.decimal,
            part_column=options.part_column,
            weight_column=options.weight_column,
        )
    for note in dict.fromkeys(str(item.message) for item in caught):
        warn(note)
    return data


def _taken(source, data, rows, split: str) -> str:
    """What was taken for what, in one line."""
    tasks = ", ".join(data.task_names[:5]) + (f", ... ({len(data.task_names)})" if len(data.task_names) > 5 else "")
    what = data.taken or f"{data.task_type} of {tasks}"
    parts = ", ".join(f"{name} {len(part)}" for name, part in zip(rows._fields, rows))
    lost = ""
    if data.rejected:
        first = data.rejected[0]
        lost = f"; {len(data.rejected)} rows left out, the first in line {first.row}: {first.text!r}, {first.reason}"
    return f"{source}: {len(data.smiles)} {'rows' if data.beside else 'molecules'}, {what}; by {split}: {parts}{lost}"


def _shared(data, rows) -> list[str]:
    """What to say of molecules that are in two parts."""
    from jaxuq.molecules import DataWarning
    from jaxuq.molecules.repeats import canonical_rows, warn_of_shared

    forms = canonical_rows(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        parts = zip(rows._fields, rows)
        warn_of_shared({name: [forms[row] for row in part] for name, part in parts})
    return [str(item.message) for item in caught]


def _unlearnt(data, rows) -> list[str]:
    """What to say of classes that no training molecule has, and of labels that are all alike: nothing is learnt."""
    notes = []
    for task, name in enumerate(() if data.classes else data.task_names):
        labels = data.labels[rows.train, task][data.mask[rows.train, task]]
        bounds = data.bounds is not None and data.bounds[rows.train, task].any()
        if not len(labels):
            notes.append(f"no training molecule has a label {name}, so that no network can learn it")
        elif (labels == labels[0]).all() and not bounds:
            notes.append(f"all training molecules have {name} {labels[0]:g}, so that there is nothing to learn")
    for task, (name, classes) in enumerate(zip(data.task_names, data.classes)):
        labels = data.labels[rows.train, task][data.mask[rows.train, task]].astype(int)
        absent = [one for number, one in enumerate(classes) if number not in set(labels.tolist())]
        if absent:
            shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
            notes.append(f"no training molecule has {name} {shown}, so that no network can learn it")
    return notes
