"""The report of one run, whichever command wrote it."""

import pathlib

from jaxuq.reporting.active_page import print_active, write_active_report
from jaxuq.reporting.benchmark_page import print_benchmark, write_benchmark_report
from jaxuq.reporting.confidence_page import print_confidence, write_confidence_report
from jaxuq.reporting.errors import ReportError
from jaxuq.reporting.experts_page import print_experts, write_experts_report
from jaxuq.reporting.extraction_page import print_extraction, write_extraction_report
from jaxuq.reporting.method_style import styles_of
from jaxuq.reporting.result_folder import read_folder, read_record
from jaxuq.reporting.tagging_active_page import print_tagging_active, write_tagging_active_report
from jaxuq.reporting.tagging_page import print_tagging, write_tagging_report
from jaxuq.reporting.tuning_page import print_tuning, write_tuning_report

_BY_PATH = {
    "confidence": write_confidence_report,
    "experts-evaluation": write_experts_report,
    "extract": write_extraction_report,
    "muben-active": write_active_report,
    "tag-active": write_tagging_active_report,
    "tune": write_tuning_report,
}
_PRINTED = {
    "confidence": print_confidence,
    "experts-evaluation": print_experts,
    "extract": print_extraction,
    "muben-active": print_active,
    "tag": print_tagging,
    "tag-active": print_tagging_active,
    "tune": print_tuning,
}
_WITHOUT = {
    "experts": "holds trained experts; the report is that of jaxuq experts evaluate",
}


def write_report(folder: str | pathlib.Path) -> pathlib.Path:
    """Write `report.html` and `figures/` into a result folder, finished or not.

    The page holds everything it needs: it can be mailed, and opened without a network. Whatever is missing in the
    folder is missing on the page and named there. Both are written atomically, and replaced when called again.

    Args:
        folder: a result folder: `run.json`, `results.csv`, and what else its command writes.

    Returns:
        Path of the page.

    Raises:
        ReportError: if the folder is no result folder, one of its tables is unreadable, or its command has no page.

    Example:
        >>> write_report("no/such/folder")
        Traceback (most recent call last):
        jaxuq.reporting.errors.ReportError: no/such/folder: no such folder; ...
    """
    path = pathlib.Path(folder)
    record = read_record(path)
    system = str(record["system"])
    if system in _WITHOUT:
        raise ReportError(f"{path}: {_WITHOUT[system]}")
    with styles_of(record):
        if system in _BY_PATH:
            return _BY_PATH[system](path)
        return write_tagging_report(read_folder(path)) if system == "tag" else write_benchmark_report(read_folder(path))


def print_report(folder: str | pathlib.Path) -> None:
    """Print the main scores of a run on standard output.

    Args:
        folder: a result folder.

    Raises:
        ReportError: as `write_report`.
    """
    path = pathlib.Path(folder)
    record = read_record(path)
    with styles_of(record):
        _PRINTED.get(str(record["system"]), print_benchmark)(path)
