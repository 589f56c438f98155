"""Influence of training examples on validation examples, and the most influential part of the data."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import widened
from jaxuq._errors import ArrayError
from jaxuq._options import check_number
from jaxuq._shapes import checked


@checked
@widened
def influence(
    train: Float[Array, "*checkpoints examples dimension"],
    validation: Float[Array, "*checkpoints targets dimension"],
    learning_rates: Float[Array, " rates"] | None = None,
) -> Float[Array, "examples targets"]:
    r"""How much a training step on an example would lower the loss of another, to first order.

    $$I(x, z) = \sum_e \bar\eta_e
      \frac{\langle \Gamma_e(x), g_e(z) \rangle}{\lVert \Gamma_e(x) \rVert \lVert g_e(z) \rVert}$$

    over checkpoints $e$, with their learning rates divided by the sum. For LESS, $\Gamma$ are preconditioned features
    of training examples, $g$ plain ones (`preconditioned=False`) of validation examples, both of response tokens, made
    checkpoint by checkpoint with `gradient_features`. A score of a whole task is the mean over its targets; of several
    tasks LESS takes the largest.

    Args:
        train: features of training examples; a leading axis of checkpoints, or none.
        validation: of the same projection.
        learning_rates: one a checkpoint, positive; None: all alike.

    Returns:
        Scores in [-1, 1]; zero rows of features score 0.

    Raises:
        ValueError: shapes that do not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> influence(jnp.array([[3.0, 0.0], [1.0, 1.0]]), jnp.array([[0.0, 2.0]]))
        Array([[0.        ],
               [0.70710677]], dtype=float32)

    References:
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, definition 3.1.
        G. Pruthi et al. Estimating training data influence by tracing gradient descent. NeurIPS 2020, Eq 1.
    """
    if train.ndim == 2:
        train = train[None]
    if validation.ndim == 2:
        validation = validation[None]
    checkpoints = train.shape[0]
    if train.ndim != 3:
        raise ArrayError(f"train has shape {train.shape}; expected at most one axis of checkpoints before the examples")
    if learning_rates is None:
        learning_rates = jnp.ones(checkpoints, train.dtype)
    if learning_rates.shape != (checkpoints,):
        raise ArrayError(f"learning_rates has shape {learning_rates.shape} where train has {checkpoints} checkpoints")
    weights = learning_rates / learning_rates.sum()
    products = jnp.einsum("end,emd->enm", train, validation)
    lengths = jnp.einsum("en,em->enm", _lengths(train), _lengths(validation))
    return jnp.einsum("e,enm->nm", weights, products / lengths)


def _lengths(features: Array) -> Array:
    squares = (features**2).sum(-1)
    return jnp.sqrt(jnp.where(squares > 0, squares, 1.0))


@checked
def select(scores: Float[Array, " examples"], fraction: float) -> Int[Array, " selected"]:
    r"""The examples with the highest scores, highest first: $\lceil fraction \cdot n \rceil$ of $n$.

    Args:
        scores: one an example, such as `influence(...).mean(1)`; NaN is never selected before a number.
        fraction: in (0, 1]; LESS takes 0.05.

    Returns:
        Their numbers; of equal scores the earlier example comes first.

    Raises:
        ValueError: a fraction outside (0, 1].

    Example:
        >>> import jax.numpy as jnp
        >>> select(jnp.array([0.1, 0.9, 0.5, 0.2]), 0.5)
        Array([1, 2], dtype=int32)

    References:
        M. Xia et al. LESS: selecting influential data for targeted instruction tuning. ICML 2024, section 4.2.
    """
    check_number("fraction", fraction, 0.0, 1.0, open_low=True)
    count = math.ceil(round(fraction * scores.shape[0], 9))
    order = jnp.argsort(jnp.where(jnp.isnan(scores), -jnp.inf, scores), descending=True, stable=True)
    return order[:count].astype(jnp.int32)
