r"""Training-free Bayesianisation: the widest isotropic posterior around finished adapters that costs next to nothing.

With $B = V\,\mathrm{diag}(d)\,U^\top$, the product $A B = A'\,\mathrm{diag}(d)\,U^\top$ for $A' = A V$, and noise of
deviation $\sigma_q / d_i$ in column i of $A'$ gives the product the covariance $\sigma_q^2\, U U^\top$ in every row.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PyTree

from jaxuq._arguments import typed
from jaxuq._arrays import widened
from jaxuq._errors import OptionError
from jaxuq._options import check_number
from jaxuq._shapes import checked
from jaxuq.posterior._draws import normal_as, sample_keys

_LEAST = 1e-6  # singular values below this part of the largest carry no noise


@checked
@widened
def rotate_adapter(
    a: Float[Array, "inputs rank"], b: Float[Array, "rank outputs"]
) -> tuple[Float[Array, "inputs rank"], Float[Array, "rank outputs"], Float[Array, " rank"]]:
    r"""The same product with orthogonal rows on the right: $A V$, $\mathrm{diag}(d)\,U^\top$, and $d$, largest first.

    Args:
        a: the adapter's first factor.
        b: its second.

    Returns:
        The new factors and the singular values of `b`.

    Example:
        >>> import jax.numpy as jnp
        >>> values = rotate_adapter(jnp.eye(3, 2), jnp.array([[2.0, 0.0, 1.0], [0.0, 1.0, 1.0]]))[2]
        >>> [f"{value:.5f}" for value in values]
        ['2.30278', '1.30278']

    References:
        H. Shi, Y. Wang, L. Han, H. Zhang, H. Wang, "Training-Free Bayesianization for Low-Rank Adapters of Large
        Language Models", NeurIPS 2025.
    """
    left, values, right = jnp.linalg.svd(b, full_matrices=False)
    rank = values.shape[0]
    if rank < b.shape[0]:  # more ranks than outputs: the rest of the product is zero
        missing = b.shape[0] - rank
        left = jnp.pad(left, ((0, 0), (0, missing)))
        values, right = jnp.pad(values, (0, missing)), jnp.pad(right, ((0, missing), (0, 0)))
    return a @ left, values[:, None] * right, values


@typed()
def isotropic_samples(
    rng_key: Key[Array, ""], lora: PyTree, scale: Float[Array, ""] | float, num_samples: int
) -> PyTree:
    r"""Adapters whose products have equal variance $\sigma_q^2$ in every direction that they can take.

    The scaling `alpha / rank` multiplies the deviation of the weights. Ranks with next to no singular value get no
    noise, which would grow without bound there. Sample i is the same for any `num_samples`, and moves in a straight
    line with `scale`: a search for it sees no noise of its own.

    Args:
        rng_key: of the samples.
        lora: trained adapters, layers stacked or not.
        scale: $\sigma_q \ge 0$.
        num_samples: how many.

    Returns:
        Adapters with a leading sample axis; the mean's product is that of `lora`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> lora = {"layers_0": {"query": {"a": jnp.zeros((3, 1)), "b": jnp.array([[0.0, 2.0]])}}}
        >>> samples = isotropic_samples(jax.random.key(0), lora, 0.1, 2000)["layers_0"]["query"]
        >>> [f"{value:.2f}" for value in jnp.einsum("sir,sro->sio", samples["a"], samples["b"]).std((0, 1))]
        ['0.00', '0.10']

    References:
        H. Shi et al., "Training-Free Bayesianization for Low-Rank Adapters of Large Language Models", NeurIPS 2025.
    """
    adapters, structure = jax.tree.flatten(lora, is_leaf=lambda node: isinstance(node, dict) and "a" in node)

    rotated = [
        (jax.vmap(rotate_adapter) if adapter["a"].ndim == 3 else rotate_adapter)(adapter["a"], adapter["b"])
        for adapter in adapters
    ]

    def one(key: Key[Array, ""]) -> PyTree:
        drawn = []
        for number, (adapter, (a, b, values)) in enumerate(zip(adapters, rotated)):
            kept = values > _LEAST * jnp.max(values, axis=-1, keepdims=True)
            spread = jnp.where(kept, jnp.asarray(scale, a.dtype) / jnp.where(kept, values, 1.0), 0.0)
            noise = normal_as(jax.random.fold_in(key, number), a)
            drawn.append(adapter | {"a": a + noise * jnp.broadcast_to(spread[..., None, :], a.shape), "b": b})
        return structure.unflatten(drawn)

    return jax.lax.map(one, sample_keys(rng_key, num_samples))


@typed()
def largest_scale(
    loss: Callable[[float], float],
    *,
    tolerance: float = 0.003,
    lower: float = 0.001,
    upper: float = 0.015,
    steps: int = 5,
    relative: bool = True,
    convention: str = "safe",
) -> float:
    r"""The largest $\sigma$ whose loss stays within a tolerance of that at zero, by bisection.

    $$\ell(\sigma) - \ell(0) \le \epsilon\, |\ell(0)|$$

    Args:
        loss: of a deviation; should grow with it, and reuse its random numbers.
        tolerance: $\epsilon$.
        lower: of the bracket.
        upper: of the bracket.
        steps: halvings.
        relative: False leaves out $|\ell(0)|$.
        convention: `"safe"` gives the last value that kept within the tolerance (0 if none did, not even `lower`);
            `"published"` the end of the bracket that did not, as the released code does.

    Returns:
        A deviation.

    Raises:
        ValueError: an empty bracket, a negative tolerance, an unknown convention.

    Example:
        >>> rule = {"tolerance": 0.003, "lower": 0.001, "upper": 0.015}
        >>> found = [largest_scale(lambda s: 0.2 + 40 * s**2, **rule, convention=c) for c in ("safe", "published")]
        >>> [f"{scale:.7f}" for scale in found]
        ['0.0036250', '0.0040625']

    References:
        H. Shi et al., "Training-Free Bayesianization for Low-Rank Adapters of Large Language Models", NeurIPS 2025.
    """
    if not 0 <= lower < upper or tolerance < 0 or steps < 1:
        raise OptionError(
            f"lower, upper, tolerance and steps are {lower}, {upper}, {tolerance} and {steps}; expected 0 <= lower < "
            "upper, a tolerance >= 0 and at least one step"
        )
    if convention not in ("safe", "published"):
        raise OptionError(f"convention is {convention!r}; expected 'safe' or 'published'")

    def measured(scale: float) -> float:
        return check_number(f"the loss at a scale of {scale:g}", loss(scale))

    start = measured(0.0)
    most = start + tolerance * (abs(start) if relative else 1.0)
    if measured(upper) <= most:
        return upper
    good, low, high = 0.0, lower, upper
    for _ in range(steps):
        middle = (low + high) / 2
        if measured(middle) <= most:
            good = low = middle
        else:
            high = middle
    if convention == "published":
        return high
    return good if good else (lower if loss(lower) <= most else 0.0)
