"""The fourteen MoleculeNet data sets of the MUBen benchmark: columns, tasks, metrics, cleaning and origin.

References:
    Zhenqin Wu et al., "MoleculeNet: a benchmark for molecular machine learning", Chemical Science 9, 2018.
    Yinghao Li, Lingkai Kong, Yuanqi Du, Yue Yu, Yuchen Zhuang, Wenhao Mu, Chao Zhang, "MUBen: Benchmarking the
        Uncertainty of Molecular Representation Models", Transactions on Machine Learning Research, 2024.
"""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from jaxuq.molecules.records import DataError, TaskType

_BUCKET = "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/"


class DatasetInfo(NamedTuple):
    """What is known beforehand about a named data set.

    Attributes:
        name: the short name, lower case.
        category: `physiology`, `biophysics`, `physical chemistry` or `quantum mechanics`.
        task_type: `classification` or `regression`.
        metric: what selects a model on the validation part, as the benchmark's text has it.
        muben_metric: the same as the benchmark's code has it; differs for muv only.
        smiles_column: the column with the SMILES in the published file.
        task_columns: the columns with the labels, or None for all but `other_columns` and the SMILES.
        other_columns: columns that are neither.
        num_tasks: how many tasks.
        num_molecules: how many molecules the benchmark's files hold. The loader gives as many, but for clintox (1480)
            and toxcast (8579), where two and three more are absent from the benchmark's for a reason that is not known.
        published_size: how many the text of the benchmark says; differs from the files for qm7 and toxcast.
        files: names under which the published file is looked for, with or without `.gz`; the first is the original's.
        sha256: hash of the uncompressed content, or None where it could not be checked: then nothing is downloaded.
        drop_unparsable: leave out what RDKit cannot read; otherwise such molecules are kept, as the benchmark has them.
        drop_repeats: keep only the first record of each SMILES.
        drop_without_heavy_atoms: leave out bare hydrogen.
        parts_in_row_order: whether a published part lists its molecules in the order of the raw file.
    """

    name: str
    category: str
    task_type: TaskType
    metric: str
    muben_metric: str
    smiles_column: str
    task_columns: tuple[str, ...] | None
    other_columns: tuple[str, ...]
    num_tasks: int
    num_molecules: int
    published_size: int
    files: tuple[str, ...]
    sha256: str | None
    drop_unparsable: bool = False
    drop_repeats: bool = False
    drop_without_heavy_atoms: bool = False
    parts_in_row_order: bool = False

    @property
    def address(self) -> str:
        """Where the file is published."""
        return _BUCKET + self.files[0]


def _classification(name, category, smiles, tasks, size, files, sha256, **more):
    return DatasetInfo(
        name=name,
        category=category,
        task_type="classification",
        metric="roc-auc",
        muben_metric=more.pop("muben_metric", "roc-auc"),
        smiles_column=smiles,
        task_columns=None if isinstance(tasks, int) else tasks,
        other_columns=more.pop("other_columns", ()),
        num_tasks=tasks if isinstance(tasks, int) else len(tasks),
        num_molecules=size,
        published_size=more.pop("published_size", size),
        files=files,
        sha256=sha256,
        **more,
    )


def _regression(name, category, tasks, size, files, sha256, **more):
    metric = "rmse" if category == "physical chemistry" else "mae"
    return DatasetInfo(
        name=name,
        category=category,
        task_type="regression",
        metric=metric,
        muben_metric=metric,
        smiles_column="smiles",
        task_columns=tasks,
        other_columns=(),
        num_tasks=len(tasks),
        num_molecules=size,
        published_size=more.pop("published_size", size),
        files=files,
        sha256=sha256,
        **more,
    )


_PHYSIOLOGY, _BIOPHYSICS = "physiology", "biophysics"
_CHEMISTRY, _QUANTUM = "physical chemistry", "quantum mechanics"
_NUCLEAR = ("AR", "AR-LBD", "AhR", "Aromatase", "ER", "ER-LBD", "PPAR-gamma")
_STRESS = ("ARE", "ATAD5", "HSE", "MMP", "p53")
_TOX21 = (*(f"NR-{assay}" for assay in _NUCLEAR), *(f"SR-{assay}" for assay in _STRESS))
_MUV = tuple(f"MUV-{n}" for n in (466, 548, 600, 644, 652, 689, 692, 712, 713, 733, 737, 810, 832, 846, 852, 858, 859))
_QM8 = tuple(f"{quantity}-{method}" for method in ("CC2", "PBE0", "CAM") for quantity in ("E1", "E2", "f1", "f2"))

_ALL = (
    _classification(
        "bbbp",
        _PHYSIOLOGY,
        "smiles",
        ("p_np",),
        2039,
        ("BBBP.csv", "bbbp.csv"),
        "6aecd84110e8c0549bc4e2e486c52267d4e775178fca8999f5465029e31e75bb",
        drop_unparsable=True,
    ),
    _classification(
        "clintox",
        _PHYSIOLOGY,
        "smiles",
        ("FDA_APPROVED", "CT_TOX"),
        1478,
        ("clintox.csv.gz", "clintox.csv"),
        "9999816e760dd838358b5d88e81cea2fc062be4458ffa412ceecdba4f88a67b6",
        drop_unparsable=True,
    ),
    _classification(
        "tox21",
        _PHYSIOLOGY,
        "smiles",
        _TOX21,
        7831,
        ("tox21.csv.gz", "tox21.csv"),
        "7d7e7facd853a63e79ddce4e9c3fcb7a0d83a1c300b603031c0f2c64fbe77761",
    ),
    _classification(
        "toxcast",
        _PHYSIOLOGY,
        "smiles",
        617,
        8576,
        ("toxcast_data.csv.gz", "toxcast_data.csv", "toxcast.csv"),
        "0598b33326818254fcb7ced0e039b8e40ed42a18e9063c27cacc1e43b2df0f7a",
        published_size=8575,
        drop_unparsable=True,
        drop_repeats=True,
    ),
    _classification(
        "sider",
        _PHYSIOLOGY,
        "smiles",
        27,
        1427,
        ("sider.csv.gz", "sider.csv"),
        "71efc6ac4ca82d6545bc512509863281be0f17234afd7adaf71a71899988302e",
    ),
    _classification(
        "bace",
        _BIOPHYSICS,
        "mol",
        ("Class",),
        1513,
        ("bace.csv",),
        "894a1efd23d2c391c6f6ee0fb5f719bf9d6633a6b534ec02472fa11e1d5862a3",
    ),
    _classification(
        "hiv",
        _BIOPHYSICS,
        "smiles",
        ("HIV_active",),
        41127,
        ("HIV.csv", "hiv.csv"),
        "8df84857edc602ae9267a73ebf2b68451f75c159637726cdc392dd7ef297b592",
        parts_in_row_order=True,
    ),
    _classification(
        "muv",
        _BIOPHYSICS,
        "smiles",
        _MUV,
        93087,
        ("muv.csv.gz", "muv.csv"),
        "feac9a780cb5f2e5e1c51e6ba61491a524da544ca1d6e4b542f9ad358fe0527b",
        muben_metric="prc-auc",
        drop_repeats=True,
    ),
    _regression(
        "esol",
        _CHEMISTRY,
        ("measured log solubility in mols per litre",),
        1128,
        ("delaney-processed.csv", "esol.csv"),
        "8c06a76f0c6487d29ab0f903e6a7a7139f189ab3c1178f159c8be8964602f189",
    ),
    _regression(
        "freesolv",
        _CHEMISTRY,
        ("expt",),
        642,
        ("SAMPL.csv", "freesolv.csv"),
        "a4fbf3b28fe2e604d6bd7ea0e20b4494ff732400a80f58d1b393677cfbc1b06c",
    ),
    _regression(
        "lipo",
        _CHEMISTRY,
        ("exp",),
        4200,
        ("Lipophilicity.csv", "lipophilicity.csv", "lipo.csv"),
        "3d2a409dc8bdf620876bb7257faf4996df29a19dd0244d0b4a6a8064c306cded",
    ),
    _regression(
        "qm7",
        _QUANTUM,
        ("u0_atom",),
        6830,
        ("qm7.csv",),
        "bd5ecd087ab346856f02d8e4fa7a2f5d57bb1f5991730f9e2833f054cf3b7ce5",
        published_size=7160,
        drop_without_heavy_atoms=True,
    ),
    _regression(
        "qm8",
        _QUANTUM,
        _QM8,
        21786,
        ("qm8.csv",),
        "964558dcd6982d82871fd11f3cb24adb8de052bfe59d0a30ad6a7645d7e7665d",
    ),
    _regression("qm9", _QUANTUM, ("homo", "lumo", "gap"), 133885, ("qm9.csv",), None),
)
_ALIASES = {"lipophilicity": "lipo", "delaney": "esol", "sampl": "freesolv"}

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType({info.name: info for info in _ALL})


def dataset_names() -> tuple[str, ...]:
    """The names of the fourteen data sets of the benchmark.

    Returns:
        Short names, classification sets first.

    Example:
        >>> dataset_names()[:3], len(dataset_names())
        (('bbbp', 'clintox', 'tox21'), 14)
    """
    return tuple(DATASETS)


def dataset_info(name: str) -> DatasetInfo:
    """The catalogue entry of a data set.

    Args:
        name: one of the fourteen names, in any case; `lipophilicity`, `delaney` and `sampl` are understood too.

    Returns:
        What is known beforehand about the data set.

    Raises:
        DataError: no data set has this name; the message suggests the nearest ones.

    Example:
        >>> dataset_info("Tox21").num_tasks
        12
        >>> dataset_info("qm7").num_molecules, dataset_info("qm7").published_size
        (6830, 7160)
    """
    key = name.strip().lower().replace("-", "").replace("_", "")
    key = _ALIASES.get(key, key)
    if key in DATASETS:
        return DATASETS[key]
    near = difflib.get_close_matches(key, [*DATASETS, *_ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise DataError(
        f"no data set is called {name!r}: {hint}The names are {', '.join(DATASETS)}; "
        "a path to a CSV file or to a folder with train.csv, valid.csv and test.csv works as well"
    )
