"""BERT, RoBERTa and MPNet: encoders that look at a whole text at once."""

import dataclasses
import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, widest
from jaxuq._errors import OptionError
from jaxuq._meshes import rows_at
from jaxuq._shapes import compared
from jaxuq.networks.activations import ACTIVATIONS, Activation
from jaxuq.networks.attention import mixture
from jaxuq.networks.dropout import Dropout
from jaxuq.networks.linear import Linear, LoraConfig
from jaxuq.networks.module import Module

_MASKED = -1e30
_FARTHEST = 128  # tokens apart: all that are farther are of one kind


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """The shape of an encoder.

    Attributes:
        vocab_size: number of tokens.
        hidden_size: width.
        intermediate_size: width inside the MLP.
        num_layers: number of layers.
        num_heads: attention heads; divides the width.
        max_positions: rows of the position table.
        type_vocab_size: kinds of segments; 0: segments are not told apart.
        first_position: row of the position table of a text's first token: 0 in BERT, padding index + 1 in RoBERTa.
        distance_buckets: kinds of distances between tokens, each of which adds a number of its own to every head's
            scores, the same in all layers, as in MPNet; 0: none.
        positions_skip_padding: count real tokens only, as RoBERTa does; otherwise the column is the position.
        norm_eps: added to the variance in layer normalisation.
        activation: in the MLP.
        dropout: rate on the embeddings and on what each block adds; acts when a `dropout` key is given.
        attention_dropout: rate on attention weights.
        pooler: whether there is the dense layer on the first token that sentence classifiers read.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    max_positions: int = 512
    type_vocab_size: int = 2
    first_position: int = 0
    positions_skip_padding: bool = False
    distance_buckets: int = 0
    norm_eps: float = 1e-12
    activation: Activation = "gelu"
    dropout: float = 0.1
    attention_dropout: float = 0.1
    pooler: bool = True

    def __post_init__(self):
        if self.hidden_size % self.num_heads:
            raise OptionError(
                f"hidden_size is {self.hidden_size}; it must be a multiple of num_heads, {self.num_heads}"
            )
        if self.distance_buckets and (self.distance_buckets < 4 or self.distance_buckets % 4):
            raise OptionError(
                f"distance_buckets is {self.distance_buckets}; expected 0 or a multiple of 4: half of them for either "
                "direction, half of these for single distances"
            )
        if self.activation not in ACTIVATIONS:
            raise OptionError(f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}")

    @property
    def max_tokens(self) -> int:
        """The longest text that the position table has room for, special tokens included."""
        return self.max_positions - self.first_position


class EncoderOutput(NamedTuple):
    """What an encoder computes.

    Attributes:
        hidden: vectors of the tokens after the last layer; they mean nothing in padding.
        pooled: the first token's vector through the pooler, None if there is no pooler.
    """

    hidden: Float[Array, "batch time width"]
    pooled: Float[Array, "batch width"] | None


class _Layer(nn.Module):
    """Attention and MLP, each added to its input and normalised afterwards."""

    config: EncoderConfig
    dtype: Any
    lora: LoraConfig | None

    @nn.compact
    def __call__(self, x: Array, where: Array, bias: Array | None) -> tuple[Array, None]:
        """Form suitable for `nn.scan`."""
        config = self.config
        batch, time, width = x.shape
        heads = (batch, time, config.num_heads, width // config.num_heads)

        def linear(name: str, features: int) -> Linear:
            adapted = self.lora if self.lora is not None and name in self.lora.targets else None
            return Linear(features, use_bias=True, dtype=self.dtype, lora=adapted, name=name)

        query, key, value = (linear(name, width)(x).reshape(heads) for name in ("query", "key", "value"))
        scores = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=widest(query))
        scores = scores * heads[-1] ** -0.5
        scores = jnp.where(where[:, None, None, :], scores if bias is None else scores + bias, _MASKED)
        weights = Dropout(config.attention_dropout)(jax.nn.softmax(scores, axis=-1))
        mixed = mixture(weights, value.swapaxes(1, 2)).swapaxes(1, 2).reshape(x.shape)
        x = self._add("attention_norm", x, linear("output", width)(mixed))
        inner = ACTIVATIONS[config.activation](linear("up", config.intermediate_size)(x))
        return self._add("mlp_norm", x, linear("down", width)(inner)), None

    def _add(self, name: str, x: Array, change: Array) -> Array:
        return _normalise(self.config, name, self.dtype, x + Dropout(self.config.dropout)(change))


def _distance_bucket(distance: Int[Array, "..."], num_buckets: int) -> Int[Array, "..."]:
    r"""The kind of a distance $d = j - i$ between a token $i$ that looks and the token $j$ that it sees.

    With $n$ kinds in all, $m = n/2$ for either direction and $s = n/4$: $b = m\,[d > 0] + |d|$ while $|d| < s$, then
    $b = m\,[d > 0] + \min\bigl(m - 1,\, s + \lfloor \ln(|d|/s) / \ln(128/s) \cdot (m - s) \rfloor\bigr)$.

    Args:
        distance: of any shape.
        num_buckets: a multiple of 4.

    Returns:
        Numbers below `num_buckets`.

    Example:
        >>> _distance_bucket(jnp.array([0, -1, 1, -7, -8, 12, -127, 200]), 32)
        Array([ 0,  1, 17,  7,  8, 25, 15, 31], dtype=int32)

    References:
        C. Raffel et al. Exploring the limits of transfer learning with a unified text-to-text transformer. JMLR 2020,
        section 2.1.
        K. Song, X. Tan, T. Qin, J. Lu, T.-Y. Liu. MPNet: masked and permuted pre-training for language understanding.
        NeurIPS 2020.
    """
    half, single = num_buckets // 2, num_buckets // 4
    size = jnp.abs(distance)
    share = jnp.log(jnp.maximum(size, 1) / single) / math.log(_FARTHEST / single)
    far = jnp.minimum(single + (share * (half - single)).astype(jnp.int32), half - 1)
    return jnp.where(distance > 0, half, 0) + jnp.where(size < single, size, far)


def _normalise(config: EncoderConfig, name: str, dtype: Any, x: Array) -> Array:
    norm = nn.LayerNorm(epsilon=config.norm_eps, dtype=dtype, param_dtype=dtype, use_fast_variance=False, name=name)
    with jax.numpy_dtype_promotion("standard"):  # Flax's own code relies on it in half precision
        return norm(x)


class Encoder(Module):
    r"""BERT (or RoBERTa, or MPNet) without a head: $h^{(l+1)} = \mathrm{LN}(a + \mathrm{MLP}(a))$,
    $a = \mathrm{LN}(h^{(l)} + \mathrm{attention}(h^{(l)}))$, every token seeing every real token.

    For vectors of words, sentences or SMILES; to generate text use `Decoder`. Layers are stacked on axis 0 of
    `params["layers"]` and run in one loop. One layer's attention weights, `[batch, heads, time, time]`, are held at a
    time (by the backward pass: those of all layers), so bound `batch * time**2`.

    Attributes:
        config: the shape.
        dtype: of parameters and computations.
        lora: adapters on some linear layers (`query, key, value, output, up, down`), in the collection `lora`.
        remat: compute each layer again in the backward pass, which then holds one residual stream a layer.

    References:
        J. Devlin, M.-W. Chang, K. Lee, K. Toutanova. BERT: pre-training of deep bidirectional transformers for language
        understanding. NAACL 2019.
        Y. Liu et al. RoBERTa: a robustly optimized BERT pretraining approach. 2019.
        K. Song, X. Tan, T. Qin, J. Lu, T.-Y. Liu. MPNet: masked and permuted pre-training for language understanding.
        NeurIPS 2020.
    """

    config: EncoderConfig
    dtype: Any = jnp.float32
    lora: LoraConfig | None = None
    remat: bool = False

    @nn.compact
    @compared
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        where: Bool[Array, "batch time"] | None = None,
        types: Int[Array, "batch time"] | None = None,
    ) -> EncoderOutput:
        """Encode.

        Args:
            tokens: with the special tokens; at most `config.max_tokens` a row.
            where: False in padding, which may hold anything; None: no padding.
            types: segment of each token; None: 0. Not read where segments are not told apart.

        Returns:
            `EncoderOutput(hidden, pooled)`.

        Raises:
            ValueError: more tokens than there are positions.
        """
        config, time = self.config, tokens.shape[1]
        if time > config.max_tokens:
            raise OptionError(
                f"{time} tokens a row; the encoder has positions for {config.max_tokens}: divide the text into windows"
            )
        where = counted(where, tokens)
        columns = jnp.broadcast_to(jnp.arange(time)[None], tokens.shape)
        if config.positions_skip_padding:  # padding has the position before the first
            places = jnp.cumsum(where.astype(jnp.int32), axis=1) - 1
            columns = jnp.where(where, places, -1)

        def look_up(name: str, rows: int, places: Array, width: int = config.hidden_size) -> Array:
            table = nn.Embed(rows, width, dtype=self.dtype, param_dtype=self.dtype, name=name)
            return rows_at(table.embedding, places)

        x = look_up("tokens", config.vocab_size, jnp.where(where, tokens, 0))
        x = x + look_up("positions", config.max_positions, columns + config.first_position)
        if config.type_vocab_size:
            types = jnp.zeros_like(tokens) if types is None else jnp.where(where, types, 0)
            x = x + look_up("types", config.type_vocab_size, types)
        x = Dropout(config.dropout)(_normalise(config, "embedding_norm", self.dtype, x))
        bias = None
        if config.distance_buckets:
            kinds = _distance_bucket(jnp.arange(time)[None] - jnp.arange(time)[:, None], config.distance_buckets)
            bias = jnp.moveaxis(look_up("distances", config.distance_buckets, kinds, config.num_heads), -1, 0)[None]
        layers = nn.scan(
            nn.remat(_Layer, prevent_cse=False) if self.remat else _Layer,
            variable_axes={"params": 0, "lora": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=config.num_layers,
        )
        x, _ = layers(config, self.dtype, self.lora, name="layers")(x, where, bias)
        if not config.pooler:
            return EncoderOutput(x, None)
        return EncoderOutput(x, jnp.tanh(Linear(config.hidden_size, True, self.dtype, name="pooler")(x[:, 0])))
