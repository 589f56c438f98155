"""How far an approximate posterior is from the exact one: in its functions, its probabilities, and its intervals."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxuq._arrays import no_nan, root, undefined_unless, widened
from jaxuq._entropies import log_softmax
from jaxuq._errors import ArrayError
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked


class TruthDistance(NamedTuple):
    """Distances of forecasts from those of exact samples; all are 0, but `coverage`, for equal posteriors.

    Attributes:
        wasserstein: sliced 2-Wasserstein distance of the outputs at all inputs together, in their units.
        divergence: mean over inputs of KL(exact || approximate), nats: of class probabilities, or of the Gaussians with
            the two predictive means and variances.
        coverage: share of the exact samples within the approximation's central intervals, each output alone; the
            intervals' level where the two agree, less where the approximation is too sure.
    """

    wasserstein: Float[Array, ""]
    divergence: Float[Array, ""]
    coverage: Float[Array, ""]


@checked
@widened
def sliced_wasserstein(
    rng_key: Key[Array, ""],
    first: Float[Array, "samples dimension"],
    second: Float[Array, "others dimension"],
    *,
    num_slices: int = 128,
) -> Float[Array, ""]:
    r"""Sliced 2-Wasserstein distance between two sets of samples: the root of the mean over directions of the squared
    distance of their projections.

    $$\mathrm{SW}_2^2 = \mathbb{E}_{\theta}\int_0^1 (F_\theta^{-1}(t) - G_\theta^{-1}(t))^2 dt$$

    Unlike the distance in many dimensions it is estimated well from few samples, and costs a sort a direction. Two sets
    of one distribution have a small distance, not 0: compare with that of two halves of the exact samples.

    Args:
        rng_key: of the directions.
        first: samples.
        second: other samples, as many as one likes; quantile functions are steps.
        num_slices: directions, one after another.

    Returns:
        A scalar >= 0, in the units of the samples.

    Raises:
        ArrayError: the dimensions differ, or a set is empty.
        OptionError: `num_slices` is out of range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> samples = jnp.array([[0.0], [1.0], [5.0]])
        >>> print(f"{sliced_wasserstein(jax.random.key(0), samples, samples + 2):.3f}")
        2.000

    References:
        N. Bonneel, J. Rabin, G. Peyré, H. Pfister. Sliced and Radon Wasserstein barycenters of measures. JMIV 2015,
        Eq. 4.
    """
    n, m = first.shape[0], second.shape[0]
    if not n * m:
        raise ArrayError(f"there are {n} and {m} samples; each set needs one or more")
    check_count("num_slices", num_slices)
    # Both quantile functions are constant between the multiples of 1/n and 1/m.
    edges = np.sort(np.concatenate([np.arange(n + 1, dtype=np.int64) * m, np.arange(m + 1, dtype=np.int64) * n]))
    widths = jnp.asarray(np.diff(edges) / (n * m), first.dtype)
    places = [jnp.asarray(np.minimum(edges[:-1] // size, count - 1), jnp.int32) for size, count in ((m, n), (n, m))]

    def one(key: Array) -> Array:
        direction = jax.random.normal(key, first.shape[1:], first.dtype)
        direction = direction / jnp.linalg.norm(direction)
        left, right = (jnp.sort(samples @ direction)[place] for samples, place in zip((first, second), places))
        return jnp.sum(widths * jnp.square(left - right))

    squares = jax.lax.map(one, jax.random.split(rng_key, num_slices))
    return root(jnp.maximum(jnp.mean(squares), 0))


@checked
@widened
def distance_to_truth(
    rng_key: Key[Array, ""],
    outputs: Float[Array, "samples n ..."],
    truth: Float[Array, "others n ..."],
    likelihood: str,
    *,
    level: float = 0.9,
    num_slices: int = 128,
) -> TruthDistance:
    r"""Compare the outputs of an approximate posterior's samples with those of the exact one, such as `nuts` gives.

    A difference in parameters may not matter, and a small one may: so functions are compared, at inputs that matter.
    Where NUTS is too slow for all parameters, compare last layers on one network's features: for it and every method.

        exact = nuts(rng_key, dense, params["output"], features, labels, "bernoulli", prior_scale=1.0)
        truth = predict(dense, exact, test_features)
        for name, samples in approximations.items():
            print(name, distance_to_truth(rng_key, predict(dense, samples, test_features), truth, "bernoulli"))

    Args:
        rng_key: of the slices' directions.
        outputs: as `predict` gives them: `[samples, n, *tasks]` logits, `[samples, n, classes]`, or
            `[samples, n, *tasks, 2]` with means first, as for `summarise`.
        truth: the same of exact samples, of the same prior and at the same inputs.
        likelihood: `"bernoulli"`, `"categorical"` or `"gaussian"`; of the last, distance and coverage are of the means.
        level: of the central intervals, in (0, 1); read off the approximation's samples without interpolation.
        num_slices: directions of `sliced_wasserstein`.

    Returns:
        The three distances.

    Raises:
        OptionError: an unknown likelihood, or a number out of range.
        ArrayError: the inputs or tasks of the two differ, or there are no samples.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> truth = jax.random.normal(jax.random.key(0), (2000, 5))
        >>> for factor in (1.0, 0.5):  # the truth, and half its deviation
        ...     found = distance_to_truth(jax.random.key(1), factor * truth, truth, "bernoulli")
        ...     print(*(f"{value:.2f}" for value in (found.wasserstein, found.coverage)))
        0.00 0.90
        0.51 0.60

    References:
        J. Yao, W. Pan, S. Ghosh, F. Doshi-Velez. Quality of uncertainty quantification for Bayesian neural network
        inference. arXiv:1906.09686, 2019.
        P. Izmailov, S. Vikram, M. D. Hoffman, A. G. Wilson. What are Bayesian neural network posteriors really like?
        ICML 2021.
    """
    check_choice("likelihood", likelihood, ("bernoulli", "categorical", "gaussian"))
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    if not outputs.shape[0] * truth.shape[0]:
        raise ArrayError(f"there are {outputs.shape[0]} and {truth.shape[0]} samples; each side needs one or more")
    if outputs.shape[1:] != truth.shape[1:]:
        raise ArrayError(f"truth has shape {truth.shape} where outputs has {outputs.shape}; compare the same inputs")
    if likelihood == "gaussian":
        ours, theirs = (_normal(one) for one in (outputs, truth))
        outputs, truth = outputs[..., 0], truth[..., 0]
        ratio = (theirs[1] + jnp.square(theirs[0] - ours[0])) / ours[1]
        divergence = 0.5 * (ratio - 1 + jnp.log(ours[1]) - jnp.log(theirs[1]))
    else:
        ours, theirs = (_log_mean(one, likelihood) for one in (outputs, truth))
        certain = theirs == -jnp.inf
        gap = jnp.where(certain, 0, theirs) - jnp.where(certain, 0, ours)
        divergence = jnp.sum(jnp.exp(theirs) * gap, axis=-1)
    ordered = jnp.sort(outputs, axis=0)
    last = outputs.shape[0] - 1
    low, high = (ordered[round(last * share)] for share in ((1 - level) / 2, (1 + level) / 2))
    inside = (truth >= low[None]) & (truth <= high[None])
    flat = (one.reshape(one.shape[0], -1) for one in (outputs, truth))
    return TruthDistance(
        sliced_wasserstein(rng_key, *flat, num_slices=num_slices),
        jnp.mean(divergence),
        undefined_unless(no_nan(outputs, truth), jnp.mean(inside.astype(outputs.dtype))),
    )


def _log_mean(outputs: Array, likelihood: str) -> Array:
    """Logarithms of the mean class probabilities."""
    if likelihood == "bernoulli":
        outputs = jnp.stack([jnp.zeros_like(outputs), outputs], axis=-1)
    logs = log_softmax(outputs)
    return jax.nn.logsumexp(logs, axis=0) - jnp.log(jnp.asarray(outputs.shape[0], logs.dtype))


def _normal(outputs: Array) -> tuple[Array, Array]:
    """Predictive mean and variance."""
    mean, raw = outputs[..., 0], outputs[..., 1]
    return jnp.mean(mean, axis=0), jnp.mean(jax.nn.softplus(raw) + 1e-6, axis=0) + jnp.var(mean, axis=0)
