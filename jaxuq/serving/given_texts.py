"""Texts that a client gives, read in one pass: probabilities of their tokens, and vectors of the whole."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from jaxuq.serving.answer_text import shown_token
from jaxuq.serving.jobs import MOST_ALTERNATIVES, TokenText

if TYPE_CHECKING:
    from jaxuq.language import LanguageModel
    from jaxuq.language.token_bytes import TokenBytes


def scored_tokens(
    model: "LanguageModel", token_bytes: "TokenBytes", tokens: Sequence[int], alternatives: int, vocabulary: int
) -> list[TokenText]:
    """Every token of a text with its probability after those before it; None for the first.

    Args:
        model: that reads.
        token_bytes: of its vocabulary.
        tokens: of the text.
        alternatives: how many of the likeliest tokens to tell in the place of each.
        vocabulary: tokens that there are.
    """
    import jax

    from jaxuq.language import score_tokens

    most = min(vocabulary, MOST_ALTERNATIVES) if alternatives else 0
    scores = score_tokens(model.functions, model.variables, *_padded(tokens), top_alternatives=most)
    log_probs, others = jax.device_get((scores.log_probs, scores.alternatives))
    others = None if others is None else jax.tree.map(lambda part: part[0], others)
    shown = [shown_token(token_bytes, tokens[0], None)]
    for index in range(1, len(tokens)):
        likely = likeliest_pairs(others, index, alternatives)
        shown.append(shown_token(token_bytes, tokens[index], float(log_probs[0, index]), likely))
    return shown


def mean_hidden(model: "LanguageModel", tokens: Sequence[int]) -> Any:
    """The mean of the last hidden states, `[dimension]`.

    Args:
        model: that reads.
        tokens: of the text.
    """
    import numpy as np

    hidden = _hidden()(model.functions, model.variables, *_padded(tokens))
    return np.asarray(hidden, np.float32)[0, : len(tokens)].mean(0, dtype=np.float64)


def likeliest_pairs(others: Any, index: int, count: int) -> list[tuple[int, float]]:
    """Numbers and log-probabilities of the likeliest tokens in a place.

    Args:
        others: `Alternatives` of a text; None: there are none.
        index: of the place.
        count: of tokens.
    """
    if others is None or not count:
        return []
    tokens, log_probs = others.tokens[index, :count], others.log_probs[index, :count]
    return [(int(token), float(value)) for token, value in zip(tokens, log_probs)]


def _padded(tokens: Sequence[int]) -> tuple[Any, Any]:
    """A text as a row, and positions; of few lengths."""
    import jax.numpy as jnp

    from jaxuq.parallel import pad_rows

    text = jnp.asarray(pad_rows([list(tokens)])[0])
    slots = jnp.arange(text.shape[1], dtype=jnp.int32)[None]
    return text, jnp.where(slots < len(tokens), slots, -1)


@functools.lru_cache(maxsize=1)
def _hidden() -> Callable[..., Any]:
    import jax

    def hidden(model: Any, variables: Any, text: Any, positions: Any) -> Any:
        return model.hidden_of(variables, text, positions)[0]

    return jax.jit(hidden, static_argnums=0)
