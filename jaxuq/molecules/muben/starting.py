"""The parameters and the state that training starts from."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from jaxuq._keys import named_key
from jaxuq.molecules.muben.setting import Setting
from jaxuq.training import TrainState


def init_params(setting: Setting, outputs_per_task: int, rng_key: Key[Array, ""], pretrained: PyTree) -> PyTree:
    """Fresh parameters of a network, with those that were trained before in their places."""
    example = jax.tree.map(lambda leaf: leaf[:1], setting.problem.train.inputs)
    fresh = setting.network(outputs_per_task).init(named_key(rng_key, "init"), example)["params"]
    return fresh if pretrained is None else overlay(fresh, pretrained)


def overlay(fresh: Mapping[str, Any], pretrained: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Parameters with those that were trained before in the place of fresh ones of the same name.

    Args:
        fresh: what the module's `init` gave.
        pretrained: some of the same tree, in the same shapes.
        place: where in the tree these are, for messages.

    Returns:
        The tree of `fresh`.

    Raises:
        ValueError: the network has no parameter of such a name, or one of another shape.

    Example:
        >>> overlay({"body": {"kernel": 1.0}, "output": {"bias": 0.0}}, {"body": {"kernel": 5.0}})
        {'body': {'kernel': 5.0}, 'output': {'bias': 0.0}}
    """
    strangers = [name for name in pretrained if name not in fresh]
    if strangers:
        raise ValueError(f"pretrained parameters {place}{strangers[0]} have no place: there are {', '.join(fresh)}")
    merged = dict(fresh)
    for name, value in pretrained.items():
        if isinstance(value, Mapping):
            merged[name] = overlay(fresh[name], value, f"{place}{name}.")
        elif jnp.shape(value) != jnp.shape(fresh[name]):
            shapes = f"{jnp.shape(value)}, the network's {jnp.shape(fresh[name])}"
            raise ValueError(f"the pretrained parameter {place}{name} has shape {shapes}")
        else:
            merged[name] = value
    return merged


def started(setting: Setting, start: Callable[..., TrainState], keys: Key[Array, "networks"]) -> TrainState:
    """One state per key; pretrained parameters are an argument, not a constant of the program."""
    return jax.jit(jax.vmap(start, in_axes=(0, None)))(keys, setting.pretrained)


def member_keys(seeds: Sequence[int], num_members: int) -> Key[Array, "networks"]:
    """One key per network, seed by seed; a network's key depends on its seed and its number alone."""
    keys = [named_key(jax.random.key(seed), "member", member) for seed in seeds for member in range(num_members)]
    return jnp.stack(keys)
