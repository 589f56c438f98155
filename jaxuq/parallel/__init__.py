"""The parallel room: members and rows of data divided over devices."""

from jaxuq.parallel.data import data_mesh, divide_rows, on_every_device
from jaxuq.parallel.members import (
    STRATEGIES,
    balanced_order,
    even_number,
    gather_members,
    map_members,
    pad_members,
    resolve_strategy,
    use_cpu_cores,
)
from jaxuq.parallel.rows import RowBatch, in_order, pad_rows, plan_rows, rung

__all__ = [
    "STRATEGIES",
    "RowBatch",
    "balanced_order",
    "data_mesh",
    "divide_rows",
    "even_number",
    "gather_members",
    "in_order",
    "map_members",
    "on_every_device",
    "pad_members",
    "pad_rows",
    "plan_rows",
    "resolve_strategy",
    "rung",
    "use_cpu_cores",
]
