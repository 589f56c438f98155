"""A frozen backbone's features are the same in every epoch: they are computed once, and the output layer is all."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from jaxuq.molecules.muben.backbones import Backbone
from jaxuq.networks import apply_function, plain_dense
from jaxuq.posterior import predict


class OutputLayer(nn.Module):
    """The last layer of a network that ends in `plain_dense`, on features that are there already.

    Attributes:
        num_outputs: its width.
        width: of the features.
    """

    num_outputs: int
    width: int

    def setup(self):
        """Declare the layer."""
        self.output = plain_dense(self.width, self.num_outputs)

    def features(self, inputs: Float[Array, "molecules width"]) -> Float[Array, "molecules width"]:
        """What the output layer sees."""
        return inputs

    def __call__(self, inputs: Float[Array, "molecules width"]) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw."""
        return self.output(inputs)


def features_once(backbone: Backbone, width: int) -> Backbone:
    """A frozen backbone whose inputs are its features.

    The same numbers to rounding: the output layer starts from the same key under the same name. Of a network with
    dropout below its last layer, features are not the same in every epoch: not for such.

    Args:
        backbone: with pretrained weights, without dropout, and with `plain_dense` as its output layer.
        width: of its features.

    Returns:
        The backbone.
    """
    featurise, network, pretrained, at_once = (
        backbone.featurise, backbone.network, backbone.pretrained, backbone.molecules_at_once,
    )  # fmt: skip
    assert pretrained is not None, "features at random are not worth keeping"

    def features(smiles: Sequence[Any], progress: Callable[[int, int], None] | None) -> PyTree[np.ndarray]:
        apply_fn = apply_function(network(1), method="features")
        params: Any = jax.tree.map(lambda leaf: leaf[None], pretrained())
        compute = jax.jit(lambda params, inputs: predict(apply_fn, params, inputs, batch_size=at_once)[0])
        return np.asarray(compute(params, featurise(smiles, progress)))

    return backbone._replace(
        featurise=features,
        network=lambda num_outputs: OutputLayer(num_outputs, width),
        pretrained=None,
        molecules_at_once=4096,
    )
