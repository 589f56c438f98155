r"""WXOR: how often one labelling function says something else than the others that are to be trusted."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import widened
from jaxuq._shapes import checked
from jaxuq.tagging.label_model import inside

Convention = Literal["dissertation", "published"]


class WXORCounts(NamedTuple):
    """Sums over text that `wxor_scores` needs; those of several batches may be added.

    Attributes:
        logits: `[function, query, target]` sum of the WXOR logits.
        queries: `[function, query]` how often each function says each label.
    """

    logits: Float[Array, "function query target"]
    queries: Float[Array, "function query"]


@checked
@widened
def wxor_counts(
    observations: Int[Array, "batch time function"],
    reliability: Float[Array, "batch function state"],
    lengths: Int[Array, " batch"],
    *,
    convention: Convention = "dissertation",
) -> WXORCounts:
    r"""Where a function says one label and reliable others another.

    $W_{k,q,l}^{(t)} = (1 - \tilde A_{k,q}) x_{k,q}^{(t)} \sum_{k'} \tilde A_{k',l} x_{k',l}^{(t)}$,
    for $q \ne l$, both not `O`, summed over all tokens

    Holds `[batch, time, function, state]` once, and nothing of the size of four label axes.

    Args:
        observations: label indices.
        reliability: $\tilde A$ of each sentence.
        lengths: number of tokens.
        convention: `"published"` takes the mean over the functions that say the target instead of their sum.

    Returns:
        `WXORCounts(logits, queries)`.

    Raises:
        ValueError: if the convention is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> says = jnp.array([[[1, 2, 2], [0, 1, 0]]])  # at the first token, function 0 stands alone
        >>> counts = wxor_counts(says, jnp.full((1, 3, 3), 0.75), jnp.array([2]))
        >>> print(counts.logits[0, 1], counts.queries[0])  # (1 - 0.75) (0.75 + 0.75)
        [0.    0.    0.375] [1. 1. 0.]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.6.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention is {convention!r}; expected one of {', '.join(get_args(Convention))}")
    states = reliability.shape[-1]
    valid = inside(observations, lengths)[..., None]
    said = jax.nn.one_hot(jnp.where(valid, observations, -1), states, dtype=reliability.dtype)  # [b, t, k, l]
    support = jnp.einsum("btkl,bkl->btl", said, reliability)
    if convention == "published":
        support = support / jnp.maximum(jnp.sum(said, axis=2), 1.0)
    doubt = said * (1 - reliability)[:, None]
    logits = jnp.einsum("btkq,btl->kql", doubt, support)
    label = jnp.arange(states)
    counted = (label[:, None] != label[None, :]) & (label[:, None] > 0) & (label[None, :] > 0)
    return WXORCounts(jnp.where(counted[None], logits, 0.0), jnp.sum(said, axis=(0, 1)))


@checked
@widened
def wxor_scores(
    counts: WXORCounts, *, convention: Convention = "dissertation", temperature: float = 1.0
) -> Float[Array, "function query target"]:
    r"""Normalise WXOR logits into scores.

    $\hat W_{k,q,l} = \sum_t W_{k,q,l}^{(t)} / \sum_t x_{k,q}^{(t)}$,
    $\tilde W_{k,:,l} = \mathrm{softmax}(\hat W_{k,:,l})$

    The softmax runs over the queries that a target can have: not `O`, not the target itself. With one entity type there
    is only one such query and its score is 1.

    Args:
        counts: from `wxor_counts`, summed over the text.
        convention: `"published"` divides by the sum over the targets of a query instead, and halves the score of a
            pair of labels of different types whose prefixes (B or I) differ in the way that code tests for.
        temperature: an exponent of $\hat W$ before the published normalisation; a factor of 1 in the dissertation.

    Returns:
        Scores in [0, 1]; zero for `O` and on the diagonal.

    Raises:
        ValueError: if the convention is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> says = jnp.array([[[1, 2, 2], [0, 1, 0]]])
        >>> counts = wxor_counts(says, jnp.full((1, 3, 3), 0.75), jnp.array([2]))
        >>> wxor_scores(counts)[0]
        Array([[0., 0., 0.],
               [0., 0., 1.],
               [0., 1., 0.]], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Eq. 4.7 and the text after Eq. 4.8.
    """
    if convention not in get_args(Convention):
        raise ValueError(f"convention is {convention!r}; expected one of {', '.join(get_args(Convention))}")
    mean = counts.logits / jnp.maximum(counts.queries, 1.0)[..., None]
    states = mean.shape[-1]
    label = jnp.arange(states)
    allowed = (label[:, None] != label[None, :]) & (label[:, None] > 0) & (label[None, :] > 0)
    if convention == "published":
        powered = jnp.where(mean > 0, jnp.where(mean > 0, mean, 1.0) ** temperature, 0.0)
        scores = powered / (jnp.sum(powered, axis=-1, keepdims=True) + 1e-12)
        inner = label - 1  # that code numbers the labels from 0 without O
        gap = inner[None, :] - inner[:, None]
        begins = (inner % 2 == 0)[:, None]
        kept = (gap % 2 == 0) | ((gap == 1) & begins) | ((gap == -1) & ~begins)
        scores = jnp.where(kept[None], scores, 0.5 * scores)
    else:
        logits = jnp.where(allowed[None], mean, -jnp.inf)
        highest = jnp.max(jnp.where(allowed[None], mean, 0.0), axis=1, keepdims=True)
        weights = jnp.exp(logits - highest)
        scores = weights / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1e-30)
    return jnp.where(allowed[None], scores, 0.0)
