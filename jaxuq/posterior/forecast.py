r"""Forecasts: what a set of posterior samples says about each input, split into aleatoric and epistemic parts.

    outputs  = predict(apply_fn, samples, inputs)          # [samples, n, ...], every sample's network outputs
    forecast = summarise(outputs, likelihood)              # the samples are averaged away
    forecast = predict_forecast(apply_fn, samples, inputs, likelihood)   # both at once, memory without the sample axis

Any of them can be made by hand from one prediction, such as `CategoricalForecast(logits)`: its own noise is then all
aleatoric and nothing is epistemic.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxuq._arrays import as_float
from jaxuq._entropies import bernoulli_entropy, categorical_entropy


class _Parts:
    """The sum that all forecasts have."""

    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]

    @property
    def total(self) -> Float[Array, "*batch"]:
        """`aleatoric + epistemic`: the predictive variance, or the entropy of the averaged prediction in nats."""
        return as_float(self.aleatoric, self.aleatoric, self.epistemic) + as_float(
            self.epistemic, self.aleatoric, self.epistemic
        )


class _Gaussian(NamedTuple):
    mean: Float[Array, "*batch"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]


class GaussianForecast(_Parts, _Gaussian):
    r"""A predictive mean and the two parts of its variance.

    The law of total variance over parameter samples $\theta$:
    $\mathrm{Var}[y] = \mathbb{E}_\theta[\sigma^2_\theta] + \mathrm{Var}_\theta[\mu_\theta]$.

    Attributes:
        mean: $\mathbb{E}_\theta[\mu_\theta]$, in the units of the labels.
        aleatoric: $\mathbb{E}_\theta[\sigma^2_\theta] > 0$, a variance: noise that more data would not remove.
        epistemic: $\mathrm{Var}_\theta[\mu_\theta] \ge 0$, a variance: disagreement between the samples; 0 if it is
            left out.
    """

    __slots__ = ()

    def __new__(cls, mean: Any, aleatoric: Any, epistemic: Any = None):  # noqa: D102
        return super().__new__(cls, mean, aleatoric, _or_zero(epistemic, mean))


class _Bernoulli(NamedTuple):
    logits: Float[Array, "*batch"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]


class BernoulliForecast(_Parts, _Bernoulli):
    """Probabilities of independent binary tasks and the two parts of their entropy.

    Attributes:
        logits: log odds of the averaged probability, `log p - log(1 - p)`; exact where p rounds to 0 or 1.
        aleatoric: mean over samples of the entropy of each sample's prediction, nats, in [0, log 2]; the entropy of the
            logits if it is left out.
        epistemic: mutual information between label and parameters, nats, >= 0: total entropy minus `aleatoric`; 0 if it
            is left out.
    """

    __slots__ = ()

    def __new__(cls, logits: Any, aleatoric: Any = None, epistemic: Any = None):  # noqa: D102
        noise: Any = aleatoric
        if aleatoric is None and _is_array(logits):
            noise = bernoulli_entropy(as_float(logits))
        return super().__new__(cls, logits, noise, _or_zero(epistemic, noise))

    @property
    def probabilities(self) -> Float[Array, "*batch"]:
        """Probability of the positive class."""
        return jax.nn.sigmoid(self.logits)


class _Categorical(NamedTuple):
    logits: Float[Array, "*batch classes"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]


class CategoricalForecast(_Parts, _Categorical):
    """Class probabilities and the two parts of their entropy.

    Attributes:
        logits: log of the averaged class probabilities; from `summarise` normalised (their logsumexp is 0), by hand any
            logits.
        aleatoric: mean over samples of the entropy of each sample's prediction, nats, in [0, log classes]; the entropy
            of the logits if it is left out.
        epistemic: mutual information between label and parameters, nats, >= 0; 0 if it is left out.
    """

    __slots__ = ()

    def __new__(cls, logits: Any, aleatoric: Any = None, epistemic: Any = None):  # noqa: D102
        noise: Any = aleatoric
        if aleatoric is None and _is_array(logits):
            noise = categorical_entropy(as_float(logits))
        return super().__new__(cls, logits, noise, _or_zero(epistemic, noise))

    @property
    def probabilities(self) -> Float[Array, "*batch classes"]:
        """Class probabilities; they sum to 1 over the last axis."""
        return jax.nn.softmax(self.logits, axis=-1)


class _Poisson(NamedTuple):
    mean: Float[Array, "*batch"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]


class PoissonForecast(_Parts, _Poisson):
    r"""A predictive rate of counts and the two parts of their variance.

    Attributes:
        mean: $\mathbb{E}_\theta[\lambda_\theta]$, counts.
        aleatoric: the same number, for a Poisson variable's variance is its rate; filled in if it is left out.
        epistemic: $\mathrm{Var}_\theta[\lambda_\theta]$; 0 if it is left out.
    """

    __slots__ = ()

    def __new__(cls, mean: Any, aleatoric: Any = None, epistemic: Any = None):  # noqa: D102
        return super().__new__(cls, mean, mean if aleatoric is None else aleatoric, _or_zero(epistemic, mean))


def _is_array(value: Any) -> bool:
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _or_zero(epistemic: Any, like: Any) -> Any:
    return jnp.zeros_like(like) if epistemic is None and _is_array(like) else epistemic


Forecast = GaussianForecast | BernoulliForecast | CategoricalForecast
"""Those that the benchmark reads; a likelihood may make any other."""
