"""`jaxuq muben`: run the benchmark with progress on the terminal, print its scores, write its page."""

import os
import sys
import time

from jaxuq.molecules.muben.configuration import MubenConfiguration


def run(configuration: MubenConfiguration) -> None:
    """Run the benchmark as the command line does.

    Args:
        configuration: the options.
    """
    from jaxuq.cli.compiled import keep_compiled_programs
    from jaxuq.parallel import use_cpu_cores

    keep_compiled_programs()
    if configuration.strategy in ("auto", "pmap", "shard_map"):
        use_cpu_cores(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    from jaxuq.cli.display import Display
    from jaxuq.molecules.muben import run_muben
    from jaxuq.reporting import write_report

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
