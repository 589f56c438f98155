"""The results room: the folder that every `jaxuq` run writes, and nothing about what is in its numbers.

    run.json           configuration, versions, device, seconds, status
    predictions/       one compressed file of arrays per finished cell of the run
    results.csv        one row per method, data set and seed; one column per metric
    summary.csv        the same over seeds

Every file is written beside its place and then moved there, so that a reader never sees half of one, and a run that is
started again finds whole cells only. Any domain room may write such a folder; `jaxuq.reporting` reads it.
`run_on_cluster` makes independent calls, such as runs, in processes of a cluster.
"""

from jaxuq.results.cluster import ClusterError, run_on_cluster
from jaxuq.results.files import read_arrays, write_arrays, write_bytes, write_json, write_text
from jaxuq.results.folder import RunFolder, RunFolderError, open_run, read_run
from jaxuq.results.lines import json_lines

__all__ = [
    "ClusterError",
    "RunFolder",
    "RunFolderError",
    "json_lines",
    "open_run",
    "read_arrays",
    "read_run",
    "run_on_cluster",
    "write_arrays",
    "write_bytes",
    "write_json",
    "write_text",
]
