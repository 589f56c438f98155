"""Experts in a running batch: the weights of an answer lie in the cache, beside its keys and values."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq.experts.decoding import MEMBERS_AXES, MemberScores
from jaxuq.experts.disagreement import combine_logits, disagreement
from jaxuq.experts.mixture import Mixing, mixing
from jaxuq.networks import CacheRows, Decoder, KeyValueCache, LoraConfig, Model, as_model, capability


class Members(NamedTuple):
    """The parameters of a `weighted_experts` or `mixed_experts` model.

    Attributes:
        params: of the base model, without the collection's name around them.
        experts: adapters with a leading axis of members; of a mixture as `mixture_adapters` gives them.
    """

    params: PyTree
    experts: PyTree


class WeighedCache(NamedTuple):
    """A cache of every member, and what each member is to say.

    Attributes:
        members: keys and values with an axis of members; of a mixture, which is one model, without.
        weights: of the members, for each row.
    """

    members: KeyValueCache
    weights: Float[Array, "rows members"]


@typed()
@functools.lru_cache(maxsize=16)
def weighted_experts(decoder: Decoder) -> Model:
    r"""An ensemble of experts whose weights are each answer's own, so that answers with other weights share a batch.

    $$x_t = \sum_m w_m\, (\mathcal{M} + \mathcal{Q}_m)(x_{<t}) \Big/ \sum_m w_m$$

    What `expert_model` computes, with the weights in the cache (`rows.condition` puts them there) in place of the
    parameters: answers can join and leave a `RunningBatch`. All members read every answer, those of weight zero too.

    Args:
        decoder: with the adapters' configuration.

    Returns:
        The model; its parameters are `Members`, its `observe` gives `MemberScores`. The last number of a hidden state
        is the member's weight.

    Raises:
        OptionError: the decoder has no adapters.

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.10.
    """
    _adapters_of(decoder)
    base = as_model(decoder)
    ways: Any = base.rows

    def members(change: Any, *caches: KeyValueCache) -> KeyValueCache:
        axes = (MEMBERS_AXES,) * len(caches)
        return jax.vmap(change, in_axes=axes, out_axes=MEMBERS_AXES)(*caches)

    def read(params: Members, tokens: Array, positions: Array, cache: WeighedCache) -> tuple[Array, WeighedCache, None]:
        def one(lora: PyTree, own: KeyValueCache) -> tuple[Array, Any]:
            return base.read({"params": params.params, "lora": lora}, tokens, positions, own)[:2]

        hidden, after = jax.vmap(one, in_axes=(0, MEMBERS_AXES), out_axes=(2, MEMBERS_AXES))(
            params.experts, cache.members
        )
        weights = jnp.broadcast_to(cache.weights[:, None, :, None], (*hidden.shape[:-1], 1))
        return jnp.concatenate([hidden.astype(jnp.float32), weights], axis=-1), WeighedCache(after, cache.weights), None

    def parts(params: Members, hidden: Array) -> tuple[Array, Array]:
        """Logits of each member, and their weights."""
        return base.logits({"params": params.params}, hidden[..., :-1].astype(decoder.dtype)), hidden[..., -1]

    def logits(params: Members, hidden: Array) -> Array:
        each, weights = parts(params, hidden)
        return combine_logits(each, weights / weights.sum(-1, keepdims=True))

    def observe(params: Members, hidden: Array, tokens: Array) -> MemberScores:
        said = disagreement(*parts(params, hidden), tokens)
        return MemberScores(said.member_log_probs, said.mutual_information, said.variance, None)

    def init_cache(params: Members, rows: int, slots: int) -> WeighedCache:
        count = jax.tree.leaves(params.experts)[0].shape[0]
        make: Any = capability(base, "init_cache")
        empty = jax.vmap(lambda _: make(params.params, rows, slots), out_axes=MEMBERS_AXES)(jnp.arange(count))
        return WeighedCache(empty, jnp.ones((rows, count)))

    return Model(
        read, logits, init_cache, base.vocab_size, base.max_positions, rows=_weighed_rows(ways, members),
        trained_logits=False, observe=observe,
    )  # fmt: skip


@typed()
@functools.lru_cache(maxsize=16)
def mixed_experts(decoder: Decoder, *, mix: Mixing = "routing") -> Model:
    r"""Adapters that are mixed within the layers by weights of each answer's own, so that such answers share a batch.

    With a weight of one for one adapter and of zero for the others an answer is that of this adapter alone: this is how
    adapters are served by name. One pass and one cache, whatever the number of adapters; what is read of a prompt
    depends on its weights, so beginnings are shared only by prompts with equal ones (`Ask.reading`).

    Args:
        decoder: with the adapters' configuration.
        mix: see `mixing`.

    Returns:
        The model; its parameters are `Members` with `mixture_adapters`.

    Raises:
        OptionError: the decoder has no adapters.

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, D.4, Eq D.1.
        L. Chen et al. Punica: multi-tenant LoRA serving. MLSys 2024 (other adapters in one batch).
    """
    scale = _adapters_of(decoder).scale
    base = as_model(decoder.clone(lora=None))  # what mixes adds the adapters itself

    def variables(params: Members) -> PyTree:
        return {"params": params.params, "lora": params.experts}

    def read(params: Members, tokens: Array, positions: Array, cache: WeighedCache) -> tuple[Array, WeighedCache, None]:
        with mixing(mix, scale, cache.weights):
            hidden, after, _ = base.read(variables(params), tokens, positions, cache.members)
        return hidden, WeighedCache(after, cache.weights), None

    def logits(params: Members, hidden: Array) -> Array:
        return base.logits({"params": params.params}, hidden)

    def init_cache(params: Members, rows: int, slots: int) -> WeighedCache:
        make: Any = capability(base, "init_cache")
        count = jax.tree.leaves(params.experts)[0].shape[int(decoder.scan)]
        return WeighedCache(make(params.params, rows, slots), jnp.ones((rows, count)))

    rows = _weighed_rows(base.rows, lambda change, *caches: change(*caches))
    return Model(read, logits, init_cache, base.vocab_size, base.max_positions, rows=rows, trained_logits=False)


def _adapters_of(decoder: Decoder) -> LoraConfig:
    if decoder.lora is None:
        raise OptionError("experts are adapters, and the decoder has none; make one that has")
    return decoder.lora


def _weighed_rows(ways: Any, members: Any) -> CacheRows:
    """What is done with rows: `ways` of one member's cache, which `members` maps over them, and the weights beside."""

    def take(cache: WeighedCache, rows: Array) -> WeighedCache:
        own = members(lambda one: ways.take(one, rows), cache.members)
        return WeighedCache(own, jnp.take(cache.weights, rows, axis=0, mode="clip"))

    def extend(cache: WeighedCache, slots: int) -> WeighedCache:
        return cache._replace(members=members(lambda one: ways.extend(one, slots), cache.members))

    def arrange(cache: WeighedCache, positions: Array, slots: Array | None = None) -> WeighedCache:
        return cache._replace(members=members(lambda one: ways.arrange(one, positions, slots), cache.members))

    def put(cache: WeighedCache, other: WeighedCache, row: Array) -> WeighedCache:
        own = members(lambda one, new: ways.put(one, new, row), cache.members, other.members)
        return WeighedCache(own, cache.weights.at[row].set(other.weights[0]))

    def seek(cache: WeighedCache, slot: Array) -> WeighedCache:
        return cache._replace(members=cache.members._replace(length=jnp.asarray(slot, jnp.int32)))

    def condition(cache: WeighedCache, weights: Any) -> WeighedCache:
        return cache._replace(weights=jnp.asarray(weights, jnp.float32)[None])

    return CacheRows(take, extend, arrange, put, seek, condition)
