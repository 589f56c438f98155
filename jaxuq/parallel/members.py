"""Mapping a leading member axis (ensemble members, seeds, chains, experts) over whatever devices there are."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Bool, Int, PyTree

from jaxuq._errors import ArrayError, OptionError
from jaxuq._meshes import whole
from jaxuq._options import check_choice
from jaxuq.parallel.data import AnyMesh, free_axes, mesh_in_use, on_every_device

STRATEGIES: tuple[str, ...] = ("auto", "vmap", "map", "pmap", "shard_map")


def use_cpu_cores(num_devices: int) -> bool:
    """Let JAX see `num_devices` CPU devices, so that members train side by side on the cores of one machine.

    Must be called before JAX touches a device; afterwards it does nothing. Has no effect on accelerators.

    Args:
        num_devices: usually `os.cpu_count()`.

    Returns:
        Whether the setting took effect.

    Example:
        >>> import jax
        >>> _ = jax.devices()
        >>> use_cpu_cores(2)  # too late: the devices are known already
        False
    """
    try:
        jax.config.update("jax_num_cpu_devices", num_devices)
    except RuntimeError:
        return False
    return True


def resolve_strategy(strategy: str, *, num_members: int) -> str:
    """Choose a strategy for `"auto"` and refuse an unknown one.

    Several devices: `"shard_map"`. One accelerator: `"vmap"`. One CPU device, or one member: `"map"`, since a CPU gains
    nothing from batching small matrix products and can stop each member as early as that member allows.

    Args:
        strategy: one of `STRATEGIES`.
        num_members: length of the member axis.

    Returns:
        One of `"vmap"`, `"map"`, `"pmap"`, `"shard_map"`.

    Raises:
        OptionError: the strategy is unknown.

    Example:
        >>> resolve_strategy("vmap", num_members=3)
        'vmap'
    """
    check_choice("strategy", strategy, STRATEGIES)
    if strategy != "auto":
        return strategy
    if num_members > 1 and jax.device_count() > 1:
        return "shard_map"
    return "map" if num_members == 1 or jax.default_backend() == "cpu" else "vmap"


def pad_members(tree: PyTree, size: int) -> PyTree:
    """Repeat the last member until there are `size` of them.

    Args:
        tree: arrays with a leading member axis.
        size: members wanted, at least as many as there are.

    Returns:
        The padded arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> pad_members(jnp.arange(3), 4)
        Array([0, 1, 2, 2], dtype=int32)
    """

    def pad(leaf: Any) -> Any:
        if leaf.shape[0] == size:
            return leaf
        together = whole(leaf, 0) if isinstance(leaf, jax.Array) else leaf
        return together[np.minimum(np.arange(size), leaf.shape[0] - 1)]

    return jax.tree.map(pad, tree)


def even_number(num_members: int, *, strategy: str) -> int:
    """The smallest number of members, at least `num_members`, that the strategy's devices divide evenly.

    Args:
        num_members: members there are.
        strategy: as for `map_members`.

    Returns:
        The number; `num_members` itself for strategies that use one device.

    Example:
        >>> even_number(10, strategy="vmap")
        10
    """
    count = _num_devices(strategy, num_members)
    return -(-num_members // count) * count


def _num_devices(strategy: str, num_members: int) -> int:
    chosen = resolve_strategy(strategy, num_members=num_members)
    return {"pmap": jax.local_device_count(), "shard_map": jax.device_count()}.get(chosen, 1)


def balanced_order(running: Bool[np.ndarray, " members"], *, strategy: str) -> Int[np.ndarray, " members"] | None:
    """An order of members in which every device has its share of those that are still running.

    Devices take members in equal blocks and wait for one another, so a device whose members stopped early is idle.

    Args:
        running: which members have work left; an `even_number` of them.
        strategy: as for `map_members`.

    Returns:
        Positions to take members from; None where no order would be quicker than the present one, and with several
        processes, whose members are not exchanged.

    Example:
        >>> balanced_order(np.array([True, True, False, False]), strategy="map") is None  # one device
        True
    """
    blocks = running.reshape(_num_devices(strategy, len(running)), -1)
    if jax.process_count() > 1 or blocks.sum(1).max() == -(-running.sum() // len(blocks)):
        return None
    running_first = np.argsort(~running, kind="stable")
    return running_first.reshape(-1, len(blocks)).T.reshape(-1)  # dealt out in turn


def gather_members(tree: PyTree) -> PyTree:
    """Bring arrays that are divided over the devices of this process together on its first one.

    Use it before indexing or reshaping what `map_members` returned, outside `jit`: on divided arrays such operations
    become collective ones, for which every device needs a free thread, and a CPU has few. Arrays that other processes
    hold parts of, and those that are being traced, are left where they are.

    Args:
        tree: arrays.

    Returns:
        The same arrays on one device.

    Example:
        >>> import jax.numpy as jnp
        >>> gather_members(map_members(lambda x: 2 * x, strategy="shard_map")(jnp.arange(3.0)))
        Array([0., 2., 4.], dtype=float32)
    """
    if any(isinstance(leaf, Tracer) or not leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        return tree
    return jax.device_put(tree, jax.local_devices()[0])


def map_members(
    function: Callable[..., PyTree],
    *,
    strategy: str = "auto",
    shared_argnums: Sequence[int] = (),
    devices: Sequence[Any] | None = None,
    mesh: Mesh | None = None,
) -> Callable[..., PyTree]:
    r"""Compile `function`, written for one member, for a leading axis of members.

    `map_members(f)(a, b)[i] == f(a[i], b[i])`, whatever the strategy; results agree to rounding (1e-5 in float32).

    | strategy | members are |
    |---|---|
    | `"vmap"` | batched into one program on one device |
    | `"map"` | run one after another by one program (least memory; each member may stop early) |
    | `"pmap"` | divided over the local devices with `jax.pmap` |
    | `"shard_map"` | divided over a mesh, which may span hosts (`jax.distributed`) |
    | `"auto"` | `"shard_map"` with several devices, else `"vmap"` (accelerator) or `"map"` (CPU) |

    Members that share a device are batched on accelerators and run one after another on CPUs. A number of members that
    the devices do not divide is padded with copies of the last, whose results are dropped. Results of an even number
    stay divided over the devices, see `gather_members`.

    The result is a transformation like any other: it may stand inside `jit`, `grad`, `vmap` and itself. Under
    `jax.set_mesh`, and for arguments divided over a mesh with explicit axes, that mesh takes the members. Inside
    `jax.shard_map` all devices are taken already, and members share the one they are on.

    Data parallelism inside a member: pass a `mesh` with a second axis and shared arguments sharded over that axis; the
    compiler divides the work inside each member.

    Args:
        function: pure, of arrays and pytrees.
        strategy: one of the table.
        shared_argnums: positions of arguments without a member axis, such as data.
        devices: for `"pmap"` and `"shard_map"`; default: all (local ones for `"pmap"`).
        mesh: for `"shard_map"`; its first axis takes the members. Default: the mesh in use, or `devices` in a row.

    Returns:
        A compiled function of the same positional arguments, with a leading member axis on all but the shared ones.

    Raises:
        OptionError: unknown strategy; a `mesh` with another strategy.
        ArrayError: arguments whose member axes differ in length.

    Example:
        >>> import jax.numpy as jnp
        >>> scaled_sum = map_members(lambda x, scale: scale * x.sum(), strategy="map", shared_argnums=(1,))
        >>> scaled_sum(jnp.ones((3, 4)), 2.0)
        Array([8., 8., 8.], dtype=float32)
    """
    check_choice("strategy", strategy, STRATEGIES)
    if mesh is not None and strategy not in ("auto", "shard_map"):
        raise OptionError(f"a mesh goes with strategy='shard_map', not {strategy!r}")
    shared_argnums = tuple(shared_argnums)

    def of_member(mapped: tuple[Any, ...], shared: tuple[Any, ...]) -> PyTree:
        args, remaining = list(mapped), dict(zip(shared_argnums, shared))
        for position in sorted(remaining):
            args.insert(position, remaining[position])
        return function(*args)

    def batched(mapped: PyTree, shared: PyTree) -> PyTree:
        return jax.vmap(of_member, in_axes=(0, None))(mapped, shared)

    def in_turn(mapped: PyTree, shared: PyTree) -> PyTree:
        return jax.lax.map(lambda member: of_member(member, shared), jax.tree.map(lambda leaf: whole(leaf, 0), mapped))

    vmapped, one_by_one = jax.jit(batched), jax.jit(in_turn)
    of_device = in_turn if jax.default_backend() == "cpu" else batched
    pmapped = jax.pmap(of_device, in_axes=(0, None), devices=devices)

    @partial(jax.jit, static_argnames=("count", "num_members"))
    def over_local_devices(padded: PyTree, shared: PyTree, count: int, num_members: int) -> PyTree:
        grouped = jax.tree.map(lambda leaf: whole(leaf, 0).reshape(count, -1, *leaf.shape[1:]), padded)
        outputs = pmapped(grouped, shared)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_members], outputs)

    @partial(jax.jit, static_argnames=("on", "axes", "num_members"))
    def over_mesh(mapped: PyTree, shared: PyTree, on: AnyMesh, axes: tuple[str, ...], num_members: int) -> PyTree:
        body = jax.shard_map(
            of_device,
            mesh=on,
            in_specs=(PartitionSpec(axes), PartitionSpec()),
            out_specs=PartitionSpec(axes),
            axis_names=set(axes),
            check_vma=False,
        )
        outputs = body(mapped, shared)
        if jax.tree.leaves(mapped)[0].shape[0] == num_members:
            return outputs
        return jax.tree.map(lambda leaf: whole(leaf, 0)[:num_members], outputs)

    def divided(chosen: str, mapped: PyTree, shared: PyTree, on: AnyMesh, axes: tuple[str, ...]) -> PyTree:
        count = math.prod(on.shape[axis] for axis in axes)
        num_members = jax.tree.leaves(mapped)[0].shape[0]
        padded = pad_members(mapped, -(-num_members // count) * count)
        padded = jax.tree.map(partial(_placed, sharding=NamedSharding(on, PartitionSpec(axes))), padded)
        shared = on_every_device(shared, on)
        if chosen == "pmap":
            return over_local_devices(padded, shared, count, num_members)
        return over_mesh(padded, shared, on, axes, num_members)

    def apply(*args: Any) -> PyTree:
        mapped = tuple(arg for i, arg in enumerate(args) if i not in shared_argnums)
        shared = tuple(args[i] for i in shared_argnums)
        lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else 0 for leaf in jax.tree.leaves(mapped)}
        if len(lengths) != 1:
            raise ArrayError(f"member axes have lengths {sorted(lengths)}; all arguments but shared ones need the same")
        num_members = lengths.pop()
        chosen = "shard_map" if mesh is not None else resolve_strategy(strategy, num_members=num_members)
        if chosen in ("vmap", "map"):
            return {"vmap": vmapped, "map": one_by_one}[chosen](mapped, shared)
        in_use = mesh_in_use((mapped, shared)) if devices is None else None
        if mesh is not None:
            on = in_use if in_use is not None else Mesh(mesh.devices, mesh.axis_names)
            axes = mesh.axis_names[:1]
        elif in_use is not None:  # it takes the members, since JAX has no `pmap` inside a mesh
            chosen, on, axes = "shard_map", in_use, free_axes(in_use)
        else:
            everywhere = jax.local_devices() if chosen == "pmap" else jax.devices()
            on = Mesh(np.array(everywhere if devices is None else devices), ("member",))
            axes = on.axis_names
        if not axes:  # inside `shard_map`, which has given each device its part
            return one_by_one(mapped, shared) if jax.default_backend() == "cpu" else vmapped(mapped, shared)
        return divided(chosen, mapped, shared, on, axes)

    return apply


def _placed(leaf: Any, sharding: NamedSharding) -> Any:
    """The leaf, divided as the sharding says; what is being traced, by its type if that has a sharding."""
    if isinstance(leaf, Tracer):
        return jax.reshard(leaf, sharding) if AxisType.Explicit in sharding.mesh.axis_types else leaf
    if jax.process_count() > 1 or not isinstance(sharding.mesh, Mesh):
        return leaf
    return leaf if getattr(leaf, "sharding", None) == sharding else jax.device_put(leaf, sharding)
