"""Active learning over rows that have labels to give: which are drawn first, and which next, for so many labels."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Integer

from jaxuq._keys import named_key

START = "start"
Labelled = Integer[np.ndarray, " labelled"]


class Step(NamedTuple):
    """Trainings on one labelled set.

    Attributes:
        acquisition: how the set was chosen, or `"start"` for the first one, which all acquisitions share.
        number: of the round, 0 for the first set.
        rows: of the training part that have labels, in the order in which they were given them.
    """

    acquisition: str
    number: int
    rows: Labelled


def random_order(seed: int, num_rows: int) -> Integer[np.ndarray, " rows"]:
    """The order in which labels are given at random: the first set of every acquisition, and all sets of `"random"`.

    Args:
        seed: of the repetition.
        num_rows: of the training part.

    Returns:
        All rows, shuffled.

    Example:
        >>> sorted(random_order(0, 5).tolist())
        [0, 1, 2, 3, 4]
    """
    return np.asarray(jax.random.permutation(named_key(jax.random.key(seed), "active"), num_rows))


def choose_rows(
    scores: Float[np.ndarray, " rows"],
    labelled: Integer[np.ndarray, " labelled"],
    number: int,
    *,
    labels: Integer[np.ndarray, " rows"] | None = None,
) -> Integer[np.ndarray, " chosen"]:
    """The rows with the highest scores among those that have no label yet, for so many labels.

    A row brings all its labels: a molecule those of its tasks, a sentence those of its tokens. From the highest score
    down, each is taken whose labels still fit; so the number is met exactly where rows with few labels are left, and is
    exceeded only where the first alone exceeds it.

    Args:
        scores: of all rows, those with labels too; minus infinity or NaN is never chosen.
        labelled: rows that are out of the question.
        number: of labels wanted.
        labels: how many each row has to give; one without any is never chosen. None: one each.

    Returns:
        Their numbers, the highest score first; of equal ones the first.

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


def labelled_sets(
    acquisition: str,
    amounts: Sequence[int],
    order: Integer[np.ndarray, " rows"],
    labels: Integer[np.ndarray, " rows"],
    scores: Callable[[Step], Float[np.ndarray, " rows"] | None],
) -> Iterator[Step | None]:
    """The labelled sets of an acquisition, one round after another.

    Args:
        acquisition: `"start"` (the first set alone), `"random"`, or the name of one with scores.
        amounts: labels of the first set, drawn at random, and of each round after it.
        order: of `random_order`.
        labels: how many each row has to give.
        scores: how much the labels of each row are wanted after a step; None where that is not known yet.

    Yields:
        Steps; None for one that follows from scores that are not there yet.

    Example:
        >>> found = labelled_sets("longest", (1, 2), np.array([2, 0, 1]), np.ones(3, int), lambda step: np.arange(3.0))
        >>> [step.rows.tolist() for step in found]
        [[2], [2, 1, 0]]
    """
    by_chance = -np.argsort(order).astype(np.float64)

    def more(rows: np.ndarray, scores: np.ndarray, number: int) -> np.ndarray:
        return np.concatenate([rows, choose_rows(scores, rows, number, labels=labels)])

    step: Step | None = Step(START, 0, more(np.zeros(0, np.int64), by_chance, amounts[0]))
    yield step
    for number, amount in enumerate(() if acquisition == START else amounts[1:], 1):
        if step is not None:
            found = by_chance if acquisition == "random" else scores(step)
            step = None if found is None else Step(acquisition, number, more(step.rows, found, amount))
        yield step
