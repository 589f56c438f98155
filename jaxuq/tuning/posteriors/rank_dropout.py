r"""Variational dropout with one variance for each rank of an adapter: ranks that carry nothing can be left out."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import widened
from jaxuq._shapes import checked

_FIRST, _SECOND, _THIRD = 0.63576, 1.87320, 1.48695
_LEAST = 1e-8


@checked
@widened
def log_uniform_kl(mean: Float[Array, "*shape"], log_variance: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    r"""Divergence of $\mathcal{N}(\mu, \sigma^2)$ from the log-uniform prior, weight by weight, up to a constant.

    $$k_1 - k_1\, \mathrm{sigmoid}(k_2 + k_3 \log\alpha) + \tfrac12 \log(1 + 1 / \alpha), \; \alpha = \sigma^2/\mu^2$$

    It goes to zero as the noise exceeds the weight, and so draws useless weights there.

    Args:
        mean: $\mu$.
        log_variance: $\log \sigma^2$.

    Returns:
        Nats.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(kl), 4) for kl in log_uniform_kl(jnp.array([0.5, 0.01]), jnp.array([-4.0, -4.0]))]
        [1.9031, 0.0028]

    References:
        D. Molchanov, A. Ashukha, D. Vetrov, "Variational Dropout Sparsifies Deep Neural Networks", ICML 2017, Eq. 14.
        C. Doyle et al., "Low-Rank Variational Dropout" (BayesLoRA, version 3), 2025.
    """
    log_alpha = log_variance - jnp.log(mean**2 + _LEAST)
    return _FIRST - _FIRST * jax.nn.sigmoid(_SECOND + _THIRD * log_alpha) + 0.5 * jnp.logaddexp(0.0, -log_alpha)


@checked
@widened
def useless_ranks(
    a: Float[Array, "inputs rank"],
    b: Float[Array, "rank outputs"],
    log_variance: Float[Array, " rank"],
    *,
    threshold: float = 3.0,
) -> Bool[Array, " rank"]:
    r"""Ranks whose noise drowns them: $\tfrac12 (\mathrm{median}_i \log\alpha_{ik} + \mathrm{median}_j \log\alpha_{kj})
    > $ `threshold`.

    Both factors of a rank share its variance. A factor that is zero counts as drowned: start B at small numbers, not 0.

    Args:
        a: means of the first factor.
        b: means of the second.
        log_variance: of each rank.
        threshold: of the logarithm.

    Returns:
        True for ranks to leave out.

    Example:
        >>> import jax.numpy as jnp
        >>> useless_ranks(jnp.ones((3, 2)), jnp.array([[1.0, 1.0], [0.0, 0.0]]), jnp.zeros(2))
        Array([False,  True], dtype=bool)

    References:
        C. Doyle et al., "Low-Rank Variational Dropout" (BayesLoRA, version 3), 2025.
    """
    in_a = jnp.median(log_variance[None] - jnp.log(a**2 + _LEAST), axis=0)
    in_b = jnp.median(log_variance[:, None] - jnp.log(b**2 + _LEAST), axis=1)
    return (in_a + in_b) / 2 > threshold
