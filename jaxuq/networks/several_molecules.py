"""A network of one molecule that reads several, such as a solute and its solvent."""

from typing import Any

import flax.linen as nn
import jax
from jaxtyping import Array, Float, PyTree, Shaped

from jaxuq.networks.dropout import Dropout
from jaxuq.networks.module import Module

_XAVIER = nn.initializers.xavier_uniform()


class SeveralMolecules(Module):
    r"""One network that reads each molecule of a row, and a hidden layer on what it has read of them.

    Of graphs, $h = \mathrm{ReLU}(W [f(x_1); \dots; f(x_m)] + b)$ with the same $f$ for all molecules (few labels
    suffice for one), whose place in the row tells a solute from its solvent; without the hidden layer their effects
    would only add up. Of descriptors, $h = f([x_1; \dots; x_m])$: the body reads them side by side. The output is
    $V h + c$. Inputs are what the body reads, each array with axes `rows molecules` first.

    Attributes:
        body: a network of one molecule with a method `features`; its own output layer is not used.
        num_outputs: width of the output layer.
        width: of the hidden layer.
        dropout_rate: in [0, 1), of the hidden layer; active only when a `dropout` key is given (see `Dropout`).

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DNN
        >>> network = SeveralMolecules(DNN(num_outputs=1, width=8, depth=1), num_outputs=2)
        >>> rows = jnp.ones((3, 2, 5))  # of a solute and a solvent, five descriptors each
        >>> variables = network.init(jax.random.key(0), rows)
        >>> variables["params"]["body"]["hidden_0"]["kernel"].shape, network.apply(variables, rows).shape
        ((10, 8), (3, 2))

    References:
        E. Heid et al. Chemprop: a machine learning package for chemical property prediction. J. Chem. Inf. Model. 64,
        2024, section 2.3 (several molecules; there with or without shared weights).
    """

    body: Any
    num_outputs: int
    width: int = 128
    dropout_rate: float = 0.0

    def setup(self):
        """Declare the layers on top of the body."""
        self.hidden = nn.Dense(self.width, kernel_init=_XAVIER)
        self.drop = Dropout(self.dropout_rate)
        self.output = nn.Dense(self.num_outputs, kernel_init=_XAVIER)

    def features(self, inputs: PyTree[Shaped[Array, "rows molecules ..."]]) -> Float[Array, "rows width"]:
        """What the output layer sees."""
        rows = jax.tree.leaves(inputs)[0].shape[0]
        if hasattr(inputs, "ndim"):
            return self.body.features(inputs.reshape(rows, -1))
        each = self.body.features(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), inputs))
        return self.drop(nn.relu(self.hidden(each.reshape(rows, -1))))

    def __call__(self, inputs: PyTree[Shaped[Array, "rows molecules ..."]]) -> Float[Array, "rows outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(inputs))
