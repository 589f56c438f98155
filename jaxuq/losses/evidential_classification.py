"""Evidential classification: the network predicts a Dirichlet distribution over class probabilities."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Bool, Float, Integer

from jaxuq._arrays import as_float, is_class, product, select, undefined_unless, within_classes
from jaxuq._options import check_number
from jaxuq._shapes import checked


class DirichletMoments(NamedTuple):
    """What a Dirichlet distribution over class probabilities says about the label.

    Attributes:
        probabilities: expected class probabilities.
        aleatoric: expected entropy of the label given the probabilities, nats.
        epistemic: mutual information between label and probabilities, nats, >= 0.
    """

    probabilities: Float[Array, "*batch classes"]
    aleatoric: Float[Array, "*batch"]
    epistemic: Float[Array, "*batch"]


@checked
def dirichlet_concentrations(
    logits: Float[Array, "*batch classes"],
    *,
    activation: Callable[[Float[Array, "..."]], Float[Array, "..."]] = jax.nn.softplus,
) -> Float[Array, "*batch classes"]:
    r"""Read unbounded network outputs as the concentrations of a Dirichlet distribution.

    $$\alpha_k = 1 + e_k, \qquad e_k = \mathrm{softplus}(z_k) \ge 0$$

    Evidence 0 for every class is the uniform distribution over probabilities: "I do not know". These outputs are not
    logits of a softmax.

    Args:
        logits: raw outputs, classes on the last axis (two outputs for a binary task).
        activation: makes the evidence non-negative. Sensoy et al. use a rectifier (`jax.nn.relu`), whose gradient
            vanishes for a class without evidence; softplus keeps it alive.

    Returns:
        Concentrations >= 1, in at least single precision.

    Example:
        >>> import jax.numpy as jnp
        >>> [round(float(value), 4) for value in dirichlet_concentrations(jnp.array([-100.0, 0.0]))]
        [1.0, 1.6931]

    References:
        M. Sensoy, L. Kaplan, M. Kandemir, "Evidential Deep Learning to Quantify Classification Uncertainty", NeurIPS
        2018, section 3.
    """
    return 1 + activation(as_float(logits))


@checked
def dirichlet_moments(concentrations: Float[Array, "*batch classes"]) -> DirichletMoments:
    r"""Expected probabilities of a Dirichlet distribution and the two parts of the label's entropy.

    $$p_k = \frac{\alpha_k}{S},\qquad
      \text{aleatoric} = \sum_k p_k\,[\psi(S + 1) - \psi(\alpha_k + 1)],\qquad
      \text{epistemic} = -\sum_k p_k \log p_k - \text{aleatoric},\qquad S = \sum_k \alpha_k$$

    Use it to turn concentrations into a forecast. Both parts are exact (no sampling); the epistemic part falls to 0 as
    the evidence grows, whatever the probabilities are.

    Args:
        concentrations: alpha > 0, classes on the last axis.

    Returns:
        Probabilities, aleatoric and epistemic entropy.

    Example:
        >>> import jax.numpy as jnp
        >>> moments = dirichlet_moments(jnp.array([1.0, 1.0]))  # the uniform distribution over a coin's bias
        >>> [round(float(value), 4) for value in (moments.aleatoric, moments.epistemic)]
        [0.5, 0.1931]

    References:
        A. Malinin, M. Gales, "Predictive Uncertainty Estimation via Prior Networks", NeurIPS 2018, the measures of
        uncertainty of section 3.
    """
    concentrations = as_float(concentrations)
    certain, probabilities, finite = _proportions(concentrations)
    total = jnp.sum(finite, axis=-1, keepdims=True)
    aleatoric = jnp.sum(probabilities * (digamma(total + 1) - digamma(finite + 1)), axis=-1)
    entropy = -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities), axis=-1)
    aleatoric = jnp.where(certain, entropy, aleatoric)
    return DirichletMoments(probabilities, aleatoric, jnp.maximum(entropy - aleatoric, 0))


def _proportions(concentrations: Array) -> tuple[Array, Array, Array]:
    """Whether a concentration is infinite, the expected probabilities, and finite concentrations for the rest.

    Infinite concentrations share all probability alike, the limit in which they grow together.
    """
    infinite = concentrations == jnp.inf
    certain = jnp.any(infinite, axis=-1, keepdims=True)
    finite = jnp.where(jnp.broadcast_to(certain, infinite.shape), jnp.ones_like(concentrations), concentrations)
    shares = jnp.where(certain, infinite.astype(finite.dtype), finite)
    return certain[..., 0], shares / jnp.sum(shares, axis=-1, keepdims=True), finite


def _divergence_from_uniform(concentrations: Array) -> Array:
    """KL divergence of Dirichlet(concentrations) from the uniform Dirichlet; infinite for an infinite concentration."""
    certain, _, concentrations = _proportions(concentrations)
    total = jnp.sum(concentrations, axis=-1, keepdims=True)
    classes = jnp.asarray(concentrations.shape[-1], concentrations.dtype)
    log_normaliser = gammaln(total[..., 0]) - gammaln(classes) - jnp.sum(gammaln(concentrations), axis=-1)
    value = log_normaliser + jnp.sum((concentrations - 1) * (digamma(concentrations) - digamma(total)), axis=-1)
    return jnp.where(certain, jnp.inf, value)


@checked
def evidential_classification_loss(
    logits: Float[Array, "*batch classes"],
    targets: Integer[Array, "*batch"],
    *,
    kl_weight: float | Float[Array, ""] = 1.0,
    activation: Callable[[Float[Array, "..."]], Float[Array, "..."]] = jax.nn.softplus,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Expected squared error under a Dirichlet, plus the divergence of its misleading evidence from none.

    $$\ell_n = \sum_k \Big[(y_{nk} - p_{nk})^2 + \frac{p_{nk} (1 - p_{nk})}{S_n + 1}\Big]
      + \lambda\, \mathrm{KL}\big[\mathrm{Dir}(\tilde\alpha_n)\,\|\,\mathrm{Dir}(1)\big],\qquad
      \tilde\alpha = y + (1 - y)\,\alpha$$

    with y one-hot. Use it for one network with an epistemic estimate from a single forward pass. Lambda is meant to
    grow during training, `jnp.minimum(1.0, epoch / 10)` in the paper: pass it as a traced scalar and nothing is
    recompiled. The number of classes is the length of the last axis and the labels are class numbers that become
    one-hot here; MUBen's code hands over the scalar label in the place of the one-hot vector, which is another loss.

    Args:
        logits: raw outputs; `dirichlet_concentrations` reads them. A binary task has two.
        targets: class numbers in [0, classes).
        kl_weight: lambda, in [0, 1].
        activation: as in `dirichlet_concentrations`.
        where: True where the label is known; None keeps all. The rest may hold NaN logits and any integer.

    Returns:
        The loss of each entry, in at least single precision; NaN for a target that is no class; 0, with gradient 0,
        where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: `kl_weight` is a number outside [0, 1].

    Example:
        >>> import jax, jax.numpy as jnp
        >>> logits = jnp.array([[-5.0, -5.0]])  # relu: no evidence; error 2/4, variance 2/4/3
        >>> round(float(evidential_classification_loss(logits, jnp.array([1]), activation=jax.nn.relu)[0]), 4)
        0.6667

    References:
        M. Sensoy, L. Kaplan, M. Kandemir, "Evidential Deep Learning to Quantify Classification Uncertainty", NeurIPS
        2018, Eq. 5 and the regularised loss of section 4.
    """
    if not isinstance(kl_weight, Tracer):
        check_number("kl_weight", kl_weight, 0.0, 1.0)
    concentrations = dirichlet_concentrations(select(logits, where), activation=activation)
    targets = select(targets, where)
    labels = is_class(targets, logits.shape[-1]).astype(concentrations.dtype)
    certain, probabilities, finite = _proportions(concentrations)
    total = jnp.where(certain, jnp.inf, jnp.sum(finite, axis=-1))[..., None]
    expected = jnp.square(labels - probabilities) + probabilities * (1 - probabilities) / (total + 1)
    divergence = _divergence_from_uniform(jnp.where(labels > 0, jnp.ones_like(concentrations), concentrations))
    weight = jnp.broadcast_to(jnp.asarray(kl_weight, divergence.dtype), divergence.shape)
    losses = jnp.sum(expected, axis=-1) + product(weight, divergence)
    return select(undefined_unless(within_classes(targets, logits.shape[-1]), losses), where)
