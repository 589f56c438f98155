"""Which molecules to measure next: those that tell most, not fifty times the same."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxuq._options import check_choice, check_count, check_number
from jaxuq.molecules.fitted.batches import row_bits
from jaxuq.molecules.fitted.fitting import FittedMolecules
from jaxuq.molecules.fitted.predicting import MoleculeForecast, predict_molecules
from jaxuq.molecules.records import DataError, Row
from jaxuq.molecules.scaling import LabelScaler
from jaxuq.study import Listener

Goal = Literal["learn", "high", "low"]


class Choice(NamedTuple):
    """Molecules in the order in which they were chosen.

    Attributes:
        rows: their places in the pool.
        gain: what each is expected to tell about the labels of molecules like it, in nats, given those before it.
        forecast: of the whole pool.
    """

    rows: Integer[np.ndarray, " count"]
    gain: Float[np.ndarray, " count"]
    forecast: MoleculeForecast


def choose_molecules(
    fitted: FittedMolecules,
    smiles: Sequence[Row | float | None],
    count: int,
    *,
    goal: Goal = "learn",
    task: int = 0,
    of_class: str | None = None,
    optimism: float = 2.0,
    listener: Listener | None = None,
) -> Choice:
    r"""Choose molecules of a pool, one after another, each given the measurements of those before it.

    What the networks do not know of two molecules i, j is taken to vary together as far as the molecules are alike,
    $k_{ij} = s_i s_j T_{ij}$, with $s^2$ the epistemic variance and T the Tanimoto similarity. A measurement of i, with
    the aleatoric variance $a_i$ as its noise, then leaves

    $$s_j^2 \leftarrow s_j^2 - \frac{k_{ij}^2}{s_i^2 + a_i}$$

    and tells $\frac12 \log(1 + s_i^2 / a_i)$ nats. "learn" takes the molecule that tells most; "high" and "low" the one
    with the best optimistic label, $m_i \pm \beta s_i$, whose optimism shrinks near what is chosen already. Classes are
    treated alike, as logits, with the mutual information in place of the gain; of several classes "high" and "low" are
    about the probability of one of them.

    Args:
        fitted: the model.
        smiles: of the pool; rows that RDKit cannot read are never chosen, copies of a molecule once.
        count: how many.
        goal: see above.
        task: of several tasks, which one.
        of_class: of a task with several classes, whose probability "high" and "low" are about.
        optimism: $\beta \ge 0$ of "high" and "low".
        listener: is told how far it is.

    Returns:
        The choice. Holds `count` numbers a molecule of the pool.

    Raises:
        OptionError: a number or a name that is not allowed.
        DataError: fewer readable, different molecules than `count`, or "learn" with one network.

    References:
        A. Krause, A. Singh, C. Guestrin, "Near-Optimal Sensor Placements in Gaussian Processes", JMLR 9, 2008, Eq. 3
        (greedy entropy).
        T. Desautels, A. Krause, J. W. Burdick, "Parallelizing Exploration-Exploitation Tradeoffs in Gaussian Process
        Bandit Optimization", JMLR 15, 2014, Algorithm 1 (optimism in batches).
    """
    check_choice("goal", goal, ("learn", "high", "low"))
    check_count("count", count)
    check_count("task", task, 0)
    check_number("optimism", optimism, 0.0)
    if task >= len(fitted.task_names):
        raise DataError(f"task is {task}, but the model has {len(fitted.task_names)}: {', '.join(fitted.task_names)}")
    number = _class_number(fitted, goal, task, of_class)
    if goal == "learn" and len(jax.tree.leaves(fitted.forecaster.samples)[0]) == 1:
        raise DataError(
            "the model has one network, which cannot tell what it does not know: no molecule would teach it more than "
            "another; fit one with --members 5, or name another --goal"
        )
    forecast = predict_molecules(fitted, smiles, listener=listener)
    readable = np.flatnonzero([not error for error in forecast.errors])
    bits = row_bits([forecast.smiles[row] for row in readable], len(fitted.molecule_columns)).astype(np.float32)
    packed = np.packbits(bits.astype(bool), axis=1)
    told = forecast.mean if forecast.probabilities is None else forecast.probabilities
    copies: dict[tuple[bytes, bytes], int] = {}  # what has the same bits and the same forecast is the same molecule
    for place, row in enumerate(readable):
        copies.setdefault((packed[place].tobytes(), told[row].tobytes()), place)
    first = np.array(list(copies.values()), int)
    readable, bits = readable[first], bits[first]
    if len(readable) < count:
        raise DataError(f"{count} molecules are asked for, but the pool has {len(readable)} different readable ones")
    mean, known, noise = _gaussian(forecast, readable, task, fitted.scaler, number)
    signs = {"learn": 0.0, "high": 1.0, "low": -1.0}
    rows, gain = _greedy(
        jnp.asarray(bits, jnp.float32),
        jnp.asarray(mean, jnp.float32),
        jnp.asarray(known, jnp.float32),
        jnp.asarray(noise, jnp.float32),
        jnp.asarray(signs[goal]),
        jnp.asarray(optimism),
        count,
    )
    return Choice(readable[np.asarray(rows)], np.asarray(gain), forecast)


def _class_number(fitted: FittedMolecules, goal: Goal, task: int, of_class: str | None) -> int | None:
    """Which class "high" and "low" are about."""
    if fitted.task_type != "multiclass":
        if of_class is not None:
            raise DataError(f"of_class is {of_class!r}, but the model has no task with several classes; leave it out")
        return None
    names = fitted.classes[task]
    if of_class is None:
        if goal != "learn":
            raise DataError(
                f"goal {goal!r} needs a class of {fitted.task_names[task]!r} whose probability it is about; name one "
                f"with --of-class (of_class in Python): {', '.join(names)}"
            )
        return None
    if of_class not in names:
        raise DataError(f"{fitted.task_names[task]!r} has no class {of_class!r}; it has {', '.join(names)}")
    return names.index(of_class)


def _gaussian(
    forecast: MoleculeForecast, rows: np.ndarray, task: int, scaler: LabelScaler, of_class: int | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, epistemic variance and noise of each molecule, in standard units; of classes in units of the logit."""
    mean, known, noise = (part[rows, task] for part in (forecast.mean, forecast.epistemic, forecast.aleatoric))
    if forecast.task_type == "regression":
        shift, size = float(scaler.mean[task]), float(scaler.scale[task])
        least = np.finfo(np.float32).tiny
        return (mean - shift) / size, known / size / size, np.maximum(noise / size / size, least)
    if of_class is not None and forecast.probabilities is not None:
        mean = forecast.probabilities[rows, task, of_class]
    share = np.clip(mean, 1e-6, 1 - 1e-6)  # without a class only the ratio of the two variances counts
    curvature = share * (1 - share)
    return np.log(share / (1 - share)), np.expm1(2 * known) / curvature, 1 / curvature


def _greedy(
    bits: Array, mean: Array, known: Array, noise: Array, sign: Array, optimism: Array, count: int
) -> tuple[Array, Array]:
    """The choice, by the pivots of a Cholesky factor of the covariance, of which only the rows chosen are made."""
    sizes, deviation = bits.sum(axis=1), jnp.sqrt(known)

    def step(
        carry: tuple[Array, Array, Array], number: Array
    ) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        left, free, factor = carry
        gain = 0.5 * jnp.log1p(left / noise)
        wanted = jnp.where(sign == 0, gain, sign * mean + optimism * jnp.sqrt(left))
        chosen = jnp.argmax(jnp.where(free, wanted, -jnp.inf))
        common = bits @ bits[chosen]
        either = sizes + sizes[chosen] - common
        alike = jnp.where(either > 0, common / jnp.where(either > 0, either, 1), 1)
        row = deviation * deviation[chosen] * alike - factor.T @ factor[:, chosen]
        row = row / jnp.sqrt(left[chosen] + noise[chosen])
        left = jnp.clip(left - jnp.square(row), 0)
        return (left, free.at[chosen].set(False), factor.at[number].set(row)), (chosen, gain[chosen])

    start = known, jnp.ones(mean.shape, bool), jnp.zeros((count, mean.shape[0]))
    return jax.lax.scan(step, start, jnp.arange(count))[1]
