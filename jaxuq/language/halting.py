"""Rules that end answers while they are generated, looked at after every token inside the compiled loop."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
from jaxtyping import PyTree


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Halting:
    """A rule that ends an answer, by what the model thought of its tokens so far.

    Give it to `generate`, `generate_tokens` or `start_generation`. The device never comes back to the host for it, and
    other numbers in `state` compile nothing anew.

    Attributes:
        step: `step(state, logits, token) -> (state, halt)`, for one answer: the state after a token, and whether the
            answer ends with it. `logits` `[vocabulary]` are the model's own. A pure function; keep one object of it,
            programs are found by it.
        state: of every answer before its first token, any pytree of arrays.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxuq.language import generate_tokens
        >>> from jaxuq.networks import Decoder, DecoderConfig
        >>> def at_a_hesitation(least, logits, token):
        ...     return least, jax.nn.log_softmax(logits)[token] < least
        >>> decoder = Decoder(DecoderConfig(7, 4, 4, num_layers=1, num_heads=1, num_kv_heads=1, head_dim=4))
        >>> variables = jax.jit(decoder.init)(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))
        >>> given = jnp.array([[1, 2]]), jnp.array([2]), jax.random.split(jax.random.key(1), 1)
        >>> rule = Halting(at_a_hesitation, jnp.asarray(jnp.log(0.9)))
        >>> made = generate_tokens(decoder, variables, *given, max_new_tokens=5, halting=rule)
        >>> made.num_generated.tolist(), made.halted.tolist()
        ([1], [True])
    """

    step: Callable[[Any, Any, Any], tuple[Any, Any]] = dataclasses.field(metadata={"static": True})
    state: PyTree
