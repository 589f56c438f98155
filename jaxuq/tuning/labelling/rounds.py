"""Labelling in rounds: learn from what is labelled, choose what to label next, and again."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxuq._arguments import typed
from jaxuq._entries import Entry
from jaxuq._keys import named_key
from jaxuq.tuning.errors import TuningError
from jaxuq.tuning.labelling.choosing import Pool, choose_questions

Learner = Callable[[int, Int[np.ndarray, " labelled"]], Float[np.ndarray, "samples pool options"]]
"""`learner(round_number, labelled)` learns from these questions, and forecasts the whole pool, sample by sample."""


class LabellingRound(NamedTuple):
    """One round.

    Attributes:
        number: from 0, which has the labels to begin with.
        labelled: that were learnt from, in the order of labelling.
        chosen: to be labelled next; none in the last round.
    """

    number: int
    labelled: Int[np.ndarray, " labelled"]
    chosen: Int[np.ndarray, " chosen"]


@typed()
def label_in_rounds(
    rng_key: Key[Array, ""],
    acquisition: str | Entry | Callable[[Pool], Any],
    learner: Learner,
    pool_size: int,
    *,
    start: int,
    batch_size: int,
    rounds: int,
    base_entropy: Float[np.ndarray, " pool"] | None = None,
) -> Iterator[LabellingRound]:
    """Active learning over a pool whose labels are known but hidden until they are asked for.

    The labels to begin with are chosen by chance, the same for every acquisition under one key. All that a round needs
    is what the learner returned for it: a learner that remembers makes the loop one that can be interrupted.

    Args:
        rng_key: of the first labels, and of `random`.
        acquisition: see `choose_questions`.
        learner: learns anew from all labels so far, and forecasts the pool.
        pool_size: questions.
        start: labels to begin with.
        batch_size: labels of a round.
        rounds: how often questions are labelled; the learner is called once more than that.
        base_entropy: for `gap`.

    Yields:
        `LabellingRound`, after its learner has learnt. No question is labelled twice.

    Raises:
        TuningError: more labels than questions.

    Example:
        >>> import jax, numpy as np
        >>> def never_sure(number, labelled):
        ...     return np.log(np.full((1, 6, 2), 0.5, np.float32))
        >>> found = label_in_rounds(jax.random.key(0), "entropy", never_sure, 6, start=2, batch_size=2, rounds=2)
        >>> [len(one.labelled) for one in found]
        [2, 4, 6]

    References:
        B. Settles, "Active Learning Literature Survey", 2009, section 2.3 (pool-based sampling).
    """
    wanted = start + batch_size * rounds
    if wanted > pool_size or min(start, batch_size, rounds) < 1:
        raise TuningError(
            f"{start} labels and {rounds} rounds of {batch_size} are {wanted}; there are {pool_size} questions"
        )
    shuffled = jax.random.permutation(named_key(rng_key, "start"), pool_size)
    labelled = np.asarray(shuffled)[:start].astype(np.int32)
    for number in range(rounds + 1):
        log_probs = learner(number, labelled)
        chosen = np.zeros(0, np.int32)
        if number < rounds:
            free = np.ones(pool_size, bool)
            free[labelled] = False
            chosen = choose_questions(
                named_key(rng_key, "random", number), acquisition, log_probs, batch_size, where=free,
                base_entropy=base_entropy, round_number=number,
            )  # fmt: skip
        yield LabellingRound(number, labelled, chosen)
        labelled = np.concatenate([labelled, chosen])
