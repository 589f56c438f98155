"""FlyingSquid: accuracies of labelling functions from how three of them agree, in closed form."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxuq._shapes import checked
from jaxuq.tagging.label_model import (
    Fitted,
    LabelForecast,
    LabelModel,
    Lengths,
    Observations,
    check_counts,
    forecast,
    inside,
    vote_shares,
)

_LEAST = 1e-3  # agreement of two functions that a third can be measured by


class FlyingSquidParams(NamedTuple):
    """Parameters of `flying_squid`.

    Attributes:
        prior: `[label]` how often each label is true.
        accuracy: `[label, function]` the mean of the product of what a function says of a label, yes (1) or no (-1),
            and of what is true; 0 is chance.
    """

    prior: Float[Array, " label"]
    accuracy: Float[Array, "label function"]


def flying_squid(num_labels: int, *, most: float = 0.98) -> LabelModel:
    r"""Accuracies by the method of triplets, each label against the rest.

    $v_k = \pm 1$: function k says label c, or another; $a_k = \mathbb{E}[v_k y]$. As errors are independent given y,
    $\mathbb{E}[v_i v_j] = a_i a_j$, and so $|a_i| = \sqrt{\big|\mathbb{E}[v_i v_j]\, \mathbb{E}[v_i v_k] /
    \mathbb{E}[v_j v_k]\big|}$, averaged over all pairs $j, k$; moments over the tokens at which both speak. Then
    $p(y = 1 \mid v) \propto p_c \prod_k (1 + v_k a_k) / 2$, and the labels' shares are made to add up to 1.

    No iteration, so it is as fast as the vote. Functions are taken as better than chance, and as wrong as often where
    the label is there as where it is not: with tokens, nearly all of which are `O`, that hardly holds.

    Args:
        num_labels: number of labels.
        most: accuracies are cut at plus and minus this, in (0, 1), so that no function alone decides.

    Returns:
        `LabelModel` with `FlyingSquidParams`; the prior is that of the votes, and the objective is empty. With fewer
        than three functions, or none that agree beyond chance, an accuracy stays at 0.5.

    Raises:
        ValueError: if a number is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> votes = jnp.array([[[1, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]])
        >>> model, lengths = flying_squid(2), jnp.array([4])
        >>> fitted = model.fit(model.init(jax.random.key(0), votes, lengths), votes, lengths)
        >>> model.predict(fitted.params, votes, lengths).labels
        Array([[1, 0, 1, 0]], dtype=int32)

    References:
        Fu, Chen, Sala, Hooper, Fatahalian, Ré. Fast and three-rious: speeding up weak supervision with triplet methods.
        ICML 2020, Algorithm 1.
    """
    check_counts(num_labels, 0, 0.0)
    if not 0 < most < 1:
        raise ValueError(f"most is {most}; expected a number between 0 and 1")

    def said(observations: Observations, label: Array) -> Float[Array, "batch time function"]:
        return jnp.where(observations < 0, 0.0, jnp.where(observations == label, 1.0, -1.0))

    def init(rng_key: Key[Array, ""], observations: Observations, lengths: Lengths) -> FlyingSquidParams:
        valid = inside(observations, lengths)
        shares = jnp.where(valid[..., None], vote_shares(observations, num_labels), 0.0)
        prior = (jnp.sum(shares, axis=(0, 1)) + 1.0) / (jnp.sum(valid, dtype=shares.dtype) + num_labels)
        return FlyingSquidParams(prior, jnp.full((num_labels, observations.shape[2]), 0.5))

    def fit(params: FlyingSquidParams, observations: Observations, lengths: Lengths) -> Fitted:
        observed = jnp.where(inside(observations, lengths)[..., None], observations, -1)

        def of_label(label: Array) -> Float[Array, " function"]:
            votes = said(observed, label).reshape(-1, observed.shape[2])
            spoken = jnp.abs(votes)
            moments = (votes.T @ votes) / jnp.maximum(spoken.T @ spoken, 1.0)
            return _triplets(moments)

        accuracy = jax.lax.map(of_label, jnp.arange(num_labels, dtype=observations.dtype))
        return Fitted(params._replace(accuracy=jnp.clip(accuracy, -most, most)), jnp.zeros(0))

    def predict(params: FlyingSquidParams, observations: Observations, lengths: Lengths) -> LabelForecast:
        def log_odds(inputs: tuple[Array, Array, Array]) -> Float[Array, "batch time"]:
            label, prior, accuracy = inputs
            votes = said(observations, label) * accuracy[None, None]
            return jnp.log(prior) - jnp.log1p(-prior) + jnp.sum(jnp.log1p(votes) - jnp.log1p(-votes), axis=-1)

        labels = jnp.arange(num_labels, dtype=observations.dtype)
        odds = jnp.moveaxis(jax.lax.map(log_odds, (labels, params.prior, params.accuracy)), 0, -1)
        shares = jax.nn.softmax(jax.nn.log_sigmoid(odds))
        return forecast(jnp.argmax(shares, axis=-1), shares, inside(observations, lengths))

    return LabelModel(checked(init), checked(fit), checked(predict))


def _triplets(moments: Float[Array, "function function"]) -> Float[Array, " function"]:
    """The mean over all pairs of others of what they say of each function's accuracy."""
    count = moments.shape[0]
    first = jnp.arange(count)
    i, j, k = first[:, None, None], first[None, :, None], first[None, None, :]
    size = jnp.abs(moments)
    usable = (i != j) & (i != k) & (j < k) & (size[None] > _LEAST)
    square = size[:, :, None] * size[:, None, :] / jnp.where(usable, size[None], 1.0)
    values = jnp.where(usable, jnp.sqrt(jnp.minimum(square, 1.0)), 0.0)
    number = jnp.sum(usable, axis=(1, 2), dtype=moments.dtype)
    return jnp.where(number > 0, jnp.sum(values, axis=(1, 2)) / jnp.maximum(number, 1.0), 0.5)
