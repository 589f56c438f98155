"""Layer normalisation with PyTorch's defaults."""

import flax.linen as nn


def layer_norm(name: str) -> nn.LayerNorm:
    """A layer whose variance is the biased one plus 1e-5, computed in two passes.

    Args:
        name: of the layer.

    Returns:
        The layer.
    """
    return nn.LayerNorm(epsilon=1e-5, use_fast_variance=False, name=name)
