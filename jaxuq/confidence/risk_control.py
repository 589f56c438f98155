"""Guarantees on what is let through: conformal answer sets, risk control, abstention.

`jaxuq.calibration.conformal_threshold` gives the quantile behind the conformal methods here.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped

from jaxuq._arrays import as_float, check_choice, check_number, counted, select
from jaxuq._shapes import checked


@checked
def answer_nonconformity(
    clusters: Int[Array, " samples"],
    correct: Bool[Array, " samples"],
    *,
    where: Bool[Array, " samples"] | None = None,
) -> Float[Array, ""]:
    r"""How strange the right answer is among sampled ones: one minus its frequency. Infinite if it was not sampled.

    The score of a calibration question for `conformal_threshold`. Where the right answer is often not among the
    samples, a high coverage is impossible and the threshold is infinite.

    Args:
        clusters: 0, 1, ... of the samples' answers; -1 for samples without one.
        correct: whether a sample's answer is right.
        where: True for the samples drawn; None counts all.

    Returns:
        In [0, 1), or infinity.

    Example:
        >>> import jax.numpy as jnp
        >>> print(answer_nonconformity(jnp.array([0, 0, 1, 0]), jnp.array([True, True, False, True])))
        0.25

    References:
        Su et al. API Is Enough: Conformal Prediction for Large Language Models Without Logit-Access. Findings of EMNLP
        2024.
    """
    frequencies = _frequencies(clusters, where)
    right = correct & (frequencies > 0)
    return jnp.where(jnp.any(right), 1.0 - jnp.max(jnp.where(right, frequencies, 0.0)), jnp.inf)


@checked
def answer_set(
    clusters: Int[Array, " samples"], threshold: Float[Array, ""], *, where: Bool[Array, " samples"] | None = None
) -> Bool[Array, " samples"]:
    r"""The sampled answers that a conformal threshold lets into the set: $1 - n_c / K \le \hat q$.

    Args:
        clusters: 0, 1, ... of the samples' answers; -1 for samples without one.
        threshold: from `conformal_threshold` of `answer_nonconformity` over calibration questions.
        where: True for the samples drawn; None counts all.

    Returns:
        True for the samples whose answer is in the set (all samples of a cluster alike).

    Example:
        >>> import jax.numpy as jnp
        >>> answer_set(jnp.array([0, 0, 1, 2]), jnp.array(0.6)).tolist()
        [True, True, False, False]

    References:
        Su et al. API Is Enough. Findings of EMNLP 2024.
    """
    frequencies = _frequencies(clusters, where)
    return (frequencies > 0) & (1.0 - frequencies <= threshold)


def _frequencies(clusters, where):
    """Share of the samples drawn that say the same as each; 0 where masked or without an answer."""
    drawn = counted(where, clusters)
    usable = drawn & (clusters >= 0)
    size = clusters.shape[0]
    counts = jnp.zeros((size,), jnp.float32).at[jnp.where(usable, clusters, size)].add(1.0, mode="drop")
    mine = counts[jnp.where(usable, clusters, 0)] / jnp.maximum(jnp.sum(drawn), 1).astype(jnp.float32)
    return jnp.where(usable, mine, 0.0)


@checked
def claim_nonconformity(
    scores: Float[Array, " claims"], correct: Shaped[Array, " claims"], *, where: Bool[Array, " claims"] | None = None
) -> Float[Array, ""]:
    r"""The least threshold above which every claim of an answer is right: the highest score of a wrong claim.

    Conformal factuality: keep the claims with a score above `conformal_threshold` of these over calibration answers,
    and all that is kept is right with the wanted probability.

    Args:
        scores: confidence of each claim.
        correct: whether it is right.
        where: True for the claims that count; None counts all.

    Returns:
        A scalar; minus infinity if no claim is wrong.

    Example:
        >>> import jax.numpy as jnp
        >>> print(round(float(claim_nonconformity(jnp.array([0.9, 0.4, 0.6]), jnp.array([1, 0, 1]))), 2))
        0.4

    References:
        Mohri and Hashimoto. Language Models with Conformal Factuality Guarantees. ICML 2024.
    """
    valid = counted(where, scores)
    wrong = valid & ~(select(as_float(correct), valid) > 0)
    return jnp.max(select(scores, wrong, -jnp.inf))


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
        ValueError: if `level` is not in (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> conformal_risk_control(jnp.array([4, 2, 1, 0]) / 9, 9, level=0.2).tolist()
        2

    References:
        Angelopoulos, Bates, Fisch, Lei and Schuster. Conformal Risk Control. ICLR 2024, Eq 4.
    """
    check_number("level", level, 0.0, 1.0, open_low=True, open_high=True)
    bounds = (n * risks + highest) / (n + 1)
    fits = bounds <= level * (1 + 1e-6)  # a tie in exact arithmetic is no miss
    return jnp.where(jnp.any(fits), jnp.argmax(fits), risks.shape[0]).astype(jnp.int32)


@checked
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
        ValueError: if `delta` is not in (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> round(float(hoeffding_bound(jnp.array(0.05), 100, delta=0.1)), 4)
        0.1573

    References:
        Bates, Angelopoulos, Lei, Malik and Jordan. Distribution-free, Risk-controlling Prediction Sets. JACM 2021.
    """
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    return risks + (-0.5 * jnp.log(delta) / n) ** 0.5


def _binomial_tail(successes, n, probability):
    """P(Bin(n, probability) <= successes), by the incomplete beta function."""
    inside = successes < n
    k = jnp.where(inside, successes, 0.0)
    share = jnp.broadcast_to(jnp.asarray(1.0 - probability, k.dtype), k.shape)
    return jnp.where(inside, jax.scipy.special.betainc(jnp.maximum(n - k, 1.0), k + 1.0, share), 1.0)


@checked
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
        ValueError: if `level` is not in (0, 1) or `loss` is unknown.

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


@checked
def learn_then_test(
    p_values: Float[Array, " settings"],
    *,
    delta: float,
    procedure: Literal["fixed_sequence", "bonferroni", "holm"] = "fixed_sequence",
) -> Bool[Array, " settings"]:
    r"""Settings whose risk is controlled, all at once, with probability $1 - \delta$.

    | procedure | rejects |
    |---|---|
    | "fixed_sequence" | in the given order, each at $\delta$, until the first that fails |
    | "bonferroni" | $p \le \delta / m$ |
    | "holm" | the sorted p-values while $p_{(i)} \le \delta / (m - i + 1)$ |

    No monotonicity is needed. The order of a fixed sequence must not be chosen on the same data; start where there are
    enough examples.

    Args:
        p_values: see `risk_p_values`.
        delta: in (0, 1).
        procedure: see above.

    Returns:
        True for the settings that may be used.

    Raises:
        ValueError: if `delta` is not in (0, 1) or `procedure` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> learn_then_test(jnp.array([0.052, 0.088, 0.229, 0.01]), delta=0.1).tolist()
        [True, True, False, False]

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test. arXiv 2110.01052, 2021.
    """
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    check_choice("procedure", procedure, ("fixed_sequence", "bonferroni", "holm"))
    size = p_values.shape[0]
    if procedure == "bonferroni":
        return p_values <= delta / size
    if procedure == "fixed_sequence":
        return jnp.cumsum(p_values > delta) == 0
    order = jnp.argsort(p_values)
    steps = delta / (size - jnp.arange(size, dtype=p_values.dtype))
    passed = jnp.cumsum(p_values[order] > steps) == 0
    return jnp.zeros((size,), bool).at[order].set(passed)


@checked
def abstention_threshold(
    confidence: Float[Array, " n"],
    correct: Shaped[Array, " n"],
    thresholds: Float[Array, " settings"],
    *,
    level: float,
    delta: float,
    where: Bool[Array, " n"] | None = None,
) -> Float[Array, ""]:
    r"""The confidence from which on to answer, so that of the answers given at most a share is wrong.

    With probability $1 - \delta$ over the calibration questions, the error rate among accepted answers is at most
    $\alpha$: `risk_p_values` of the accepted at each threshold and a fixed sequence from strict to lenient.

    Args:
        confidence: of calibration questions.
        correct: whether each was answered right.
        thresholds: to try, falling, chosen before looking at the data; start where enough answers are accepted.
        level: $\alpha$, wanted error rate among accepted answers.
        delta: chance that the guarantee fails.
        where: True for the questions that count; None counts all.

    Returns:
        The most lenient threshold that passes (accept at or above it); infinity if none does.

    Raises:
        ValueError: if `level` or `delta` is not in (0, 1).

    Example:
        >>> import jax.numpy as jnp
        >>> confidence, correct = jnp.linspace(1, 0, 101), jnp.arange(101) < 60
        >>> thresholds = jnp.array([0.7, 0.5, 0.4, 0.3])
        >>> round(float(abstention_threshold(confidence, correct, thresholds, level=0.1, delta=0.1)), 1)
        0.4

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test. arXiv 2110.01052, 2021.
    """
    valid = counted(where, confidence)
    confidence = select(confidence, valid, -jnp.inf)
    wrong = valid & ~(select(as_float(correct), valid) > 0)

    def at(threshold: Array) -> tuple[Array, Array]:
        accepted = valid & (confidence >= threshold)
        return jnp.sum(accepted & wrong).astype(jnp.float32), jnp.sum(accepted).astype(jnp.float32)

    errors, counts = jax.lax.map(at, thresholds)
    passed = learn_then_test(risk_p_values(errors / jnp.maximum(counts, 1.0), counts, level=level), delta=delta)
    return jnp.min(jnp.where(passed, thresholds, jnp.inf))
