"""Generating tokens on the device: one prefill, one compiled loop, all about a token computed where it is made."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key, PyTree, UInt

from jaxuq._arguments import typed
from jaxuq._arrays import check_between, concrete
from jaxuq._errors import OptionError
from jaxuq._options import check_count
from jaxuq._shapes import checked
from jaxuq.language.generated import Generation
from jaxuq.language.halting import Halting
from jaxuq.language.masking import mask_logits
from jaxuq.language.sampling import PLAIN, Sampling, check_sampling, sample_token
from jaxuq.language.scoring import Alternatives, token_scores
from jaxuq.language.steering import Steering, steer_logits
from jaxuq.networks import Decoder, Model, as_model, capability, on_layers
from jaxuq.networks.sharding import constrain_rows, constrain_tables


def _choose(
    model: Model,
    params: PyTree,
    state: Generation,
    hidden: Array,
    sampling: Sampling,
    steering: Steering | None,
    stops: Array,
    allowed: Array | None,
) -> Generation:
    """The next token of every running row, and all about it, written into the next column."""
    logits = constrain_rows(model.token_logits(params, hidden), "draws")
    steered = logits if steering is None else steer_logits(logits, state.tokens, steering)
    mass = None
    if allowed is not None:
        mass = mask_logits(logits, allowed)[1]
        steered = mask_logits(steered, allowed)[0]
    if sampling.temperature is None:
        chosen = sample_token(state.rng_keys[0], steered, sampling)
    else:
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(state.rng_keys, state.step)
        chosen = jax.vmap(lambda key, row: sample_token(key, row, sampling))(keys, steered)
    count = 0 if state.alternatives is None else state.alternatives.tokens.shape[-1]
    scores = token_scores(logits, chosen, top_alternatives=count)
    running = state.running
    ends = running & (chosen[:, None] == stops[None]).any(1) if stops.size else jnp.zeros_like(running)
    halting, halted = _halt(state, logits, chosen, ends)

    def write(whole: Array, column: Array, empty: int = 0) -> Array:
        mask = running.reshape(-1, *(1,) * (column.ndim - 1))
        column = jnp.where(jnp.broadcast_to(mask, column.shape), column.astype(whole.dtype), empty)
        return jax.lax.dynamic_update_slice_in_dim(whole, column[:, None].astype(whole.dtype), state.step, axis=1)

    return state._replace(
        tokens=write(state.tokens, chosen, -1),
        num_generated=state.num_generated + running.astype(jnp.int32),
        running=running & ~ends if halted is None else running & ~ends & ~halted,
        log_probs=write(state.log_probs, scores.log_probs),
        entropies=write(state.entropies, scores.entropies),
        allowed_log_probs=None
        if state.allowed_log_probs is None or mass is None
        else write(state.allowed_log_probs, mass),
        alternatives=jax.tree.map(write, state.alternatives, scores.alternatives),
        hidden=None if state.hidden is None else write(state.hidden, hidden),
        observed=None
        if model.observe is None
        else jax.tree.map(write, state.observed, model.observe(params, hidden, chosen)),
        step=state.step + 1,
        halting=halting,
        halted=halted,
    )


def _halt(state: Generation, logits: Array, chosen: Array, ends: Array) -> tuple[Halting | None, Array | None]:
    """The rule after the next token of every running row, and the rows that it has ended."""
    if state.halting is None or state.halted is None:
        return None, None
    new, halt = jax.vmap(state.halting.step)(state.halting.state, logits, chosen)

    def of_running(new: Array, old: Array) -> Array:
        running = state.running.reshape(-1, *(1,) * (new.ndim - 1))
        return jnp.where(jnp.broadcast_to(running, new.shape), new, old)

    kept = jax.tree.map(of_running, new, state.halting.state)
    return Halting(state.halting.step, kept), state.halted | (state.running & halt & ~ends)


@functools.partial(
    jax.jit, static_argnames=("model", "capacity", "num_samples", "top_alternatives", "keep_hidden", "keep_queries")
)
def _start(
    model: Model,
    params: PyTree,
    prompts: Array,
    lengths: Array,
    rng_keys: Array,
    sampling: Sampling,
    steering: Steering | None,
    stops: Array,
    allowed: Array | None,
    halting: Halting | None,
    *,
    capacity: int,
    num_samples: int,
    top_alternatives: int,
    keep_hidden: bool,
    keep_queries: bool,
) -> Generation:
    def of_rows(leaf: Array) -> Array:
        return jnp.repeat(leaf, num_samples, axis=0) if num_samples > 1 else leaf

    batch, width = prompts.shape
    slots = jnp.broadcast_to(jnp.arange(width, dtype=jnp.int32), prompts.shape)
    positions = jnp.where(slots < lengths[:, None], slots, -1)
    if model.rows is None:  # every answer reads its prompt, with room for itself
        prompts, positions, lengths = of_rows(prompts), of_rows(positions), of_rows(lengths)
        empty = capability(model, "init_cache")(params, batch * num_samples, width + capacity - 1)
        hidden, cache, queries = model.hidden_of(params, prompts, positions, empty)
    else:
        hidden, cache, queries = model.hidden_of(params, prompts, positions)
        if num_samples > 1:
            cache = model.rows.take(cache, jnp.repeat(jnp.arange(batch), num_samples))
        cache = model.rows.extend(cache, capacity - 1)
        lengths = of_rows(lengths)
    rows, shape = batch * num_samples, (batch * num_samples, capacity)
    last = jnp.maximum(lengths - 1, 0).reshape(-1, *(1,) * (hidden.ndim - 1))
    hidden = jnp.take_along_axis(hidden if model.rows is None else of_rows(hidden), last, axis=1)[:, 0]

    def room(leaf: Array, batch: int) -> Array:
        """Repeat for the samples, and add empty slots for all tokens but the last."""
        leaf = leaf if model.rows is None or num_samples == 1 else jnp.repeat(leaf, num_samples, axis=batch)
        return jnp.pad(leaf, [(0, capacity - 1) if axis == batch + 1 else (0, 0) for axis in range(leaf.ndim)])

    sample_keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(rng_keys, jnp.arange(num_samples))
    lengths = jnp.copy(lengths)  # its buffer is donated later: not the caller's
    alternatives = None
    if top_alternatives:
        wide = (*shape, top_alternatives)
        alternatives = Alternatives(jnp.zeros(wide, jnp.int32), jnp.zeros(wide))
    observed = None
    if model.observe is not None:
        one = jax.eval_shape(model.observe, params, hidden, jnp.zeros(rows, jnp.int32))
        observed = jax.tree.map(lambda leaf: jnp.zeros((*shape, *leaf.shape[1:]), leaf.dtype), one)
    state = Generation(
        tokens=jnp.full(shape, -1, jnp.int32),
        num_generated=jnp.zeros(rows, jnp.int32),
        running=lengths > 0,
        log_probs=jnp.zeros(shape),
        entropies=jnp.zeros(shape),
        allowed_log_probs=None if allowed is None else jnp.zeros(shape),
        alternatives=alternatives,
        hidden=jnp.zeros((*shape, *hidden.shape[1:]), hidden.dtype) if keep_hidden else None,
        observed=observed,
        queries=on_layers(model.layered_queries(queries), room) if keep_queries else None,
        cache=cache,
        rng_keys=sample_keys.reshape(rows),
        lengths=lengths,
        step=jnp.zeros((), jnp.int32),
        halting=jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (rows, *jnp.shape(leaf))), halting),
        halted=None if halting is None else jnp.zeros(rows, bool),
    )
    return _choose(model, params, state, hidden, sampling, steering, stops, allowed)


@functools.partial(jax.jit, static_argnames=("model",), donate_argnames=("state",))
def _continue(
    model: Model,
    params: PyTree,
    state: Generation,
    until: Array,
    sampling: Sampling,
    steering: Steering | None,
    stops: Array,
    allowed: Array | None,
) -> Generation:
    def unfinished(state: Generation) -> Array:
        return (state.step < until) & state.running.any()

    def advance(state: Generation) -> Generation:
        tokens = jax.lax.dynamic_slice_in_dim(state.tokens, state.step - 1, 1, axis=1)
        positions = jnp.where(state.running, state.lengths + state.step - 1, -1)[:, None]
        hidden, cache, new = model.hidden_of(params, tokens, positions, state.cache)
        queries = state.queries
        if queries is not None:
            pairs = zip(jax.tree.leaves(queries), jax.tree.leaves(new))

            def put(whole: Array, new: Array) -> Array:
                axis = whole.ndim - 3
                slot = whole.shape[axis] - state.tokens.shape[1] + state.step
                return jax.lax.dynamic_update_slice_in_dim(whole, new, slot, axis=axis)

            queries = jax.tree.unflatten(jax.tree.structure(queries), [put(*pair) for pair in pairs])
        state = state._replace(cache=cache, queries=queries)
        return _choose(model, params, state, hidden[:, 0], sampling, steering, stops, allowed)

    params = constrain_tables(params)
    return jax.lax.while_loop(unfinished, advance, state)


@typed()
@checked
def start_generation(
    model: Model | Decoder,
    params: PyTree,
    prompts: Int[Array, "batch time"],
    lengths: Int[Array, "batch"],
    rng_keys: Key[Array, "batch"],
    *,
    capacity: int,
    sampling: Sampling = PLAIN,
    steering: Steering | None = None,
    allowed: UInt[Array, "rows words"] | None = None,
    halting: Halting | None = None,
    stop_tokens: tuple[int, ...] = (),
    num_samples: int = 1,
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
) -> Generation:
    """Read the prompts and choose the first token of every answer; `continue_generation` goes on.

    Use it with `continue_generation` to look at answers while they grow; `generate_tokens` does both.

    Args:
        model: or a decoder; keep one object of it, programs are found by it.
        params: of the model; for a decoder what its `apply` takes, parameters and adapters if any.
        prompts: padded on the right with any token.
        lengths: of the prompts; a row of length 0 generates nothing.
        rng_keys: one for each prompt.
        capacity: the most tokens that an answer may have; memory is taken for all of them.
        sampling: how tokens are chosen; its numbers may be traced.
        steering: added to the logits before a token is chosen; the scores stay the model's own.
        allowed: which tokens may be chosen in each of the `batch * num_samples` rows, token v being bit v mod 32 of
            word v div 32, at least one a row; None: all.
        halting: a rule that may end answers, beside the stop tokens; `continue_generation` goes on with it.
        stop_tokens: tokens that end an answer.
        num_samples: answers to each prompt; the prompt is read once.
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.

    Returns:
        The generation, one token long.

    Raises:
        ValueError: a capacity or a number of samples below 1; numbers of `sampling` out of range.
        ArrayError: lengths beyond the prompts, tokens beyond the vocabulary, where they are not traced.
        CapabilityError: the model has no `init_cache`, or no `attention` where queries are to be kept.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> prompts, lengths, keys = jnp.array([[1, 2]]), jnp.array([2]), jax.random.split(jax.random.key(1), 1)
        >>> state = start_generation(decoder, variables, prompts, lengths, keys, capacity=4)
        >>> state = continue_generation(decoder, variables, state, until=3)
        >>> state.num_generated
        Array([3], dtype=int32)
    """
    capacity, num_samples = check_count("capacity", capacity), check_count("num_samples", num_samples)
    top_alternatives = check_count("top_alternatives", top_alternatives, 0)
    model = as_model(model)
    capability(model, "init_cache")
    width = prompts.shape[1]
    check_between("lengths", lengths, 0, width, f"prompts of {width} tokens")
    if model.vocab_size and concrete(prompts, lengths):
        real = np.arange(width)[None] < np.asarray(lengths)[:, None]
        check_between("prompts", prompts, 0, model.vocab_size - 1, f"a vocabulary of {model.vocab_size}", real)
    if keep_queries:
        capability(model, "attention")
    return _start(
        model, params, prompts, lengths, rng_keys, check_sampling(sampling), steering,
        jnp.asarray(stop_tokens, jnp.int32), allowed, halting,
        capacity=capacity, num_samples=num_samples, top_alternatives=top_alternatives, keep_hidden=keep_hidden,
        keep_queries=keep_queries,
    )  # fmt: skip


@typed()
@checked
def continue_generation(
    model: Model | Decoder,
    params: PyTree,
    generation: Generation,
    *,
    until: int | Int[Array, ""],
    sampling: Sampling = PLAIN,
    steering: Steering | None = None,
    allowed: UInt[Array, "rows words"] | None = None,
    stop_tokens: tuple[int, ...] = (),
) -> Generation:
    """Generate until every row has stopped or the answers have `until` tokens.

    One `lax.while_loop`, compiled once for a shape: `until` and the numbers of `sampling` may change. Stopping at
    several places on the way gives the same tokens.

    Args:
        model: as for `start_generation`.
        params: the same.
        generation: so far. Its buffers are reused for the result: do not use it again. To end rows from outside, set
            entries of `running` to False.
        until: tokens; more than the capacity means all of it.
        sampling: the same.
        steering: the same.
        allowed: which tokens may be chosen next, see `start_generation`; one token is generated then, whatever `until`.
        stop_tokens: the same.

    Returns:
        The generation, further on.

    Raises:
        OptionError: `allowed` for some tokens only.

    Example:
        See `start_generation`.
    """
    until = jnp.minimum(jnp.asarray(until, jnp.int32), generation.tokens.shape[1])
    if (allowed is None) != (generation.allowed_log_probs is None):
        raise OptionError("allowed is for every token of an answer or for none; give it from start_generation on")
    if allowed is not None:
        until = jnp.minimum(until, generation.step + 1)
    stops = jnp.asarray(stop_tokens, jnp.int32)
    return _continue(as_model(model), params, generation, until, check_sampling(sampling), steering, stops, allowed)


@typed()
@checked
def generate_tokens(
    model: Model | Decoder,
    params: PyTree,
    prompts: Int[Array, "batch time"],
    lengths: Int[Array, "batch"],
    rng_keys: Key[Array, "batch"],
    *,
    max_new_tokens: int,
    sampling: Sampling = PLAIN,
    steering: Steering | None = None,
    halting: Halting | None = None,
    stop_tokens: tuple[int, ...] = (),
    num_samples: int = 1,
    top_alternatives: int = 0,
    keep_hidden: bool = False,
    keep_queries: bool = False,
) -> Generation:
    """Answer a batch of prompts.

    Everything about a token is computed in the loop that makes it: no array of `[time, vocabulary]` exists. A row's
    tokens depend on its prompt and key alone, not on the rest of the batch nor on the padding (but for rounding: where
    two tokens are equally likely to the last bits, another batch size may choose the other). Token i of sample s is
    drawn with `fold_in(fold_in(rng_key, s), i)`, so more samples or more tokens never change the earlier ones.

    Args:
        model: see `start_generation`; a decoder with `scan=False` decodes faster on CPUs.
        params: see `start_generation`.
        prompts: padded on the right with any token. Every new shape compiles anew: pad to few lengths.
        lengths: of the prompts; a row of length 0 generates nothing.
        rng_keys: one for each prompt.
        max_new_tokens: the longest answer; memory is taken for all of it.
        sampling: how tokens are chosen.
        steering: added to the logits before a token is chosen.
        halting: a rule that may end answers, looked at after every token inside the loop.
        stop_tokens: tokens that end an answer; they are part of it.
        num_samples: answers to each prompt, which is read once; row `i * num_samples + s` is sample s of prompt i.
        top_alternatives: how many of the most likely tokens to keep at each place.
        keep_hidden: keep last hidden states.
        keep_queries: keep what `attention_rows` needs.

    Returns:
        `Generation`.

    Raises:
        ValueError: `max_new_tokens` or `num_samples` below 1; numbers of `sampling` out of range.
        CapabilityError: see `start_generation`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.networks import DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> prompts, lengths, keys = jnp.array([[1, 2]]), jnp.array([2]), jax.random.split(jax.random.key(1), 1)
        >>> generate_tokens(decoder, variables, prompts, lengths, keys, max_new_tokens=3).tokens.shape
        (1, 3)
    """
    max_new_tokens = check_count("max_new_tokens", max_new_tokens)
    state = start_generation(
        model, params, prompts, lengths, rng_keys, capacity=max_new_tokens, sampling=sampling,
        steering=steering, halting=halting, stop_tokens=stop_tokens, num_samples=num_samples,
        top_alternatives=top_alternatives, keep_hidden=keep_hidden, keep_queries=keep_queries,
    )  # fmt: skip
    return continue_generation(
        model, params, state, until=max_new_tokens, sampling=sampling, steering=steering, stop_tokens=stop_tokens
    )
