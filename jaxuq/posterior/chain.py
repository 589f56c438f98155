"""What stochastic-gradient samplers share: a position that moves by noise and drift, and the trace of where it was."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.posterior import trace
from jaxuq.posterior._draws import normal_like
from jaxuq.posterior._model import Params, Samples, aligned, freeze, freeze_numbers, is_number, thaw, wide
from jaxuq.posterior.method import Method
from jaxuq.posterior.optax_form import riding

StepSize = float | Float[Array, ""] | optax.Schedule
Move = Callable[..., tuple[Array, Any]]


class ChainState(NamedTuple):
    """State of a chain.

    Attributes:
        step: moves made so far.
        position: the parameters.
        lost: of half-precision parameters, what rounding took from the position (float32): moves are smaller than the
            spacing of such numbers, and a chain without this would stand still. Zero, without a shape, for others.
        memory: what the sampler remembers of each leaf: running squares of gradients (`psgld`), momentum (`sghmc`), the
            momentum and its thermostat (`sgnht`).
        trace: parameters collected so far; `()` if `capacity` is 0.
    """

    step: Int[Array, ""]
    position: Params
    lost: PyTree
    memory: PyTree
    trace: Any


class Collects(NamedTuple):
    """How many parameter sets a trace holds, and whether one is kept after so many moves."""

    capacity: int
    due: Callable[[Array], Array]


def collecting(capacity: int, burn_in: int, thinning: int) -> Collects:
    """After `burn_in` moves, one of `thinning`."""
    for name, value, least in (("capacity", capacity, 0), ("burn_in", burn_in, 0), ("thinning", thinning, 1)):
        check_count(name, value, least)
    return Collects(capacity, lambda number: (number > burn_in) & ((number - burn_in) % thinning == 0))


def chain(
    move: Move,
    step_size: StepSize,
    prior_scale: float | None,
    collects: Collects,
    *,
    memory: Callable[[Array], Any] | None = None,
    noisy: Callable[[Array], Array] | None = None,
) -> Method:
    """A sampler from the move of one leaf, `move(eta, gradient, drift, noise, memory) -> (change, memory)`.

    `gradient` is what the sampler was given, `drift` the same with the prior's gradient added; `memory` makes what is
    remembered of a leaf at the start; `noisy` says of a step, counted from 0, whether it is given noise.
    """
    capacity, due = collects
    if not callable(step_size) and not isinstance(step_size, jax.Array):
        check_number("step_size", step_size, 0.0, open_low=True)
    if prior_scale is not None:
        check_number("prior_scale", prior_scale, 0.0, open_low=True)

    def init(rng_key: Key[Array, ""] | None, params: Params) -> ChainState:
        del rng_key
        params = freeze_numbers(params)
        lost = jax.tree.map(lambda leaf: jnp.zeros_like(wide(leaf)) if _is_half(leaf) else jnp.zeros(()), params)
        remembered = () if memory is None else jax.tree.map(memory, jax.tree.map(wide, params))
        kept = trace.start(params, capacity) if capacity else ()
        return ChainState(jnp.zeros((), jnp.int32), params, lost, remembered, kept)

    def moved(rng_key: Key[Array, ""], state: ChainState, gradients: PyTree) -> tuple[Params, ChainState]:
        """How far every leaf goes, and the state afterwards."""
        leaves, structure = jax.tree.flatten(state.position)
        eta = step_size_at(step_size, state.step)
        lost = jax.tree.leaves(state.lost)
        remembered = [()] * len(leaves) if memory is None else structure.flatten_up_to(state.memory)
        wider = [wide(leaf) for leaf in leaves]
        noise = normal_like(rng_key, wider)
        if noisy is not None:
            noise = [jnp.where(noisy(state.step), white, jnp.zeros_like(white)) for white in noise]
        after = []
        for leaf, whole, rest, old, white, gradient in zip(
            leaves, wider, lost, remembered, noise, aligned(state.position, gradients)
        ):
            if not is_number(leaf) or gradient is None:
                after.append((jnp.zeros_like(leaf), leaf, rest, old))
                continue
            exact = whole + rest if _is_half(leaf) else whole
            gradient = jnp.asarray(gradient).astype(exact.dtype)
            drift = gradient if prior_scale is None else gradient + exact / prior_scale**2
            change, new = move(eta.astype(exact.dtype), gradient, drift, white, old)
            place = exact + change
            rounded = place.astype(leaf.dtype)
            if _is_half(leaf):
                change, rest = rounded - leaf, place - rounded.astype(place.dtype)
            after.append((change, rounded, rest, new))
        changes, position, rests, memories = (structure.unflatten(column) for column in zip(*after))
        number = state.step + 1
        kept = state.trace
        if capacity:
            kept = trace.collect(kept, position, due(number))
        return changes, ChainState(number, position, rests, () if memory is None else memories, kept)

    def update(rng_key: Key[Array, ""], state: ChainState, gradients: Any) -> ChainState:
        state = jax.tree.map(jnp.asarray, state)  # it may come from the host
        if callable(gradients):
            gradients = gradients(thaw(state.position))
        return moved(rng_key, state, gradients)[1]

    def sample(rng_key: Key[Array, ""], state: ChainState, num_samples: int) -> Samples:
        del rng_key
        check_count("num_samples", num_samples)
        if num_samples > capacity:
            raise OptionError(f"num_samples is {num_samples}, but the trace holds at most {capacity}; raise `capacity`")
        return thaw(trace.draw(state.trace, num_samples))

    def transformation(rng_key: Key[Array, ""], every: int, start: int) -> optax.GradientTransformation:
        if (every, start) != (1, 0):
            raise OptionError(f"every is {every} and start {start}; a chain has thinning and burn_in instead")

        def step(key: Any, state: ChainState, gradients: Params, params: Params, number: Any) -> tuple[Params, Any]:
            del number
            changes, state = moved(key, state._replace(position=freeze(params)), gradients)
            return thaw(changes), state

        return riding(rng_key, init, step)

    return Method(init, update, sample, "gradients", transformation)


def step_size_at(step_size: StepSize, step: Int[Array, ""]) -> Float[Array, ""]:
    """The step size of this step, from a number or a schedule."""
    if not callable(step_size):
        return jnp.asarray(step_size, jnp.float32)
    with jax.numpy_dtype_promotion("standard"):  # schedules mix integer steps with floats
        return jnp.asarray(step_size(step), jnp.float32)


def _is_half(leaf: Array) -> bool:
    return is_number(leaf) and jnp.finfo(leaf.dtype).bits < 32
