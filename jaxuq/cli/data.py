"""`jaxuq data`: which data sets there are, whether they are at hand, and what is in one."""

import dataclasses
import pathlib
import sys
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class DataCommand:
    """List the data sets that jaxuq knows, or describe some: jaxuq data esol."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Data sets to describe; none lists all."""

    folder: pathlib.Path | None = None
    """A folder to look in first; then JAXUQ_DATA, the packaged files, the cache."""

    def run(self) -> None:
        """Print one table."""
        from rich.console import Console
        from rich.table import Table

        from jaxuq.molecules import DataError, dataset_info, dataset_names, load_dataset
        from jaxuq.molecules.finding import find_raw

        infos = [dataset_info(name) for name in self.names or dataset_names()]
        parts = "train / valid / test" if self.names else "where"
        table = Table(title="Molecular data sets (MoleculeNet, as MUBen uses them)", title_justify="left")
        for column in ("name", "type", "selected by", "tasks", "molecules", parts):
            table.add_column(column, justify="right" if column in ("tasks", "molecules") else "left")
        missing = []
        for info in infos:
            try:
                if self.names:
                    split = load_dataset(info.name, folder=self.folder, download=False)
                    found = " / ".join(str(len(part.smiles)) for part in split)
                else:
                    found = str(find_raw(info, self.folder, False).parent)
            except DataError as error:
                found = "not at hand"
                missing.append(str(error))
            table.add_row(info.name, info.task_type, info.metric, str(info.num_tasks), str(info.num_molecules), found)
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(table)
        for reason in missing if self.names else ():
            console.print(reason, highlight=False, markup=False)
