"""Several adapters of one model as one model: one kernel of each layer for all members, one loop for all models."""

import contextlib
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq.experts.disagreement import combine_logits, disagreement
from jaxuq.experts.mixture import Mixing, mixing, mixture_adapters
from jaxuq.language import Generation, generate_tokens
from jaxuq.language.sampling import GREEDY, Sampling
from jaxuq.networks import Decoder, KeyValueCache, Model, as_model
from jaxuq.networks.sharding import mapped_rows


class MemberScores(NamedTuple):
    """What the members thought of a token: `Generation.observed` of `generate_by_experts`.

    Attributes:
        member_log_probs: of the token, by each member, in nats.
        mutual_information: between token and member.
        variance: of the members' log-probabilities.
        logits: the weighted sums of Eq 5.10; None if not asked for.
    """

    member_log_probs: Float[Array, "*batch members"]
    mutual_information: Float[Array, "*batch"]
    variance: Float[Array, "*batch"]
    logits: Float[Array, "*batch vocab"] | None


class ExpertParams(NamedTuple):
    """The parameters of an `expert_model`.

    Attributes:
        params: of the base model, without the collection's name around them.
        experts: adapters with a leading axis of members (as `mixture_adapters` gives them, if they are mixed within the
            layers); None: the model without adapters is the one member.
        weights: of the members for each row of a batch.
    """

    params: PyTree
    experts: PyTree | None
    weights: Float[Array, "batch members"]


MEMBERS_AXES = KeyValueCache(0, 0, None, None)  # type: ignore[arg-type]
"""Of a cache with an axis of members: positions and length are shared."""


@typed()
@functools.lru_cache(maxsize=256)
def expert_model(decoder: Decoder, *, mix: Mixing | None = None, keep_logits: bool = False) -> Model:
    r"""An ensemble of experts as one model: every member reads with a cache of its own, and their logits are combined.

    $$x_t = \sum_m w_m\, (\mathcal{M} + \mathcal{Q}_m)(x_{<t}) \Big/ \sum_m w_m$$

    Each kernel of the base model is multiplied once with the tokens of all members, and no merged kernel is formed.
    On a mesh with an axis `expert` that divides the members each device has its members' adapters and caches alone.
    It generates and scores like any model, and its `observe` says how far the members disagree about a token
    (`MemberScores`). Its parameters are `ExpertParams`. With `mix` the adapters are mixed within the layers
    instead, by one member with one cache (see `mixing`).

    Args:
        decoder: with the adapters' configuration; without one if there are no experts.
        mix: None: the ensemble of logits; or how the adapters are mixed.
        keep_logits: whether `observe` keeps the weighted sums, `[..., vocab]`.

    Returns:
        The model; `hidden` has an axis of members before the last. Rows are not divided: one answer a prompt.

    Raises:
        ValueError: adapters are to be mixed and the decoder has none.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.language import score_tokens
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> tokens = jnp.array([[1, 2, 3]])
        >>> params = jax.jit(decoder.init)(jax.random.key(0), tokens)["params"]
        >>> alone = score_tokens(expert_model(decoder), ExpertParams(params, None, jnp.ones((1, 1))), tokens)
        >>> bool(jnp.allclose(alone.log_probs, score_tokens(decoder, {"params": params}, tokens).log_probs, atol=1e-5))
        True

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025, Eq 5.10;
        appendix D.4.
    """
    if mix is not None and decoder.lora is None:
        raise OptionError(f"{mix} needs adapters; the decoder has none")
    base = as_model(decoder if mix is None else decoder.clone(lora=None))  # what mixes adds the adapters itself

    def variables(params: PyTree, lora: PyTree) -> dict[str, PyTree]:
        return {"params": params} if lora is None else {"params": params, "lora": lora}

    def read(params: ExpertParams, tokens: Array, positions: Array, cache: Any = None) -> tuple[Array, Any, None]:
        def one(lora: PyTree, cache: Any) -> tuple[Array, Any]:
            return base.read(variables(params.params, lora), tokens, positions, cache)[:2]

        if params.experts is not None and mix is None:
            axes = (0, None if cache is None else MEMBERS_AXES)
            with mapped_rows(params.experts, params.weights.shape[1], "expert") as devices:
                each = jax.vmap(one, in_axes=axes, out_axes=(2, MEMBERS_AXES), spmd_axis_name=devices)
                hidden, cache = each(params.experts, cache)
            return hidden, cache, None
        context = contextlib.nullcontext()
        if mix is not None and decoder.lora is not None:
            context = mixing(mix, decoder.lora.scale, params.weights)
        with context:
            hidden, cache = one(params.experts, cache)
        return hidden[:, :, None], cache, None

    def members(params: ExpertParams, hidden: Array) -> tuple[Array, Array]:
        """Logits of each, and their weights, `[batch, ..., members]`."""
        weights = params.weights.astype(jnp.float32) if mix is None else jnp.ones((params.weights.shape[0], 1))
        weights = weights.reshape(weights.shape[0], *(1,) * (hidden.ndim - 3), weights.shape[1])
        one = functools.partial(base.logits, {"params": params.params})
        with mapped_rows(params.experts, hidden.shape[-2], "expert") as devices:
            if devices is None:
                each = one(hidden)
            else:
                each = jax.vmap(one, in_axes=-2, out_axes=-2, spmd_axis_name=devices)(hidden)
        return each, jnp.broadcast_to(weights, hidden.shape[:-1])

    def logits(params: ExpertParams, hidden: Array) -> Array:
        each, weights = members(params, hidden)
        return combine_logits(each, weights / weights.sum(-1, keepdims=True))

    def observe(params: ExpertParams, hidden: Array, tokens: Array) -> MemberScores:
        each, weights = members(params, hidden)
        said = disagreement(each, weights, tokens)
        sums = combine_logits(each, weights) if keep_logits else None
        return MemberScores(said.member_log_probs, said.mutual_information, said.variance, sums)

    def init_cache(params: ExpertParams, rows: int, slots: int) -> KeyValueCache:
        def empty(_: Any) -> KeyValueCache:
            return base.init_cache(params.params, rows, slots)  # type: ignore[misc]

        if params.experts is None or mix is not None:
            return empty(None)
        with mapped_rows(params.experts, params.weights.shape[1], "expert") as devices:
            each = jax.vmap(empty, out_axes=MEMBERS_AXES, spmd_axis_name=devices)
            return each(jnp.arange(params.weights.shape[1]))

    return Model(read, logits, init_cache, base.vocab_size, base.max_positions, trained_logits=False, observe=observe)


@typed()
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
) -> Generation:
    r"""Answer prompts by the weighted logits of several adapters.

    $$\hat x_t = \arg\max_x \sum_m w_m\, (\mathcal{M} + \mathcal{Q}_m)(x \mid x_{<t})$$

    `generate_tokens` of an `expert_model`: what is said there holds. Sampling draws from the softmax of the sum divided
    by $\sum_m w_m$, and that is the distribution of `log_probs` and `entropies`: the sum of the weights is no
    temperature. With `mix` the adapters are mixed within the layers by one member; what is said about members is then
    about that one.

    Args:
        decoder: with the adapters' configuration; without one if there are no experts.
        params: of the model.
        experts: adapters with a leading axis of members; None: the model without adapters is the one member.
        weights: of the members for each prompt. A member of weight zero for a row is computed and not counted.
        prompts: padded on the right with any token.
        lengths: of the prompts; a row of length 0 generates nothing.
        rng_keys: one a prompt.
        max_new_tokens: the longest answer.
        sampling: how tokens are chosen.
        stop_tokens: tokens that end an answer; they are part of it.
        mix: None: the ensemble of logits; or how the adapters are mixed.
        gates: of `init_gates` or trained, which then take the place of the weights; `mix="gate"` needs them.
        keep_logits: keep the weighted sums, `[batch, new, vocab]`.

    Returns:
        `Generation`, with `MemberScores` as `observed`. Holds one cache of keys and values a member, and three times
        the logits of one token.

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
        >>> answer.observed.member_log_probs.shape
        (1, 4, 3)

    References:
        Y. Li. Uncertainty-aware and data-efficient fine-tuning and application of foundation models. 2025,
        Eq 5.10; appendix D.4.
    """
    count = 1 if experts is None else jax.tree.leaves(experts)[0].shape[0]
    if weights.shape != (prompts.shape[0], count):
        raise OptionError(
            f"weights have shape {weights.shape}; {prompts.shape[0]} prompts and {count} members need one weight each"
        )
    check_count("max_new_tokens", max_new_tokens)
    model = expert_model(decoder, mix=mix, keep_logits=keep_logits)  # pyright: ignore[reportArgumentType]
    if mix is not None:
        experts = mixture_adapters(experts, scan=decoder.scan, gates=gates)
    return generate_tokens(
        model, ExpertParams(params, experts, weights.astype(jnp.float32)), prompts, lengths, rng_keys,
        max_new_tokens=max_new_tokens, sampling=sampling, stop_tokens=stop_tokens,
    )  # fmt: skip
