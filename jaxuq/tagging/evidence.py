"""From what labelling functions said about a token to the log-evidence of its states."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._shapes import checked


@checked
def observation_log_evidence(
    log_emission: Float[Array, "function state label"], observations: Int[Array, "batch time function"]
) -> Float[Array, "batch time state"]:
    r"""Log-probability of what all labelling functions observed, given each state.

    $\log \varphi_i^{(t)} = \sum_k \log \Phi_{k, i, x_k^{(t)}}$

    for functions that are independent given the state. Feed it to `smoothed_marginals`, `viterbi` and their kin.
    Nothing of size `[batch, time, function, state]` is formed: the functions are added one after another.

    Args:
        log_emission: $\log\Phi_k$, rows are states, columns what the function says.
        observations: label indices; -1 where a function says nothing at all and so counts nothing.

    Returns:
        Log-evidence.

    Example:
        >>> import jax.numpy as jnp
        >>> emission = jnp.log(jnp.array([[[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.2], [0.2, 0.8]]]))
        >>> evidence = jnp.exp(observation_log_evidence(emission, jnp.array([[[0, 0], [1, -1]]])))
        >>> [f"{value:.2f}" for value in evidence.ravel()]  # 0.9 0.8, 0.3 0.2, then only the first function counts
        ['0.72', '0.06', '0.10', '0.70']

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, the observation likelihood under Eq. 4.14.
    """
    functions, states, labels = log_emission.shape
    rows = jnp.swapaxes(log_emission, 1, 2)
    rows = jnp.concatenate([rows, jnp.zeros((functions, 1, states), rows.dtype)], axis=1)
    silent = (observations < 0) | (observations >= labels)
    chosen = jnp.moveaxis(jnp.where(silent, labels, observations), 2, 0)

    def add(total, inputs):
        table, index = inputs
        return total + table[index], None

    start = jnp.zeros((*observations.shape[:2], states), log_emission.dtype)
    return jax.lax.scan(add, start, (rows, chosen))[0]
