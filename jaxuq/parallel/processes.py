"""Several processes that share one mesh of devices (`jax.distributed`): how they join, and what the first one knows.

All of them run the same program on the same data; each holds its devices' part of every array. Files are the first
one's business: what it finds in them, the others are told.
"""

import itertools
import json
import math
import os
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.parallel.members import use_cpu_cores

LAUNCHED = "JAXUQ_LAUNCHED"
"""Set for processes that `jaxuq launch` has begun: `rank/count/address`; or `scheduler`, where a scheduler has."""

_LONGEST = 600_000  # milliseconds that the first process waits for the last
_MEETINGS = itertools.count()


@typed()
def join_processes(devices: int) -> bool:
    """Join the other processes of this launch, if there is one; to be called before JAX looks for devices.

    On a CPU each process pretends its part of the devices, and exchanges go over the network (gloo). Where a scheduler
    has begun the processes, `jax.distributed.initialize` finds them by its variables (Slurm, Open MPI, Kubernetes, TPU
    pods).

    Args:
        devices: of the mesh, of all processes together.

    Returns:
        Whether there is such a launch.

    Raises:
        OptionError: the processes cannot share the devices evenly; no scheduler is found.

    Example:
        >>> join_processes(8)  # not launched
        False
    """
    said = os.environ.get(LAUNCHED, "")
    if not said or jax.distributed.is_initialized():
        return bool(said)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if said == "scheduler":
        try:
            jax.distributed.initialize()
        except ValueError as error:
            raise OptionError(
                f"no scheduler's variables are found ({error}); jaxuq launch --processes N begins N processes here"
            ) from None
        return True
    rank, count, address = said.split("/")
    if devices % int(count):
        raise OptionError(f"{count} processes cannot share the mesh's {devices} devices; take a multiple of {count}")
    use_cpu_cores(devices // int(count))
    jax.config.update("jax_enable_compilation_cache", False)  # it serves the first process alone, and others come late
    jax.distributed.initialize(address, int(count), int(rank))
    return True


def meet_processes(mesh: Mesh) -> None:
    """Open the connections of a mesh between processes, all of which wait here for the last of them.

    On CPUs a connection is opened at the first exchange that needs it, and given up if another process comes to it half
    a minute later, as it may where one compiles or reads longer. Within one process nothing is done.

    Args:
        mesh: whose exchanges are over one, or several, of its axes.

    Example:
        >>> meet_processes(Mesh(np.array(jax.devices()[:1]), ("data",)))
    """
    if not jax.distributed.is_initialized() or not mesh.is_multi_process or jax.default_backend() != "cpu":
        return
    from jax.experimental.multihost_utils import process_allgather

    await_processes()
    process_allgather(np.zeros(1, np.float32))
    axes = [name for name, size in mesh.shape.items() if size > 1]
    for count in range(1, len(axes) + 1):
        for some in itertools.combinations(axes, count):
            total = jax.shard_map(
                lambda x, some=some: jax.lax.psum(x, some), mesh=mesh, in_specs=P(some), out_specs=P()
            )
            jax.block_until_ready(jax.jit(total)(np.zeros(math.prod(mesh.shape[name] for name in some), np.float32)))


def await_processes() -> None:
    """Wait for the other processes, up to ten minutes; no array is exchanged, and a process alone goes on.

    Example:
        >>> await_processes()
    """
    if not jax.distributed.is_initialized():
        return
    from jax._src.distributed import global_state  # there is no public barrier that exchanges no arrays

    client: Any = global_state.client
    client.wait_at_barrier(f"jaxuq {next(_MEETINGS)}", _LONGEST)


def is_first() -> bool:
    """Whether this process writes and prints: it is alone, or the first of those that share a mesh.

    Example:
        >>> is_first()
        True
    """
    return not jax.distributed.is_initialized() or jax.process_index() == 0


def first_says(value: Any) -> Any:
    """What the first process says, in all that share a mesh; all of them have to call it.

    Args:
        value: that JSON can hold; only the first one's counts.

    Returns:
        Its value.

    Example:
        >>> first_says(["batch 1"])
        ['batch 1']
    """
    if not jax.distributed.is_initialized() or jax.process_count() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    text = json.dumps(value if is_first() else None).encode()
    size = int(broadcast_one_to_all(np.int32(len(text))))
    told = broadcast_one_to_all(np.frombuffer(text[:size].ljust(size), np.uint8))
    return json.loads(np.asarray(told).tobytes())
