"""Which preferences to ask for next: those that members of an ensemble differ on, of prompts unlike those asked."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, widened
from jaxuq._errors import OptionError
from jaxuq._meshes import vary_like
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked


@checked
@widened
def diverse_preferences(
    information: Float[Array, " pool"],
    features: Float[Array, "pool dim"],
    acquired: Float[Array, "acquired dim"],
    *,
    count: int,
    neighbours: int = 13,
    weight: float = 0.01,
    degrees: float = 1.0,
    where: Bool[Array, " pool"] | None = None,
) -> Int[Array, " count"]:
    r"""Choose pairs to be compared, one after another, by what they tell and by how new their prompts are (BAL-PM).

    $$U_i + \beta \big(\ln(2 D_i + 10^{-4}) - \psi(n_i + 1) / d\big)$$

    with $D_i$ the distance of prompt i to its k-th neighbour in the pool, and $n_i$ how many prompts that were asked
    lie inside of it. $\beta = 0$ is BALD alone, which asks for the same prompt in all its copies. Standardise the
    features, each column by its own mean and deviation (the published code subtracts mean over deviation).

    Args:
        information: U of each pair, `preference_information(...).information`.
        features: of the prompt of each pair.
        acquired: of the prompts that were asked before.
        count: how many to choose.
        neighbours: k, itself not counted.
        weight: $\beta \ge 0$.
        degrees: d > 0.
        where: True for the pairs that may be chosen; None: all. The others are no neighbours either.

    Returns:
        Numbers of pairs, each once, in the order in which they were chosen; -1 once there are none left. What has no
        information, or features that are NaN, is never chosen.

    Raises:
        OptionError: an option out of range, or more pairs than there are.

    Example:
        >>> import jax.numpy as jnp
        >>> prompts = jnp.array([[0.0], [0.0], [3.0], [4.0]])
        >>> information = jnp.array([0.50, 0.49, 0.48, 0.1])
        >>> diverse_preferences(information, prompts, jnp.zeros((0, 1)), count=2, neighbours=1, weight=0.1).tolist()
        [2, 3]

    References:
        Melo, Tigas, Abate and Gal. Deep Bayesian Active Learning for Preference Modeling in Large Language Models.
        NeurIPS 2024.
    """
    pool = features.shape[0]
    count = check_count("count", count)
    if count > pool:
        raise OptionError(f"count is {count}, but the pool has {pool} pairs")
    neighbours = check_count("neighbours", neighbours)
    weight, degrees = check_number("weight", weight, 0.0), check_number("degrees", degrees, 0.0, open_low=True)
    valid = counted(where, (pool,)) & ~jnp.any(jnp.isnan(features), axis=1)
    known = valid & ~jnp.isnan(information)
    features = jnp.where(valid[:, None], features, 0.0)
    information = jnp.where(known, information, 0.0)

    def distances(one: Array) -> Array:
        return jnp.sqrt(jnp.sum((features - one[None]) ** 2, axis=-1))

    def reach(index: Array) -> Array:
        others = jnp.where(valid & (jnp.arange(pool) != index), distances(features[index]), jnp.inf)
        nearest = jnp.sort(others)[: min(neighbours, pool)]
        return jnp.max(jnp.where(jnp.isfinite(nearest), nearest, 0.0), initial=0.0)

    reaches = jax.lax.map(reach, jnp.arange(pool))

    def inside(total: Array, one: Array) -> tuple[Array, None]:
        return total + (distances(one) < reaches).astype(total.dtype), None

    asked = jax.lax.scan(inside, vary_like(jnp.zeros(pool, features.dtype), features, acquired), acquired)[0]

    def choose(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        asked, free = carry
        novelty = jnp.log(2.0 * reaches + 1e-4) - jax.scipy.special.digamma(asked + 1.0) / degrees
        value = jnp.where(free, information + weight * novelty, -jnp.inf)
        best = jnp.argmax(value)
        some = jnp.any(free)
        asked = jnp.where(some, inside(asked, features[best])[0], asked)
        return (asked, free & (jnp.arange(pool) != best)), jnp.where(some, best, -1).astype(jnp.int32)

    start = vary_like((asked, known), features, acquired, information, known)
    return jax.lax.scan(choose, start, None, length=count)[1]
