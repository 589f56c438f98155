"""Parameters of equal layers, stacked for a scan over them or one entry a layer."""

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from jaxuq._arguments import typed


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
    names = [f"layers_{layer}" for layer in range(num_layers)]
    rest = {name: part for name, part in collection.items() if name not in names}
    return rest | {"layers": jax.tree.map(lambda *leaves: jnp.stack(leaves), *(collection[name] for name in names))}
