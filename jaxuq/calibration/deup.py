"""Direct prediction of errors (DEUP): how much of a model's risk it could still lose, learnt from its own errors."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree, Shaped

from jaxuq._arrays import as_float, select, undefined_unless, weighted, widened
from jaxuq._errors import ArrayError, OptionError
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
        OptionError: fewer than two folds; `fit` or `error` is no function.
        ArrayError: more folds than examples, not one row an example in every array, or not one error an example.

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
    for name, function in (("fit", fit), ("error", error)):
        if not callable(function):
            raise OptionError(f"{name} is {function!r}; expected a function")
    n = _rows_of(inputs, labels)
    check_count("folds", folds, 2)
    if n < folds:
        raise ArrayError(f"inputs have {n} rows for {folds} folds; give more examples or fewer folds")
    fold_key, fit_key = jax.random.split(rng_key)
    fold = jax.random.permutation(fold_key, jnp.arange(n, dtype=jnp.int32) % folds)

    def one(number: Array) -> Array:
        out = fold == number
        found = error(fit(jax.random.fold_in(fit_key, number), inputs, labels, ~out), inputs, labels)
        if jnp.shape(found) != (n,):
            raise ArrayError(f"error gives an array of shape {jnp.shape(found)}; expected one error an example, ({n},)")
        return select(as_float(found), out)

    return jnp.sum(jax.lax.map(one, jnp.arange(folds, dtype=jnp.int32)), axis=0)


def _rows_of(inputs: PyTree, labels: PyTree) -> int:
    """How many examples there are, the same in every array of both trees."""
    rows: dict[int, str] = {}
    for name, tree in (("inputs", inputs), ("labels", labels)):
        leaves = jax.tree.leaves(tree)
        if not leaves:
            raise ArrayError(f"{name} hold no array; give one row an example")
        for leaf in leaves:
            shape = getattr(leaf, "shape", None)
            if not shape:
                shown = f"a leaf of shape {shape}" if shape is not None else f"the leaf {leaf!r}"
                raise ArrayError(f"{name} have {shown}; expected arrays with one row an example")
            rows.setdefault(shape[0], name)
    if len(rows) > 1:
        (n, first), (m, second), *_ = rows.items()
        raise ArrayError(f"{first} have {n} rows where {second} have {m}; give one row an example in every array")
    return next(iter(rows))


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
    estimate sees what all members get wrong alike. Beyond the features of the fit it grows as an exponential: clip them
    to the range that was seen, or take ranks alone. Report u before it is clipped at 0: its negative values say how
    noisy it is.

    The objective is convex, and its mean prediction is the mean error exactly; a model of the logarithm of errors,
    as in the published code, gives the geometric mean, which is far below. `fit` takes damped Newton steps in `jit`.

    Args:
        ridge: $\rho \ge 0$, on standardised features.

    Returns:
        A `FeatureScore`: `fit(features, errors, *, where=None) -> RiskState`, errors >= 0 of examples that the model
        has not learnt from (`cross_fitted_errors`); `score(state, features) -> [m]` expected errors. A state of NaN
        where a number that counts is not finite, or an error below 0: clip a log density of minus infinity first.

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
    size = jnp.max(jnp.abs(features), axis=0, initial=0)
    size = jnp.where(size > 0, size, 1)
    features = features / size[None]
    centre = share @ features
    centred = select(features - centre[None], factors != 0)
    spread = jnp.sqrt(share @ jnp.square(centred))
    spread = jnp.where(spread > 16 * jnp.finfo(spread.dtype).eps, spread, 0)  # what is less is rounding
    varied = spread > 0
    unit = jnp.where(varied[None], centred / jnp.where(varied, spread, 1)[None], 0)
    design = jax.lax.stop_gradient(jnp.concatenate([unit, jnp.ones_like(errors)[:, None]], axis=1))
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
    defined = (jnp.sum(factors) > 0) & jnp.all(jnp.isfinite(errors)) & jnp.all(jnp.isfinite(features))
    defined = defined & ~jnp.any(errors < 0)
    numbers = undefined_unless(defined, numbers)
    scale = jnp.where(varied, spread * size, jnp.ones_like(size))
    return RiskState(numbers[:-1], numbers[-1] + jnp.log(level), centre * size, scale)


@checked
@widened
def _score(state: RiskState, features: Float[Array, "m dimension"]) -> Float[Array, " m"]:
    return jnp.exp(((features - state.centre[None]) / state.scale[None]) @ state.slopes + state.intercept)
