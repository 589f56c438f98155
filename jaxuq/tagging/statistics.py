r"""First estimates of transitions and emissions from what the labelling functions say ($\Psi^*$, $\Phi^*$)."""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import as_float
from jaxuq._meshes import vary_like
from jaxuq._shapes import checked
from jaxuq.tagging.label_model import emission_counts, inside, shares, vote_shares

Statistics = Literal["votes", "published"]


@checked
def initial_transition(
    observations: Int[Array, "batch time function"], lengths: Int[Array, " batch"], num_labels: int
) -> Float[Array, "state state"]:
    r"""How often labels follow each other in what the functions say.

    $\Psi^*_{ij} \propto b_{ij} + \sum_k \sum_t \mathbb{I}(x_k^{(t-1)} = i, x_k^{(t)} = j)$

    with one more count, $b_{ij}$, for an `I-` after its own type, and for `O` and every `B-` after `O` and `I-`. Every
    function counts, also where it is silent; the first estimate that CHMM's transitions are fitted to. (The published
    code draws the rows from a Dirichlet distribution with these counts; this is its mean.)

    Args:
        observations: label indices; anything in padding.
        lengths: number of tokens.
        num_labels: number of labels, in the order of `bio_label_names`.

    Returns:
        The matrix; rows sum to one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> print(jax.device_get(initial_transition(jnp.array([[[1], [2], [0], [0]]]), jnp.array([4]), 3)).round(2))
        [[0.67 0.33 0.  ]
         [0.   0.   1.  ]
         [0.5  0.25 0.25]]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section 4.3.5.
    """
    label = jnp.arange(num_labels)
    inner = (label % 2 == 0) & (label > 0)
    outer = (label == 0) | (label % 2 == 1)
    same = ((label[:, None] + 1) // 2 == (label[None, :] + 1) // 2) & (label[:, None] > 0)
    counts = (same & inner[None, :]) | ((label == 0) | inner)[:, None] & outer[None, :]
    valid = inside(observations, lengths)[:, 1:]

    def add(total: Array, votes: Array) -> tuple[Array, None]:
        before = jax.nn.one_hot(jnp.where(valid, votes[:, :-1], -1), num_labels, dtype=total.dtype)
        after = jax.nn.one_hot(votes[:, 1:], num_labels, dtype=total.dtype)
        return total + jnp.einsum("bti,btj->ij", before, after), None

    start = vary_like(as_float(counts), observations, valid)
    total, _ = jax.lax.scan(add, start, jnp.moveaxis(observations, 2, 0))
    return total / jnp.sum(total, axis=-1, keepdims=True)


@checked
def initial_emission(
    observations: Int[Array, "batch time function"],
    lengths: Int[Array, " batch"],
    num_labels: int,
    *,
    statistics: Statistics = "votes",
    pseudo_count: float = 0.1,
) -> Float[Array, "function state label"]:
    r"""What each function says in each state, the states being guessed.

    `"votes"`: $\Phi^*_{kij} \propto c + \sum_t v_i^{(t)} \mathbb{I}(x_k^{(t)} = j)$ with the shares $v$ of the votes
    that are not `O` (`O` where there are none), as `hmm` starts.
    `"published"`: a prior that knows of the data only how often each function says what. Functions are right about `O`
    with probability 0.9 and about other labels with 0.7; errors go to label j as to its share among what the function
    says plus 0.001, times 0.2 for `O` and 0.3 for others, five times as much within the type and twice with the same
    prefix.

    With functions that mark little, `"published"` makes every silence evidence against an entity.

    Args:
        observations: label indices; anything in padding.
        lengths: number of tokens.
        num_labels: number of labels, in the order of `bio_label_names`.
        statistics: which estimate.
        pseudo_count: $c$; with 0 the row of a label that nobody says is even.

    Returns:
        The matrices; rows sum to one.

    Raises:
        ValueError: if the name is unknown.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> says = jnp.array([[[1, 1], [2, 0], [0, 0], [0, 0]]])
        >>> print(
        ...     jax.device_get(initial_emission(says, jnp.array([4]), 3)[1]).round(2)
        ... )  # the second function missed the I-
        [[0.91 0.04 0.04]
         [0.08 0.85 0.08]
         [0.85 0.08 0.08]]

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section 4.3.5.
        Lison, Barnes, Hubin. skweak: weak supervision made easy for NLP. ACL 2021, demonstrations.
    """
    if statistics not in get_args(Statistics):
        raise ValueError(f"statistics is {statistics!r}; expected one of {', '.join(get_args(Statistics))}")
    valid = inside(observations, lengths)
    if statistics == "votes":
        voted = jnp.where(valid[..., None], vote_shares(observations, num_labels), 0.0)
        return shares(emission_counts(voted, observations, num_labels) + pseudo_count)
    everywhere = jnp.where(valid, 1.0, 0.0)[..., None]
    said = emission_counts(everywhere, observations, num_labels)[:, 0] + 1.0
    said = said / jnp.sum(said, axis=-1, keepdims=True)
    label = jnp.arange(num_labels)
    own = label[:, None] == label[None, :]
    entities = (label[:, None] > 0) & (label[None, :] > 0)
    same_type = entities & ((label[:, None] + 1) // 2 == (label[None, :] + 1) // 2)
    same_prefix = entities & (label[:, None] % 2 == label[None, :] % 2)
    factor = (
        jnp.where(label == 0, 0.2, 0.3)[None, :] * jnp.where(same_type, 5.0, 1.0) * jnp.where(same_prefix, 2.0, 1.0)
    )
    errors = jnp.where(own, 0.0, factor)[None] * (0.001 + said)[:, None, :]
    right = jnp.where(label == 0, 0.9, 0.7)[:, None]
    errors = errors / jnp.sum(errors, axis=-1, keepdims=True) * jnp.broadcast_to(1 - right, errors.shape)
    return jnp.where(jnp.broadcast_to(own, errors.shape), jnp.broadcast_to(right, errors.shape), errors)
