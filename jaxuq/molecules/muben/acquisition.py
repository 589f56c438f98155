"""Which molecules to label next: scores of a forecast, and the choice of the highest."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

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


def choose_rows(
    scores: Float[np.ndarray, " molecules"],
    labelled: Integer[np.ndarray, " labelled"],
    number: int,
    *,
    labels: Integer[np.ndarray, " molecules"] | None = None,
) -> Integer[np.ndarray, " chosen"]:
    """The molecules with the highest scores among those that have no label yet, for so many labels.

    A molecule brings all its labels. From the highest score down, each is taken whose labels still fit; so the number
    is met exactly where molecules with few labels are left, and is exceeded only where the first alone exceeds it.

    Args:
        scores: of all molecules, those with labels too; minus infinity or NaN is never chosen.
        labelled: rows that are out of the question.
        number: of labels wanted.
        labels: how many each molecule has to give; one without any is never chosen. None: one each.

    Returns:
        Their rows, the highest score first; of equal ones the first.

    Example:
        >>> choose_rows(np.array([5.0, 1.0, 3.0, 3.0]), np.array([0]), 2).tolist()
        [2, 3]
        >>> choose_rows(
        ...     np.array([5.0, 1.0, 3.0, -np.inf]), np.array([], int), 4, labels=np.array([3, 1, 2, 1])
        ... ).tolist()
        [0, 1]
    """
    labels = np.ones(len(scores), int) if labels is None else labels
    scores = np.where(np.isnan(scores), -np.inf, scores).astype(np.float64)
    left = np.setdiff1d(np.flatnonzero((scores > -np.inf) & (labels > 0)), labelled)
    chosen: list[int] = []
    for row in left[np.argsort(-scores[left], kind="stable")].tolist():
        if number <= 0:
            break
        if labels[row] <= number or not chosen:
            chosen.append(row)
            number -= int(labels[row])
    return np.array(chosen, np.int64)
