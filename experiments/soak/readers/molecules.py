"""Tables of molecules: CSV with whatever separator, SDF, Excel, parquet, folders of parts."""

import importlib
import pathlib
from typing import Any

from readers.files import Read, Reader, packed, texts

_CSV = "id,smiles,logS,logP\n" + "".join(
    f"m{n},{smiles},{n * 0.7 - 2:.2f},{3 - n * 1.3:.1f}\n"
    for n, smiles in enumerate(
        ["CCO", "c1ccccc1", "CC(=O)O", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "O=C=O", '"CCN"', "CC#N"]
    )
)
_SEMICOLONS = _CSV.replace(",", ";").replace(".", ",")


def _sdf(folder: pathlib.Path) -> None:
    from rdkit import Chem

    with Chem.SDWriter(str(folder / "mols.sdf")) as writer:
        for number, smiles in enumerate(("CCO", "c1ccccc1O", "CC(=O)N")):
            molecule = Chem.MolFromSmiles(smiles)
            molecule.SetProp("_Name", f"m{number}")
            molecule.SetProp("logS", f"{number - 1.5}")
            molecule.SetProp("logP", f"{number * 0.5}")
            writer.write(molecule)


def _frame() -> Any:
    import io

    import pandas

    return pandas.read_csv(io.StringIO(_CSV))


def _molecules(name: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.molecules import load_csv

        data = load_csv(folder / name, task_columns=["logS", "logP"], workers=1)
        return data.smiles, data.labels

    return read


def _alone(name: str) -> Read:
    def read(folder: pathlib.Path) -> Any:
        from jaxuq.molecules import load_csv
        from jaxuq.molecules.rows import read_smiles

        read_smiles(folder / name)
        return load_csv(folder / name, workers=1)

    return read


def _split_folder(folder: pathlib.Path) -> None:
    for part in ("train", "valid", "test"):
        rows = 'CCO,"[1.5, 0]","[1, 0]"\nCCN,"[-0.5, 2]","[1, 1]"\n'
        (folder / f"{part}.csv").write_text(f"smiles,labels,masks\n{rows}")
    (folder / "meta.json").write_text('{"task_type": "regression", "n_tasks": 2, "eval_metric": "rmse"}')


_TABLE = texts(mols__csv=_CSV)


READERS: dict[str, Reader] = {
    "molecules: CSV, columns named": Reader(
        ("mols.csv",), _TABLE, _molecules("mols.csv"), ("load_csv", "load_dataset")
    ),
    "molecules: CSV, columns found": Reader(("mols.csv",), texts(mols__csv=_SEMICOLONS), _alone("mols.csv")),
    "molecules: CSV, gzipped": Reader(("mols.csv.gz",), packed(_TABLE), _molecules("mols.csv.gz")),
    "molecules: SDF": Reader(("mols.sdf",), _sdf, _molecules("mols.sdf"), share=0.7),
    "molecules: SDF, gzipped": Reader(("mols.sdf.gz",), packed(_sdf), _molecules("mols.sdf.gz"), share=0.4),
    "molecules: Excel": Reader(
        ("mols.xlsx",),
        lambda folder: _frame().to_excel(folder / "mols.xlsx", index=False),
        _molecules("mols.xlsx"),
        share=0.4,
    ),
    "molecules: parquet": Reader(
        ("mols.parquet",),
        lambda folder: _frame().to_parquet(folder / "mols.parquet"),
        _molecules("mols.parquet"),
        share=0.4,
    ),
    "molecules: folder of parts": Reader(
        ("train.csv", "test.csv", "meta.json"),
        _split_folder,
        lambda folder: importlib.import_module("jaxuq.molecules").load_split_folder(folder),
        ("load_split_folder",),
    ),
}
"""By name, as the page shows them."""
