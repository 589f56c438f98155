"""Loading a data set by name, file or folder, whole or split."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jaxuq.molecules._workers import run_rdkit
from jaxuq.molecules.catalogue import DatasetInfo, dataset_info
from jaxuq.molecules.finding import find_raw, find_split
from jaxuq.molecules.reading import ReadOptions, load_csv, read_molecules
from jaxuq.molecules.records import DataError, DataWarning, MoleculeDataset, Rejected, Split, SplitRows, take_split
from jaxuq.molecules.split_folder import load_split_folder, read_meta, read_part, warn_of_shared_molecules
from jaxuq.molecules.splits import random_split, scaffold_split
from jaxuq.molecules.tables import open_table


def load_molecules(
    name: str,
    folder: str | os.PathLike | None = None,
    *,
    download: bool = True,
    workers: int | None = None,
) -> MoleculeDataset:
    """A named MoleculeNet data set, whole, in the order of its published file, cleaned as the benchmark cleans it.

    Looked for in `folder`, the folder that the environment variable JAXUQ_DATA names, the files that come with jaxuq
    (esol, freesolv, bace), the cache, and at last at its published address, whose content must have the known SHA-256.

    Args:
        name: one of the names of `dataset_names()`.
        folder: a data folder, with `moleculenet/raw/<file>.csv[.gz]`, or a folder with the files themselves.
        download: whether the network may be used.
        workers: processes that parse where the cleaning needs it; None chooses, 1 stays in this process.

    Returns:
        The data set. A warning is given when it has another number of molecules than the benchmark's.

    Raises:
        DataError: the name is unknown, or the file is nowhere; the message says where to get it and where to put it.

    Example:
        >>> load_molecules("bace").labels.shape
        (1513, 1)
    """
    info = dataset_info(name)
    path = find_raw(info, folder, download)
    tasks, table = info.task_columns, open_table(path)
    if tasks is None:
        tasks = tuple(column for column in table.header if column not in (info.smiles_column, *info.other_columns))
    data = read_molecules(
        table,
        ReadOptions(
            (info.smiles_column,),
            tasks,
            task_type=info.task_type,
            metric=info.metric,
            name=info.name,
            drop_unparsable=info.drop_unparsable,
            workers=workers,
        ),
    )
    data = _clean(data, info)
    if len(data.smiles) != info.num_molecules:
        message = (
            f"{path} gives {len(data.smiles)} molecules where the benchmark's {info.name} has {info.num_molecules}"
        )
        warnings.warn(message, DataWarning, stacklevel=2)
    return data


def _clean(data: MoleculeDataset, info: DatasetInfo) -> MoleculeDataset:
    keep = np.ones(len(data.smiles), bool)
    if info.drop_without_heavy_atoms:
        keep &= run_rdkit("heavy_atoms", data.smiles, {}).values != 0
    if info.drop_repeats:
        first: dict[str, int] = {}
        keep &= [first.setdefault(text, row) == row for row, text in enumerate(data.smiles)]
    if keep.all():
        return data
    reason = "repeats an earlier SMILES" if info.drop_repeats else "no atom but hydrogen"
    dropped = tuple(Rejected(0, data.smiles[row], reason) for row in np.flatnonzero(~keep))
    return data.take(np.flatnonzero(keep))._replace(rejected=data.rejected + dropped)


def load_dataset(
    source: str | os.PathLike,
    split: str = "scaffold",
    *,
    seed: int = 0,
    folder: str | os.PathLike | None = None,
    download: bool = True,
    smiles_column: str | None = None,
    task_columns: list[str] | None = None,
    task_type: str | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    part_column: str | None = None,
    weight_column: str | None = None,
    workers: int | None = None,
) -> Split:
    """Training, validation and test part of a data set that is a name, a table, or a folder with three CSV files.

    For a name the benchmark's own split files are used where they are found; otherwise the split is made by
    `scaffold_split` or `random_split`, which reproduce them. Where only the training file is missing (it is not
    published for the largest sets), that part is the whole data set without the other two.

    Args:
        source: a name of `dataset_names()`, the path of a table (see `load_csv`), or that of a folder with
            `train.csv`, `valid.csv` and `test.csv` (then `split` and `seed` have no influence).
        split: `"scaffold"` or `"random"`.
        seed: of the random split; the published ones are 0, 1 and 2. Has no influence on the scaffold split.
        folder: where to look for a named data set first; see `load_molecules`.
        download: whether the network may be used.
        smiles_column: for a table, see `load_csv`.
        task_columns: for a table, see `load_csv`.
        task_type: for a table, see `load_csv`.
        separator: for a table, see `load_csv`.
        decimal: for a table, see `load_csv`.
        part_column: for a table, see `load_csv`; then `split` and `seed` have no influence.
        weight_column: for a table, see `load_csv`.
        workers: processes that parse; None chooses, 1 stays in this process.

    Returns:
        The three parts.

    Raises:
        DataError: the source cannot be found or read, a part would be empty, or an option of tables is given for what
            is none.

    Example:
        >>> train, valid, test = load_dataset("esol")
        >>> len(train.smiles), len(valid.smiles), len(test.smiles)
        (902, 113, 113)
    """
    if split not in ("scaffold", "random"):
        raise DataError(f"split must be 'scaffold' or 'random', got {split!r}")
    path = Path(source).expanduser()
    reading = {
        "smiles_column": smiles_column, "task_columns": task_columns, "task_type": task_type, "separator": separator,
        "decimal": decimal, "part_column": part_column, "weight_column": weight_column,
    }  # fmt: skip
    if path.is_dir() and (path / "train.csv").is_file():
        refuse_table_options(source, "a folder of three parts", reading)
        return load_split_folder(path)
    if path.name.lower().endswith((".csv", ".csv.gz")) or path.is_file():
        data = load_csv(
            path,
            smiles_column,
            task_columns,
            task_type=task_type,
            separator=separator,
            decimal=decimal,
            part_column=part_column,
            weight_column=weight_column,
            workers=workers,
        )
        if data.beside:
            raise DataError(
                f"the benchmark reads one molecule a row, and {', '.join(data.molecule_columns)} are named: name one "
                "with --smiles-column, or learn from all with `jaxuq molecules fit`"
            )
        if data.classes:
            raise DataError(
                f"the labels of {path} are classes by name ({data.task_names[0]}: {', '.join(data.classes[0][:5])}), "
                "and the methods of the benchmark are for numbers and for two classes: learn from them with `jaxuq "
                "molecules fit`"
            )
        if data.bounds is not None:
            raise DataError(
                f"{np.count_nonzero(data.bounds)} labels of {path} are bounds such as '>10', which a benchmark cannot "
                "score: leave them blank, or learn from them with `jaxuq molecules fit`"
            )
        if part_column is not None:
            parts = _named_parts(data, part_column)
        elif split == "scaffold":
            parts = scaffold_split(data.smiles, order="row", workers=workers)
        else:
            parts = random_split(len(data.smiles), seed)
        result = take_split(data, parts)
        warn_of_shared_molecules(result)
        return result
    if path.is_dir():
        return load_split_folder(path)

    info = dataset_info(str(source))
    refuse_table_options(source, "a data set by name", reading)
    if split == "scaffold":
        return _scaffold_parts(info, folder, download, workers)
    published = find_split(info, "random", seed, folder)
    if published is not None and (published / "train.csv").is_file():
        return _published(info, published)
    scaffold = _scaffold_parts(info, folder, download, workers)
    sizes = [len(part.smiles) for part in scaffold]
    rows = random_split(sum(sizes), seed, num_valid=sizes[1], num_test=sizes[2])
    return take_split(_concatenate(scaffold), rows)


def refuse_table_options(source: str | os.PathLike, what: str, options: Mapping[str, object]) -> None:
    """Refuse options that say how a table is read where none is: they would have no influence.

    Args:
        source: what is named instead.
        what: that is.
        options: values by name, in Python's spelling; None and what is empty were not given.

    Raises:
        DataError: names the first that was given.

    Example:
        >>> refuse_table_options("esol", "a data set by name", {"separator": ";"})
        Traceback (most recent call last):
        jaxuq.molecules.records.DataError: --separator (separator in Python) says how a table is read, and esol is a ...
    """
    for name, value in options.items():
        if value:
            raise DataError(
                f"--{name.replace('_', '-')} ({name} in Python) says how a table is read, and {source} is {what}, "
                "whose columns are known: leave it out, or name the file of a table"
            )


def _named_parts(data: MoleculeDataset, column: str) -> SplitRows:
    """The three parts of the published protocol, in which the validation part calibrates too."""
    parts = np.array(data.parts)
    if (parts == "calibrate").any():
        raise DataError(
            f"column {column!r} has a calibration part, which is for jaxuq molecules fit; the benchmark calibrates on "
            "its validation part: write valid there"
        )
    rows = SplitRows(*(np.flatnonzero(parts == name) for name in SplitRows._fields))
    if absent := [name for name, part in zip(rows._fields, rows) if not len(part)]:
        raise DataError(
            f"no usable molecule has {absent[0]!r} in column {column!r}; the benchmark needs all three parts"
        )
    return rows


def _published(info: DatasetInfo, path: Path) -> Split:
    meta = read_meta(path) | {"task_type": info.task_type, "n_tasks": info.num_tasks, "eval_metric": info.metric}
    parts = (read_part(path / f"{part}.csv", info.name, meta) for part in Split._fields)
    names = info.task_columns
    return Split(*(part if names is None else part._replace(task_names=names) for part in parts))


def _scaffold_parts(info, folder, download, workers) -> Split:
    published = find_split(info, "scaffold", None, folder)
    if published is not None and (published / "train.csv").is_file():
        return _published(info, published)
    data = load_molecules(info.name, folder, download=download, workers=workers)
    if published is None:
        order = "published-row" if info.parts_in_row_order else "published"
        return take_split(data, scaffold_split(data.smiles, order=order, workers=workers))
    meta = {"task_type": info.task_type, "n_tasks": info.num_tasks, "eval_metric": info.metric}
    valid, test = (
        read_part(published / f"{part}.csv", info.name, meta)._replace(task_names=data.task_names)
        for part in ("valid", "test")
    )
    held_out = {*valid.smiles, *test.smiles}
    train = data.take([row for row, text in enumerate(data.smiles) if text not in held_out])
    return Split(train._replace(rejected=data.rejected), valid, test)


def _concatenate(split: Split) -> MoleculeDataset:
    return split.train._replace(
        smiles=[text for part in split for text in part.smiles],
        labels=np.concatenate([part.labels for part in split]),
        mask=np.concatenate([part.mask for part in split]),
    )
