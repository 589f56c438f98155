"""The study room: the folder that every `jaxuq` run writes, and what its results belong to.

    run.json           configuration, digests of the content, versions, device, seconds, status
    predictions/       one compressed file of arrays per finished cell of the run
    results.csv        one row per method, data set and seed; one column per metric
    summary.csv        the same over seeds
    earlier/<digest>/  results of other content (the data changed, the weights did), each a result folder of its own

A result belongs to its data: a `Cell` gives arrays only to who names the very content that they follow from (see
`digest`, `Identity`). Every file is written beside its place and then moved there, so that a reader never sees half of
one, and a run that is started again finds whole cells only. Any domain room may write such a folder: it says what cells
it wants and how they are computed, and `compute_cells` does the rest, here or on a cluster; `jaxuq.reporting` reads it.
"""

from jaxuq._digest import digest
from jaxuq._files import read_arrays, write_arrays, write_bytes, write_json, write_text
from jaxuq.study.acquiring import choose_rows, labelled_sets, random_order
from jaxuq.study.cells import Cell, cell_arrays
from jaxuq.study.cluster import run_on_cluster
from jaxuq.study.crew import Crew, CrewOptions
from jaxuq.study.engine import Kept, Plan, compute_cells
from jaxuq.study.errors import ClusterError, RunFolderError, StudyWarning
from jaxuq.study.folder import RunFolder, check_folder, entry_record, open_run, read_run
from jaxuq.study.identity import Identity
from jaxuq.study.lines import json_lines, read_sealed, sealed_lines
from jaxuq.study.listener import Listener
from jaxuq.study.lock import working_alone
from jaxuq.study.log import Log
from jaxuq.study.options import Options, from_packages, options_of
from jaxuq.study.own import make_study
from jaxuq.study.predictions import prediction_rows, write_predictions
from jaxuq.study.resamples import Examples, Resamples, Scored, read_resamples, resample_cells
from jaxuq.study.stopping import promised_stop
from jaxuq.study.study import Study
from jaxuq.study.table import Rejected, Table, make_table
from jaxuq.study.tables import Intervals, summarise, write_table

__all__ = [
    "Cell",
    "ClusterError",
    "Crew",
    "CrewOptions",
    "Examples",
    "Identity",
    "Intervals",
    "Kept",
    "Listener",
    "Log",
    "Options",
    "Plan",
    "Rejected",
    "Resamples",
    "RunFolder",
    "RunFolderError",
    "Scored",
    "Study",
    "StudyWarning",
    "Table",
    "cell_arrays",
    "check_folder",
    "choose_rows",
    "compute_cells",
    "digest",
    "entry_record",
    "from_packages",
    "json_lines",
    "labelled_sets",
    "make_study",
    "make_table",
    "open_run",
    "options_of",
    "prediction_rows",
    "promised_stop",
    "random_order",
    "read_arrays",
    "read_resamples",
    "read_run",
    "read_sealed",
    "resample_cells",
    "run_on_cluster",
    "sealed_lines",
    "summarise",
    "working_alone",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_predictions",
    "write_table",
    "write_text",
]
