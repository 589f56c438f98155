"""Pair prediction: a model of two answers to one question knows how far its own probability may be off."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, select, widened
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.confidence._measure import measure


class PairPrediction(NamedTuple):
    """What a model of pairs says of its own probabilities.

    Attributes:
        covariance: $\\Sigma$, of the true probabilities given the question; made symmetric.
        variance: $V$, its diagonal, not below 0: the expected square of what each probability is off by.
        confidence: $C$, in [0, 1]: answer only where $1 - C$ is small; NaN for an answer of probability 0.
        negative: how many variances were below 0, which a model of pairs that fits never has.
    """

    covariance: Float[Array, "answers answers"]
    variance: Float[Array, " answers"]
    confidence: Float[Array, " answers"]
    negative: Int[Array, ""]


@checked
@widened
def pair_prediction(
    probabilities: Float[Array, " answers"],
    repeated: Float[Array, "answers answers"],
    *,
    where: Bool[Array, " answers"] | None = None,
) -> PairPrediction:
    r"""Epistemic covariance of answers from a model that was trained to predict two independent ones in a row.

    $$\Sigma_{ab} = \hat p(a) \hat p(b \mid a) - \hat p(a) \hat p(b), \qquad V(y) = \Sigma_{yy}, \qquad
      C(y) = \frac{\hat p(y)}{\hat p(y \mid y)}$$

    If the pairs are calibrated, $\mathbb{E}[(\hat p - p)^2] = \mathbb{E}[V]$, and an answer that is chosen by the model
    is one that the truth never gives with probability at most $1 - \mathbb{E}[C]$. It asks for training on pairs of
    independent answers to the same question, in random order; a model that was not trained so copies
    (`iterated_mutual_information` measures by how much).

    Args:
        probabilities: $\hat p(a)$ of each answer as the first.
        repeated: `repeated[a, b]`: $\hat p(b \mid a)$, of answer b after answer a.
        where: True for the answers that count; None counts all.

    Returns:
        `PairPrediction`; covariance and variance are 0, confidence NaN, where masked.

    Example:
        >>> import jax.numpy as jnp
        >>> groups = jnp.array([[0.9, 0.1], [0.3, 0.7]])  # two kinds of questions that the model cannot tell apart
        >>> mean = groups.mean(0)
        >>> found = pair_prediction(mean, (groups.T @ groups / 2) / mean[:, None])
        >>> round(float(found.variance[0]), 4), round(float(found.confidence[0]), 4)
        (0.09, 0.8)

    References:
        Johnson, Tarlow, Duvenaud and Maddison. Experts Don't Cheat: Learning What You Don't Know By Predicting Pairs.
        ICML 2024.
    """
    size = probabilities.shape[0]
    valid = counted(where, (size,))
    both = valid[:, None] & valid[None]
    single = select(probabilities, valid)
    after = jnp.where(both, repeated, 0.0)
    covariance = jnp.where(both, single[:, None] * after - single[:, None] * single[None], 0.0)
    covariance = 0.5 * (covariance + covariance.T)
    eye = jnp.eye(size, dtype=bool)
    raw = jnp.sum(jnp.where(eye, covariance, 0.0), axis=1)
    again = jnp.sum(jnp.where(eye, after, 0.0), axis=1)
    defined = valid & (again > 0)
    confidence = jnp.where(defined, jnp.minimum(single / jnp.where(defined, again, 1.0), 1.0), jnp.nan)
    return PairPrediction(covariance, jnp.maximum(raw, 0.0), confidence, jnp.sum(raw < 0, dtype=jnp.int32))


class PairInterval(NamedTuple):
    """Where the true probability lies.

    Attributes:
        low: at least 0.
        high: at most 1.
        half_width: before both were cut off.
    """

    low: Float[Array, "*batch"]
    high: Float[Array, "*batch"]
    half_width: Float[Array, "*batch"]


@checked
@widened
def pair_interval(
    probabilities: Float[Array, "*batch"], variance: Float[Array, "*batch"], *, miss: float = 0.1
) -> PairInterval:
    r"""Chebyshev's interval for the true probability of an answer, $\hat p \pm \sqrt{V / \beta}$.

    It misses the truth with probability at most $\beta$, whatever the distribution, if the pairs are calibrated. It is
    wide for it (all of [0, 1] at $V = 0.09$, $\beta = 0.1$): rank by it, or take a large $\beta$.

    Args:
        probabilities: $\hat p$.
        variance: $V$ of `pair_prediction`.
        miss: $\beta$ in (0, 1].

    Returns:
        `PairInterval`.

    Raises:
        ValueError: `miss` outside (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(pair_interval(jnp.array(0.6), jnp.array(0.09), miss=0.5).low), 4)
        0.1757

    References:
        Johnson, Tarlow, Duvenaud and Maddison. Experts Don't Cheat. ICML 2024.
    """
    miss = check_number("miss", miss, 0.0, 1.0, open_low=True)
    spread = variance > 0
    half = jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1.0) / miss), 0.0)
    return PairInterval(jnp.maximum(probabilities - half, 0.0), jnp.minimum(probabilities + half, 1.0), half)


ENTRIES = (
    measure("pair_prediction", "Pair prediction", needs=("a model trained on pairs of answers",), bounded=True,
            citation=("pair-prediction",)),
)  # fmt: skip
"""Pair prediction as a measure of an answer, see `jaxuq.confidence.MEASURES`."""
