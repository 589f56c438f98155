"""Methods as optax transformations: a state of arrays alone, and the method's own state found in it again."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, Key, UInt

from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.posterior._model import Params, freeze, map_numbers, thaw


class OptaxState(NamedTuple):
    """State of a method that rides in an optimiser.

    Attributes:
        step: updates made so far.
        seed: words of the key from which each step's is folded.
        posterior: the method's own state.
    """

    step: Int[Array, ""]
    seed: UInt[Array, " words"]
    posterior: Any


def posterior_state(optimizer_state: Any) -> Any:
    """The state of the method that rides in an optimiser, wherever it is in the optimiser's state.

    Args:
        optimizer_state: of an optax optimiser with one `method.as_optax(...)` in it.

    Returns:
        What `method.sample(rng_key, state, num_samples)` takes.

    Raises:
        OptionError: there is none, or more than one.

    Example:
        >>> import jax, jax.numpy as jnp, optax
        >>> from jaxuq.posterior import swag
        >>> optimizer = optax.chain(optax.sgd(0.1), swag().as_optax(jax.random.key(0), every=2))
        >>> state = optimizer.init(jnp.ones(3))
        >>> for _ in range(4):
        ...     updates, state = optimizer.update(jnp.ones(3), state, jnp.ones(3))
        >>> print(posterior_state(state).step)
        2
    """
    is_one = lambda node: isinstance(node, OptaxState)  # noqa: E731
    found = [node for node in jax.tree.leaves(optimizer_state, is_leaf=is_one) if is_one(node)]
    if len(found) != 1:
        raise OptionError(f"the optimiser's state holds {len(found)} methods of jaxuq.posterior; expected one")
    return found[0].posterior


def riding(
    rng_key: Key[Array, ""],
    init: Callable[[Key[Array, ""], Params], Any],
    step: Callable[[Key[Array, ""], Any, Params, Params, Int[Array, ""]], tuple[Params, Any]],
) -> optax.GradientTransformation:
    """A transformation from `init(rng_key, params)` and `step(rng_key, state, updates, params, number)`."""
    implementation = jax.random.key_impl(rng_key)

    def start(params: Params) -> OptaxState:
        posterior = init(jax.random.fold_in(rng_key, 0), params)
        posterior = jax.tree.map(jnp.copy, posterior)  # no buffer of the parameters, which a step may donate
        return OptaxState(jnp.zeros((), jnp.int32), jax.random.key_data(rng_key), posterior)

    def update(updates: Params, state: OptaxState, params: Params | None = None) -> tuple[Params, OptaxState]:
        if params is None:
            raise OptionError("the parameters are missing; call optimizer.update(gradients, state, params)")
        key = jax.random.fold_in(jax.random.wrap_key_data(state.seed, impl=implementation), state.step)
        updates, posterior = step(key, state.posterior, updates, params, state.step)
        return updates, OptaxState(state.step + 1, state.seed, posterior)

    return optax.GradientTransformation(start, update)  # pyright: ignore[reportArgumentType]


def observing(init: Callable[..., Any], update: Callable[..., Any]) -> Callable[..., optax.GradientTransformation]:
    """The `transformation` of a method that observes snapshots: updates pass, what they lead to is observed."""

    def transformation(rng_key: Key[Array, ""], every: int, start: int) -> optax.GradientTransformation:
        check_count("every", every)
        check_count("start", start, 0)

        def step(key: Any, state: Any, updates: Params, params: Params, number: Any) -> tuple[Params, Any]:
            due = (number >= start) & ((number - start + 1) % every == 0)
            moved = thaw(_moved(freeze(params), updates))
            return updates, jax.lax.cond(due, lambda: update(key, state, moved), lambda: state)

        return riding(rng_key, init, step)

    return transformation


def _moved(params: Params, updates: Params) -> Params:
    def add(leaf: Array, change: Array | None) -> Array:
        return leaf if change is None else (leaf + change.astype(leaf.dtype)).astype(leaf.dtype)

    return map_numbers(add, params, updates)
