"""`jaxuq muben`: run the benchmark with progress on the terminal, print its scores, write its page."""

from jaxuq.cli.telling import say
from jaxuq.molecules.muben.configuration import MubenConfiguration

_FILES = (
    ("report.html", "open this: scores, calibration, figures"),
    ("active.csv", "one row per method, seed, acquisition and round"),
    ("rounds/", "which molecules had labels, and how much those of all others were wanted"),
    ("results.csv", "one row per method and seed"),
    ("summary.csv", "mean, deviation and interval per method"),
    ("predictions/", "every forecast; of the test molecules also as tables (.csv) with their SMILES"),
    ("figures/", "the page's figures as files"),
    ("run.json", "configuration, versions, device"),
)


def run(configuration: MubenConfiguration) -> None:
    """Run the benchmark as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs, use_all_cores

    keep_compiled_programs()
    if configuration.strategy in ("auto", "pmap", "shard_map"):
        use_all_cores()

    from jaxuq.cli.display import run_and_report
    from jaxuq.molecules.muben import grid_cells, run_active, run_muben

    cells = grid_cells(configuration)
    if len(cells) > 1:
        _run_grid(cells)
        return
    run_one = run_active if configuration.active else run_muben
    run_and_report(lambda listener: run_one(configuration, listener), _FILES)


def _run_grid(cells: list[MubenConfiguration]) -> None:
    from jaxuq.cli.display import Display
    from jaxuq.molecules.muben import run_grid
    from jaxuq.molecules.records import DataError
    from jaxuq.reporting import compare_runs, print_report, write_report

    with Display() as display:
        status = run_grid(cells, display.listener(), lambda folder: (write_report(folder), None)[1])
    root = cells[0].output_folder.parent
    complete = [root / name for name, said in status.items() if said == "complete"]
    failed = {name: said for name, said in status.items() if said != "complete"}
    for name, said in failed.items():
        say(f"{name}: {said}")
    if not complete:
        raise DataError(f"none of the {len(cells)} runs in {root} is complete; grid.json there says why")
    for folder in complete:
        print_report(folder)
    active = bool(cells[0].active)
    pages = ", ".join(str(folder / "report.html") for folder in complete) if active else compare_runs(complete, root)
    say(f"{len(complete)} of {len(cells)} runs are complete: {pages}")
    if failed:
        raise DataError(
            f"{len(failed)} of {len(cells)} runs failed ({', '.join(failed)}); the same command tries again"
        )
