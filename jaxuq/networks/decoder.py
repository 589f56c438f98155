"""One decoder for the common families of language models: Llama, Mistral, Phi 3, Qwen 2 and 3, Gemma, mixtures."""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arrays import as_float, widest
from jaxuq._errors import OptionError
from jaxuq._meshes import rows_at
from jaxuq._shapes import compared
from jaxuq.networks.activations import ACTIVATIONS, Activation
from jaxuq.networks.attention import Places, attend
from jaxuq.networks.expert_mlp import ExpertMLP, Experts
from jaxuq.networks.linear import LINEAR_LAYERS, Linear, LoraConfig
from jaxuq.networks.module import Module
from jaxuq.networks.rotary import Rotary, apply_rotary, rotary_tables
from jaxuq.networks.sharding import constrain, rows_are_mapped

_NO_WINDOW = 2**30
_MLP = ("gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder; `jaxuq.language.decoder_config` reads it from a checkpoint.

    Attributes:
        vocab_size: tokens.
        hidden_size: width of the residual stream.
        intermediate_size: width of the gated MLP, or of that of each expert.
        num_layers: blocks.
        num_heads: query heads.
        num_kv_heads: key and value heads; divides `num_heads`.
        head_dim: width of a head.
        max_positions: context the model was made for.
        activation: of the gate: `silu`, `gelu` (exact), `gelu_tanh` (its approximation) or `relu`.
        norm_eps: of the RMS norms.
        norm_offset: added to the norms' weights (1 for Gemma).
        rotary: one `Rotary` for each kind of layer.
        layer_rotary: index into `rotary` for each layer; empty: 0.
        layer_windows: sliding window of each layer, None for full attention; empty: none.
        attention_bias: bias of query, key and value.
        output_bias: bias of the attention's output layer.
        mlp_bias: bias of gate, up and down.
        query_key_norm: RMS norm of each query and key head before the rotary embedding.
        whole_query_key_norm: that norm is over all heads of a token together (OLMoE).
        post_norms: norms after attention and after the MLP too (Gemma 2, 3).
        query_scale: on attention scores; None: `head_dim ** -0.5`.
        attention_softcap: see `attention_weights`.
        logit_softcap: the same for the final logits.
        embedding_scale: on token embeddings (root of `hidden_size` for Gemma).
        tied: whether the embedding is also the output layer.
        experts: mixtures of expert MLPs in place of the MLPs; None: one MLP a layer.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int = 4096
    activation: Activation = "silu"
    norm_eps: float = 1e-5
    norm_offset: float = 0.0
    rotary: tuple[Rotary, ...] = (Rotary(),)
    layer_rotary: tuple[int, ...] = ()
    layer_windows: tuple[int | None, ...] = ()
    attention_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    query_key_norm: bool = False
    whole_query_key_norm: bool = False
    post_norms: bool = False
    query_scale: float | None = None
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    embedding_scale: float = 1.0
    tied: bool = False
    experts: Experts | None = None

    def __post_init__(self):
        if self.num_heads % self.num_kv_heads:
            raise OptionError(f"{self.num_heads} heads cannot share {self.num_kv_heads} key heads evenly")
        if self.activation not in ACTIVATIONS:
            raise OptionError(f"activation is {self.activation!r}; expected one of {', '.join(ACTIVATIONS)}")
        widths = {rotary.width(self.head_dim) for rotary in self.rotary}
        if len(widths) > 1:
            raise OptionError(f"the rotary embeddings turn {sorted(widths)} numbers of a head; expected one width")

    def window(self, layer: int) -> int | None:
        """The sliding window of a layer."""
        return self.layer_windows[layer] if self.layer_windows else None

    def rotary_index(self, layer: int) -> int:
        """Which rotary embedding a layer uses."""
        return self.layer_rotary[layer] if self.layer_rotary else 0

    @property
    def attention_scale(self) -> float:
        """The factor on attention scores."""
        return self.head_dim**-0.5 if self.query_scale is None else self.query_scale

    @property
    def linear_layers(self) -> tuple[str, ...]:
        """Names of the layers of a block that can have adapters."""
        return LINEAR_LAYERS if self.experts is None else tuple(name for name in LINEAR_LAYERS if name not in _MLP)


class KeyValueCache(NamedTuple):
    """Keys and values of the tokens so far, in slots.

    Attributes:
        keys: `[layers, batch, kv_heads, slots, head_dim]`, or a tuple of layers without the first axis.
        values: the same.
        positions: `[batch, slots]`; -1 for padding and for empty slots.
        length: slots in use; the next token goes into this slot, in every row.
    """

    keys: PyTree
    values: PyTree
    positions: Int[Array, "batch slots"]
    length: Int[Array, ""]


class DecoderOutput(NamedTuple):
    """What a pass returns; under `jit`, what is not used of it is never computed or held.

    Attributes:
        hidden: after the last norm, `[batch, time, hidden_size]`; `Decoder.logits` turns it into logits.
        cache: as extended by the tokens; without a cache given, one of exactly these tokens.
        queries: after rotary embedding, `[layers, batch, time, heads, head_dim]` (or a tuple of layers). With the
            cache's keys they give any row of attention, see `attention_weights`.
        layers: residual stream after each block, `[layers, batch, time, hidden_size]` (or a tuple); None if not asked.
    """

    hidden: Float[Array, "batch time hidden"]
    cache: KeyValueCache
    queries: PyTree
    layers: PyTree


class _Shared(NamedTuple):
    """What all blocks read."""

    cosines: Float[Array, "kinds batch time half"]
    sines: Float[Array, "kinds batch time half"]
    places: Places
    key_places: Places
    slot: Int[Array, ""]


def _placed(x: Float[Array, "batch time width"], rule: str, hidden_size: int) -> Float[Array, "batch time width"]:
    """Rows stay on their devices and split kernels are gathered, if that moves fewer numbers than their products.

    Gathering moves `inputs * features` numbers, adding up parts of the product `tokens * features` of twice the width,
    to and fro. So a prefill keeps its rows, and a step of decoding its kernels; rows that are mapped over stay.
    """
    few = 4 * x.shape[0] * x.shape[1] < hidden_size and not rows_are_mapped()
    return constrain(x, f"{rule} of few" if few else rule)


class _RMSNorm(nn.Module):
    eps: float
    offset: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        start = nn.initializers.constant(1.0 - self.offset)
        scale = self.param("scale", start, (x.shape[-1],), self.dtype)
        wide, scale = as_float(x), as_float(scale, x) + self.offset
        normed = wide * jax.lax.rsqrt(jnp.mean(wide**2, axis=-1, keepdims=True) + self.eps)
        return (normed * jnp.broadcast_to(scale, x.shape)).astype(x.dtype)


class _Block(nn.Module):
    config: DecoderConfig
    dtype: Any
    lora: LoraConfig | None
    keep_layers: bool

    def _linear(self, name: str, features: int, use_bias: bool) -> Linear:
        lora = self.lora if self.lora is not None and name in self.lora.targets else None
        return Linear(features, use_bias, self.dtype, lora, name=name)

    def _norm(self, name: str) -> _RMSNorm:
        return _RMSNorm(self.config.norm_eps, self.config.norm_offset, self.dtype, name=name)

    def _mlp(self, prefix: str, width: int, x: Array) -> Array:
        gate = self._linear(f"{prefix}gate", width, self.config.mlp_bias)(x)
        up = self._linear(f"{prefix}up", width, self.config.mlp_bias)(x)
        inner = _placed(ACTIVATIONS[self.config.activation](gate) * up, "inner", self.config.hidden_size)
        return self._linear(f"{prefix}down", self.config.hidden_size, self.config.mlp_bias)(inner)

    def _experts(self, x: Array) -> Array:
        config, experts = self.config, self.config.experts
        assert experts is not None
        mixed = ExpertMLP(experts, config.intermediate_size, config.activation, self.dtype, name="experts")(x)
        if not experts.shared_size:
            return mixed
        start = nn.initializers.lecun_normal()
        router = self.param("shared_router", start, (x.shape[-1], 1), self.dtype).astype(self.dtype)
        said = self._mlp("shared_", experts.shared_size, x)
        return mixed + jnp.broadcast_to(jax.nn.sigmoid(x @ router), said.shape) * said

    @nn.compact
    def __call__(self, x: Array, layer: tuple[Any, Any, Any], shared: _Shared) -> tuple[Array, tuple[Any, Any, Any]]:
        config = self.config
        past, window, kind = layer
        rows, dim = x.shape[:2], config.head_dim
        heads, kv_heads = config.num_heads, config.num_kv_heads
        whole = config.query_key_norm and config.whole_query_key_norm
        cosines, sines = shared.cosines[kind], shared.sines[kind]
        normed = self._norm("attention_norm")(x)
        query = self._linear("query", heads * dim, config.attention_bias)(normed)
        key = self._linear("key", kv_heads * dim, config.attention_bias)(normed)
        value = self._linear("value", kv_heads * dim, config.attention_bias)(normed).reshape(*rows, kv_heads, dim)
        if whole:
            query, key = self._norm("query_norm")(query), self._norm("key_norm")(key)
        query, key = query.reshape(*rows, heads, dim), key.reshape(*rows, kv_heads, dim)
        if config.query_key_norm and not whole:
            query, key = self._norm("query_norm")(query), self._norm("key_norm")(key)
        query, key = apply_rotary(query, cosines, sines), apply_rotary(key, cosines, sines)
        query, key, value = constrain(query, "queries"), key.swapaxes(1, 2), value.swapaxes(1, 2)
        if past is not None:
            key, value = (
                jax.lax.dynamic_update_slice_in_dim(whole, new.astype(whole.dtype), shared.slot, axis=2)
                for whole, new in zip(past, (key, value))
            )
        key, value = constrain(key, "keys"), constrain(value, "keys")
        mixed = attend(
            query,
            key.astype(query.dtype),
            value.astype(query.dtype),
            shared.places,
            shared.key_places,
            scale=config.attention_scale,
            window=window,
            softcap=config.attention_softcap,
        ).reshape(*rows, heads * dim)
        mixed = self._linear("output", config.hidden_size, config.output_bias)(mixed)
        x = x + (self._norm("post_attention_norm")(mixed) if config.post_norms else mixed)
        x = _placed(x, "residual", config.hidden_size)

        normed = self._norm("mlp_norm")(x)
        down = self._mlp("", config.intermediate_size, normed) if config.experts is None else self._experts(normed)
        x = _placed(
            x + (self._norm("post_mlp_norm")(down) if config.post_norms else down), "residual", config.hidden_size
        )
        return x, ((key, value), query, x if self.keep_layers else None)


class Decoder(Module):
    """A causal language model: tokens in, hidden states out; `logits` turns those into logits.

        output = decoder.apply({"params": params}, tokens)
        logits = decoder.apply({"params": params}, output.hidden, method="logits")

    What a token sees follows from positions alone: -1 marks padding, on whichever side it is. Parameters of all layers
    are stacked and scanned over (`params["layers"]`), which compiles fast; with `scan=False` each layer has its own
    (`params["layers_0"]`, ...), which decodes faster on CPUs. `stack_layers` and `unstack_layers` convert.

    Low-rank adapters live in the collection `lora` (see `Linear`): pass `{"params": ..., "lora": ...}` to use them,
    leave the collection out for the base model.

    Attributes:
        config: the shape.
        dtype: of parameters and activations; norms, softmax and logits are computed in float32 at least.
        scan: whether layers are stacked.
        lora: the adapters' configuration.
        remat: recompute each block in the backward pass, which then holds one residual stream a layer.
    """

    config: DecoderConfig
    dtype: Any = jnp.float32
    scan: bool = True
    lora: LoraConfig | None = None
    remat: bool = False

    def __post_init__(self):
        lacking = [name for name in self.lora.targets if name not in self.config.linear_layers] if self.lora else []
        if lacking:
            raise OptionError(
                f"adapters of {', '.join(lacking)}: these layers belong to the experts of a mixture, which have no "
                f"adapters; choose among {', '.join(self.config.linear_layers)}"
            )
        super().__post_init__()

    def _blocks(self, x: Array, past: Any, shared: _Shared, keep_layers: bool) -> tuple[Array, Any]:
        config = self.config
        layers = range(config.num_layers)
        block = nn.remat(_Block, prevent_cse=not self.scan) if self.remat else _Block
        arguments = (config, self.dtype, self.lora, keep_layers)
        if self.scan:
            scanned = nn.scan(
                block,
                variable_axes={"params": 0, "lora": 0},
                split_rngs={"params": True, "dropout": True},
                in_axes=(0, nn.broadcast),  # pyright: ignore[reportArgumentType]
                length=config.num_layers,
            )
            windows = None
            if any(config.window(layer) is not None for layer in layers):
                windows = jnp.asarray([config.window(layer) or _NO_WINDOW for layer in layers], jnp.int32)
            kinds = jnp.asarray([config.rotary_index(layer) for layer in layers], jnp.int32)
            return scanned(*arguments, name="layers")(x, (past, windows, kinds), shared)
        kept = []
        for layer in layers:
            inputs = (past[layer] if past is not None else None, config.window(layer), config.rotary_index(layer))
            x, one = block(*arguments, name=f"layers_{layer}")(x, inputs, shared)
            kept.append(one)
        return x, tuple(None if part[0] is None else part for part in zip(*kept))

    @nn.compact
    @compared
    def __call__(
        self,
        tokens: Int[Array, "batch time"],
        positions: Int[Array, "batch time"] | None = None,
        *,
        segments: Int[Array, "batch time"] | None = None,
        cache: KeyValueCache | None = None,
        keep_layers: bool = False,
    ) -> DecoderOutput:
        """One pass over the tokens.

        Args:
            tokens: in `[0, vocab_size)`; padding may be any token.
            positions: of the tokens, -1 for padding; None: 0, 1, 2, ...
            segments: numbers of the texts packed into a row; tokens see their own text only. Not with a cache.
            cache: keys and values of earlier tokens, which these tokens see and are appended to.
            keep_layers: return the residual stream after each block.

        Returns:
            `DecoderOutput`. Holds activations of `time * (hidden_size + intermediate_size)` numbers a row, and
            attention scores in blocks (see `attend`); of expert MLPs one block of tokens and the kernels of one expert.
        """
        if positions is None:
            positions = jnp.broadcast_to(jnp.arange(tokens.shape[1], dtype=jnp.int32), tokens.shape)
        config = self.config
        normal = nn.initializers.normal(0.02)
        embedding = self.param("embedding", normal, (config.vocab_size, config.hidden_size), self.dtype)
        if not config.tied:  # read by `logits`
            self.param("unembedding", normal, (config.hidden_size, config.vocab_size), self.dtype)
        x = _placed(rows_at(embedding, tokens).astype(self.dtype), "residual", config.hidden_size)
        x = x * jnp.asarray(config.embedding_scale, self.dtype)
        places = key_places = Places(positions, segments)
        past, slot = None, jnp.zeros((), jnp.int32)
        if cache is not None:
            slot = cache.length
            key_places = Places(jax.lax.dynamic_update_slice_in_dim(cache.positions, positions, slot, axis=1))
            past = (cache.keys, cache.values) if self.scan else tuple(zip(cache.keys, cache.values))
        tables = [rotary_tables(rotary, config.head_dim, positions) for rotary in config.rotary]
        cosines, sines = (jnp.stack(table) for table in zip(*tables))
        shared = _Shared(cosines, sines, places, key_places, slot)
        x, (kept, queries, residuals) = self._blocks(x, past, shared, keep_layers)
        keys, values = kept if self.scan else zip(*kept)
        kept = KeyValueCache(keys, values, key_places.positions, slot + tokens.shape[1])
        normed = _RMSNorm(config.norm_eps, config.norm_offset, self.dtype, name="final_norm")(x)
        return DecoderOutput(normed, kept, queries, residuals)

    def logits(self, hidden: Float[Array, "*batch hidden"]) -> Float[Array, "*batch vocab"]:
        """Logits of the next token, in single precision at least."""
        read = constrain(hidden, "read")
        if self.config.tied:
            embedding = constrain(self.get_variable("params", "embedding"), "table").astype(self.dtype)
            logits = jnp.einsum("...d,vd->...v", read, embedding, preferred_element_type=widest(hidden))
        else:
            kernel = self.get_variable("params", "unembedding").astype(self.dtype)
            logits = jnp.einsum("...d,dv->...v", read, kernel, preferred_element_type=widest(hidden))
        logits = constrain(logits, "logits")
        cap = self.config.logit_softcap
        return logits if cap is None else cap * jnp.tanh(logits / cap)
