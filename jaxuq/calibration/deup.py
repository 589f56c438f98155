"""Direct prediction of errors (DEUP): how much of a model's risk it could still lose, learnt from its own errors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from jaxuq._arrays import as_float, no_nan, select, undefined_unless, weighted, widened
from jaxuq._errors import ArrayError
from jaxuq._options import check_count, check_number
from jaxuq._shapes import checked
from jaxuq.calibration._newton import damped, solved
from jaxuq.calibration.feature_scores import FeatureScore


def cross_fitted_errors(
    rng_key: Key[Array, ""],
    fit: Callable[..., PyTree],
    error: Callable[[PyTree, PyTree, PyTree], Float[Array, " n"]],
    inputs: PyTree[Shaped[Array, "n ..."]],
    labels: PyTree[Shaped[Array, "n ..."]],
    *,
    folds: int = 5,
) -> Float[Array, " n"]:
    r"""Each example's error by a model that has not seen it: what DEUP learns from.

    Errors on training data say nothing about new data. Folds are drawn at random; where examples come in groups that
    new data will not share (scaffolds, documents), hold out groups instead.

    Args:
        rng_key: of the folds, and of the models.
        fit: `fit(rng_key, inputs, labels, where) -> params`, a pure function that learns from the rows that `where`
            keeps.
        error: `error(params, inputs, labels) -> [n]`, such as squared differences.
        inputs: any pytree of arrays, examples first.
        labels: any pytree of arrays, examples first.
        folds: models that are fitted, one after another.

    Returns:
        The error of every example.

    Raises:
        OptionError: fewer than two folds.
        ArrayError: more folds than examples, or not one row an example in every array.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> def fit(rng_key, inputs, labels, where):
        ...     return jnp.mean(labels, where=where)
        >>> def error(mean, inputs, labels):
        ...     return (labels - mean) ** 2
        >>> labels = jnp.array([0.0, 0.0, 3.0])
        >>> print(cross_fitted_errors(jax.random.key(0), fit, error, labels, labels, folds=3))  # of means without it
        [2.25 2.25 9.  ]

    References:
        S. Lahlou et al., "DEUP: Direct Epistemic Uncertainty Prediction", TMLR 2023, Algorithm 2.
    """
    n = jax.tree.leaves(inputs)[0].shape[0]
    for leaf in jax.tree.leaves((inputs, labels)):
        if leaf.shape[:1] != (n,):
            raise ArrayError(f"inputs and labels have leaves of {n} and {leaf.shape[:1]} rows; give one row an example")
    check_count("folds", folds, 2)
    if n < folds:
        raise ArrayError(f"inputs have {n} rows for {folds} folds; each fold needs one or more")
    fold_key, fit_key = jax.random.split(rng_key)
    fold = jax.random.permutation(fold_key, jnp.arange(n, dtype=jnp.int32) % folds)

    def one(number: Array) -> Array:
        out = fold == number
        found = error(fit(jax.random.fold_in(fit_key, number), inputs, labels, ~out), inputs, labels)
        return select(as_float(found), out)

    return jnp.sum(jax.lax.map(one, jnp.arange(folds, dtype=jnp.int32)), axis=0)


class RiskState(NamedTuple):
    """A log-linear model of errors.

    Attributes:
        slopes: of the standardised features.
        intercept: logarithm of the error at their mean.
        centre: means of the features.
        scale: their standard deviations; 1 for a constant.
    """

    slopes: Float[Array, " dimension"]
    intercept: Float[Array, ""]
    centre: Float[Array, " dimension"]
    scale: Float[Array, " dimension"]


def predicted_risk(*, ridge: float = 1e-3) -> FeatureScore:
    r"""The expected error as a log-linear function of a few features: $\hat e(x) = \exp(w^\top \tilde x + b)$.

    $$\min_{w, b}\ \frac1n \sum_i \left[\hat e(x_i) - e_i \ln \hat e(x_i)\right] + \frac{\rho}{2} \lVert w \rVert^2$$

    Its excess over the aleatoric part, $u(x) = \hat e(x) - a(x)$, is DEUP's epistemic uncertainty: of a squared error
    $a$ is the noise variance (from replicates, or 0), of a log loss the entropy of the true classes. Features that say
    something about new inputs: log density or distance of features, log variance of an ensemble. Unlike variances, the
    estimate sees what all members get wrong alike. Report u before it is clipped at 0: its negative values say how
    noisy it is.

    The objective is convex, and its mean prediction is the mean error exactly; a model of the logarithm of errors,
    as in the published code, gives the geometric mean, which is far below. `fit` takes damped Newton steps in `jit`.

    Args:
        ridge: $\rho \ge 0$, on standardised features.

    Returns:
        A `FeatureScore`: `fit(features, errors, *, where=None) -> RiskState`, errors >= 0 of examples that the model
        has not learnt from (`cross_fitted_errors`); `score(state, features) -> [m]` expected errors.

    Raises:
        OptionError: `ridge` is out of range.
        ArrayError: by `fit` and `score`, if shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> features = jnp.array([[0.0], [0.0], [1.0], [1.0]])
        >>> method = predicted_risk(ridge=0.0)
        >>> state = method.fit(features, jnp.array([0.5, 1.5, 3.0, 5.0]))
        >>> print(*(f"{value:.3f}" for value in method.score(state, jnp.array([[0.0], [1.0]]))))
        1.000 4.000

    References:
        S. Lahlou, M. Jain, H. Nekoei, V. I. Butoi, P. Bertin, J. Rector-Brooks, M. Korablyov, Y. Bengio, "DEUP: Direct
        Epistemic Uncertainty Prediction", TMLR 2023, section 3.
    """
    check_number("ridge", ridge, 0.0)

    def fit(
        features: Float[Array, "n dimension"], labels: Float[Array, " n"] | None = None, *, where: Any = None
    ) -> RiskState:
        if labels is None:
            raise ArrayError("errors are missing; this score learns from the error of each example")
        return _fitted(features, labels, where, ridge)

    return FeatureScore(fit, _score)


@checked
@widened
def _fitted(
    features: Float[Array, "n dimension"], errors: Float[Array, " n"], where: Bool[Array, " n"] | None, ridge: float
) -> RiskState:
    factors, errors = weighted(where, None, errors=errors)
    features, count = select(features, where), jnp.maximum(jnp.sum(factors), 1)
    share = factors / count
    centre = share @ features
    centred = select(features - centre[None], factors != 0)
    spread = jnp.sqrt(jnp.maximum(share @ jnp.square(centred), 0))
    scale = jnp.where(spread > 0, spread, 1)
    design = jax.lax.stop_gradient(jnp.concatenate([centred / scale[None], jnp.ones_like(errors)[:, None]], axis=1))
    still = jax.lax.stop_gradient(errors)
    stiff = ridge * (jnp.arange(design.shape[1]) < design.shape[1] - 1).astype(design.dtype)
    level = jnp.maximum(share @ still, jnp.finfo(design.dtype).tiny)
    highest = jnp.log(jnp.finfo(design.dtype).max) / 2

    def loss(numbers: Array) -> Array:
        logs = design @ numbers
        return share @ (jnp.exp(jnp.minimum(logs, highest)) - still * logs / level) + stiff @ jnp.square(numbers) / 2

    def step(numbers: Array, damping: Array) -> Array:
        expected = share * jnp.exp(jnp.minimum(design @ numbers, highest))
        gradient = design.T @ (expected - share * still / level) + stiff * numbers
        return numbers - solved((design * expected[:, None]).T @ design + jnp.diag(stiff), gradient, damping)

    numbers = damped(step, loss, jnp.zeros_like(design[0]) if design.shape[0] else jnp.zeros(design.shape[1]), design)
    defined = (jnp.sum(factors) > 0) & no_nan(errors, features) & ~jnp.any(errors < 0)
    numbers = undefined_unless(defined, numbers)
    return RiskState(numbers[:-1], numbers[-1] + jnp.log(level), centre, scale)


@checked
@widened
def _score(state: RiskState, features: Float[Array, "m dimension"]) -> Float[Array, " m"]:
    width = state.slopes.shape[0]
    if features.shape[-1] != width:
        raise ArrayError(f"features has shape {features.shape}; the state was fitted to {width} of them")
    return jnp.exp(((features - state.centre[None]) / state.scale[None]) @ state.slopes + state.intercept)
