"""The parallel room: a member axis mapped over devices, and independent calls over the processes of a cluster."""

from jaxuq.parallel.cluster import ClusterError, run_on_cluster
from jaxuq.parallel.members import (
    STRATEGIES,
    even_number,
    gather_members,
    map_members,
    pad_members,
    resolve_strategy,
    use_cpu_cores,
)

__all__ = [
    "STRATEGIES",
    "ClusterError",
    "even_number",
    "gather_members",
    "map_members",
    "pad_members",
    "resolve_strategy",
    "run_on_cluster",
    "use_cpu_cores",
]
