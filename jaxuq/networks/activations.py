"""The activations that published encoders and decoders have."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import flax.linen as nn
import jax

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]
ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = MappingProxyType(
    {
        "gelu": lambda x: nn.gelu(x, approximate=False),
        "gelu_tanh": lambda x: nn.gelu(x, approximate=True),
        "relu": nn.relu,
        "silu": nn.silu,
    }
)
