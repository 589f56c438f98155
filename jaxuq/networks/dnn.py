"""The fully connected network of MUBen on fixed molecular descriptors."""

from collections.abc import Callable

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from jaxuq.networks.dropout import Dropout
from jaxuq.networks.module import Module

_XAVIER = nn.initializers.xavier_uniform()
_BIAS = nn.initializers.constant(0.01)


class DNN(Module):
    r"""A multi-layer perceptron: an input layer, `depth` hidden layers, an output layer.

    $h_0 = x$; $h_{l+1} = \mathrm{dropout}(\phi(W_l h_l + b_l))$ for $l = 0 \dots$ `depth`; output $W h + b$.
    "Eight hidden layers" counts those after the input layer, so nine layers have an activation. Weights start
    Xavier-uniform, biases at 0.01. With 200 inputs and one output: 157,953 parameters.

    The thesis names GELU, the code of the published runs uses ReLU, the default here.

    Attributes:
        num_outputs: width of the output layer, e.g. two a task for a Gaussian likelihood.
        width: units of each hidden layer.
        depth: hidden layers after the input layer.
        dropout_rate: in [0, 1); active only when a `dropout` key is given (see `Dropout`).
        activation: elementwise non-linearity.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> variables = DNN(num_outputs=1).init(jax.random.key(0), jnp.zeros((1, 200)))
        >>> sum(leaf.size for leaf in jax.tree.leaves(variables))
        157953

    References:
        Y. Li et al. MUBen: Benchmarking the uncertainty of molecular representation models. TMLR 2024, appendix A.2.
    """

    num_outputs: int
    width: int = 128
    depth: int = 8
    dropout_rate: float = 0.1
    activation: Callable[[Array], Array] = jax.nn.relu

    def setup(self):
        """Declare the layers: `hidden_0` to `hidden_<depth>`, and `output`."""
        self.hidden = [
            nn.Dense(self.width, kernel_init=_XAVIER, bias_init=_BIAS, name=f"hidden_{i}")
            for i in range(self.depth + 1)
        ]
        self.drop = [Dropout(self.dropout_rate) for _ in self.hidden]
        self.output = nn.Dense(self.num_outputs, kernel_init=_XAVIER, bias_init=_BIAS)

    def features(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch width"]:
        """What the output layer sees: the last hidden layer after activation and dropout."""
        for layer, drop in zip(self.hidden, self.drop):
            x = drop(self.activation(layer(x)))
        return x

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(x))
