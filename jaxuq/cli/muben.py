"""`jaxuq muben`: run the benchmark with progress on the terminal, print its scores, write its page."""

import sys
import time

from jaxuq.molecules.muben.configuration import MubenConfiguration


def run(configuration: MubenConfiguration) -> None:
    """Run the benchmark as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    if configuration.strategy in ("auto", "pmap", "shard_map"):
        use_all_cores()

    from jaxuq.cli.display import Display
    from jaxuq.molecules.muben import grid_cells, run_muben
    from jaxuq.reporting import write_report

    cells = grid_cells(configuration)
    if len(cells) > 1:
        _run_grid(cells)
        return
    began = time.monotonic()
    with Display() as display:
        folder = run_muben(configuration, display.listener())
    page = write_report(folder.path)
    display.print_scores(folder.path)
    print(f"Done in {time.monotonic() - began:.0f} s. Written to {folder.path}:", file=sys.stderr)
    for name, content in (
        ("report.html", "open this: scores, calibration, figures"),
        ("results.csv", "one row per method and seed"),
        ("summary.csv", "mean, deviation and interval per method"),
        ("predictions/", "every forecast of the validation and test molecules"),
        ("figures/", "the page's figures as files"),
        ("run.json", "configuration, versions, device"),
    ):
        print(f"  {page.parent / name.rstrip('/')}  ({content})")


def _run_grid(cells: list[MubenConfiguration]) -> None:
    from jaxuq.cli.display import Display
    from jaxuq.molecules.muben import run_grid
    from jaxuq.molecules.records import DataError
    from jaxuq.reporting import compare_runs, write_report

    with Display() as display:
        status = run_grid(cells, display.listener(), lambda folder: (write_report(folder), None)[1])
    root = cells[0].output_folder.parent
    complete = [root / name for name, said in status.items() if said == "complete"]
    failed = {name: said for name, said in status.items() if said != "complete"}
    for name, said in failed.items():
        print(f"{name}: {said}", file=sys.stderr)
    if not complete:
        raise DataError(f"none of the {len(cells)} runs in {root} is complete; grid.json there says why")
    for folder in complete:
        display.print_scores(folder)
    print(f"{len(complete)} of {len(cells)} runs are complete: {compare_runs(complete, root)}", file=sys.stderr)
    if failed:
        raise DataError(
            f"{len(failed)} of {len(cells)} runs failed ({', '.join(failed)}); the same command tries again"
        )
