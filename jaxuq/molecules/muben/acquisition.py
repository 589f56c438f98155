"""Which molecules to label next: scores of a forecast."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxuq.molecules.scaling import LabelScaler
from jaxuq.posterior import BernoulliForecast, Forecast


def acquisition_scores(
    forecast: Forecast, acquisition: str, scaler: LabelScaler, *, where: Bool[Array, "molecules tasks"] | None = None
) -> Float[Array, " molecules"]:
    r"""How much the label of each molecule is wanted; higher is more.

    | acquisition | classification | regression |
    |---|---|---|
    | `"uncertainty"` | $-\lvert p - \tfrac12 \rvert$ | total variance |
    | `"epistemic"` | mutual information of label and parameters | variance of the means |

    averaged over the tasks that have a label to give; variances are of standardised labels, so that no task outweighs
    another by its unit. `"uncertainty"` is the published choice: it also wants labels that are noise and would be
    so again. `"epistemic"` wants what the model could learn (BALD); it is zero for a single network.

    Args:
        forecast: of the molecules, in label units; `mean` or `logits` are `[molecules, tasks]`.
        acquisition: `"uncertainty"` or `"epistemic"`.
        scaler: of the labels known so far.
        where: which labels there are to be had; None: all. A molecule without any gets minus infinity.

    Returns:
        The scores.

    Raises:
        ValueError: the acquisition is unknown, or `"random"`.

    Example:
        >>> logits = jnp.array([[0.0], [4.0]])
        >>> forecast = BernoulliForecast(logits, jnp.zeros((2, 1)), jnp.array([[0.1], [0.3]]))
        >>> scaler = LabelScaler(jnp.zeros(1), jnp.ones(1))
        >>> [int(acquisition_scores(forecast, name, scaler).argmax()) for name in ("uncertainty", "epistemic")]
        [0, 1]

    References:
        B. Settles, Active Learning Literature Survey, University of Wisconsin-Madison, 2009, section 3.1.
        N. Houlsby et al., Bayesian Active Learning for Classification and Preference Learning, arXiv 1112.5745, 2011.
    """
    if acquisition not in ("uncertainty", "epistemic"):
        raise ValueError(f"acquisition is {acquisition!r}; those with a score are uncertainty and epistemic")
    if isinstance(forecast, BernoulliForecast):
        margin = jnp.abs(1 / (1 + jnp.exp(-forecast.logits)) - 0.5)
        scores = -margin if acquisition == "uncertainty" else forecast.epistemic
    else:
        variance = forecast.total if acquisition == "uncertainty" else forecast.epistemic
        scores = variance / jnp.broadcast_to(scaler.scale, variance.shape) ** 2
    if where is None:
        return scores.mean(axis=1)
    count = where.sum(axis=1)
    mean = jnp.where(where, scores, 0).sum(axis=1) / jnp.maximum(count, 1).astype(scores.dtype)
    return jnp.where(count > 0, mean, -jnp.inf)
