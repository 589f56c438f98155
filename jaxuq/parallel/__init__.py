"""The parallel room: members, or rows of data, divided over the devices of one machine or of many."""

from jaxuq.parallel.data import data_mesh
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
    "data_mesh",
    "even_number",
    "gather_members",
    "map_members",
    "pad_members",
    "resolve_strategy",
    "use_cpu_cores",
]
