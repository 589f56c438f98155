"""Reward heads on features of responses: an ensemble whose spread says which preference to ask for next."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._arrays import counted, widened
from jaxuq._meshes import vary_like
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.tuning.labelling.acquisition import bald


class RewardHeads(NamedTuple):
    """Linear rewards $r = v \\cdot h$ of several members, and what the data know of their mean.

    Attributes:
        weights: of each member.
        centre: the most probable weights.
        precision: of them: $\\lambda I + \\sum p (1 - p) \\Delta h \\Delta h^\\top$.
    """

    weights: Float[Array, "members dim"]
    centre: Float[Array, " dim"]
    precision: Float[Array, "dim dim"]


@typed()
@checked
@widened
def fit_reward_heads(
    rng_key: Key[Array, ""],
    chosen: Float[Array, "pairs dim"],
    rejected: Float[Array, "pairs dim"],
    *,
    members: int = 16,
    precision: float = 1.0,
    steps: int = 20,
    where: Bool[Array, " pairs"] | None = None,
) -> RewardHeads:
    r"""Fit rewards to preferences, $P(i \succ j) = \sigma(r_i - r_j)$, and an ensemble from their Laplace posterior.

    $$\hat v = \arg\max_v \sum \log \sigma(v \cdot \Delta h) - \tfrac\lambda2 \lVert v \rVert^2, \qquad
      v_m \sim \mathcal{N}(\hat v, P^{-1})$$

    by Newton's steps; the features are those of a language model at the last token of each response, or of any
    embedding. Where a few thousand features need low-rank adapters, give their members' rewards to
    `preference_information` instead: it asks for no more.

    Args:
        rng_key: of the members.
        chosen: features of the preferred response of each pair.
        rejected: of the other.
        members: drawn.
        precision: $\lambda > 0$ of the prior.
        steps: of Newton's method.
        where: True for the pairs that count; None: all. With none the members are of the prior.

    Returns:
        `RewardHeads`.

    Raises:
        ValueError: an option out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> better, worse = jnp.array([[1.0, 0.0], [0.8, 0.3]]), jnp.zeros((2, 2))
        >>> heads = fit_reward_heads(jax.random.key(0), better, worse, members=4)
        >>> heads.weights.shape, bool(heads.centre[0] > 0)
        ((4, 2), True)

    References:
        Bradley and Terry. Rank Analysis of Incomplete Block Designs. Biometrika 39, 1952.
        MacKay. The Evidence Framework Applied to Classification Networks. Neural Computation 4, 1992.
    """
    members, steps = check_count("members", members), check_count("steps", steps)
    precision = check_number("precision", precision, 0.0, open_low=True)
    valid = counted(where, chosen.shape[:1])
    apart = jnp.where(valid[:, None], chosen, 0.0) - jnp.where(valid[:, None], rejected, 0.0)
    prior = precision * jnp.eye(apart.shape[1], dtype=apart.dtype)

    def curvature(weights: Array) -> Array:
        p = jax.nn.sigmoid(apart @ weights)
        return prior + (apart * (p * (1.0 - p))[:, None]).T @ apart

    def objective(weights: Array) -> Array:
        gained = jnp.sum(jnp.where(valid, jax.nn.log_sigmoid(apart @ weights), 0.0))
        return 0.5 * precision * jnp.sum(weights**2) - gained

    def improve(_: Array, weights: Array) -> Array:
        slope = precision * weights - apart.T @ jnp.where(valid, jax.nn.sigmoid(-(apart @ weights)), 0.0)
        step = jnp.linalg.solve(curvature(weights), slope)
        half = weights - 0.5 * step
        return jnp.where(objective(weights - step) <= objective(half), weights - step, half)

    start = vary_like(jnp.zeros(apart.shape[1], apart.dtype), apart)
    centre = jax.lax.fori_loop(0, steps, improve, start)
    matrix = curvature(centre)
    noise = jax.random.normal(rng_key, (members, apart.shape[1]), apart.dtype)
    lower = jnp.linalg.cholesky(matrix)
    spread = jax.scipy.linalg.solve_triangular(lower, noise.T, lower=True, trans=1).T
    return RewardHeads(centre[None] + spread, centre, matrix)


class Preference(NamedTuple):
    """How sure an ensemble is of a preference.

    Attributes:
        probability: that the first is preferred, the mean over members.
        information: that the answer would give about the members, nats (BALD); 0 where they agree.
    """

    probability: Float[Array, " pairs"]
    information: Float[Array, " pairs"]


@checked
@widened
def preference_information(
    rewards: Float[Array, "members items"], first: Int[Array, " pairs"], second: Int[Array, " pairs"]
) -> Preference:
    r"""Probability of preferences, and which of them to ask for: `bald` of both.

    A pair is worth asking for where the members are sure and disagree, not where all of them find it a toss-up, which
    no answer would change.

    Args:
        rewards: of the members. A constant added to all of a member's rewards changes nothing.
        first: numbers of the first items of the pairs.
        second: of the second.

    Returns:
        `Preference`.

    Example:
        >>> import jax.numpy as jnp
        >>> rewards = jnp.array([[1.2, 0.2], [0.8, 0.6], [1.6, 0.1]])
        >>> round(float(preference_information(rewards, jnp.array([0]), jnp.array([1])).information[0]), 6)
        0.029488

    References:
        Houlsby, Huszar, Ghahramani and Lengyel. Bayesian Active Learning for Classification and Preference Learning.
        arXiv 1112.5745, 2011.
    """
    inside = (first >= 0) & (first < rewards.shape[1]) & (second >= 0) & (second < rewards.shape[1])
    margin = jnp.take(rewards, first, axis=1, mode="clip") - jnp.take(rewards, second, axis=1, mode="clip")
    both = jnp.stack([jax.nn.log_sigmoid(margin), jax.nn.log_sigmoid(-margin)], axis=-1)
    parts = jnp.mean(jax.nn.sigmoid(margin), axis=0), bald(both)
    return Preference(*(jnp.where(inside, one, jnp.nan) for one in parts))


@checked
@widened
def cautious_reward(rewards: Float[Array, "members items"], *, caution: float = 1.0) -> Float[Array, " items"]:
    r"""Reward less what the members disagree by, $\bar r - \lambda\, \mathrm{sd}$: safer to maximise than the mean.

    Centre the members first (`rewards - rewards.mean(1, keepdims=True)`): their zeros are not identified.

    Args:
        rewards: of the members.
        caution: $\lambda \ge 0$.

    Returns:
        Of each item.

    Raises:
        ValueError: `caution` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(cautious_reward(jnp.array([[1.2], [0.8], [1.6]]), caution=0.5)[0]), 6)
        1.036701

    References:
        Zhai et al. Uncertainty-Penalized Reinforcement Learning from Human Feedback with Diverse Reward LoRA Ensembles.
        arXiv 2401.00243, 2023.
    """
    caution = check_number("caution", caution, 0.0)
    mean = jnp.mean(rewards, axis=0)
    variance = jnp.mean((rewards - mean[None]) ** 2, axis=0)
    some = variance > 0
    return mean - caution * jnp.where(some, jnp.sqrt(jnp.where(some, variance, 1.0)), 0.0)
