"""The initialisation of PyTorch's linear layers, which several published networks were trained from."""

import flax.linen as nn
import jax

from jaxuq._arguments import typed

_FAN_IN = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


@typed()
def plain_dense(inputs: int, features: int, *, use_bias: bool = True, name: str | None = None) -> nn.Dense:
    r"""A dense layer whose kernel and bias start uniform in $\pm 1 / \sqrt{\text{inputs}}$.

    Args:
        inputs: width of what it reads.
        features: width of what it gives.
        use_bias: whether it has a bias.
        name: of the layer.

    Returns:
        The layer.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> params = plain_dense(4, 1000).init(jax.random.key(0), jnp.zeros(4))["params"]
        >>> [round(float(abs(params[name]).max()), 2) for name in ("kernel", "bias")]
        [0.5, 0.5]
    """
    bound = inputs**-0.5

    def bias(rng_key, shape, dtype):
        return jax.random.uniform(rng_key, shape, dtype, -bound, bound)

    return nn.Dense(features, use_bias=use_bias, kernel_init=_FAN_IN, bias_init=bias, name=name)
