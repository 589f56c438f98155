"""Mapping a leading member axis (ensemble members, seeds, chains, experts) over whatever devices there are."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree

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
        ValueError: the strategy is unknown.

    Example:
        >>> resolve_strategy("vmap", num_members=3)
        'vmap'
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    if strategy != "auto":
        return strategy
    if num_members > 1 and jax.device_count() > 1:
        return "shard_map"
    return "map" if num_members == 1 or jax.default_backend() == "cpu" else "vmap"


def _within_device(function: Callable[..., PyTree]) -> Callable[..., PyTree]:
    """Map members that share a device: one after another on a CPU, batched on an accelerator."""
    if jax.default_backend() == "cpu":
        return lambda mapped, shared: jax.lax.map(lambda member: function(member, shared), mapped)
    return lambda mapped, shared: jax.vmap(function, in_axes=(0, None))(mapped, shared)


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
    return jax.tree.map(lambda leaf: leaf[np.minimum(np.arange(size), leaf.shape[0] - 1)], tree)


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


def _through_host(tree: PyTree, put: Callable[[np.ndarray], Array]) -> PyTree:
    """Place arrays anew from host copies, which takes neither collective operations nor compilation."""

    def move(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(put(np.asarray(jax.random.key_data(leaf))), impl=jax.random.key_impl(leaf))
        return put(np.asarray(leaf))

    return jax.tree.map(move, tree)


def gather_members(tree: PyTree) -> PyTree:
    """Bring arrays that are divided over the devices of this process together on one, by way of the host.

    Use it before indexing or reshaping what `map_members` returned: on divided arrays such operations become collective
    ones, for which every device needs a free thread, and a CPU has few. Arrays that other processes hold parts of
    are left where they are.

    Args:
        tree: arrays.

    Returns:
        The same arrays on one device.

    Example:
        >>> import jax.numpy as jnp
        >>> gather_members(map_members(lambda x: 2 * x, strategy="shard_map")(jnp.arange(3.0)))
        Array([0., 2., 4.], dtype=float32)
    """
    if any(not leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        return tree
    return _through_host(tree, jnp.asarray)


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

    Data parallelism inside a member: pass a `mesh` with a second axis and shared arguments sharded over that axis; the
    compiler divides the work inside each member.

    Args:
        function: pure, of arrays and pytrees.
        strategy: one of the table.
        shared_argnums: positions of arguments without a member axis, such as data.
        devices: for `"pmap"` and `"shard_map"`; default: all (local ones for `"pmap"`).
        mesh: for `"shard_map"`; its first axis takes the members. Default: a mesh of `devices` in a row.

    Returns:
        A compiled function of the same positional arguments, with a leading member axis on all but the shared ones.

    Raises:
        ValueError: unknown strategy; arguments whose member axes differ in length; a `mesh` with another strategy.

    Example:
        >>> import jax.numpy as jnp
        >>> scaled_sum = map_members(lambda x, scale: scale * x.sum(), strategy="map", shared_argnums=(1,))
        >>> scaled_sum(jnp.ones((3, 4)), 2.0)
        Array([8., 8., 8.], dtype=float32)
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy is {strategy!r}; expected one of {', '.join(STRATEGIES)}")
    if mesh is not None and strategy not in ("auto", "shard_map"):
        raise ValueError(f"a mesh goes with strategy='shard_map', not {strategy!r}")
    shared_argnums = tuple(shared_argnums)

    def of_member(mapped: tuple[Any, ...], shared: tuple[Any, ...]) -> PyTree:
        args, remaining = list(mapped), dict(zip(shared_argnums, shared))
        for position in sorted(remaining):
            args.insert(position, remaining[position])
        return function(*args)

    vmapped = jax.jit(jax.vmap(of_member, in_axes=(0, None)))
    one_by_one = jax.jit(lambda mapped, shared: jax.lax.map(lambda member: of_member(member, shared), mapped))

    def of_device(mapped: PyTree, shared: PyTree) -> PyTree:
        return _within_device(of_member)(mapped, shared)

    pmapped = jax.pmap(of_device, in_axes=(0, None), devices=devices)

    @partial(jax.jit, static_argnames="on")
    def sharded(mapped: PyTree, shared: PyTree, on: Mesh) -> PyTree:
        axis = on.axis_names[0]
        body = jax.shard_map(
            of_device,
            mesh=on,
            in_specs=(PartitionSpec(axis), PartitionSpec()),
            out_specs=PartitionSpec(axis),
            axis_names={axis},
            check_vma=False,
        )
        return body(mapped, shared)

    def over_devices(chosen: str, mapped: PyTree, shared: PyTree, num_members: int) -> PyTree:
        if chosen == "pmap":
            count = len(devices) if devices is not None else jax.local_device_count()
            per_device = -(-num_members // count)
            grouped = jax.tree.map(
                lambda leaf: leaf.reshape(count, per_device, *leaf.shape[1:]), pad_members(mapped, count * per_device)
            )
            outputs = gather_members(pmapped(grouped, shared))
            return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_members], outputs)
        on = Mesh(np.array(devices if devices is not None else jax.devices()), ("member",)) if mesh is None else mesh
        count = on.shape[on.axis_names[0]]
        padded_size = -(-num_members // count) * count
        padded = mapped if padded_size == num_members else pad_members(mapped, padded_size)
        spread = NamedSharding(on, PartitionSpec(on.axis_names[0]))
        if jax.process_count() == 1 and any(
            getattr(leaf, "sharding", None) != spread for leaf in jax.tree.leaves(padded)
        ):
            padded = _through_host(padded, lambda leaf: jax.device_put(leaf, spread))
        outputs = sharded(padded, shared, on)
        if padded_size == num_members:
            return outputs
        return jax.tree.map(lambda leaf: leaf[:num_members], gather_members(outputs))

    def apply(*args: Any) -> PyTree:
        mapped = tuple(arg for i, arg in enumerate(args) if i not in shared_argnums)
        shared = tuple(args[i] for i in shared_argnums)
        lengths = {leaf.shape[0] for leaf in jax.tree.leaves(mapped)}
        if len(lengths) != 1:
            raise ValueError(f"member axes have lengths {sorted(lengths)}; all mapped arguments need the same")
        num_members = lengths.pop()
        chosen = "shard_map" if mesh is not None else resolve_strategy(strategy, num_members=num_members)
        if chosen == "vmap":
            return vmapped(mapped, shared)
        if chosen == "map":
            return one_by_one(mapped, shared)
        return over_devices(chosen, mapped, shared, num_members)

    return apply
