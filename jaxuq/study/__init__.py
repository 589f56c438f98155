"""The study room: the folder that every `jaxuq` run writes, and what its results belong to.

    run.json           configuration, digests of the content, versions, device, seconds, status
    predictions/       one compressed file of arrays per finished cell of the run
    results.csv        one row per method, data set and seed; one column per metric
    summary.csv        the same over seeds
    earlier/<digest>/  results of other content (the data changed, the weights did), each a result folder of its own

A result belongs to its data: a `Cell` gives arrays only to who names the very content that they follow from (see
`digest`). Every file is written beside its place and then moved there, so that a reader never sees half of one, and a
run that is started again finds whole cells only. Any domain room may write such a folder; `jaxuq.reporting` reads it.
`run_on_cluster` makes independent calls, such as runs, in processes of a cluster.
"""

from jaxuq._digest import digest
from jaxuq._files import read_arrays, write_arrays, write_bytes, write_json, write_text
from jaxuq.study.cells import Cell, cell_arrays
from jaxuq.study.cluster import ClusterError, run_on_cluster
from jaxuq.study.errors import RunFolderError, StudyWarning
from jaxuq.study.folder import Options, RunFolder, check_folder, open_run, read_run
from jaxuq.study.lines import json_lines, read_sealed, sealed_lines
from jaxuq.study.lock import working_alone

__all__ = [
    "Cell",
    "ClusterError",
    "Options",
    "RunFolder",
    "RunFolderError",
    "StudyWarning",
    "cell_arrays",
    "check_folder",
    "digest",
    "json_lines",
    "open_run",
    "read_arrays",
    "read_run",
    "read_sealed",
    "run_on_cluster",
    "sealed_lines",
    "working_alone",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_text",
]
