"""When to stop buying labels, by rows that were put aside for it, with a guarantee."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxuq._arguments import typed
from jaxuq._errors import OptionError
from jaxuq._options import check_count, check_number
from jaxuq.calibration import risk_p_values


@typed()
def promised_stop(
    risks: Float[np.ndarray, " rounds"],
    count: int,
    *,
    level: float,
    delta: float = 0.1,
    loss: Literal["binary", "bounded"] = "bounded",
) -> int | None:
    r"""The first round whose model is promised to err no more than wanted.

    $$t^* = \min\{t : p_t \le \delta / T\}, \qquad P(\exists\, t^*,\ R_{t^*} > \alpha) \le \delta$$

    with $p_t$ the p-value of "the risk of round $t$ exceeds $\alpha$" (`risk_p_values`) and $T$ the number of rounds
    that there may be: a false stop needs one of $T$ tests to be false (Bonferroni), whatever chose the labels of the
    rounds. It holds for rows like those that were put aside, if these were drawn at random and neither trained on nor
    chosen by.

    Args:
        risks: $\hat R_t$, mean loss in [0, 1] of each round's model on the rows that were put aside.
        count: how many these are.
        level: $\alpha$, the risk that is wanted, in (0, 1).
        delta: how often stopping may break the promise, in (0, 1).
        loss: `"binary"` (exact) or anything in [0, 1] (Hoeffding and Bentkus).

    Returns:
        Number of the round, from 0; None if no round can be promised.

    Raises:
        OptionError: an option out of range.

    Example:
        >>> promised_stop(np.array([0.4, 0.15, 0.05]), 100, level=0.2, loss="binary")
        2

    References:
        Angelopoulos, Bates, Candès, Jordan and Lei. Learn Then Test: Calibrating Predictive Algorithms to Achieve Risk
        Control. Annals of Applied Statistics 2025 (arXiv 2110.01052), section 2.
    """
    check_number("delta", delta, 0.0, 1.0, open_low=True, open_high=True)
    check_count("count", count)
    if not len(risks):
        raise OptionError("there is no round; expected the risk of one at least")
    counts = jnp.full(len(risks), count, jnp.float32)
    values = np.asarray(risk_p_values(jnp.asarray(risks, jnp.float32), counts, level=level, loss=loss))
    passed = np.flatnonzero(values <= delta / len(risks))
    return int(passed[0]) if len(passed) else None
