"""The parallel room: members and rows of data divided over devices, and what a compiled program holds and sends."""

from jaxuq.parallel.compiled import Collective, CompiledProgram, ProgramArray, read_compiled
from jaxuq.parallel.data import data_mesh, divide_rows, on_every_device, on_host, row_axes, row_parts
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
from jaxuq.parallel.process_folders import common_path, process_folder
from jaxuq.parallel.processes import await_processes, first_says, is_first, join_processes, meet_processes
from jaxuq.parallel.rows import RowBatch, in_order, pad_rows, plan_rows, rung

__all__ = [
    "MESH_AXES",
    "STRATEGIES",
    "Collective",
    "CompiledProgram",
    "ProgramArray",
    "RowBatch",
    "await_processes",
    "balanced_order",
    "common_path",
    "count_flops",
    "data_mesh",
    "divide_rows",
    "even_number",
    "first_says",
    "gather_members",
    "in_order",
    "is_first",
    "join_processes",
    "map_members",
    "meet_processes",
    "mesh_axes",
    "mesh_of",
    "on_every_device",
    "on_host",
    "pad_members",
    "pad_rows",
    "plan_rows",
    "process_folder",
    "read_compiled",
    "resolve_strategy",
    "row_axes",
    "row_parts",
    "rung",
    "use_cpu_cores",
]
