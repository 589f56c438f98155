"""The parallel room: a leading member axis mapped over the devices of one machine or of many."""

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
    "even_number",
    "gather_members",
    "map_members",
    "pad_members",
    "resolve_strategy",
    "use_cpu_cores",
]
