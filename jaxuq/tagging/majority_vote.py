"""Majority vote, and the best that any choice among the votes could do."""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxuq._shapes import checked
from jaxuq.tagging.label_model import (
    Fitted,
    LabelForecast,
    LabelModel,
    Lengths,
    Observations,
    forecast,
    inside,
    vote_shares,
)

Scheme = Literal["types", "tokens"]


class MajorityParams(NamedTuple):
    """All that a majority vote has: the key that breaks its ties.

    Attributes:
        rng_key: a key.
    """

    rng_key: Key[Array, ""]


def majority_vote(num_labels: int, scheme: Scheme = "types") -> LabelModel:
    r"""The label with most votes; a function that says `O` abstains, and a token no function marks is `O`.

    $\hat y_t = \arg\max_{l \ne O} \sum_k \mathbb{I}(x_k^{(t)} = l)$, ties at random

    With `"types"`, `B-` and `I-` of a type are one vote for the type, and each run of tokens of a type becomes one
    entity. This is the rule behind published majority-vote rows (Wrench). With `"tokens"`, `B-` and `I-` are labels
    like any other, which often yields an `I-` that continues nothing.

    Nothing is fitted. A vote counts every function alike: `dawid_skene` and `hmm` learn whom to trust.

    Args:
        num_labels: number of labels, `O` included.
        scheme: what is voted on.

    Returns:
        `LabelModel`. `init` keeps its key for the ties; probabilities are the shares of the votes.

    Raises:
        ValueError: if the scheme is unknown, or `"types"` gets an even number of labels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = majority_vote(5)
        >>> votes = jnp.array([[[1, 1, 4], [2, 0, 0], [0, 0, 0]]])  # B-x B-x I-y, I-x O O, O O O
        >>> params = model.init(jax.random.key(0), votes, jnp.array([3]))
        >>> model.predict(params, votes, jnp.array([3])).labels
        Array([[1, 2, 0]], dtype=int32)

    References:
        Zhang, Yu, Li, Wang, Yang, Yang, Ratner. WRENCH: a comprehensive benchmark for weak supervision. NeurIPS 2021.
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, Table 4.3.
    """
    if scheme not in get_args(Scheme):
        raise ValueError(f"scheme is {scheme!r}; expected one of {', '.join(get_args(Scheme))}")
    if scheme == "types" and num_labels % 2 == 0:
        raise ValueError(f"num_labels is {num_labels}; expected an odd number, O and then B- and I- of each type")

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> MajorityParams:
        return MajorityParams(rng_key)

    def fit(params: MajorityParams, observations: Observations, lengths: Lengths) -> Fitted:
        return Fitted(params, jnp.zeros(0))

    def predict(params: MajorityParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        valid = inside(observations, lengths)
        if scheme == "tokens":
            shares = vote_shares(observations, num_labels)
            return forecast(_most(params.rng_key, shares), shares, valid)
        shares = vote_shares((observations + 1) // 2, num_labels // 2 + 1)
        types = _most(params.rng_key, shares)
        before = jnp.pad(types, ((0, 0), (1, 0)))[:, :-1]
        labels = jnp.where(types == 0, 0, jnp.where(types == before, 2 * types, 2 * types - 1))
        continues = jax.nn.one_hot(before, shares.shape[-1], dtype=shares.dtype)[..., 1:]
        entity = jnp.stack([shares[..., 1:] * (1 - continues), shares[..., 1:] * continues], axis=-1)
        entity = entity.reshape(*entity.shape[:2], num_labels - 1)
        return forecast(labels, jnp.concatenate([shares[..., :1], entity], axis=-1), valid)

    return LabelModel(checked(init), checked(fit), checked(predict))


def _most(rng_key: Key[Array, ""], shares: Float[Array, "batch time label"]) -> Int[Array, "batch time"]:
    tied = shares >= jnp.max(shares, axis=-1, keepdims=True) - 1e-6
    return jnp.argmax(jnp.where(tied, jax.random.uniform(rng_key, shares.shape), -1.0), axis=-1).astype(jnp.int32)


@checked
def best_consensus(
    observations: Int[Array, "batch time function"], labels: Int[Array, "batch time"]
) -> Int[Array, "batch time"]:
    r"""Gold-access reference: the right label wherever any labelling function says it, `O` elsewhere.

    $\hat y_t = y_t$ if $\exists k: x_k^{(t)} = y_t$, else $O$

    It reads the gold labels, so it is no method but a bound: what the functions together would allow.

    Args:
        observations: label indices of each function.
        labels: gold label indices; -1 in padding.

    Returns:
        Label indices; -1 in padding.

    Example:
        >>> import jax.numpy as jnp
        >>> best_consensus(jnp.array([[[1, 0], [0, 0], [1, 1]]]), jnp.array([[1, 2, 0]]))
        Array([[1, 0, 0]], dtype=int32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, section 4.5.1 and Table 4.3.
    """
    said = jnp.any(observations == labels[..., None], axis=-1)
    return jnp.where(labels < 0, -1, jnp.where(said, labels, 0)).astype(jnp.int32)
