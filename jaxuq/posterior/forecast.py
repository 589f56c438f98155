"""Forecasts: what a set of posterior samples says about each input, split into aleatoric and epistemic parts.

    outputs  = predict(apply_fn, samples, inputs)          # [samples, n, ...], every sample's network outputs
    forecast = summarise(outputs, likelihood)              # the samples are averaged away
    forecast = predict_forecast(apply_fn, samples, inputs, likelihood)   # both at once, memory without the sample axis

A likelihood says how network outputs are read: `"gaussian"` (two outputs a task: mean and raw variance), `"bernoulli"`
(one logit a task) or `"categorical"` (one logit a class).
"""

from typing import NamedTuple

import jax
from jaxtyping import Array, Float


class GaussianForecast(NamedTuple):
    r"""A predictive mean and the two parts of its variance.

    The law of total variance over parameter samples $\theta$:
    $\mathrm{Var}[y] = \mathbb{E}_\theta[\sigma^2_\theta] + \mathrm{Var}_\theta[\mu_\theta]$.

    Attributes:
        mean: $\mathbb{E}_\theta[\mu_\theta]$, in the units of the labels.
        aleatoric: $\mathbb{E}_\theta[\sigma^2_\theta] > 0$, a variance: noise that more data would not remove.
        epistemic: $\mathrm{Var}_\theta[\mu_\theta] \ge 0$, a variance: disagreement between the samples.
    """

    mean: Float[Array, "*batch"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]

    @property
    def total(self) -> Float[Array, "*batch"]:
        """The predictive variance, `aleatoric + epistemic`."""
        return self.aleatoric + self.epistemic


class BernoulliForecast(NamedTuple):
    """Probabilities of independent binary tasks and the two parts of their entropy.

    Attributes:
        logits: log odds of the averaged probability, `log p - log(1 - p)`; exact where p rounds to 0 or 1.
        aleatoric: mean over samples of the entropy of each sample's prediction, nats, in [0, log 2].
        epistemic: mutual information between label and parameters, nats, >= 0: total entropy minus `aleatoric`.
    """

    logits: Float[Array, "*batch"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]

    @property
    def probabilities(self) -> Float[Array, "*batch"]:
        """Probability of the positive class."""
        return jax.nn.sigmoid(self.logits)

    @property
    def total(self) -> Float[Array, "*batch"]:
        """Entropy of the averaged prediction, nats."""
        return self.aleatoric + self.epistemic


class CategoricalForecast(NamedTuple):
    """Class probabilities and the two parts of their entropy.

    Attributes:
        logits: log of the averaged class probabilities (normalised: their logsumexp is 0).
        aleatoric: mean over samples of the entropy of each sample's prediction, nats, in [0, log classes].
        epistemic: mutual information between label and parameters, nats, >= 0.
    """

    logits: Float[Array, "*batch classes"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]

    @property
    def probabilities(self) -> Float[Array, "*batch classes"]:
        """Class probabilities; they sum to 1 over the last axis."""
        return jax.nn.softmax(self.logits, axis=-1)

    @property
    def total(self) -> Float[Array, "*batch"]:
        """Entropy of the averaged prediction, nats."""
        return self.aleatoric + self.epistemic


Forecast = GaussianForecast | BernoulliForecast | CategoricalForecast
