"""`jaxuq report`: make a run's page again, or one page that compares several runs."""

import dataclasses
import pathlib
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write report.html for one result folder, or compare several: jaxuq report runs/*."""

    folders: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional]
    """Result folders; with two or more the page compares them."""

    output: pathlib.Path = pathlib.Path("comparison")
    """The folder for the page and its figures when several folders are compared."""

    def run(self) -> None:
        """Write the page and name it."""
        from jaxuq.reporting import ReportError, compare_runs, write_report

        if not self.folders:
            raise ReportError("no result folder is named; for example: jaxuq report runs/esol-dnn-scaffold")
        page = (
            write_report(self.folders[0]) if len(self.folders) == 1 else compare_runs(list(self.folders), self.output)
        )
        print(page)
