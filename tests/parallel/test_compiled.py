"""What is read from a compiled program is what the program does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxuq.parallel import count_flops, mesh_axes, mesh_of, read_compiled


def shape(mesh, size, *spec, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(size, dtype, sharding=NamedSharding(mesh, PartitionSpec(*spec)))


def test_bytes_are_those_of_one_device(mesh):
    program = read_compiled(jax.jit(lambda x: (x * 2, x.sum(1))).lower(shape(mesh, (64, 32), "data")).compile())
    assert program.arguments == 64 * 32 * 4 // 8
    assert program.outputs == (64 * 32 + 64) * 4 // 8 + 16  # a table of two pointers
    assert program.collectives == ()
    assert program.find((8, 32)) and not program.find((64, 32))


def test_donated_arguments_are_counted_once(mesh):
    program = read_compiled(jax.jit(lambda x: x + 1, donate_argnums=0).lower(shape(mesh, (64, 32), "data")).compile())
    assert program.aliased == program.arguments == program.outputs
    assert program.bytes == program.arguments + program.temporaries


def test_collectives_in_loops_are_multiplied_out(mesh):
    """A sum over devices in each of 5 turns of a scan, in each of 3 turns of another."""
    whole = NamedSharding(mesh, PartitionSpec())

    def inner(carry, _):
        added = jax.lax.with_sharding_constraint(jnp.sum(carry, axis=0), whole)
        return carry + jnp.broadcast_to(jnp.sin(added), carry.shape), None

    def outer(carry, _):
        return jax.lax.scan(inner, carry, None, length=5)[0], None

    program = read_compiled(
        jax.jit(lambda x: jax.lax.scan(outer, x, None, length=3)[0]).lower(shape(mesh, (64, 32), "data")).compile()
    )
    (one,) = [found for found in program.collectives if found.kind == "all-reduce"]
    assert (one.times, one.devices, one.shapes) == (15, 8, (("f32", (32,)),))
    assert one.bytes == 2 * 32 * 4 * 7 / 8
    assert program.bytes_sent == 15 * one.bytes
    assert program.unknown_loops == 0


@pytest.mark.parametrize(("axis", "taking"), [("data", 4), ("tensor", 2)])
def test_an_exchange_is_among_the_devices_of_one_axis(axis, taking):
    grid = Mesh(np.array(jax.devices()[:8]).reshape(4, 2), ("data", "tensor"))
    given = shape(grid, (64, 32), *((axis,) if axis == "data" else (None, axis)))
    gather = jax.jit(lambda x: x + 1, out_shardings=NamedSharding(grid, PartitionSpec()))
    (one,) = read_compiled(gather.lower(given).compile()).collectives
    assert (one.kind, one.devices, one.bytes) == ("all-gather", taking, 64 * 32 * 4 * (taking - 1) / taking)


def test_of_two_branches_the_one_that_sends_the_most_counts():
    """Exchanges in a loop of five turns: 96 numbers in one branch, 32 in the other, and 8 in both before."""
    mesh = mesh_of("data=8")

    def own(x):
        def turn(y, _):
            y = y + jax.lax.psum(y, "data")
            more = lambda: jax.lax.psum(jnp.concatenate([y] * 12), "data")[:8]  # noqa: E731
            return jax.lax.cond(y[0] > 0, more, lambda: jax.lax.psum(jnp.concatenate([y] * 4), "data")[:8]), None

        return jax.lax.scan(turn, x, None, length=5)[0]

    run = jax.jit(jax.shard_map(own, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), check_vma=False))
    program = read_compiled(run.lower(jax.ShapeDtypeStruct((8,), jnp.float32)).compile())
    assert program.bytes_sent == 5 * (8 + 96) * 4 * 2 * 7 // 8


def test_a_loop_without_known_end_is_named():
    program = read_compiled(
        jax.jit(lambda x: jax.lax.while_loop(lambda y: y.sum() < 10, lambda y: y + 1, x)).lower(jnp.ones(3)).compile()
    )
    assert program.unknown_loops == 1


def test_arrays_are_found_in_any_order_of_axes():
    program = read_compiled(jax.jit(lambda x: jnp.sin(x).T.reshape(5, 1, 7) @ jnp.ones((7, 7))).lower(
        jax.ShapeDtypeStruct((7, 5), jnp.float32)).compile())  # fmt: skip
    assert program.find((5, 7))
    assert program.find((None, 7)) and program.find((7,), at_least=True)
    assert not program.find((5, 5)) and not program.find((5,))


def test_products_are_counted_through_loops_branches_and_gradients():
    x = jax.ShapeDtypeStruct((4, 8), jnp.float32)
    w = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    once = 2 * 4 * 8 * 8

    def loss(w, x):
        return jax.lax.scan(lambda y, _: (jax.checkpoint(lambda y: jnp.sin(y @ w))(y), None), x, None, length=6)[
            0
        ].sum()

    assert count_flops(loss, w, x) == 6 * once
    assert count_flops(jax.grad(loss), w, x) == 6 * 4 * once  # forward, again, and two products backward
    branches = lambda w, x: jax.lax.cond(x.sum() > 0, lambda: x @ w @ w, lambda: x @ w)  # noqa: E731
    assert count_flops(jax.jit(branches), w, x) == 2 * once


@pytest.mark.parametrize("text", ["", "data", "data=0", "rows=2", "data=2,data=2", "data=2;tensor=4", "data=-1"])
def test_a_mesh_that_cannot_be_read_says_how_one_is_written(text):
    with pytest.raises(ValueError, match=r"such as data=2,tensor=4"):
        mesh_axes(text)


def test_a_mesh_takes_the_first_devices():
    assert mesh_of("data=2,tensor=2").devices.tolist() == [jax.devices()[:2], jax.devices()[2:4]]
    with pytest.raises(ValueError, match=r"has 16 devices and there are 8"):
        mesh_of("tensor=16")


def test_what_is_no_program_is_refused():
    with pytest.raises(ValueError, match=r"lower"):
        read_compiled(jnp.sin)
