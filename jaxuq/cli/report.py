"""`jaxuq report`: make a run's page again, or one page that compares several runs."""

import dataclasses
import pathlib
from typing import Annotated

import tyro


@dataclasses.dataclass(frozen=True)
class ReportCommand:
    """Write report.html for one result folder, or compare several: jaxuq report runs/*.

    A folder of published report files (<backbone>-<data set>.csv) gives their average ranks; further ones, such as
    those of frozen backbones or random splits, how scores change from the first to each.
    """

    folders: Annotated[tuple[pathlib.Path, ...], tyro.conf.Positional]
    """Result folders; with two or more the page compares them."""

    output: pathlib.Path = pathlib.Path("comparison")
    """The folder for the page and its figures when several folders are compared."""

    backbones: str | None = None
    """Of published report files: only these, separated by commas; ranks depend on who takes part."""

    def run(self) -> None:
        """Write the page and name it."""
        from jaxuq.reporting import ReportError, compare_published, compare_runs, is_published, write_report

        if not self.folders:
            raise ReportError("no result folder is named; for example: jaxuq report runs/esol-dnn-scaffold")
        if all(map(is_published, self.folders)):
            names = [name.strip() for name in (self.backbones or "").split(",") if name.strip()]
            print(compare_published(self.folders[0], self.output, names, self.folders[1:]))
            return
        page = (
            write_report(self.folders[0]) if len(self.folders) == 1 else compare_runs(list(self.folders), self.output)
        )
        print(page)
