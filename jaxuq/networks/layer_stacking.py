"""Parameters of equal layers, stacked for a scan over them or one entry a layer."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError


@typed()
def unstack_layers(collection: PyTree, num_layers: int) -> PyTree:
    """From stacked layers (`layers`) to one entry a layer (`layers_0`, ...), for `Decoder(scan=False)`.

    Args:
        collection: `params` or `lora`.
        num_layers: how many.

    Returns:
        The same numbers, rearranged.

    Example:
        >>> import jax.numpy as jnp
        >>> sorted(unstack_layers({"layers": {"w": jnp.zeros((2, 3))}}, 2))
        ['layers_0', 'layers_1']
    """
    _check(collection, ["layers"])
    rest = {name: part for name, part in collection.items() if name != "layers"}
    layers = {
        f"layers_{layer}": jax.tree.map(lambda leaf, layer=layer: leaf[layer], collection["layers"])
        for layer in range(num_layers)
    }
    return rest | layers


@typed()
def stack_layers(collection: PyTree, num_layers: int) -> PyTree:
    """From one entry a layer to stacked layers, for `Decoder(scan=True)`; the inverse of `unstack_layers`.

    Args:
        collection: `params` or `lora`.
        num_layers: how many.

    Returns:
        The same numbers, rearranged.

    Example:
        >>> import jax.numpy as jnp
        >>> stack_layers({"layers_0": jnp.zeros(3), "layers_1": jnp.ones(3)}, 2)["layers"].shape
        (2, 3)
    """
    _check(collection, [f"layers_{layer}" for layer in range(num_layers)])
    names = [f"layers_{layer}" for layer in range(num_layers)]
    rest = {name: part for name, part in collection.items() if name not in names}
    return rest | {"layers": jax.tree.map(lambda *leaves: jnp.stack(leaves), *(collection[name] for name in names))}


def _check(collection: PyTree, names: list[str]) -> None:
    missing = [name for name in names if not isinstance(collection, Mapping) or name not in collection]
    if missing:
        held = ", ".join(map(str, collection)) if isinstance(collection, Mapping) else type(collection).__name__
        raise OptionError(f"the collection has no {missing[0]!r}; it holds {held or 'nothing'}")
