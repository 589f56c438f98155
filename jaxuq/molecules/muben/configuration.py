"""What a benchmark run is: one dataclass, from which the command line is made."""

import dataclasses
import difflib
import json
import pathlib
from typing import Annotated, Any, Literal

import tyro

from jaxuq.molecules.records import DataError
from jaxuq.molecules.tables import table_name
from jaxuq.study.crew import CREW_OPTIONS, CrewOptions
from jaxuq.study.options import from_packages

_FEWER_MEMBERS = ("muv", "qm8", "qm9")
_ACTIVE = (("active", 0), ("start", 1), ("acquire", 1), ("audit", 0))
ACQUISITIONS: tuple[str, ...] = ("uncertainty", "epistemic", "random")
"""How active learning chooses, by the name that `--acquisition` takes."""


@dataclasses.dataclass(frozen=True)
class MubenConfiguration(CrewOptions):
    """Benchmark uncertainty methods on molecules: train, forecast, calibrate, score, report.

    Every default is MUBen's. A run writes a folder with run.json, predictions/, results.csv, summary.csv, report.html
    and figures/; the same command continues an interrupted run and ends with the same numbers.
    """

    dataset: str = "esol"
    """A MoleculeNet name (esol, bace, ...), a table (CSV, SDF, ...), or a folder with train.csv, valid.csv and
    test.csv; several with commas between."""

    backbone: Annotated[str, from_packages("jaxuq.backbones")] = "dnn"
    """The network and what it reads: dnn (descriptors), morgan (fingerprints), gin and dmpnn (graphs), chemberta and
    rxnfp (SMILES), grover, unimol, torchmdnet; several with commas between."""

    methods: Annotated[str, from_packages("jaxuq.methods")] = "all"
    """Names separated by commas, 'muben' for the published ones, or 'all': deterministic, temperature, focal,
    mc-dropout, swag, bbp, sgld, ensemble, laplace, laplace-network, cyclical-sgld, batch-ensemble, sngp, vbll,
    evidential, platt, isotonic, isotonic-quantiles, variance-scaling."""

    seeds: int = 3
    """How many repetitions, with seeds 0, 1, 2, ...; a random split is drawn anew for each."""

    split: Literal["scaffold", "random"] = "scaffold"
    """How a named data set or a CSV file is divided 8:1:1; a folder is divided already."""

    output: pathlib.Path | None = None
    """The result folder; default: runs/<dataset>-<backbone>-<split>."""

    members: int | None = None
    """Members of the ensemble; default: 10, or 3 for muv, qm8, qm9 and random splits."""

    samples: int = 30
    """Posterior samples of mc-dropout, swag, bbp, sgld, cyclical-sgld, laplace and laplace-network."""

    checkpoint: str | None = None
    """Pretrained weights (a folder or a file) for a backbone that reads them; for several: name=path,name=path."""

    frozen_backbone: bool = False
    """Train the output layer only."""

    features: Literal["rdkit", "morgan"] = "rdkit"
    """Descriptors of the dnn: 200 normalised RDKit descriptors, or Morgan fingerprints (radius 2, 1024 bits)."""

    epochs: int | None = None
    """At most so many epochs; default: the backbone's recipe (dnn: 400)."""

    patience: int | None = None
    """Stop after more than so many epochs without a better validation score; default: the recipe's (dnn: 50)."""

    batch_size: int | None = None
    """Molecules a step; default: the recipe's (dnn: 256)."""

    learning_rate: float | None = None
    """Of AdamW; default: the recipe's (dnn: 2e-4)."""

    convention: Literal["exact", "muben"] = "exact"
    """How numbers are computed: exact as defined, or muben as in the published tables (see experiments/muben)."""

    resamples: int = 200
    """Bootstrap resamples of the test molecules for the intervals in summary.csv; 0 leaves them out."""

    strategy: Literal["auto", "vmap", "map", "pmap", "shard_map"] = "auto"
    """How members and seeds are mapped over devices; the numbers do not depend on it."""

    resume: bool = True
    """Go on if the output folder holds this very run; --no-resume refuses such a folder."""

    data: pathlib.Path | None = None
    """A folder to look for data in first; then JAXUQ_DATA, the packaged files, the cache, a download."""

    smiles_column: str | None = None
    """For a table: the column with the SMILES; default: guessed from its name."""

    task_columns: Annotated[str | None, tyro.conf.arg(aliases=["--targets"])] = None
    """For a table: label columns separated by commas; default: all that hold labels of one kind,
    and are no identifiers, dates or properties of the structure."""

    task_type: Literal["classification", "regression"] | None = None
    """For a table: what the labels are; default: classification if all are 0 or 1."""

    separator: str | None = None
    """For a table: between fields, one of , ; | or tab; default: recognised."""

    decimal: Literal[".", ","] | None = None
    """For a table: sign of its numbers; default: recognised."""

    part_column: str | None = None
    """For a table: a column that says train, valid or test, in place of --split."""

    weight_column: str | None = None
    """For a table: a column with how much each molecule counts in training."""

    active: int = 0
    """Active learning in so many rounds instead of the benchmark: start with few labels, acquire more where the method
    is unsure, train anew."""

    start: int = 100
    """Active learning: labels of the first round, of molecules drawn at random; a molecule brings all that it has."""

    acquire: int = 50
    """Active learning: labels that each round adds."""

    acquisition: str = "uncertainty,random"
    """Active learning: which labels: uncertainty (the published choice), epistemic (only what could be learnt),
    random; several with commas between."""

    audit: int = 0
    """Active learning: molecules drawn at random whose labels are bought first and never trained on, to say when it may
    stop: see --stop."""

    stop: float | None = None
    """Active learning with --audit: say from which round on at most this share of predictions is off by more than
    --tolerance (of classes: is wrong), a promise that fails in one run in ten at most."""

    tolerance: float | None = None
    """Active learning with --stop: by how much a prediction of numbers may be off, in the labels' unit."""

    def check(self) -> None:
        """Refuse numbers out of range.

        Raises:
            DataError: names the option, its value and its range.
        """
        for name, smallest in (("seeds", 1), ("samples", 2), ("resamples", 0), ("workers", 1), *_ACTIVE):
            if getattr(self, name) < smallest:
                raise DataError(f"--{name} is {getattr(self, name)}; it must be at least {smallest}")
        for name, smallest in (("members", 2), ("epochs", 1), ("patience", 1), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise DataError(f"--{name.replace('_', '-')} is {value}; it must be at least {smallest}")
        self._check_stop()
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise DataError(f"--learning-rate is {self.learning_rate}; it must be positive")
        _ = self.acquisitions

    def _check_stop(self) -> None:
        if self.stop is not None and not 0 < self.stop < 1:
            raise DataError(f"--stop is {self.stop}; it must lie between 0 and 1")
        if self.tolerance is not None and not 0 < self.tolerance < float("inf"):
            raise DataError(f"--tolerance is {self.tolerance}; it must be positive")
        if (self.stop is None) != (self.audit == 0):
            raise DataError("--audit and --stop belong together: molecules put aside, and the share that is wanted")
        if self.stop is not None and not self.active:
            raise DataError("--stop is of active learning; add --active with a number of rounds")

    @property
    def dataset_name(self) -> str:
        """Short name of the data set for tables: the name, or the file's or folder's own."""
        return table_name(self.dataset).lower() or "data"

    @property
    def num_members(self) -> int:
        """Members of the ensemble, MUBen's number unless given."""
        if self.members is not None:
            return self.members
        return 3 if self.split == "random" or self.dataset_name in _FEWER_MEMBERS else 10

    @property
    def output_folder(self) -> pathlib.Path:
        """Where the results go."""
        return self.output or pathlib.Path("runs") / self.run_name

    @property
    def run_name(self) -> str:
        """What the run's folder is called unless the user says."""
        return f"{self.dataset_name}-{self.backbone}-{self.split}{'-active' if self.active else ''}"

    @property
    def acquisitions(self) -> list[str]:
        """How active learning chooses.

        Raises:
            DataError: an unknown name.
        """
        return choose(self.acquisition, list(ACQUISITIONS), "acquisition")

    from_scratch: bool = False
    """Let a backbone that reads pretrained weights start at random instead."""

    def checkpoint_of(self, backbone: str) -> pathlib.Path | None:
        """The pretrained weights that the option `checkpoint` names for a backbone.

        Args:
            backbone: its name.

        Returns:
            A path, or None.

        Example:
            >>> MubenConfiguration(checkpoint="grover=a.pt,unimol=b.pt").checkpoint_of("unimol")
            PosixPath('b.pt')
            >>> MubenConfiguration(checkpoint="weights").checkpoint_of("chemberta")
            PosixPath('weights')
        """
        if self.checkpoint is None:
            return None
        named = dict(part.strip().split("=", 1) for part in split_names(self.checkpoint) if "=" in part)
        if pathlib.Path(self.checkpoint).expanduser().exists():
            named = {}  # a path with signs that would part names
        path = named.get(backbone) if named else self.checkpoint
        return None if path is None else pathlib.Path(path).expanduser()

    def record(self) -> dict[str, Any]:
        """What decides the numbers, for run.json: all options but the output folder and how the work is done."""
        options = dataclasses.asdict(self)
        for name in ("output", "resume", "strategy", "data", *CREW_OPTIONS):
            options.pop(name)
        of_rounds = ("active", "start", "acquire", "acquisition", "audit", "stop", "tolerance")
        for name in of_rounds if not self.active else ():
            options.pop(name)
        return json.loads(json.dumps(options | {"members": self.num_members}, default=str))

    def defaults(self) -> dict[str, Any]:
        """What an option is that a folder's `run.json` does not know."""
        return {field.name: field.default for field in dataclasses.fields(self)} | {"members": self.num_members}

    def cell_options(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options that the numbers of one method with one seed follow from, besides data and weights; defaults."""
        names = (
            *("features", "frozen_backbone", "epochs", "patience", "batch_size", "learning_rate", "convention"),
            "samples",
        )
        fields = type(self).__dataclass_fields__
        return {name: getattr(self, name) for name in names}, {name: fields[name].default for name in names}


def split_names(text: str) -> list[str]:
    """Names and paths with commas between; a path that is there is one, whatever commas are in it.

    Example:
        >>> split_names("esol, bbbp")
        ['esol', 'bbbp']
    """
    pieces, found = text.split(","), []
    while pieces:
        joined = [",".join(pieces[:n]).strip() for n in range(len(pieces), 1, -1)]
        there = next((path for path in joined if pathlib.Path(path).expanduser().exists()), pieces[0].strip())
        pieces = pieces[there.count(",") + 1 :]
        found += [there] if there else []
    return list(dict.fromkeys(found))


def choose(names: str, known: dict[str, Any] | list[str], what: str) -> list[str]:
    """Split a list at commas and check every name.

    Args:
        names: as the user typed them.
        known: the names there are.
        what: what they name, for the message.

    Returns:
        The names, without repetitions, in the order given.

    Raises:
        DataError: an unknown name (the nearest ones are suggested) or an empty list.

    Example:
        >>> choose("swag, bbp", ["bbp", "sgld", "swag"], "method")
        ['swag', 'bbp']
    """
    chosen = list(dict.fromkeys(name.strip().lower().replace("_", "-") for name in names.split(",") if name.strip()))
    if not chosen:
        raise DataError(f"no {what} is named; there are {', '.join(known)}")
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise DataError(f"unknown {what} {name!r}; {hint}There are {', '.join(known)}")
    return chosen
