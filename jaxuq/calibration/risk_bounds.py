"""What is known of the risk of each setting from examples: a conformal choice, a bound, p-values."""

import math
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxuq._arrays import as_float, check_shapes
from jaxuq._meshes import divided_like
from jaxuq._options import check_choice, check_count, check_number
from jaxuq._shapes import checked


@checked
def conformal_risk_control(
    risks: Float[Array, " settings"], n: int, *, level: float, highest: float = 1.0
) -> Int[Array, ""]:
    r"""The first setting whose expected loss is guaranteed: conformal risk control.

    $$\hat\lambda = \inf\left\{\lambda : \tfrac{n}{n+1} \hat R(\lambda) + \tfrac{B}{n+1} \le \alpha\right\}$$

    For losses that do not grow along the settings. $E[\text{loss}] \le \alpha$ on a new example. For losses that may
    go up and down see `learn_then_test`.

    Args:
        risks: $\hat R$, mean loss of each setting on n calibration examples, not increasing.
        n: examples.
        level: $\alpha$ in (0, 1).
        highest: $B$, largest possible loss.

    Returns:
        Index of the setting; the number of settings if there is none.

    Raises:
        OptionError: if `level` is not in (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> conformal_risk_control(jnp.array([4, 2, 1, 0]) / 9, 9, level=0.2).tolist()
        2

    References:
        Angelopoulos, Bates, Fisch, Lei and Schuster. Conformal Risk Control. ICLR 2024, Eq 4.
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    n = check_count("n", n)
    bounds = (n * as_float(risks) + highest) / (n + 1)
    fits = bounds <= level * (1 + 1e-6)  # a tie in exact arithmetic is no miss
    return jnp.sum(jnp.cumsum(fits) == 0).astype(jnp.int32)


def hoeffding_bound(risks: Float[Array, "*settings"], n: int, *, delta: float) -> Float[Array, "*settings"]:
    r"""Upper confidence bound of a mean loss in [0, 1]: $\hat R + \sqrt{\log(1/\delta) / (2n)}$.

    Risk-controlling prediction sets take the smallest setting from which on every bound is below the wanted risk.

    Args:
        risks: $\hat R$ on n examples.
        n: examples.
        delta: chance that the bound is exceeded, in (0, 1).

    Returns:
        Bounds, each valid with probability 1 - delta.

    Raises:
        OptionError: if `delta` is not in (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(hoeffding_bound(jnp.array(0.05), 100, delta=0.1)), 4)
        0.1573

    References:
        Bates, Angelopoulos, Lei, Malik and Jordan. Distribution-free, Risk-controlling Prediction Sets. JACM 2021.
    """
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    return as_float(risks) + math.sqrt(-0.5 * math.log(delta) / check_count("n", n))


def _binomial_tail(successes, n, probability):
    """P(Bin(n, probability) <= successes), by the incomplete beta function."""
    inside = successes < n
    k = jnp.where(inside, successes, 0.0)
    shares = jnp.full_like(k, 1.0 - probability)
    # its loop is lowered without a thought of explicit meshes
    tail = divided_like(jax.scipy.special.betainc, k, jnp.maximum(n - k, 1.0), k + 1.0, shares)
    return jnp.where(inside, tail, 1.0)


def risk_p_values(
    risks: Float[Array, "*settings"],
    counts: Float[Array, "*settings"],
    *,
    level: float,
    loss: Literal["binary", "bounded"] = "binary",
) -> Float[Array, "*settings"]:
    r"""p-values of the hypotheses "the risk of this setting exceeds the level".

    Binary losses: $P(\mathrm{Bin}(n, \alpha) \le n \hat R)$, exact. Losses in [0, 1] (Hoeffding-Bentkus):
    $\min(e^{-n\, \mathrm{kl}(\min(\hat R, \alpha) \Vert \alpha)},\ e\, P(\mathrm{Bin}(n, \alpha) \le
    \lceil n \hat R \rceil))$.

    Args:
        risks: $\hat R$, mean loss of each setting.
        counts: $n$, examples that each mean is over (accepted ones, for abstention).
        level: $\alpha$ in (0, 1).
        loss: see above.

    Returns:
        p-values; 1 where `counts` is 0.

    Raises:
        OptionError: if `level` is not in (0, 1) or `loss` is unknown.
        ArrayError: if the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(risk_p_values(jnp.array(0.05), jnp.array(100.0), level=0.1)), 4)
        0.0576

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test: Calibrating Predictive Algorithms to Achieve Risk
        Control. Annals of Applied Statistics 2025 (arXiv 2110.01052).
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    check_choice("loss", loss, ("binary", "bounded"))
    check_shapes(risks=risks, counts=counts)
    risks, counts = as_float(risks), as_float(counts, risks)
    totals = risks * counts
    if loss == "binary":
        values = _binomial_tail(jnp.round(totals), counts, level)
    else:
        below = jnp.minimum(risks, level)
        rest = 1.0 - below
        divergence = jax.scipy.special.xlogy(below, below / level) + jax.scipy.special.xlogy(rest, rest / (1.0 - level))
        bentkus = jnp.e * _binomial_tail(jnp.ceil(totals - 1e-4), counts, level)
        values = jnp.minimum(jnp.exp(-counts * divergence), jnp.minimum(bentkus, 1.0))
    return jnp.where(counts > 0, values, 1.0)
