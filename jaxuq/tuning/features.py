"""How well the hidden states of tokens cluster: the figure by which uncertainty-aware learning is explained."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxuq._arrays import counted, widened
from jaxuq._shapes import checked


@checked
@widened
def silhouette(
    features: Float[Array, "points features"],
    clusters: Int[Array, " points"],
    num_clusters: int,
    *,
    where: Bool[Array, " points"] | None = None,
) -> Float[Array, " points"]:
    r"""Silhouette of each point, $s_i = (b_i - a_i) / \max(a_i, b_i)$ in [-1, 1].

    $a_i$ is the mean Euclidean distance to the other points of its own cluster, $b_i$ the smallest mean distance to the
    points of another. Clusters are given (a token's identity, right or wrong answers): nothing is fitted. Rows are
    computed one by one, so memory is linear.

    Args:
        features: such as last hidden states of answer tokens.
        clusters: number of each point's cluster, from 0.
        num_clusters: how many there are.
        where: points that count; the rest may hold NaN.

    Returns:
        Silhouettes; 0 for a point alone in its cluster, NaN where masked and if there is only one cluster. Their mean
        is the coefficient.

    Example:
        >>> import jax.numpy as jnp
        >>> points = jnp.array([[0.0], [1.0], [10.0], [11.0]])
        >>> [round(float(s), 3) for s in silhouette(points, jnp.array([0, 0, 1, 1]), 2)]
        [0.905, 0.895, 0.895, 0.905]

    References:
        P. J. Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster Analysis",
        Journal of Computational and Applied Mathematics 20, 1987.
        Y. Wang et al., "Uncertainty Aware Learning for Language Model Alignment", ACL 2024, section 5 (its use).
    """
    kept = counted(where, clusters)
    features = jnp.where(kept[:, None], features, 0.0)
    member = jax.nn.one_hot(jnp.where(kept, clusters, -1), num_clusters, dtype=features.dtype)
    sizes = member.sum(0)

    def of_point(point: Array, own: Array, counts: Array) -> Array:
        squares = jnp.sum((features - point[None]) ** 2, axis=1)
        distances = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), 0.0)
        totals = distances @ member
        within = totals @ own / jnp.maximum(sizes @ own - 1, 1)
        others = jnp.where((own > 0) | (sizes == 0), jnp.inf, totals / jnp.maximum(sizes, 1))
        between = jnp.min(others)
        largest = jnp.maximum(within, between)
        value = jnp.where(largest > 0, (between - within) / jnp.where(largest > 0, largest, 1.0), 0.0)
        value = jnp.where(sizes @ own <= 1, 0.0, value)
        return jnp.where(counts & jnp.isfinite(between), value, jnp.nan)

    return jax.lax.map(lambda one: of_point(*one), (features, member, kept), batch_size=min(64, len(features)))
