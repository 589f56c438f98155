"""What is known of tokens generated so far, and a part of it."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._shapes import checked
from jaxuq.language.attention import Captured
from jaxuq.language.halting import Halting
from jaxuq.language.scoring import Alternatives
from jaxuq.networks import Decoder, Model, as_model, capability, on_layers


class Generation(NamedTuple):
    """Tokens generated so far, what the model thought of each, and what is needed to go on.

    Rows are answers: with `num_samples`, row `i * num_samples + s` is sample s of prompt i. Entries beyond a row's
    `num_generated` are -1 (tokens) or 0.

    Attributes:
        tokens: the answers, the stop token included.
        num_generated: tokens in each row.
        running: rows that have not met a stop token (nor were empty prompts).
        log_probs: of each token, by the model's own distribution (temperature 1, no filter), in nats.
        entropies: of that distribution.
        allowed_log_probs: of all tokens together that were allowed; None if all were.
        alternatives: its most likely tokens; None if not asked for.
        hidden: the last hidden state from which each token was predicted, that is, the state of the token before it;
            None if not asked for.
        observed: what the model's `observe` said of each token; None if it has none.
        queries: of prompt and answer, in the slots of the cache; None if not asked for.
        cache: keys and values of the prompt and of all tokens but the last, which nothing has followed yet.
        rng_keys: one a row.
        lengths: of the prompts.
        step: columns filled.
        halting: the rule that may end answers, with its state of each; None if there is none.
        halted: rows that the rule ended before a stop token did; None without a rule.
    """

    tokens: Int[Array, "batch new"]
    num_generated: Int[Array, "batch"]
    running: Bool[Array, "batch"]
    log_probs: Float[Array, "batch new"]
    entropies: Float[Array, "batch new"]
    allowed_log_probs: Float[Array, "batch new"] | None
    alternatives: Alternatives | None
    hidden: Float[Array, "batch new ..."] | None
    observed: PyTree
    queries: PyTree
    cache: Any
    rng_keys: Key[Array, "batch"]
    lengths: Int[Array, "batch"]
    step: Int[Array, ""]
    halting: Halting | None = None
    halted: Bool[Array, "batch"] | None = None

    def captured(self, model: Model | Decoder) -> Captured:
        """What `attention_rows` needs; generate with `keep_queries`."""
        if self.queries is None:
            raise OptionError("no queries were kept; generate with keep_queries=True")
        attention = capability(model, "attention")
        return Captured(self.queries, attention.keys(self.cache), attention.positions(self.cache))


@typed()
@checked
def take_rows(model: Model | Decoder, generation: Generation, rows: Int[Array, "taken"]) -> Generation:
    """Some rows of a generation, to go on with them alone when most others have stopped.

    A decoding step costs as much as the batch has rows, running or not.

    Args:
        model: that generates.
        generation: so far; it stays as it was.
        rows: to take, in any order; -1 gives a row that has stopped, so that few sizes occur (each compiles anew).

    Returns:
        A generation of as many rows.

    Raises:
        CapabilityError: the model has no `rows`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.language import start_generation
        >>> from jaxuq.networks import Decoder, DecoderConfig
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> prompts, lengths = jnp.array([[1, 2], [3, 4]]), jnp.array([2, 2])
        >>> keys = jax.random.split(jax.random.key(1), 2)
        >>> state = start_generation(decoder, variables, prompts, lengths, keys, capacity=4, stop_tokens=(5,))
        >>> taken = take_rows(decoder, state, jnp.array([1, -1]))
        >>> bool(taken.running[1]), bool((taken.tokens[0] == state.tokens[1]).all())
        (False, True)
    """

    return _take_rows(as_model(model), generation, rows)


@functools.partial(jax.jit, static_argnums=0)
def _take_rows(model: Model, generation: Generation, rows: Array) -> Generation:
    def take(leaf: Array, batch: int = 0) -> Array:
        return jnp.take(leaf, rows, axis=batch, mode="clip")

    taken = jax.tree.map(take, generation._replace(cache=None, queries=None, step=None))
    return taken._replace(
        cache=capability(model, "rows").take(generation.cache, rows),
        queries=None if generation.queries is None else on_layers(generation.queries, take),
        running=taken.running & (rows >= 0),
        step=generation.step,
    )
