"""Settings whose risk is controlled with high probability, and from which confidence on to answer."""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from jaxuq._arrays import as_float, counted, select, undefined_unless, within_unit
from jaxuq._options import check_choice, check_number
from jaxuq._shapes import checked
from jaxuq.calibration.risk_bounds import risk_p_values


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
        OptionError: if `delta` is not in (0, 1) or `procedure` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> learn_then_test(jnp.array([0.052, 0.088, 0.229, 0.01]), delta=0.1).tolist()
        [True, True, False, False]

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test. arXiv 2110.01052, 2021.
    """
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    check_choice("procedure", procedure, ("fixed_sequence", "bonferroni", "holm"))
    p_values = as_float(p_values)
    size = p_values.shape[0]
    if procedure == "bonferroni":
        return p_values <= delta / max(size, 1)
    if procedure == "fixed_sequence":
        return jnp.cumsum(~(p_values <= delta)) == 0  # a NaN passes no test
    order = jnp.argsort(p_values)
    steps = delta / (size - jnp.arange(size, dtype=p_values.dtype))
    passed = jnp.cumsum(~(p_values[order] <= steps)) == 0
    return passed[jnp.argsort(order)]


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
        correct: whether each was answered right: True or 1; anything between 0 and 1 is not.
        thresholds: to try, falling, chosen before looking at the data; start where enough answers are accepted.
        level: $\alpha$, wanted error rate among accepted answers.
        delta: chance that the guarantee fails.
        where: True for the questions that count; None counts all.

    Returns:
        The most lenient threshold that passes (accept at or above it); infinity if none does, NaN for a label
        outside [0, 1].

    Raises:
        OptionError: if `level` or `delta` is not in (0, 1).
        ArrayError: if the shapes of confidence, correct and mask differ.

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
    confidence = select(as_float(confidence), where, -jnp.inf)
    thresholds = as_float(thresholds, confidence)
    labels = select(as_float(correct), where)
    wrong = valid & (labels != 1)

    def at(threshold: Array) -> tuple[Array, Array]:
        accepted = valid & (confidence >= threshold)
        return jnp.sum(accepted & wrong).astype(jnp.float32), jnp.sum(accepted).astype(jnp.float32)

    errors, counts = jax.lax.map(at, thresholds)
    passed = learn_then_test(risk_p_values(errors / jnp.maximum(counts, 1.0), counts, level=level), delta=delta)
    threshold = jnp.min(jnp.where(passed, thresholds, jnp.inf), initial=jnp.inf)
    return undefined_unless(within_unit(labels), threshold)
