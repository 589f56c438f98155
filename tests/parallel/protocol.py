"""Examples of the public functions of jaxuq.parallel for tests/test_protocol.py."""

from typing import Any

EXAMPLES: dict[str, Any] = {}
HOST: dict[str, str] = {
    "MESH_AXES": "a tuple of names",
    "count_flops": "reads a function; tests/parallel/test_compiled.py",
    "mesh_axes": "reads words",
    "mesh_of": "makes a mesh",
    "STRATEGIES": "a tuple of names",
    "Collective": "a record of the host",
    "CompiledProgram": "a record of the host",
    "ProgramArray": "a record of the host",
    "RowBatch": "a record of the host",
    "read_compiled": "reads a program; tests/parallel/test_compiled.py",
    "row_axes": "names of axes",
    "row_parts": "counts devices on the host",
    "in_order": "an order on the host",
    "pad_rows": "NumPy rows on the host",
    "plan_rows": "plans on the host",
    "rung": "a length chosen on the host",
    "balanced_order": "an order chosen on the host",
    "data_mesh": "asks JAX for its devices",
    "divide_rows": "places arrays on devices",
    "on_every_device": "places arrays on devices",
    "on_host": "copies arrays from devices",
    "first_says": "what processes tell each other",
    "is_first": "of processes",
    "join_processes": "of processes; tests/parallel/test_processes.py",
    "meet_processes": "of processes; tests/parallel/test_processes.py",
    "even_number": "counts devices on the host",
    "pad_members": "repeats rows on the host; covered by map_members with uneven members",
    "gather_members": "copies arrays between devices",
    "map_members": "compiles functions and places arrays on devices; tests/parallel holds its own equality tests",
    "resolve_strategy": "chooses a name on the host",
    "use_cpu_cores": "configures JAX",
}
