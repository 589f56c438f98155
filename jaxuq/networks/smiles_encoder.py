"""A BERT or RoBERTa on SMILES with a head for molecular properties."""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq.networks.bert import Encoder, EncoderConfig
from jaxuq.networks.module import Module

_SHARES = (0.5, 0.875)  # of a batch, from the shortest on: what two narrower groups end at
_DEVIATIONS = 3.0  # of the rank of a group's last row in the data set
_MULTIPLE = 4


@flax.struct.dataclass
class TokenRows:
    """Tokens of molecules, one padded row each.

    Attributes:
        tokens: axes `molecules time`, real tokens first; anything in padding.
        lengths: number of real tokens of each row.
        percentiles: 101 lengths, that of the shortest to that of the longest in the data set; None: all rows are
            treated as wide as the table.
    """

    tokens: Any
    lengths: Any
    percentiles: tuple[int, ...] | None = flax.struct.field(pytree_node=False, default=None)

    def in_groups(self, module: nn.Module, function: Callable[[Any, Array, Array], Array]) -> Array:
        """Apply a method of a network to these rows, the short ones apart from the long ones.

        A batch is sorted by length, and half of it, three eighths and one eighth pass through the network as tables of
        three widths, which nearly every random batch fits; one that does not passes as a single wide table.

        Args:
            module: a bound flax module.
            function: `function(module, tokens, where) -> outputs`, rows first.

        Returns:
            The outputs, in the order of the rows.
        """
        rows, width = self.tokens.shape
        ends = [math.floor(share * rows) for share in _SHARES]
        widths = [self._width(end / rows, rows) for end in ends]
        alone = self.percentiles is None or ends[0] == 0 or ends[0] == ends[1] or widths[0] >= width
        if alone or jax.default_backend() != "cpu" or module.is_initializing():
            return function(module, *_table(self.tokens, self.lengths, width))
        order = jnp.argsort(self.lengths)
        lengths = self.lengths[order]

        def grouped(module: Any, tokens: Array) -> Array:
            parts = zip([0, *ends], [*ends, rows], [*widths, width])
            outputs = [function(module, *_table(tokens[a:b], lengths[a:b], wide)) for a, b, wide in parts]
            return jnp.concatenate(outputs)

        def wide(module: Any, tokens: Array) -> Array:
            return function(module, *_table(tokens, lengths, width))

        fits = (lengths[ends[0] - 1] <= widths[0]) & (lengths[ends[1] - 1] <= widths[1])
        outputs = nn.cond(fits, grouped, nn.remat(wide), module, self.tokens[order])
        return outputs[jnp.argsort(order)]

    def _width(self, share: float, rows: int) -> int:
        if self.percentiles is None:
            return self.tokens.shape[1]
        likely = share + _DEVIATIONS * math.sqrt(share * (1 - share) / rows)
        length = self.percentiles[min(math.ceil(100 * likely), 100)]
        return min(math.ceil(length / _MULTIPLE) * _MULTIPLE, self.tokens.shape[1])


def _table(tokens: Array, lengths: Array, width: int) -> tuple[Array, Array]:
    where = jnp.arange(width)[None] < lengths[:, None].astype(jnp.int32)
    return tokens[:, :width].astype(jnp.int32), where


class SmilesEncoder(Module):
    r"""An encoder of SMILES with an output layer: $V \tanh(W h_{[CLS]} + b) + c$.

    The published benchmark reads ChemBERTa through a pooler, $\tanh(W h_{[CLS]} + b)$, which its checkpoint does not
    have, so that it starts at random; with `pooler=False` the output layer reads $h_{[CLS]}$ itself, as the thesis
    says.
    ChemBERTa with a pooler and one output has 3,427,825 parameters.

    Attributes:
        num_outputs: width of the output layer.
        config: the shape of the encoder; its `pooler` is disregarded.
        pooler: whether there is one.

    References:
        S. Chithrananda, G. Grand, B. Ramsundar. ChemBERTa: large-scale self-supervised pretraining for molecular
        property prediction. 2020.
        W. Ahmad et al. ChemBERTa-2: towards chemical foundation models. 2022.
        P. Schwaller et al. Mapping the space of chemical reactions using attention-based neural networks. Nature
        Machine Intelligence 3, 2021 (rxnfp).
    """

    num_outputs: int
    config: EncoderConfig
    pooler: bool = True

    def setup(self):
        """Declare the encoder, the pooler and the output layer."""
        bare = EncoderConfig(**{**vars(self.config), "pooler": False})
        self.encoder = Encoder(bare)
        if self.pooler:
            self.pool = nn.Dense(self.config.hidden_size, kernel_init=nn.initializers.normal(0.02))
        self.output = nn.Dense(
            self.num_outputs,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.constant(0.01),
        )

    def features(self, rows: TokenRows) -> Float[Array, "molecules width"]:
        """What the output layer sees."""
        return rows.in_groups(self, lambda module, tokens, where: module.of_table(tokens, where))

    def of_table(self, tokens: Array, where: Array) -> Float[Array, "molecules width"]:
        """`features` of one padded table."""
        first = self.encoder(tokens, where).hidden[:, 0]
        return jnp.tanh(self.pool(first)) if self.pooler else first

    def __call__(self, rows: TokenRows) -> Float[Array, "molecules outputs"]:
        """Network outputs, raw (no softplus, no sigmoid)."""
        return self.output(self.features(rows))
