"""The beginning of every kind of run: check the options, load the data, open the result folder."""

import contextlib
import dataclasses
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxuq._entries import Entry
from jaxuq.molecules.datasets import load_dataset
from jaxuq.molecules.muben.backbones import BACKBONES, Backbone, make_backbone
from jaxuq.molecules.muben.configuration import MubenConfiguration, choose
from jaxuq.molecules.muben.features_once import features_once
from jaxuq.molecules.muben.methods import METHODS, task_types
from jaxuq.molecules.muben.problem import check_label_range, one_class_tasks
from jaxuq.molecules.muben.scores import LEVEL
from jaxuq.molecules.records import DataError, DataWarning, Split
from jaxuq.study import Listener, Options, RunFolder, digest, entry_record, open_run

READING = ("smiles_column", "task_columns", "task_type", "separator", "decimal", "part_column", "weight_column")
"""The options that say how a table is read."""
_NAMES = ("dataset", "checkpoint", *READING)
_FREE = ("methods", "seeds", "resamples")


class Part(NamedTuple):
    """A division of the data and the repetitions that use it.

    Attributes:
        split: training, validation and test part.
        data: their digest.
        seeds: of the repetitions.
    """

    split: Split
    data: str
    seeds: list[int]


class Opened(NamedTuple):
    """A run that can begin.

    Attributes:
        configuration: with the backbone's name as `BACKBONES` has it.
        entry: of the backbone in its table.
        backbone: the network and what it reads.
        parts: the data, divided once for all seeds, or once for each.
        methods: names, all for the data set's task type.
        folder: the result folder, held by this process; its record says what the data are.
    """

    configuration: MubenConfiguration
    entry: Entry
    backbone: Backbone
    parts: list[Part]
    methods: list[str]
    folder: RunFolder


@contextlib.contextmanager
def begin_run(
    configuration: MubenConfiguration, system: str, listener: Listener, again: Callable[..., RunFolder]
) -> Iterator[Opened]:
    """Check the options, load the data, open the folder, and write down what the run is about.

    Args:
        configuration: the options of `jaxuq muben`.
        system: what kind of run it is, for run.json.
        listener: is told what a reader of the results should know.
        again: what a worker of a cluster calls with the configuration.

    Yields:
        What the run needs.

    Raises:
        DataError: the data or an option is at fault.
        RunFolderError: the output folder holds something else.
    """
    configuration.check()
    name, *others = choose(configuration.backbone, list(BACKBONES), "backbone")
    if others:
        raise DataError(f"one run has one backbone, not {configuration.backbone}: grid_cells makes a run for each")
    configuration = dataclasses.replace(configuration, backbone=name)
    backbone = make_backbone(name, configuration)
    if configuration.frozen_backbone and backbone.steady_width is not None:
        backbone = features_once(backbone, backbone.steady_width)
    splits, notes = load_splits(configuration, listener)
    first = splits[0].train
    methods = select_methods(configuration.methods, first.task_type)
    notes += [
        f"{name}: the test part has one class only, so AUROC and average precision are undefined and left out"
        for name in one_class_tasks(splits[0])
    ]
    seeds = list(range(configuration.seeds))
    divided = [seeds] if len(splits) == 1 else [[seed] for seed in seeds]
    parts = [Part(split, split_digest(split), own) for split, own in zip(splits, divided)]
    data = parts[0].data  # of a random split too: all molecules are in it
    with open_run(
        configuration.output_folder,
        system=system,
        options=Options(configuration.record() | {"methods": methods}, configuration.defaults(), _NAMES, _FREE),
        content={"data": data} | ({} if backbone.weights is None else {"weights": backbone.weights}),
        resume=configuration.resume,
        crew=configuration.crew(again, configuration),
        digests={configuration.dataset_name: data},
        entries={method: entry_record(METHODS[method]) for method in methods},
        task_type=first.task_type,
        task_names=list(first.task_names),
        metric=first.metric,
        nominal_coverage=LEVEL,
        sizes={name: len(part.smiles) for name, part in zip(splits[0]._fields, splits[0])},
        rejected=[[item.row, item.text, item.reason] for item in first.rejected],
        notes=notes,
    ) as folder:
        if first.taken:
            listener.message(f"{configuration.dataset}: {first.taken}")
        yield Opened(configuration, BACKBONES[name], backbone, parts, methods, folder)


def split_digest(split: Split) -> str:
    """What a divided data set is: molecules, labels and masks of each part in their order, tasks and metric.

    Args:
        split: the data. How the data set is called, and which rows were rejected, does not count.

    Returns:
        A digest.
    """
    first = split.train
    parts = [(part.smiles, np.where(part.mask, part.labels, 0), part.mask) for part in split]
    weights = [] if first.weights is None else [first.weights]
    return digest(parts, first.task_names, first.task_type, first.metric, *weights)


def select_methods(names: str, task_type: str) -> list[str]:
    """The methods that `--methods` names, in the order given.

    Args:
        names: separated by commas; `"all"` and `"muben"` stand for all that apply to the task type.
        task_type: `"classification"` or `"regression"`.

    Returns:
        Names of methods.

    Raises:
        DataError: an unknown name, or one that does not apply to the task type.

    Example:
        >>> select_methods("muben", "regression")
        ['deterministic', 'mc-dropout', 'swag', 'bbp', 'sgld', 'ensemble']
    """
    applicable = [name for name in METHODS if task_type in task_types(METHODS[name])]
    chosen: list[str] = []
    for name in choose(names, [*METHODS, "all", "muben"], "method"):
        if name in ("all", "muben"):
            chosen += [other for other in applicable if name == "all" or METHODS[other].about.get("published")]
        elif name not in applicable:
            raise DataError(
                f"method {name!r} is for {task_types(METHODS[name])[0]} and this data set is for {task_type}; "
                f"there are {', '.join(applicable)}"
            )
        else:
            chosen.append(name)
    return list(dict.fromkeys(chosen))


def load_splits(configuration: MubenConfiguration, listener: Listener) -> tuple[list[Split], list[str]]:
    """One split for all seeds, or a random one for each; warnings become notes of the run.

    Args:
        configuration: names the data.
        listener: is told the notes.

    Returns:
        The splits, and the notes.

    Raises:
        DataError: the data cannot be found or read.
    """
    divided = configuration.split == "scaffold" or _is_split_folder(configuration.dataset)
    divided = divided or configuration.part_column is not None
    reading: dict[str, Any] = {name: getattr(configuration, name) for name in READING}
    reading["task_columns"] = [reading["task_columns"]] if reading["task_columns"] else None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        splits = [
            load_dataset(
                configuration.dataset,
                configuration.split,
                seed=seed,
                folder=configuration.data,
                **reading,
            )
            for seed in (range(1) if divided else range(configuration.seeds))
        ]
    notes = list(dict.fromkeys(str(item.message) for item in caught if issubclass(item.category, DataWarning)))
    for note in notes:
        listener.message(note)
    for split in splits:
        check_label_range(split.train)
    return splits, notes


def _is_split_folder(dataset: str) -> bool:
    return (pathlib.Path(dataset).expanduser() / "train.csv").is_file()
