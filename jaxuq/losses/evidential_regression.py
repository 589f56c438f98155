"""Evidential regression: the network predicts a normal-inverse-gamma distribution over mean and variance."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq._arrays import as_float, select
from jaxuq._options import check_number
from jaxuq._shapes import checked


class NormalInverseGamma(NamedTuple):
    r"""Parameters of $\mu \mid \sigma^2 \sim N(\gamma, \sigma^2/\nu)$, $\sigma^2 \sim \Gamma^{-1}(\alpha, \beta)$.

    Attributes:
        gamma: expected mean, in units of the labels.
        nu: number of pseudo-observations of the mean, > 0.
        alpha: shape of the variance's distribution, > 1.
        beta: scale of the variance's distribution, > 0, in squared units of the labels.
    """

    gamma: Float[Array, "*batch"]
    nu: Float[Array, "*batch"]
    alpha: Float[Array, "*batch"]
    beta: Float[Array, "*batch"]

    @property
    def aleatoric(self) -> Float[Array, "*batch"]:
        r"""Expected noise variance $E[\sigma^2] = \beta / (\alpha - 1)$."""
        return self.beta / (self.alpha - 1)

    @property
    def epistemic(self) -> Float[Array, "*batch"]:
        r"""Variance of the mean $Var[\mu] = \beta / (\nu (\alpha - 1))$."""
        return self.beta / (self.nu * (self.alpha - 1))


@checked
def normal_inverse_gamma_parameters(
    outputs: Float[Array, "*batch 4"], *, min_evidence: float = 1e-6
) -> NormalInverseGamma:
    r"""Read four unbounded network outputs as a normal-inverse-gamma distribution.

    $$\gamma = o_0,\quad \nu = s(o_1) + \epsilon,\quad \alpha = 1 + s(o_2) + \epsilon,\quad
      \beta = s(o_3) + \epsilon,\qquad s = \mathrm{softplus}$$

    The result's `gamma`, `aleatoric` and `epistemic` are what a Gaussian forecast needs. Their sum
    $\beta(1+\nu)/(\nu(\alpha-1))$ is the variance of the predictive Student t. Two readings found elsewhere are not
    that: MUBen keeps $\beta/(\alpha-1)$ alone as the whole variance, and evidence near 0 (alpha near 1) makes any of
    them orders of magnitude too large, so recalibrate with `jaxuq.calibration.variance_scaling`. The likelihood alone
    does not determine nu (Meinert et al.): read the epistemic part as a ranking before you read it as a variance.

    Args:
        outputs: raw outputs, the four parameters on the last axis.
        min_evidence: epsilon, >= 0; keeps nu, alpha - 1 and beta away from 0.

    Returns:
        Parameters of shape `*batch`, in at least single precision.

    Raises:
        ArrayError: the last axis does not hold four outputs.
        OptionError: `min_evidence` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> parameters = normal_inverse_gamma_parameters(jnp.array([2.0, 0.0, 0.0, 0.0]))
        >>> [round(float(value), 3) for value in parameters]
        [2.0, 0.693, 1.693, 0.693]
        >>> round(float(parameters.aleatoric), 3), round(float(parameters.epistemic), 3)
        (1.0, 1.443)

    References:
        A. Amini, W. Schwarting, A. Soleimany, D. Rus, "Deep Evidential Regression", NeurIPS 2020, Eq. 5
        (the prediction and its two uncertainties).
        N. Meinert, J. Gawlikowski, A. Lavin, "The Unreasonable Effectiveness of Deep Evidential Regression", AAAI 2023.
    """
    check_number("min_evidence", min_evidence, 0.0)
    outputs = as_float(outputs)
    positive = jax.nn.softplus(outputs[..., 1:]) + min_evidence
    return NormalInverseGamma(outputs[..., 0], positive[..., 0], 1 + positive[..., 1], positive[..., 2])


@checked
def evidential_regression_loss(
    outputs: Float[Array, "*batch 4"],
    targets: Float[Array, "*batch"],
    *,
    regularisation: float = 0.01,
    min_evidence: float = 1e-6,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, "*batch"]:
    r"""Negative log marginal likelihood of a normal-inverse-gamma, plus a price on evidence for wrong means.

    $$\ell_n = -\log \mathrm{St}\Big(y_n;\ \gamma_n,\ \frac{\beta_n(1+\nu_n)}{\nu_n\alpha_n},\
      2\alpha_n\Big) + \lambda\, |y_n - \gamma_n|\, (2\nu_n + \alpha_n)$$

    Use it for one network with an epistemic estimate from a single forward pass. With `regularisation=0` it is the
    exact likelihood of a Student t with location, squared scale and degrees of freedom as above. Lambda depends on the
    scale of the labels (standardise them) and has no default that fits all data: choose it on validation data.

    The log gamma functions are taken as one log beta function, exact to float precision for large alpha, where their
    difference is not.

    Args:
        outputs: raw outputs; `normal_inverse_gamma_parameters` reads them.
        targets: labels.
        regularisation: lambda, >= 0.
        min_evidence: as in `normal_inverse_gamma_parameters`.
        where: True where the label is known; None keeps all. The rest may hold NaN.

    Returns:
        The loss of each entry, in at least single precision; 0, with gradient 0, where `where` is False.

    Raises:
        ArrayError: the shapes differ.
        OptionError: if `regularisation` or `min_evidence` is negative.

    Example:
        >>> import jax.numpy as jnp
        >>> outputs = jnp.zeros((1, 4))  # a Student t with 3.39 degrees of freedom and scale 1
        >>> round(float(evidential_regression_loss(outputs, jnp.zeros(1), regularisation=0.0)[0]), 4)
        0.9918

    References:
        A. Amini, W. Schwarting, A. Soleimany, D. Rus, "Deep Evidential Regression", NeurIPS 2020,
        section 3.
    """
    check_number("regularisation", regularisation, 0.0)
    outputs = select(as_float(outputs, outputs, targets), where)
    gamma, nu, alpha, beta = normal_inverse_gamma_parameters(outputs, min_evidence=min_evidence)
    error = select(as_float(targets, gamma), where) - gamma
    omega = 2 * beta * (1 + nu)
    log_beta = jax.scipy.special.betaln(alpha, jnp.full_like(alpha, 0.5))
    nll = 0.5 * (jnp.log(omega) - jnp.log(nu)) + log_beta + (alpha + 0.5) * jnp.log1p(nu * jnp.square(error) / omega)
    return select(nll + regularisation * jnp.abs(error) * (2 * nu + alpha), where)
