"""Seconds and memory of every step of a run, kept over interruptions."""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxuq._damaged import DAMAGED
from jaxuq.study import write_json


@contextlib.contextmanager
def costs_of(folder: Path, step: str) -> Iterator[None]:
    """A context that adds the time of a step to `costs.json`; an interrupted step counts for as long as it ran.

    The memory is the most that the process has held so far, which a step that needs less than an earlier one of the
    same process does not show.

    Args:
        folder: of the run.
        step: its name.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        costs = read_costs(folder)
        before = costs.get(step, {})
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        costs[step] = {
            "seconds": round(float(before.get("seconds", 0.0)) + time.monotonic() - began, 3),
            "peak_bytes": max(int(before.get("peak_bytes", 0)), peak),
        }
        write_json(folder / "costs.json", costs)


def read_costs(folder: Path) -> dict[str, dict[str, Any]]:
    """Costs of the steps so far.

    Args:
        folder: of the run.

    Returns:
        For each step `seconds` and `peak_bytes`, in the order in which they were first taken.
    """
    try:
        return json.loads((folder / "costs.json").read_text())
    except DAMAGED:
        return {}
