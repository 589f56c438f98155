"""The parallel room: members and rows of data divided over devices, and what a compiled program holds and sends."""

from jaxuq.parallel.compiled import Collective, CompiledProgram, ProgramArray, read_compiled
from jaxuq.parallel.data import data_mesh, divide_rows, on_every_device, row_axes, row_parts
from jaxuq.parallel.flops import count_flops
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
from jaxuq.parallel.meshes import MESH_AXES, mesh_axes, mesh_of
from jaxuq.parallel.rows import RowBatch, in_order, pad_rows, plan_rows, rung

__all__ = [
    "MESH_AXES",
    "STRATEGIES",
    "Collective",
    "CompiledProgram",
    "ProgramArray",
    "RowBatch",
    "balanced_order",
    "count_flops",
    "data_mesh",
    "divide_rows",
    "even_number",
    "gather_members",
    "in_order",
    "map_members",
    "mesh_axes",
    "mesh_of",
    "on_every_device",
    "pad_members",
    "pad_rows",
    "plan_rows",
    "read_compiled",
    "resolve_strategy",
    "row_axes",
    "row_parts",
    "rung",
    "use_cpu_cores",
]
