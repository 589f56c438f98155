"""Decoding by several adapters of one model at once: one compiled loop, one kernel of each layer for all members."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arrays import check_count
from jaxuq.experts.disagreement import combine_logits, disagreement
from jaxuq.experts.mixture import Mixing, mixing, mixture_adapters
from jaxuq.language.sampling import GREEDY, Sampling, check_sampling, sample_token
from jaxuq.networks import Decoder, DecoderOutput, KeyValueCache


class ExpertGeneration(NamedTuple):
    """Answers, and what the members thought of every token. Beyond a row's `num_generated`: -1 (tokens) or 0.

    Attributes:
        tokens: the answers, the stop token included.
        num_generated: tokens in each row.
        running: rows that have met no stop token.
        log_probs: of each token, by the ensemble at temperature 1, in nats.
        entropies: of that distribution.
        member_log_probs: of each token, by each member.
        mutual_information: between token and member.
        variances: of the members' log-probabilities.
        logits: the weighted sums of Eq 5.10; None if not asked for.
    """

    tokens: Int[Array, "batch new"]
    num_generated: Int[Array, "batch"]
    running: Bool[Array, "batch"]
    log_probs: Float[Array, "batch new"]
    entropies: Float[Array, "batch new"]
    member_log_probs: Float[Array, "batch new members"]
    mutual_information: Float[Array, "batch new"]
    variances: Float[Array, "batch new"]
    logits: Float[Array, "batch new vocab"] | None


class _Carry(NamedTuple):
    generation: ExpertGeneration
    caches: KeyValueCache
    step: Int[Array, ""]


def generate_by_experts(
    decoder: Decoder,
    params: PyTree,
    experts: PyTree | None,
    weights: Float[Array, "batch members"],
    prompts: Int[Array, "batch time"],
    lengths: Int[Array, "batch"],
    rng_keys: Key[Array, "batch"],
    *,
    max_new_tokens: int,
    sampling: Sampling = GREEDY,
    stop_tokens: tuple[int, ...] = (),
    mix: Mixing | None = None,
    gates: PyTree | None = None,
    keep_logits: bool = False,
) -> ExpertGeneration:
    r"""Answer prompts by the weighted logits of several adapters.

    $$\hat x_t = \arg\max_x \sum_m w_m\, (\mathcal{M} + \mathcal{Q}_m)(x \mid x_{<t})$$

    Every member reads the same tokens with a cache of its own; each kernel of the model is multiplied once with the
    tokens of all members, and no merged kernel is formed. Sampling draws from the softmax of the sum divided by
    $\sum_m w_m$, and that is the distribution of `log_probs` and `entropies`: the sum of the weights is no temperature.

    With `mix` the adapters are mixed within the layers instead, by one member with one cache (see `mixing`); what is
    said about members is then about that one.

    Args:
        decoder: with the adapters' configuration; without one if there are no experts.
        params: of the model.
        experts: adapters with a leading axis of members; None: the model without adapters is the one member.
        weights: of the members for each prompt. A member of weight zero for a row is computed and not counted.
        prompts: padded on the right with any token.
        lengths: of the prompts; a row of length 0 generates nothing.
        rng_keys: one a prompt; token i is drawn with `fold_in(rng_key, i)`.
        max_new_tokens: the longest answer.
        sampling: how tokens are chosen.
        stop_tokens: tokens that end an answer; they are part of it.
        mix: None: the ensemble of logits; or how the adapters are mixed.
        gates: for `mix="gate"`, of `init_gates` or trained.
        keep_logits: keep the weighted sums, `[batch, new, vocab]`.

    Returns:
        `ExpertGeneration`. Holds one cache of keys and values a member, and three times the logits of one token.

    Raises:
        ValueError: weights for another number of members, `max_new_tokens` below one, numbers of `sampling` out of
            range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.language import init_adapters
        >>> from jaxuq.networks import DecoderConfig, LoraConfig
        >>> config = DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4)
        >>> decoder = Decoder(config, lora=LoraConfig(rank=2))
        >>> params = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
        >>> keys = jax.random.split(jax.random.key(1), 3)
        >>> experts = jax.vmap(init_adapters, in_axes=(0, None, None))(keys, decoder, params)
        >>> answer = generate_by_experts(
        ...     decoder,
        ...     params,
        ...     experts,
        ...     jnp.ones((1, 3)),
        ...     jnp.array([[1, 2]]),
        ...     jnp.array([2]),
        ...     keys[:1],
        ...     max_new_tokens=4,
        ... )
        >>> answer.member_log_probs.shape
        (1, 4, 3)

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        Eq 5.10; appendix D.4.
    """
    count = 1 if experts is None else jax.tree.leaves(experts)[0].shape[0]
    if weights.shape != (prompts.shape[0], count):
        raise ValueError(f"weights have shape {weights.shape}; {prompts.shape[0]} prompts and {count} members need one "
                         "weight each")  # fmt: skip
    check_count("max_new_tokens", max_new_tokens)
    if mix is not None and decoder.lora is None:
        raise ValueError(f"{mix} needs adapters; the decoder has none")
    if mix is not None:
        experts = mixture_adapters(experts, scan=decoder.scan, gates=gates if mix == "gate" else None)
    stops = jnp.asarray(stop_tokens, jnp.int32)
    return _generate(
        decoder, params, experts, weights.astype(jnp.float32), prompts, lengths, rng_keys, check_sampling(sampling),
        stops, max_new_tokens=max_new_tokens, mix=mix, keep_logits=keep_logits,
    )  # fmt: skip


_MEMBERS = KeyValueCache(0, 0, None, None)  # type: ignore[arg-type]  # positions and length are shared


def _reader(decoder: Decoder, params: PyTree, experts: PyTree, weights: Array, mix: Mixing | None) -> Callable:
    """`read(tokens, positions, cache) -> (hidden [members, batch, time, width], cache)`."""
    plain = decoder if mix is None else decoder.clone(lora=None)  # what mixes adds the adapters itself

    def read(tokens: Array, positions: Array, cache: KeyValueCache | None) -> tuple[Array, KeyValueCache]:
        def one(lora: PyTree, cache: KeyValueCache | None) -> tuple[Array, KeyValueCache]:
            variables = {"params": params} if lora is None else {"params": params, "lora": lora}
            output = plain.apply(variables, tokens, positions, cache=cache, keep_cache=True)
            output = cast(DecoderOutput, output)
            assert output.cache is not None
            return output.hidden, output.cache

        if experts is not None and mix is None:
            axes = (0, None if cache is None else _MEMBERS)
            return jax.vmap(one, in_axes=axes, out_axes=(0, _MEMBERS))(experts, cache)
        context = contextlib.nullcontext()
        if mix is not None and decoder.lora is not None:
            context = mixing(mix, decoder.lora.scale, weights)
        with context:
            hidden, cache = one(experts, cache)
        return hidden[None], cache

    return read


@functools.partial(jax.jit, static_argnames=("decoder", "max_new_tokens", "mix", "keep_logits"))
def _generate(
    decoder: Decoder,
    params: PyTree,
    experts: PyTree,
    weights: Array,
    prompts: Array,
    lengths: Array,
    rng_keys: Array,
    sampling: Sampling,
    stops: Array,
    *,
    max_new_tokens: int,
    mix: Mixing | None,
    keep_logits: bool,
) -> ExpertGeneration:
    read = _reader(decoder, params, experts, weights, mix)
    shares = jnp.ones((prompts.shape[0], 1)) if mix is not None else weights
    slots = jnp.broadcast_to(jnp.arange(prompts.shape[1], dtype=jnp.int32), prompts.shape)
    hidden, cache = read(prompts, jnp.where(slots < lengths[:, None], slots, -1), None)
    last = jnp.broadcast_to(jnp.maximum(lengths - 1, 0)[None, :, None, None], (*hidden.shape[:2], 1, hidden.shape[3]))
    hidden = jnp.take_along_axis(hidden, last, axis=2)[:, :, 0]
    shape = (prompts.shape[0], max_new_tokens)
    empty = ExpertGeneration(
        tokens=jnp.full(shape, -1, jnp.int32),
        num_generated=jnp.zeros(shape[0], jnp.int32),
        running=lengths > 0,
        log_probs=jnp.zeros(shape),
        entropies=jnp.zeros(shape),
        member_log_probs=jnp.zeros((*shape, shares.shape[1])),
        mutual_information=jnp.zeros(shape),
        variances=jnp.zeros(shape),
        logits=jnp.zeros((*shape, decoder.config.vocab_size)) if keep_logits else None,
    )
    choose = functools.partial(_choose, decoder, params, shares, rng_keys, sampling, stops)
    carry = _Carry(choose(empty, hidden, jnp.zeros((), jnp.int32)), _with_room(cache, max_new_tokens - 1),
                   jnp.ones((), jnp.int32))  # fmt: skip

    def unfinished(carry: _Carry) -> Array:
        return (carry.step < max_new_tokens) & carry.generation.running.any()

    def advance(carry: _Carry) -> _Carry:
        generation, cache, step = carry
        tokens = jax.lax.dynamic_slice_in_dim(generation.tokens, step - 1, 1, axis=1)
        positions = jnp.where(generation.running, lengths + step - 1, -1)[:, None]
        hidden, cache = read(tokens, positions, cache)
        return _Carry(choose(generation, hidden[:, :, 0], step), cache, step + 1)

    return jax.lax.while_loop(unfinished, advance, carry).generation


def _with_room(cache: KeyValueCache, more: int) -> KeyValueCache:
    """Empty slots for tokens to come."""

    def slots(leaf: Array) -> Array:
        return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 2) + [(0, more), (0, 0)])

    positions = jnp.pad(cache.positions, ((0, 0), (0, more)), constant_values=-1)
    return KeyValueCache(jax.tree.map(slots, cache.keys), jax.tree.map(slots, cache.values), positions, cache.length)


def _choose(
    decoder: Decoder,
    params: PyTree,
    weights: Array,
    rng_keys: Array,
    sampling: Sampling,
    stops: Array,
    state: ExpertGeneration,
    hidden: Float[Array, "members batch hidden"],
    step: Array,
) -> ExpertGeneration:
    """The next token of every running row, and all about it, written into column `step`."""
    members = cast(Array, decoder.apply({"params": params}, hidden, method="logits"))
    members = jnp.swapaxes(members, 0, 1)
    logits = combine_logits(members, weights)
    if sampling.temperature is None:
        chosen = sample_token(rng_keys[0], logits, sampling)
    else:
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(rng_keys, step)
        means = logits / jnp.broadcast_to(weights.sum(-1, keepdims=True), logits.shape)
        chosen = jax.vmap(lambda key, row: sample_token(key, row, sampling))(keys, means)
    said = disagreement(members, weights, chosen)
    running = state.running

    def write(whole: Any, column: Array, empty: int = 0) -> Any:
        if whole is None:
            return None
        mask = running.reshape(-1, *(1,) * (column.ndim - 1))
        column = jnp.where(jnp.broadcast_to(mask, column.shape), column.astype(whole.dtype), empty)
        return jax.lax.dynamic_update_slice_in_dim(whole, column[:, None], step, axis=1)

    return ExpertGeneration(
        tokens=write(state.tokens, chosen.astype(jnp.int32), -1),
        num_generated=state.num_generated + running.astype(jnp.int32),
        running=running & ~(chosen[:, None] == stops[None]).any(1) if stops.size else running,
        log_probs=write(state.log_probs, said.log_prob),
        entropies=write(state.entropies, said.entropy),
        member_log_probs=write(state.member_log_probs, said.member_log_probs),
        mutual_information=write(state.mutual_information, said.mutual_information),
        variances=write(state.variances, said.variance),
        logits=write(state.logits, logits),
    )
