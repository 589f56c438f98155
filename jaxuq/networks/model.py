"""A causal language model as functions: what generation, scoring, chains, gradients and experts ask of any model.

    model = Model(read, logits, init_cache, vocab_size=32_000, max_positions=4_096)

`read` and `logits` are all that scoring needs, and `init_cache` all that generation needs besides. What more a model
can do is said by its other fields; what asks for one that is missing says so by name. `Decoder` gives a whole one
(`as_model(decoder)`), and every function that takes a model takes a decoder too.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import JaxuqError
from jaxuq.networks.decoder import Decoder, KeyValueCache
from jaxuq.networks.sharding import constrain


class CapabilityError(JaxuqError, TypeError):
    """A model cannot do what was asked of it."""


class Attention(NamedTuple):
    """How a model attends: with the queries that `read` returns, enough for any row of attention.

    Attributes:
        keys: `keys(cache)`: after the rotary embedding, `[layers, batch, kv_heads, slots, head_dim]`, or a tuple of
            layers without the first axis.
        positions: `positions(cache)`: of the slots, `[batch, slots]`; -1 for padding and for empty slots.
        scale: on scores.
        windows: sliding window of each layer, None for full attention; one entry a layer.
        softcap: see `attention_weights`; None: none.
    """

    keys: Callable[[Any], PyTree]
    positions: Callable[[Any], Int[Array, "batch slots"]]
    scale: float
    windows: tuple[int | None, ...]
    softcap: float | None = None

    @property
    def window_array(self) -> Int[Array, " layers"] | None:
        """The windows as numbers; None where all layers see everything."""
        if all(window is None for window in self.windows):
            return None
        return jnp.asarray([window or 2**30 for window in self.windows], jnp.int32)


class CacheRows(NamedTuple):
    """What can be done with the rows and slots of a cache.

    Attributes:
        take: `take(cache, rows) -> cache` of those rows; an index may repeat, and one that is out of range gives any.
        extend: `extend(cache, slots) -> cache` with so many empty slots more.
        arrange: `arrange(cache, positions, slots=None) -> cache` with other positions, -1 to empty a slot; with
            `slots`, `[batch, time]`, of those slots in that order, the next token coming behind them.
        put: `put(cache, other, row) -> cache` with the first slots of a row taken from `other`, a cache of one row and
            at most as many slots; None: answers cannot join a batch that runs.
        seek: `seek(cache, slot) -> cache` whose next token goes into that slot, in every row; None: the same.
        condition: `condition(cache, given) -> cache` of one row with what is given with its prompt, such as weights of
            experts; it comes before the first token that depends on it (`Ask.reading`). None: nothing can be given.
    """

    take: Callable[[Any, Int[Array, "taken"]], Any]
    extend: Callable[[Any, int], Any]
    arrange: Callable[..., Any]
    put: Callable[[Any, Any, Int[Array, ""]], Any] | None = None
    seek: Callable[[Any, Int[Array, ""]], Any] | None = None
    condition: Callable[[Any, Any], Any] | None = None


class Model(NamedTuple):
    """A causal language model; keep one object of it, for what is compiled is found by the functions themselves.

    Attributes:
        read: `read(params, tokens, positions, cache=None) -> (hidden, cache, queries)`. Tokens and positions are
            `[batch, time]`, -1 is the position of padding, on whichever side it is; nothing may depend on padding.
            `hidden`, `[batch, time, ...]`, is what `logits` reads. With a cache, tokens see what is in it and are
            appended to it; without, the cache is of just these tokens (None unless `attention` or `rows` is
            there). `queries`, `[layers, batch, time, heads, head_dim]` (or a tuple of layers), or None.
        logits: `logits(params, hidden) -> [..., vocab_size]`, of the next token.
        init_cache: `init_cache(params, rows, slots) -> cache`, empty; None: the model cannot generate.
        vocab_size: tokens.
        max_positions: the context it was made for.
        attention: for rows of attention and chains; None: `read` returns no queries.
        rows: None: several answers to a prompt read it several times, and caches are not divided.
        join: `join(params, trained) -> params` with a trained part put in; None: no gradients of parts.
        trained_logits: whether `logits` reads the trained part too.
        observe: `observe(params, hidden, tokens)`: more to keep of every generated token; arrays with their rows.
        options: names of the keyword arguments that `read` takes besides: `segments` (packed rows: tokens see their
            own text only), `rng_key` (dropout).
    """

    read: Callable[..., tuple[Array, Any, Any]]
    logits: Callable[[Any, Array], Array]
    init_cache: Callable[[Any, int, int], Any] | None = None
    vocab_size: int = 0
    max_positions: int = 2**30
    attention: Attention | None = None
    rows: CacheRows | None = None
    join: Callable[[Any, Any], Any] | None = None
    trained_logits: bool = True
    observe: Callable[[Any, Array, Array], Any] | None = None
    options: tuple[str, ...] = ()

    def hidden_of(
        self, params: Any, tokens: Array, positions: Array, cache: Any = None, **options: Any
    ) -> tuple[Array, Any, Any]:
        """What `read` gives, compared with what it is to give; a CapabilityError says what is missing."""
        given = (params, tokens, positions, *(() if cache is None else (cache,)))
        try:
            inspect.signature(self.read).bind(*given, **options)
        except TypeError as error:
            names = ["params", "tokens", "positions", "cache"][: len(given)] + [f"{name}=" for name in options]
            raise CapabilityError(f"`read` cannot be called as read({', '.join(names)}): {error}") from None
        found = self.read(*given, **options)
        if not isinstance(found, tuple) or len(found) != 3:
            kind = f"{len(found)} values" if isinstance(found, tuple) else f"one {type(found).__name__}"
            raise CapabilityError(
                f"`read` returns {kind}; expected (hidden, cache, queries), with None for what there is not"
            )
        hidden, after, queries = found
        shape = getattr(hidden, "shape", None)
        if shape is None or len(shape) < 3 or shape[:2] != tokens.shape:
            what = f"of shape {shape}" if shape is not None else f"as {type(hidden).__name__}"
            raise CapabilityError(f"`read` returns hidden states {what} for tokens of shape {tokens.shape}; expected "
                                  "[batch, time, ...], a state for each token")  # fmt: skip
        if cache is not None and after is None:
            raise CapabilityError(
                "`read` was given a cache and returns None for it; give back one with the tokens in it"
            )
        for layer in jax.tree.leaves(queries):
            if layer.ndim < 4 or layer.shape[-4:-2] != tokens.shape:
                raise CapabilityError(
                    f"`read` returns queries of shape {layer.shape} for tokens of shape {tokens.shape}; expected "
                    "[layers, batch, time, heads, head_dim], or a tuple of layers"
                )
        return hidden, after, queries

    def token_logits(self, params: Any, hidden: Array, *, axes: int = 1) -> Array:
        """`logits`, of every hidden state and as many tokens as the model says it has; else a CapabilityError.

        `axes` is how many leading axes of the hidden states count them, at least.
        """
        found = self.logits(params, hidden)
        shape: Any = getattr(found, "shape", ())
        if len(shape) <= axes or shape[:-1] != hidden.shape[: len(shape) - 1]:
            raise CapabilityError(
                f"`logits` gives an array of shape {shape} for hidden states of shape {hidden.shape}; expected the "
                "same leading axes, and the vocabulary as the last"
            )
        if self.vocab_size and shape[-1] != self.vocab_size:
            raise CapabilityError(f"`logits` gives {shape[-1]} numbers where vocab_size is {self.vocab_size}")
        return found

    def layered_queries(self, queries: Any) -> Any:
        """Queries that `read` gave, of as many layers as `attention` says; else a CapabilityError."""
        attention = capability(self, "attention")
        layers = 0 if queries is None else len(queries)
        if layers != len(attention.windows):
            raise CapabilityError(
                f"`read` returns queries of {layers} layers where `attention.windows` has {len(attention.windows)} "
                "entries; give one a layer"
            )
        return queries


_PURPOSE = {
    "init_cache": "to generate; give it `init_cache(params, rows, slots)` and let `read` append to that cache",
    "attention": "for rows of attention and chains; give it an `Attention`, and let `read` return queries",
    "rows": "to divide its cache; give it `CacheRows`",
    "rows.put": "for answers that join a batch that runs; give its `CacheRows` a `put`",
    "rows.seek": "for answers that join a batch that runs; give its `CacheRows` a `seek`",
    "rows.condition": "where something is given with a prompt; give its `CacheRows` a `condition`",
    "join": "for gradients of a part of its parameters; give it `join(params, trained)`",
    "segments": "for several texts in a row; let `read` take `segments=` and name it in `options`, or do not pack",
    "rng_key": "for dropout; let `read` take `rng_key=` and name it in `options`",
}


@typed()
def capability(model: "Model | Decoder", name: str) -> Any:
    """What a model says under the name of an optional capability.

    Args:
        model: or a decoder.
        name: of an optional field of `Model` (`rows.put`: of one of its `rows`), or of an option of `read`.

    Returns:
        The field; True for an option.

    Raises:
        CapabilityError: the model has none; the text says what it is needed for and how a model gets it.

    Example:
        >>> capability(Model(lambda *_: None, lambda *_: None, vocab_size=7), "init_cache")
        Traceback (most recent call last):
            ...
        jaxuq.networks.model.CapabilityError: this model has no `init_cache`, which is needed to generate; give it ...
    """
    if isinstance(model, Decoder) and model.lora is None and name == "join":
        raise CapabilityError("this decoder has no adapters; make one that has: decoder.clone(lora=LoraConfig(rank=8))")
    model = as_model(model)
    found = name in model.options or functools.reduce(
        lambda part, step: getattr(part, step, None), name.split("."), model
    )
    if not found:
        raise CapabilityError(f"this model has no `{name}`, which is needed {_PURPOSE[name]}")
    return found


@typed()
def as_model(model: "Model | Decoder") -> Model:
    """The functions of a decoder; a `Model` is returned as it is.

    A decoder's parameters are what its `apply` takes: `{"params": ..., "lora": ...}`.

    Args:
        model: either.

    Returns:
        The same object for equal decoders.

    Raises:
        CapabilityError: it is neither.
    """
    if isinstance(model, Model):
        _check_fields(model)
        return model
    if isinstance(model, Decoder):
        return _of_decoder(model)  # pyright: ignore[reportArgumentType]  # modules hash by their fields
    raise CapabilityError(f"expected a `Model` or a `Decoder`, got {type(model).__name__}")


def _check_fields(model: Model) -> None:
    for names, kinds in _KINDS.items():
        for name in names:
            value = getattr(model, name)
            if not (isinstance(value, kinds) or (callable(value) and Callable in kinds)):
                words = " or ".join("a function" if kind is Callable else kind.__name__ for kind in kinds)
                raise CapabilityError(
                    f"`{name}` of the model is {type(value).__name__}; expected {words.replace('NoneType', 'None')}"
                )
    hash_of = next((name for name, value in zip(model._fields, model) if not _hashable(value)), None)
    if hash_of is not None:
        raise CapabilityError(f"`{hash_of}` of the model cannot be hashed, by which compiled programs are found")


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


_KINDS: dict[tuple[str, ...], tuple[Any, ...]] = {
    ("read", "logits"): (Callable,),
    ("init_cache", "join", "observe"): (Callable, type(None)),
    ("vocab_size", "max_positions"): (int, np.integer),
    ("attention",): (Attention, type(None)),
    ("rows",): (CacheRows, type(None)),
    ("options",): (tuple,),
}


def check_decoder(model: "Model | Decoder", purpose: str, remedy: str = "") -> None:
    """Raise a CapabilityError unless a model is a `Decoder`, which can be made again with adapters, loaded and saved.

    Args:
        model: of whichever kind.
        purpose: what needs it, as the subject of the message.
        remedy: what a model of functions can have instead.
    """
    if not isinstance(model, Decoder):
        rest = remedy or "its parameters can be tuned: jaxuq.language.finetune with FinetuneConfig(adapters=None)"
        raise CapabilityError(
            f"{purpose} needs a `networks.Decoder`, and the model is a {type(model).__name__} of functions; adapters "
            f"are made, trained and saved for decoders alone; {rest}"
        )


@functools.lru_cache(maxsize=256)
def _of_decoder(decoder: Decoder) -> Model:
    config = decoder.config

    def read(params, tokens, positions, cache=None, *, segments=None, rng_key=None):
        rngs = None if rng_key is None else {"dropout": rng_key}
        output: Any = decoder.apply(params, tokens, positions, segments=segments, cache=cache, rngs=rngs)
        return output.hidden, output.cache, output.queries

    def logits(params: PyTree, hidden: Float[Array, "*batch hidden"]) -> Array:
        found: Any = decoder.apply(params, hidden, method="logits")
        return found

    return Model(
        read,
        logits,
        functools.partial(_init_cache, decoder),
        config.vocab_size,
        config.max_positions,
        Attention(
            lambda cache: cache.keys,
            lambda cache: cache.positions,
            config.attention_scale,
            tuple(config.window(layer) for layer in range(config.num_layers)),
            config.attention_softcap,
        ),
        CacheRows(_take, _extend, _arrange, _put, _seek),
        None if decoder.lora is None else lambda params, lora: {**params, "lora": lora},
        trained_logits=False,
        options=("segments", "rng_key"),
    )


def _init_cache(decoder: Decoder, params: PyTree, rows: int, slots: int) -> KeyValueCache:
    del params
    config, layers = decoder.config, decoder.config.num_layers
    shape = (rows, config.num_kv_heads, slots, config.head_dim)

    def empty() -> PyTree:
        if decoder.scan:
            return jnp.zeros((layers, *shape), decoder.dtype)
        return tuple(jnp.zeros(shape, decoder.dtype) for _ in range(layers))

    return KeyValueCache(empty(), empty(), jnp.full((rows, slots), -1, jnp.int32), jnp.zeros((), jnp.int32))


@typed()
def on_layers(part: PyTree, function: Callable[[Array, int], Array]) -> PyTree:
    """`function(leaf, batch axis)` of stacked layers, or of each of a tuple of layers."""
    if isinstance(part, tuple):
        return tuple(function(leaf, 0) for leaf in part)
    return function(part, 1)


def _take(cache: KeyValueCache, rows: Int[Array, "taken"]) -> KeyValueCache:
    def take(leaf: Array, batch: int) -> Array:
        return jnp.take(leaf, rows, axis=batch, mode="clip")

    return _on_cache(cache, take, positions=take(cache.positions, 0))


def _extend(cache: KeyValueCache, slots: int) -> KeyValueCache:
    def room(leaf: Array, batch: int) -> Array:
        return jnp.pad(leaf, [(0, slots) if axis == batch + 2 else (0, 0) for axis in range(leaf.ndim)])

    return _on_cache(cache, room, positions=jnp.pad(cache.positions, ((0, 0), (0, slots)), constant_values=-1))


def _arrange(
    cache: KeyValueCache, positions: Int[Array, "batch time"], slots: Int[Array, "batch time"] | None = None
) -> KeyValueCache:
    if slots is None:
        return cache._replace(positions=positions)

    def moved(leaf: Array, batch: int) -> Array:
        shape = [1] * leaf.ndim
        shape[batch], shape[batch + 2] = slots.shape
        return jnp.take_along_axis(leaf, slots.reshape(shape), axis=batch + 2)

    return _on_cache(cache, moved, positions=positions, length=jnp.asarray(slots.shape[1], jnp.int32))


def _on_cache(cache: KeyValueCache, function: Callable[[Array, int], Array], **others: Array) -> KeyValueCache:
    """The cache with `function(leaf, batch axis)` of its keys and values, on a mesh by rows and heads."""

    def one(leaf: Array, batch: int) -> Array:
        return constrain(function(leaf, batch), "keys")

    return cache._replace(keys=on_layers(cache.keys, one), values=on_layers(cache.values, one), **others)


def _put(cache: KeyValueCache, other: KeyValueCache, row: Int[Array, ""]) -> KeyValueCache:
    def placed(batch: int) -> Callable[[Array, Array], Array]:
        def place(leaf: Array, part: Array) -> Array:
            at = [row if axis == batch else 0 for axis in range(leaf.ndim)]
            return jax.lax.dynamic_update_slice(leaf, part.astype(leaf.dtype), at)

        return place

    def layers(whole: PyTree, part: PyTree) -> PyTree:
        return jax.tree.map(placed(0 if isinstance(whole, tuple) else 1), whole, part)

    rest = cache.positions.shape[1] - other.positions.shape[1]
    positions = placed(0)(cache.positions, jnp.pad(other.positions, ((0, 0), (0, rest)), constant_values=-1))
    return KeyValueCache(layers(cache.keys, other.keys), layers(cache.values, other.values), positions, cache.length)


def _seek(cache: KeyValueCache, slot: Int[Array, ""]) -> KeyValueCache:
    return cache._replace(length=jnp.asarray(slot, jnp.int32))
