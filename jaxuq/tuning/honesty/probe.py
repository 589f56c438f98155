"""A correctness head: how likely the model is right, from a hidden state, learnt from graded answers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Real

from jaxuq._arguments import typed
from jaxuq._arrays import as_float, centre_and_scale, counted, select, undefined_unless, widened, within_unit
from jaxuq._options import check_number
from jaxuq._shapes import checked

_NEWTON_STEPS = 30


class LinearProbe(NamedTuple):
    """A linear head on standardised features.

    Attributes:
        weights: of each feature.
        bias: of the logit.
        mean: of the features it was fitted on.
        scale: their deviations.
    """

    weights: Float[Array, " features"]
    bias: Float[Array, ""]
    mean: Float[Array, " features"]
    scale: Float[Array, " features"]


@checked
@widened
def fit_linear_probe(
    features: Float[Array, "answers features"],
    correct: Real[Array, " answers"],
    *,
    penalty: float = 1.0,
    where: Bool[Array, " answers"] | None = None,
) -> LinearProbe:
    r"""Logistic regression of being right, $\min_w \sum_i \ell(w^\top x_i + b, y_i) + \tfrac\lambda2 \lVert w\rVert^2$.

    On the last hidden state after an answer it is a correctness head; on that after the question alone it is P(IK), the
    probability that the model knows. Fit it on answers that the model itself gave, decoded as in use; some thousand
    grades are enough. Solved by Newton's method, in the space of the answers where there are fewer of them than
    features.

    Args:
        features: hidden states.
        correct: 1 if the answer was right, else 0.
        penalty: $\lambda > 0$, for standardised features.
        where: answers that were graded; the rest may hold NaN.

    Returns:
        The head; holds `min(answers, features)^2` numbers while fitting. With grades of one class only it says the
        same for all, the share of that class moved towards one half; without grades, one half. NaN if a grade that
        counts is outside [0, 1].

    Raises:
        ArrayError: the shapes differ.
        ValueError: a penalty that is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> states = jnp.array([[0.0], [1.0], [2.0], [3.0]])
        >>> probe = fit_linear_probe(states, jnp.array([0, 0, 1, 1]))
        >>> [round(float(p), 2) for p in probe_confidence(probe, states)]
        [0.22, 0.4, 0.6, 0.78]

    References:
        S. Kadavath et al., "Language Models (Mostly) Know What They Know", 2022, section 5 (P(IK)).
        S. Kapoor et al., "Large Language Models Must Be Taught to Know What They Don't Know", NeurIPS 2024 (a probe on
        about 1,000 grades).
    """
    check_number("penalty", penalty, 0.0, open_low=True)
    if not features.shape[0]:  # as with one answer that was not graded
        features, correct, where = jnp.zeros((1, features.shape[1]), features.dtype), jnp.zeros(1), jnp.zeros(1, bool)
    kept = counted(where, correct)
    share = kept.astype(features.dtype)
    x = jnp.where(kept[:, None], features, 0.0)
    mean, scale = centre_and_scale(x, kept)
    x = jnp.where(kept[:, None], x - mean[None], 0.0) / scale[None]
    y = select(as_float(correct, x), kept, 0.5)
    wide = x.shape[0] < x.shape[1]
    gram = x @ x.T if wide else x.T @ x
    values, basis = jnp.linalg.eigh(gram)  # features of full rank, at most as many as there are answers
    roots = jnp.sqrt(jnp.maximum(values, 0.0))
    reduced = basis * roots[None] if wide else x @ basis
    inputs = jnp.concatenate([reduced, jnp.ones((x.shape[0], 1), x.dtype)], axis=1)
    ridge = jnp.concatenate([jnp.full(reduced.shape[1], penalty, x.dtype), jnp.full(1, 1e-3, x.dtype)])

    def step(_: Array, w: Array) -> Array:
        p = jax.nn.sigmoid(inputs @ w)
        gradient = inputs.T @ (share * (p - y)) + ridge * w
        hessian = (inputs * (share * p * (1 - p))[:, None]).T @ inputs + jnp.diag(ridge)
        move = jax.scipy.linalg.solve(hessian, gradient, assume_a="pos")
        return w - move * jnp.minimum(1.0, 5.0 / jnp.maximum(jnp.linalg.norm(move), 1e-6))

    solved = jax.lax.fori_loop(0, _NEWTON_STEPS, step, jnp.zeros(inputs.shape[1], x.dtype))
    if wide:
        useful = roots > 1e-4 * jnp.max(roots)
        inverse = jnp.where(useful, 1 / jnp.where(useful, roots, 1.0), 0.0)
        weights = x.T @ (basis @ (solved[:-1] * inverse))
    else:
        weights = basis @ solved[:-1]
    weights, bias = (undefined_unless(within_unit(y), part) for part in (weights, solved[-1]))
    return LinearProbe(weights, bias, mean, scale)


@typed()
@checked
@widened
def probe_confidence(probe: LinearProbe, features: Float[Array, "answers features"]) -> Float[Array, " answers"]:
    """How likely each answer is right, by a fitted head.

    Args:
        probe: from `fit_linear_probe`.
        features: hidden states, as it was fitted on.

    Returns:
        Probabilities.

    Example:
        >>> import jax.numpy as jnp
        >>> probe = LinearProbe(jnp.ones(1), jnp.zeros(()), jnp.zeros(1), jnp.ones(1))
        >>> probe_confidence(probe, jnp.zeros((1, 1)))
        Array([0.5], dtype=float32)
    """
    x = (features - probe.mean[None]) / probe.scale[None]
    return jax.nn.sigmoid(x @ probe.weights + probe.bias)
