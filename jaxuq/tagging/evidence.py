"""From what labelling functions said about a token to the log-evidence of its states."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import widened
from jaxuq._errors import ArrayError
from jaxuq._meshes import vary_like
from jaxuq._shapes import checked
from jaxuq.tagging._log_matmul import log_matmul, safe_log

_IMPOSSIBLE = -1e30  # stands for minus infinity in products with zeros; float32 holds the sum of 1e8 of them
_HIGHEST = jax.lax.Precision.HIGHEST

Emission = (
    Float[Array, "function state label"]
    | Float[Array, "batch function state label"]
    | Float[Array, "batch time function state label"]
)
Said = Int[Array, "batch time function"] | Float[Array, "batch time function label"]


@checked
@widened
def observation_log_evidence(log_emission: Emission, observations: Said) -> Float[Array, "batch time state"]:
    r"""Log-probability of what all labelling functions observed, given each state.

    $\log \varphi_i^{(t)} = \sum_k \log \sum_j \Phi_{k,i,j}^{(t)} x_{k,j}^{(t)}$

    for functions that are independent given the state, where $x_k^{(t)}$ is one label or shares of all labels. Feed it
    to `smoothed_marginals`, `viterbi` and their kin. A soft observation is what a function says when it is unsure: the
    emission is averaged over its shares (likelihood of virtual evidence), which is not the mean of the log-evidences of
    hard observations. It is linear in the shares, so that their scale only adds a constant that no posterior sees.

    With emissions of all text or of a sentence nothing of size `[batch, time, function, state]` is formed: with hard
    observations and shared emissions the functions are added one after another, with emissions of a sentence by one
    product of matrices; soft observations are taken one function at a time. Emissions of each token are `[batch, time,
    function, state, label]` themselves.

    Args:
        log_emission: $\log\Phi_k$, rows are states, columns what the function says: shared by all text, `[function,
            state, label]`; one for each sentence, `[batch, function, state, label]`; or one for each token, `[batch,
            time, function, state, label]`. Minus infinity is a hard zero.
        observations: label indices; -1 where a function says nothing at all and so counts nothing. Or shares of the
            labels, `[batch, time, function, label]`, at least 0; a row of zeros says nothing.

    Returns:
        Log-evidence; float16 and bfloat16 are widened to float32.

    Raises:
        ArrayError: if the shapes do not fit, or indices are not integers.

    Example:
        >>> import jax.numpy as jnp
        >>> emission = jnp.log(jnp.array([[[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.2], [0.2, 0.8]]]))
        >>> evidence = jnp.exp(observation_log_evidence(emission, jnp.array([[[0, 0], [1, -1]]])))
        >>> [f"{value:.2f}" for value in evidence.ravel()]  # 0.9 0.8, 0.3 0.2, then only the first function counts
        ['0.72', '0.06', '0.10', '0.70']
        >>> soft = jnp.array([[[[0.5, 0.5], [0.0, 0.0]]]])  # the first function cannot decide, the second is silent
        >>> jnp.exp(observation_log_evidence(emission, soft))
        Array([[[0.5, 0.5]]], dtype=float32)

    References:
        Li. Uncertainty-Aware and Data-Efficient Fine-Tuning and Application of Foundation Models. Georgia Institute of
        Technology, 2025, the observation likelihood under Eq. 4.14.
        Pearl. Probabilistic Reasoning in Intelligent Systems. Morgan Kaufmann, 1988, section 2.2.2 (virtual evidence).
    """
    _check(log_emission, observations)
    if observations.ndim == 4:
        return _soft(log_emission, observations)
    if log_emission.ndim == 3:
        return _shared(log_emission, observations)
    labels = log_emission.shape[-1]
    said = jax.nn.one_hot(observations, labels, dtype=log_emission.dtype)
    finite = jnp.maximum(log_emission, _IMPOSSIBLE)
    if log_emission.ndim == 5:
        total = jnp.einsum("btkij,btkj->bti", finite, said, precision=_HIGHEST)
    else:
        batch, time, functions, _ = said.shape
        table = jnp.moveaxis(finite, 2, 3).reshape(batch, functions * labels, finite.shape[2])
        total = jnp.matmul(said.reshape(batch, time, functions * labels), table, precision=_HIGHEST)
    return jnp.where(total < 0.5 * _IMPOSSIBLE, -jnp.inf, total)


def _shared(
    log_emission: Float[Array, "function state label"], observations: Int[Array, "batch time function"]
) -> Float[Array, "batch time state"]:
    functions, states, labels = log_emission.shape
    rows = jnp.swapaxes(log_emission, 1, 2)
    rows = jnp.concatenate([rows, jnp.zeros((functions, 1, states), rows.dtype)], axis=1)
    silent = (observations < 0) | (observations >= labels)
    chosen = jnp.moveaxis(jnp.where(silent, labels, observations), 2, 0)

    def add(total, inputs):
        table, index = inputs
        return total + table[index], None

    start = jnp.zeros((*observations.shape[:2], states), log_emission.dtype)
    return jax.lax.scan(add, vary_like(start, rows, chosen), (rows, chosen))[0]


def _soft(log_emission: Array, shares: Float[Array, "batch time function label"]) -> Float[Array, "batch time state"]:
    batch, time = shares.shape[:2]
    states = log_emission.shape[-2]
    log_shares = jnp.moveaxis(safe_log(shares), 2, 0)  # [function, batch, time, label]
    tables = jnp.swapaxes(jnp.moveaxis(log_emission, -3, 0), -1, -2)  # [function, ..., label, state]

    def add(total, inputs):
        table, said = inputs
        if table.ndim == 2:
            value = log_matmul(said.reshape(batch * time, said.shape[-1]), table).reshape(batch, time, states)
        elif table.ndim == 3:
            value = log_matmul(said, table)
        else:
            value = log_matmul(said[..., None, :], table)[..., 0, :]
        speaks = jnp.max(said, axis=-1, keepdims=True) > -jnp.inf
        return total + jnp.where(speaks, value, 0.0), None

    start = vary_like(jnp.zeros((batch, time, states), log_emission.dtype), tables, log_shares)
    return jax.lax.scan(add, start, (tables, log_shares))[0]


def _check(log_emission: Array, observations: Array) -> None:
    soft = observations.ndim == 4
    if observations.ndim not in (3, 4) or log_emission.ndim not in (3, 4, 5):
        raise ArrayError(
            f"log_emission has shape {log_emission.shape} and observations {observations.shape}; expected [function, "
            "state, label] with batch, or batch and time, before them, and [batch, time, function] or [batch, time, "
            "function, label]"
        )
    if soft != jnp.issubdtype(observations.dtype, jnp.floating):
        raise ArrayError(
            f"observations have shape {observations.shape} and type {observations.dtype}; expected integer indices "
            "[batch, time, function] or floating-point shares [batch, time, function, label]"
        )
    leading = observations.shape[: log_emission.ndim - 3]
    expected = (*leading, observations.shape[2], log_emission.shape[-2], *observations.shape[3:])
    found = log_emission.shape if soft else log_emission.shape[:-1]
    if found != expected:
        raise ArrayError(
            f"log_emission has shape {log_emission.shape} and observations {observations.shape}; their sentences, "
            "tokens, functions and labels must be as many"
        )
